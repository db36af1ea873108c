"""HTTP as it is on the wire: answers taken apart, and a connection for what no browser sends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from multidict import CIMultiDict

PATIENCE = 10.0  # seconds; only ever waited for when something is broken
_STATUS = re.compile(r"HTTP/1\.[01] (\d{3}) [^\r\n]*")


class SetCookie(NamedTuple):
    """A Set-Cookie line, taken apart. Attribute names are in lower case."""

    name: str
    value: str
    attributes: dict[str, str | None]

    @classmethod
    def parse(cls, line: str) -> SetCookie:
        pair, *rest = line.split(";")
        name, _, value = pair.partition("=")
        attributes: dict[str, str | None] = {}
        for attribute in rest:
            key, equals, content = attribute.strip().partition("=")
            assert key.lower() not in attributes, "an attribute is given twice"
            attributes[key.lower()] = content if equals else None
        return cls(name, value, attributes)


class Answer:
    """A response, read to its end."""

    def __init__(self, status: int, headers: CIMultiDict[str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cookies(self) -> list[SetCookie]:
        return [SetCookie.parse(line) for line in self.headers.getall("Set-Cookie", ())]

    @property
    def cookie(self) -> SetCookie:
        """The only cookie that was set."""
        (cookie,) = self.cookies
        return cookie


class Wire:
    """One connection, kept alive. What comes back must be framed as HTTP says.

    :param port: a port of this machine.
    :param check: what every answer goes through.
    """

    def __init__(self, port: int, check: Callable[[Answer], Answer]) -> None:
        self._port = port
        self._check = check
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Wire:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.transport.abort()

    def send(
        self, path: str, *lines: str | bytes, method: str = "GET", version: str = "1.1"
    ) -> None:
        """Send a request with these header lines."""
        self.send_raw(f"{method} {path} HTTP/{version}", "Host: localhost", *lines)

    def send_raw(self, *lines: str | bytes) -> None:
        """Send these lines and an empty one."""
        every = [line.encode() if isinstance(line, str) else line for line in (*lines, "", "")]
        self._writer.write(b"\r\n".join(every))

    async def answer(self, method: str = "GET") -> Answer:
        """Read one answer.

        :raises ConnectionError: where the connection was closed before its end.
        """
        async with asyncio.timeout(PATIENCE):
            try:
                return self._check(await self._read(method))
            except asyncio.IncompleteReadError as error:
                raise ConnectionResetError("closed in the middle of an answer") from error

    async def get(self, path: str, *lines: str | bytes, method: str = "GET") -> Answer:
        """Send a request and read its answer."""
        self.send(path, *lines, method=method)
        return await self.answer(method)

    async def skip_to_end(self) -> None:
        """Read whatever is still sent, until the server hangs up."""
        async with asyncio.timeout(PATIENCE):
            await self._reader.read()

    async def closed(self) -> bool:
        """Whether the server hangs up, and says nothing before that."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(1) == b""

    async def _read(self, method: str) -> Answer:
        status = _STATUS.fullmatch(await self._line())
        assert status is not None, "what begins here is no answer"
        headers: CIMultiDict[str] = CIMultiDict()
        while line := await self._line():
            name, colon, value = line.partition(":")
            assert colon
            headers.add(name, value.strip())
        code = int(status[1])
        length = headers.getall("Content-Length", ())
        chunked = headers.get("Transfer-Encoding") == "chunked"
        # RFC 9112 §6.1: never both, or two readers see two different answers.
        assert not (length and chunked) and len(length) < 2
        if method == "HEAD" or code in (101, 204, 304):
            body = b""
        elif chunked:
            body = await self._chunks()
        elif length:
            body = await self._reader.readexactly(int(length[0]))
        else:
            body = await self._reader.read()
        return Answer(code, headers, body)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._line(), 16):
            body += await self._reader.readexactly(size)
            assert await self._line() == ""
        assert await self._line() == ""
        return body

    async def _line(self) -> str:
        return (await self._reader.readuntil(b"\r\n")).decode().removesuffix("\r\n")
