"""A way to a real server on which things go wrong, when and how a test says."""

from __future__ import annotations

import asyncio
import enum
import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from ..servers import HOST

_Fate = Callable[[bytes], "Trouble | None"]


class Fault(enum.Enum):
    """What happens to a request."""

    REFUSE = "the server goes away: this connection and all others are cut, new ones refused"
    CUT_BEFORE = "the connection is cut before the request is passed on"
    CUT_REPLY = "the connection is cut in the middle of the reply"
    LOSE_REPLY = "the connection is cut once the request was executed, and nothing comes back"
    SILENCE = "the request is swallowed"
    HOLD_REQUEST = "the request is passed on when the test lets it go"
    HOLD_REPLY = "the request is executed, and the reply passed on when the test lets it go"


@dataclass(eq=False)
class Trouble:
    """What happens to the next requests that have certain bytes.

    :param fault: what happens to them.
    :param marks: the bytes; a request is what arrives in one piece.
    :param times: how many of them it happens to.
    """

    fault: Fault
    marks: bytes
    times: float = 1
    met: int = 0
    """How many it has happened to."""
    seen: int = 0
    """How many there were, with those that were spared."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the fault is there: what was to be executed before it is executed."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets go what is held."""

    def meets(self, request: bytes) -> bool:
        """Whether it happens to this request."""
        if self.marks not in request:
            return False
        self.seen += 1
        if self.met >= self.times:
            return False
        self.met += 1
        return True


class Proxy:
    """Passes everything on to a server, and back, but for the `trouble` there is.

    :param port: where the server is, on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._trouble: Trouble | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """The proxy, on a free port that stays its own while it refuses connections."""
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            place.bind((HOST, 0))
            self.port = place.getsockname()[1]
            await self._listen()
            try:
                yield self
            finally:
                self._refuse()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def trouble(self, fault: Fault, marks: bytes, *, times: float = math.inf) -> Trouble:
        """From now on, this happens, in place of what happened before."""
        self._trouble = Trouble(fault, marks, times)
        return self._trouble

    async def heal(self) -> None:
        """Pass everything on from now on; what was held is let go."""
        if self._trouble is not None:
            self._trouble.over.set()
            self._trouble = None
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, reuse_port=True)

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _Connection(reader, writer).carry(self._target, self._fate)
        except (asyncio.CancelledError, OSError):
            pass  # cut, or the server is not there
        finally:
            self._tasks.discard(task)
            await _close(writer)

    def _fate(self, request: bytes) -> Trouble | None:
        trouble = self._trouble
        if trouble is None or not trouble.meets(request):
            return None
        if trouble.fault is Fault.REFUSE:
            self._refuse()
        return trouble


class _Connection:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._trouble: Trouble | None = None  # of the next reply

    async def carry(self, port: int, fate: _Fate) -> None:
        """Pass on, both ways, until one side hangs up or a fault cuts it."""
        here, there = await asyncio.open_connection(HOST, port)
        ways = {
            asyncio.ensure_future(self._requests(there, fate)),
            asyncio.ensure_future(self._replies(here)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _close(there)

    async def _requests(self, there: asyncio.StreamWriter, fate: _Fate) -> None:
        while request := await self._reader.read(1 << 20):
            trouble = fate(request)
            if trouble is not None:
                if trouble.fault in _AFTER:
                    self._trouble = trouble
                else:
                    trouble.reached.set()
                if trouble.fault in (Fault.REFUSE, Fault.CUT_BEFORE):
                    return
                if trouble.fault is Fault.SILENCE:
                    continue
                if trouble.fault is Fault.HOLD_REQUEST:
                    await trouble.over.wait()
                    if self._reader.at_eof():
                        return  # the one who asked has left
            there.write(request)

    async def _replies(self, here: asyncio.StreamReader) -> None:
        while reply := await here.read(1 << 20):
            trouble, self._trouble = self._trouble, None
            if trouble is not None:
                trouble.reached.set()
                if trouble.fault is Fault.HOLD_REPLY:
                    await trouble.over.wait()
                if trouble.fault is Fault.LOSE_REPLY:
                    return
                if trouble.fault is Fault.CUT_REPLY:
                    self._writer.write(reply[: len(reply) // 2])
                    return
            self._writer.write(reply)


_AFTER = (Fault.CUT_REPLY, Fault.LOSE_REPLY, Fault.HOLD_REPLY)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
