"""The least that a session in Redis can cost: one command to load, one to save, multiplexed.

All requests share one connection, and what they send in a turn of the event loop leaves in one
write. There is no timeout, no reconnecting, no compare-and-set and no seal: nobody should use it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import hiredis
import msgspec
from aiohttp import web

from .state import make_state

__all__ = ("Multiplexed",)

_COOKIE = "session="
_TTL = int(timedelta(days=1).total_seconds())


class _Pipe(asyncio.Protocol):
    """One connection to Redis."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(reply)

    def send(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send a command; the reply."""
        loop = asyncio.get_running_loop()
        if not self._out:
            loop.call_soon(self._flush)
        whole: Any = command  # hiredis declares it a tuple of one
        self._out.append(hiredis.pack_command(whole))
        reply = loop.create_future()
        self._waiting.append(reply)
        return reply

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()


class Multiplexed:
    """The handlers of `benchmarks.apps`, with a session that does the least."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "localhost", parts.port or 6379
        self._pipe: _Pipe

    async def connect(self, app: web.Application) -> None:
        """Connect to Redis."""
        loop = asyncio.get_running_loop()
        _, self._pipe = await loop.create_connection(_Pipe, self._host, self._port)

    async def close(self, app: web.Application) -> None:
        """Disconnect."""
        self._pipe.close()

    def routes(self) -> list[web.RouteDef]:
        """What visitors do."""
        return [
            web.get("/none", self._none),
            web.get("/read", self._read),
            web.get("/write", self._write),
            web.get("/fill", self._fill),
        ]

    async def _none(self, request: web.Request) -> web.Response:
        return web.Response(text="1")

    async def _read(self, request: web.Request) -> web.Response:
        _, state = await self._load(request)
        return web.Response(text=str(state["n"]))

    async def _write(self, request: web.Request) -> web.Response:
        key, state = await self._load(request)
        state["n"] = n = state.get("n", 0) + 1
        return await self._saved(key, state, web.Response(text=str(n)))

    async def _fill(self, request: web.Request) -> web.Response:
        state = make_state(int(request.query["size"]))
        return await self._saved(None, state, web.Response(text="0"))

    async def _load(self, request: web.Request) -> tuple[str | None, dict[str, Any]]:
        header = request.headers.get("Cookie", "")
        at = header.find(_COOKIE)
        if at < 0:
            return None, {}
        key = header[at + len(_COOKIE) :].partition(";")[0]
        state: dict[str, Any] = msgspec.msgpack.decode(await self._pipe.send("GET", key))
        return key, state

    async def _saved(
        self, key: str | None, state: dict[str, Any], response: web.Response
    ) -> web.Response:
        key = key or secrets.token_urlsafe()
        await self._pipe.send("SET", key, msgspec.msgpack.encode(state), "EX", _TTL)
        response.headers["Set-Cookie"] = f"{_COOKIE}{key}; Path=/; Secure; HttpOnly; SameSite=Lax"
        return response
