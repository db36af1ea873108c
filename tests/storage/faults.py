"""What goes wrong on the way to a server: cancellation at any moment, a wire that fails."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp_sess.storage import Entry, KeyedStorage, Version

from ..servers import HOST

Operation = Callable[[], Coroutine[Any, Any, object]]


async def each_cancellation(operation: Operation, *, heeded: bool = True) -> AsyncIterator[None]:
    """Cancel an operation at every place where it waits, and after each turn of the event loop;
    and close it at every place where it waits, as is done to what an event loop leaves behind.

    Goes on until the operation is done before that.

    :param heeded: whether a cancellation must end the operation. With a timeout of its own,
        redis-py writes inside of `asyncio.wait_for`, which before Python 3.12 forgets the
        cancellation where the write is done already: the operation is then done, too.
    """
    for cancelled in (_cancelled_while_waiting, _cancelled_after, _closed_while_waiting):
        number = 0
        while await cancelled(operation(), number, heeded):
            yield
            number += 1
        assert number, "the operation never waits"


async def _cancelled_while_waiting(
    operation: Coroutine[Any, Any, object], number: int, heeded: bool
) -> bool:
    """Cancel it when it begins to wait for that time; what it waits for has not come yet."""
    stops = _Stops(operation, number)
    task = asyncio.ensure_future(_of(stops))
    await asyncio.wait([task])
    assert task.cancelled() == stops.reached or not heeded
    return stops.reached


async def _closed_while_waiting(
    operation: Coroutine[Any, Any, object], number: int, heeded: bool
) -> bool:
    """Throw GeneratorExit into it where it begins to wait for that time."""
    stops = _Stops(operation, number, close=True)
    await stops
    return stops.reached


async def _cancelled_after(
    operation: Coroutine[Any, Any, object], number: int, heeded: bool
) -> bool:
    """Cancel it after so many turns of the event loop; what it waits for may have come by now."""
    task = asyncio.ensure_future(operation)
    for _ in range(number):
        await asyncio.sleep(0)
    cancelled = task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == cancelled or not heeded
    return cancelled


async def _of(awaitable: Awaitable[object]) -> object:
    return await awaitable


class _Stops:
    """Awaits an operation, and cancels the task where that waits for the given time.

    :param close: close the operation there instead.
    """

    def __init__(
        self, operation: Coroutine[Any, Any, object], number: int, *, close: bool = False
    ) -> None:
        self._operation = operation
        self._number = number
        self._close = close
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        waits = self._operation.__await__()
        count = 0
        try:
            future = next(waits)
            while True:
                if count == self._number:
                    self.reached = True
                    if self._close:
                        waits.close()
                        return None
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()  # takes effect at the yield
                count += 1
                try:
                    yield future
                except BaseException as error:
                    future = waits.throw(error)
                else:
                    future = next(waits)
        except StopIteration as done:
            return done.value


class Entries:
    """Entries in a storage, and whether it still tells them apart."""

    def __init__(self, storage: KeyedStorage) -> None:
        self._storage = storage
        prefix = f"{storage.key_prefix}{secrets.token_hex(8)}-"
        self._values = {f"{prefix}{n}": str(n) * 100 for n in range(3)}
        self._missing = f"{prefix}missing"

    async def write(self) -> None:
        """Write them."""
        for name, value in self._values.items():
            assert await self._storage.add(name, value.encode(), 60.0)

    @property
    def operations(self) -> dict[str, Operation]:
        """One of each kind, which changes nothing that `check` looks at."""
        storage, name = self._storage, next(iter(self._values))
        value = self._values[name].encode()
        same = Version(value[:16])
        return {
            "read": lambda: storage.read(name, None),
            "refresh": lambda: storage.read(name, 60.0),
            "add": lambda: storage.add(f"{name}-{secrets.token_hex(8)}", value, 60.0),
            "replace": lambda: storage.replace(name, value, 60.0, same),
            "touch": lambda: storage.touch(name, 60.0),
            "remove": lambda: storage.remove(self._missing),
        }

    async def check(self) -> None:
        """Every answer belongs to what was asked."""
        storage, other = self._storage, Version(b"x" * 16)
        for name, value in self._values.items():
            entry = await storage.read(name, None)
            assert isinstance(entry, Entry)
            assert entry.value == value.encode()
            assert await storage.touch(name, 60.0) is True
            assert await storage.read(self._missing, None) is None
            assert await storage.add(name, b"new", 60.0) is False
            assert await storage.touch(self._missing, 60.0) is False
            assert await storage.replace(name, b"new", 60.0, other) is False
            assert await storage.replace(name, value.encode(), 60.0, Version(value[:16].encode()))
            assert await storage.remove(self._missing) is False


class Relay:
    """A wire to a server that counts, holds replies back, and breaks.

    :param port: where the server is, on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.connections = 0
        """How many were opened."""
        self.trips = 0
        """How many pieces a client has sent; one that waits for replies sends one a trip."""
        self.lose_replies = 0
        """So many times, drop the connection in place of passing a reply on."""
        self.lose_only = b""
        """What is in the commands whose replies get lost."""
        self._target = port
        self._open: set[asyncio.StreamWriter] = set()
        self._last: dict[asyncio.StreamWriter, bytes] = {}
        self._stale: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._speaks = asyncio.Event()
        self._speaks.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        """The relay, on a free port."""
        server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hold(False)
            for writer in tuple(self._open):
                writer.close()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await server.wait_closed()

    def hold(self, held: bool = True) -> None:
        """Hold replies back from now on, or let them go."""
        if held:
            self._speaks.clear()
        else:
            self._speaks.set()

    def go_stale(self) -> None:
        """Reset each connection there is, but only when it is used again."""
        self._stale |= self._open

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        here, there = await asyncio.open_connection(HOST, self._target)
        self._open |= {writer, there}
        self._last[writer] = b""
        tasks = {
            asyncio.ensure_future(self._requests(reader, there, writer)),
            asyncio.ensure_future(self._replies(here, writer)),
        }
        self._tasks |= tasks
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, there):
            end.close()
        await asyncio.wait(tasks)
        self._open -= {writer, there}
        del self._last[writer]
        self._tasks -= tasks

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        there: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await _read(reader):
            self.trips += 1
            self._last[writer] = data
            if writer in self._stale:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            there.write(data)

    async def _replies(self, here: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read(here):
            await self._speaks.wait()
            if self.lose_replies and self.lose_only in self._last[writer]:
                self.lose_replies -= 1
                return
            writer.write(data)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 20)
    except ConnectionError:
        return b""


@asynccontextmanager
async def listening(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port of something that is no server of ours: it accepts, and does what it does."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass  # the client has hung up
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read, and say nothing."""
    while await reader.read(1 << 20):
        pass
