"""The demo as a process of its own, and a visitor's browser."""

from __future__ import annotations

import asyncio
import html
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
from yarl import URL

ROOT = Path(__file__).parents[2]
PATIENCE = 30  # seconds; only ever waited for when something is broken

# Where the forms of the demo go.
FORMS = (
    *("/login", "/logout", "/confirm", "/cart/add", "/cart/remove"),
    *("/devices/end", "/devices/end-others"),
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "demo", "--port", "0", *arguments]


def environment(**variables: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if k != "SESSION_KEY"}, **variables}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A demo that is not expected to stay."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Demo:
    """A running demo; leaving it interrupts it as Ctrl-C would.

    ``url`` ends without a slash, ``ready`` is the line it printed, ``errors`` and ``status`` what
    it logged and its exit status, once it is over.
    """

    def __init__(self, *arguments: str, **variables: str) -> None:
        # A file, since a pipe that nobody reads would block the demo once it is full.
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in `stop`)
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()
        self.errors = ""
        self.status: int | None = None
        found = re.match(r"http://\S+", self.ready)
        if found is None:
            self.stop()
            raise AssertionError(f"the demo did not start: {self.errors}")
        self.url = found[0]

    def stop(self, number: int = signal.SIGINT) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.communicate(timeout=PATIENCE)
        finally:
            self.process.kill()
            self.status = self.process.wait()
            self._stderr.seek(0)
            self.errors = self._stderr.read()
            self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.status is None:
            self.stop()


class Page(NamedTuple):
    """A response, and what a visitor sees in it."""

    status: int
    headers: Mapping[str, str]
    text: str
    set_cookie: str | None

    def _one(self, pattern: str) -> str:
        found = re.search(pattern, self.text, re.DOTALL)
        assert found is not None, f"no {pattern} in {self.text}"
        return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", found[1]).split()))

    @property
    def visits(self) -> int:
        return int(self._one(r'class="visits"><strong>(\d+)'))

    @property
    def token(self) -> str:
        return self._one(r'name="csrf" value="([^"]+)"')

    @property
    def heading(self) -> str:
        return self._one(r"<h1>(.*?)</h1>")

    @property
    def flashes(self) -> list[str]:
        return [
            html.unescape(text)
            for text in re.findall(r'role="status">(.*?)</p>', self.text)
            if not text.startswith("Connecting")
        ]

    @property
    def cart(self) -> dict[str, int]:
        entries = re.findall(r'"count">(\d+) \S</span> <bdi>(.*?)</bdi>', self.text)
        return {html.unescape(name): int(count) for count, name in entries}

    @property
    def cookie_lines(self) -> list[str]:
        return [
            html.unescape(line) for line in re.findall(r'<pre class="line">(.*?)</pre>', self.text)
        ]

    def fact(self, name: str) -> str:
        return self._one(rf"<dt>{name}</dt><dd>(.*?)</dd>")


class Browser:
    """One visitor: keeps cookies, and the token of the last page."""

    def __init__(self, url: str, *, user_agent: str | None = None) -> None:
        self.url = url
        self.token = ""
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []
        # Browsers keep cookies of IP addresses, aiohttp's jar only when it is told so.
        self.http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
            headers={} if user_agent is None else {"User-Agent": user_agent},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for socket in self._sockets:
            await socket.close()
        await self.http.close()

    @property
    def cookie(self) -> str:
        """The value of the session cookie, "" where there is none."""
        return next((each.value for each in self.http.cookie_jar if each.key == "id"), "")

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.http.cookie_jar.clear()
        self.http.cookie_jar.update_cookies({"id": value}, URL(self.url))

    async def send(
        self,
        method: str,
        path: str,
        *,
        data: Mapping[str, str] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """One request as it is; a redirect is an answer like any other."""
        async with self.http.request(
            method, self.url + path, data=data, headers=headers, allow_redirects=False
        ) as response:
            return Page(
                response.status,
                response.headers.copy(),
                await response.text(),
                response.headers.get("Set-Cookie"),
            )

    async def visit(self, path: str = "/") -> Page:
        page = await self.send("GET", path)
        assert page.status == 200
        self.token = page.token
        return page

    async def post(self, path: str, **fields: str) -> Page:
        """A form of the last page; answers what comes back, the redirect as a rule."""
        return await self.send("POST", path, data={"csrf": self.token, **fields})

    async def submit(self, path: str, *, leads_to: str = "/", **fields: str) -> Page:
        """A form of the last page, and the page that it leads to."""
        answer = await self.post(path, **fields)
        assert (answer.status, answer.headers.get("Location")) == (303, leads_to)
        return await self.visit(leads_to)

    async def log_in(self, name: str) -> Page:
        await self.visit()
        return await self.submit("/login", name=name)

    async def live(self, origin: str | None = None) -> aiohttp.ClientWebSocketResponse:
        socket = await self.http.ws_connect(self.url + "/live", origin=origin or self.url)
        self._sockets.append(socket)
        return socket


async def hears(socket: aiohttp.ClientWebSocketResponse) -> object:
    """The next message, decoded."""
    return await asyncio.wait_for(socket.receive_json(), PATIENCE)


async def says(socket: aiohttp.ClientWebSocketResponse, **message: object) -> object:
    """Send a message; the answer to it."""
    await socket.send_json(message)
    return await hears(socket)


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """Wait until the other side closes."""
    message = await asyncio.wait_for(socket.receive(), PATIENCE)
    if message.type is aiohttp.WSMsgType.CLOSE:
        # What it said. The socket's own code is another where its answer found nobody any more.
        return int(message.data)
    assert message.type is aiohttp.WSMsgType.CLOSED
    return socket.close_code
