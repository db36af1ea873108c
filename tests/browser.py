"""A real server on the loopback, and a browser for it.

Whatever is logged while it runs, and whatever it answers but for ``Set-Cookie`` and the session
header, is searched for session keys and cookie values (ASVS 16.2.5, 3.3.4); the session header for
those of cookies.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from .apps import HANDLE, Recorded
from .wire import Answer, Wire

HEADER = "X-Session-Key"  # what carries the key of clients without cookies


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Server:
    """A running application.

    ``cookies`` are what the browser has, by name; ``baked`` all cookie values ever sent,
    ``secrets`` also those of the session header.
    """

    def __init__(self, app: web.Application, runner: web.AppRunner) -> None:
        self.app = app
        self.runner = runner
        self.port: int = runner.addresses[0][1]
        self.cookies: dict[str, str] = {}
        self.secrets: set[str] = set()
        self.baked: set[str] = set()
        self._stopped = False
        self._log = _Records()
        self._client = aiohttp.ClientSession(
            f"http://localhost:{self.port}", cookie_jar=aiohttp.DummyCookieJar()
        )

    async def get(
        self,
        path: str,
        *,
        method: str = "GET",
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask as a browser does, that has the cookies which it was given so far.

        :param cookies: send these instead, and keep none.
        """
        sent = self.cookies if cookies is None else cookies
        every = dict(headers or {})
        if sent:
            every["Cookie"] = "; ".join(f"{name}={value}" for name, value in sent.items())
            self.secrets.update(sent.values())
            self.baked.update(sent.values())
        async with self._client.request(
            method, path, headers=every, allow_redirects=False
        ) as response:
            answer = self.check(
                Answer(response.status, CIMultiDict(response.headers), await response.read())
            )
        if cookies is None:
            self._keep(answer)
        return answer

    def wire(self) -> Wire:
        """A connection of one's own."""
        return Wire(self.port, self.check)

    def websocket(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Open a websocket with the browser's cookies, or with these headers instead."""
        pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if headers is None:
            headers = {"Cookie": pairs} if pairs else {}
        return self._client.ws_connect(path, headers=headers)

    def shaken(self, socket: aiohttp.ClientWebSocketResponse) -> Answer:
        """The answer that began a websocket; the browser keeps its cookies."""
        response = socket._response
        answer = self.check(Answer(response.status, CIMultiDict(response.headers), b""))
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        for cookie in answer.cookies:
            if cookie.attributes.get("max-age") == "0":
                self.cookies.pop(cookie.name, None)
            else:
                self.cookies[cookie.name] = cookie.value

    @property
    def id(self) -> str:
        """The browser's session cookie of the usual name, as a request's Cookie line has it."""
        return f"Cookie: id={self.cookies['id']}"

    def logged(self, level: int = logging.INFO, name: str = "aiohttp_sess") -> list[str]:
        """What was logged, from ``level`` upwards."""
        return [
            record.getMessage()
            for record in self._log.records
            if record.levelno >= level and record.name == name
        ]

    def causes(self) -> list[str]:
        """The types of the exceptions that were logged, and of what caused them."""
        found = []
        for record in self._log.records:
            error = record.exc_info[1] if record.exc_info else None
            while error is not None:
                found.append(type(error).__name__)
                error = error.__cause__
        return found

    def check(self, answer: Answer) -> Answer:
        """See that nothing but Set-Cookie or the session header has a secret, and not both."""
        self.baked.update(cookie.value for cookie in answer.cookies if cookie.value)
        shown = answer.headers.getall(HEADER, [])
        assert not (answer.cookies and shown)
        assert not self.baked.intersection(shown), "a script could read what a cookie hides"
        self.secrets.update(self.baked, filter(None, shown))
        own = ("set-cookie", HEADER.lower())
        rest = [value for name, value in answer.headers.items() if name.lower() not in own]
        self._search("an answer", answer.body.decode(errors="replace") + "\n".join(rest))
        return answer

    async def stop(self) -> None:
        """Let the handlers that still run come to their end, and the application to its own."""
        if not self._stopped:
            self._stopped = True
            await self._client.close()
            await self.runner.cleanup()

    async def close(self) -> None:
        """Stop, and see that nothing that was logged has a secret."""
        await self.stop()
        self._stop_listening()
        lines = logging.Formatter("%(message)s")
        text = "\n".join(lines.format(record) for record in self._log.records)
        self._search("the log", text)
        lost = [r.getMessage() for r in self._log.records if r.name == "asyncio" and r.levelno > 30]
        assert not lost, lost

    def listen(self) -> None:
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self._log)
        root.setLevel(logging.DEBUG)

    def _stop_listening(self) -> None:
        root = logging.getLogger()
        root.removeHandler(self._log)
        root.setLevel(self._level)

    def _search(self, where: str, text: str) -> None:
        storage = self.app[HANDLE].storage if HANDLE in self.app else None
        keys = storage.keys if isinstance(storage, Recorded) else set()
        # Shorter ones are no keys, but what hostile clients send.
        for secret in (self.secrets | keys) if text else ():
            assert len(secret) < 20 or secret not in text, f"{where} has a session key"


@asynccontextmanager
async def serve(
    app: web.Application, *, handler_cancellation: bool = False
) -> AsyncIterator[Server]:
    """Run an application on a free port.

    :param handler_cancellation: whether a client that disconnects cancels its handler.
    """
    runner = web.AppRunner(app, handler_cancellation=handler_cancellation, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = Server(app, runner)
    server.listen()
    try:
        yield server
    finally:
        await server.close()
