"""A lean client: many visitors, each on a connection that is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ("Load", "Visitor", "load")

HOST = "127.0.0.1"
_END = b"\r\n\r\n"
_LENGTH = b"Content-Length: "
_SET_COOKIE = b"Set-Cookie: "
# What a browser sends along.
_HEADERS = (
    b" HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\n"
)
# With the session's there are six.
_OTHER_COOKIES = (
    b"_ga=GA1.2.1234567890.1700000000; _gid=GA1.2.987654321.1700000001; "
    b"csrftoken=8mGz4nq1vX0yK3bT7cW2dR5eJ9fH6aLp; theme=dark; lang=en"
)


@dataclass
class Load:
    """Requests under way until a deadline, and what came of them.

    :param deadline: on `time.perf_counter`'s clock; every visitor asks at least once.
    """

    deadline: float
    done: asyncio.Future[None]
    visitors: int
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self.latencies)

    def leave(self) -> None:
        """One visitor less."""
        self.visitors -= 1
        if not self.visitors:
            self.done.set_result(None)


class Visitor(asyncio.Protocol):
    """One who asks again as soon as there is an answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport
        self._request = b""
        self._part = b""
        self._sent = 0.0
        self._load: Load
        self._reconnecting: asyncio.Task[None] | None = None
        self.cookie = b""
        self.answer = b""
        self.answered = 0  # since it was last prepared

    async def connect(self) -> None:
        """Open the connection."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, HOST, self._port)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def prepare(self, path: str) -> None:
        """What to ask for, with the cookie it has."""
        cookies = _OTHER_COOKIES + (b"; " + self.cookie if self.cookie else b"")
        self._request = b"GET %b%bCookie: %b\r\n\r\n" % (path.encode(), _HEADERS, cookies)
        self.answered = 0

    async def ask(self, path: str) -> str:
        """The body of the answer; the cookie it sets is kept.

        :raises RuntimeError: for a status other than 200.
        """
        self.prepare(path)
        outcome = await load([self], 0.0)
        if outcome.failed:
            raise RuntimeError(f"{path} answers {self.answer.decode()}")
        head = self.answer.partition(_END)[0]
        for line in head.split(b"\r\n"):
            if line.startswith(_SET_COOKIE):
                self.cookie = line[len(_SET_COOKIE) :].partition(b";")[0]
        return self.body

    @property
    def body(self) -> str:
        """Of the last answer."""
        return self.answer.partition(_END)[2].decode()

    def begin(self, load: Load) -> None:
        """Ask, again and again until the deadline."""
        self._load = load
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    # -- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._part:
            data = self._part + data
            self._part = b""
        end = data.find(_END)
        if end >= 0:
            at = data.index(_LENGTH, 0, end) + len(_LENGTH)
            if len(data) == end + len(_END) + int(data[at : data.index(b"\r\n", at)]):
                self._have(data)
                return
        self._part = data

    def _have(self, answer: bytes) -> None:
        load = self._load
        now = time.perf_counter()
        load.latencies.append(now - self._sent)
        self.answer = answer
        self.answered += 1
        if answer[9:12] != b"200":
            load.failed += 1
            # aiohttp hangs up after an error.
            self._transport.abort()
            self._reconnecting = asyncio.ensure_future(self._ask_on_another())
        elif now < load.deadline:
            self._ask()
        else:
            load.leave()

    async def _ask_on_another(self) -> None:
        await self.connect()
        if time.perf_counter() < self._load.deadline:
            self._ask()
        else:
            self._load.leave()


async def load(visitors: Sequence[Visitor], seconds: float) -> Load:
    """Let all visitors ask for so long."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    outcome = Load(began + seconds, loop.create_future(), len(visitors))
    for visitor in visitors:
        visitor.begin(outcome)
    await asyncio.wait_for(outcome.done, seconds + 60)
    outcome.seconds = time.perf_counter() - began
    return outcome
