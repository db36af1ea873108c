"""Commands of concurrent requests, sent to a server together.

Most of what a command costs is paid once for each exchange with the server, not for each command.
So the commands that become ready while an exchange is under way leave together when it is done.
Where there is none, one that is alone leaves at once, one that has company waits for it (`line`).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from .line import PATIENCE, Line, Waiting

__all__ = ("EXCHANGES", "Batches")

C = TypeVar("C")

EXCHANGES = 4  # under way at once, where the client has connections enough


@dataclass(slots=True, repr=False, eq=False)
class _UnderWay(Generic[C]):
    """What left in one exchange, when that began, and when it has taken too long."""

    batch: Sequence[Waiting[C]]
    began: float
    deadline: float


class Batches(ABC, Generic[C]):
    """Sends commands, and hands each its own reply.

    To be cancelled while one waits touches no other's command; one's own is done or not done.

    :param timeout: seconds that a command may take, waiting for its turn included.
    :param exchanges: how many may be under way at once.
    """

    failure: Callable[[BaseException], BaseException] = staticmethod(lambda error: error)
    """What is raised for an error; set it to raise another."""

    def __init__(self, *, timeout: float, exchanges: int) -> None:
        self._timeout = timeout
        self._slots = exchanges
        self._held = 0  # by how many `together` commands are kept from leaving alone
        self._loop: asyncio.AbstractEventLoop | None = None
        self._restart()

    def _restart(self) -> None:
        """Begin with nothing, as another event loop does."""
        self._waiting = Line[C](self._timeout)
        self._leaving: asyncio.Handle | None = None  # when those who wait leave
        self._running: list[float] = []  # when the exchanges under way began, the first first
        self._under_way: dict[asyncio.Task[Sequence[Any]], _UnderWay[C]] = {}
        # The one command that left alone, if it is under way: in whose task, and until when.
        self._alone: asyncio.Task[Any] | None = None
        self._alone_until = 0.0
        self._timer: asyncio.TimerHandle | None = None  # one for all

    @abstractmethod
    def exchange_one(self, command: C) -> Awaitable[Any]:
        """The reply to a command that leaves alone."""

    @abstractmethod
    def exchange(self, commands: Sequence[C]) -> Coroutine[Any, Any, Sequence[Any]]:
        """The replies to commands that leave together, in their order; an exception for one that
        failed by itself.
        """

    def ask(self, command: C) -> Awaitable[Any]:
        """The reply to a command. Await it at once: the command may be on its way.

        :raises ConnectionError: where `close` came first.
        :raises TimeoutError: where it took too long.
        :raises Exception: whatever the exchange raises, or `failure` makes of all these.
        """
        if self._has_company():
            return self._line_up(command)
        return self._ask_alone(command)

    async def ask_all(self, commands: Sequence[C]) -> list[Any]:
        """The replies to commands that leave together, as far as a batch takes them: see `ask`."""
        lined_up = [self._line_up(command) for command in commands]
        replies = await asyncio.gather(*lined_up, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return replies

    @contextmanager
    def together(self) -> Iterator[None]:
        """For who has several commands: those of one turn leave in one exchange, the first too."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def close(self) -> None:
        """Give up what waits and what is under way, but for a command that left alone."""
        for _, reply, _ in self._waiting:
            if not reply.done():
                reply.set_exception(self.failure(ConnectionAbortedError("closed")))
        self._waiting.clear()
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._timer is not None and not (self._alone or self._under_way or self._waiting):
            self._timer.cancel()
            self._timer = None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._restart()
        return loop

    def _has_company(self) -> bool:
        waiting = self._waiting
        return bool(self._running or self._held or waiting or waiting.in_company)

    def _line_up(self, command: C) -> asyncio.Future[Any]:
        loop = self._running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        deadline = self._waiting.join(command, reply, loop.time())
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._time_out)
        if self._leaving is None and len(self._running) < self._slots:
            self._leave_in_time()
        return reply

    async def _ask_alone(self, command: C) -> Any:
        if self._has_company():  # by now
            return await self._line_up(command)
        loop = self._running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        cancelling = task.cancelling()
        began = loop.time()
        self._running.append(began)
        self._alone, self._alone_until = task, began + self._timeout
        if self._timer is None:
            self._timer = loop.call_at(self._alone_until, self._time_out)
        # What `asyncio.timeout` does, which would set a timer for each command.
        try:
            return await self.exchange_one(command)
        except asyncio.CancelledError:
            if self._alone is None and task.cancelling() <= cancelling + 1:
                raise self.failure(TimeoutError())  # noqa: B904  # it has its cause
            raise
        except Exception as error:
            raise self.failure(error)  # noqa: B904  # as above
        finally:
            if self._loop is loop:  # another has begun anew when what a dead one left is finalised
                if self._alone is None:
                    task.uncancel()
                self._alone = None
                self._waiting.in_company = bool(self._waiting)
                self._returned(began)

    def _leave_in_time(self) -> None:
        """Let those who wait leave, or wait for more: from the end of this turn on, or when the
        newest exchange that is under way has had its time. Should it come back earlier, from then.
        """
        assert self._loop is not None
        if self._running:
            self._leaving = self._loop.call_at(self._running[-1] + PATIENCE, self._leave)
        else:
            self._leaving = self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        assert self._loop is not None
        if self._waiting.is_growing(self._loop.time()):
            self._leaving = self._loop.call_soon(self._leave)
            return
        self._leaving = None
        if batch := self._waiting.leave():
            began = self._loop.time()
            self._running.append(began)
            task = self._loop.create_task(self.exchange([command for command, _, _ in batch]))
            self._under_way[task] = _UnderWay(batch, began, began + self._timeout)
            task.add_done_callback(self._hand_out)
        if self._waiting and len(self._running) < self._slots:
            self._leave_in_time()

    def _returned(self, began: float) -> None:
        self._running.remove(began)
        if self._waiting:
            assert self._loop is not None
            if self._leaving is not None:
                self._leaving.cancel()
            self._leaving = self._loop.call_soon(self._leave)

    def _hand_out(self, task: asyncio.Task[Sequence[Any]]) -> None:
        exchange = self._under_way.pop(task)
        batch = exchange.batch
        # Who waits was not cancelled, only what it waits for.
        error = ConnectionAbortedError("closed") if task.cancelled() else task.exception()
        replies = task.result() if error is None else [error] * len(batch)
        if len(replies) != len(batch):
            replies = [RuntimeError("another number of replies than of commands")] * len(batch)
        for (_, waits, _), reply in zip(batch, replies, strict=True):
            if isinstance(reply, BaseException) and not waits.done():
                waits.set_exception(self.failure(reply))
            elif not waits.done():  # else nobody waits for it any more
                waits.set_result(reply)
        # After those who got a reply, so that what they ask for next leaves with the others.
        self._returned(exchange.began)

    @property
    def _unanswered(self) -> list[Waiting[C]]:
        """What is under way together, and what waits, the first first."""
        batches = (exchange.batch for exchange in self._under_way.values())
        return [one for one in chain(*batches, self._waiting) if not one[1].done()]

    def _time_out(self) -> None:
        """End what took too long, and come again when the next one will have. Mostly it finds that
        answered which it was set for.
        """
        assert self._loop is not None
        now = self._loop.time()
        coming = []
        for _, reply, deadline in self._unanswered:
            if deadline > now:
                coming.append(deadline)
                break
            reply.set_exception(self.failure(TimeoutError()))
        for task, exchange in self._under_way.items():
            if exchange.deadline > now:
                coming.append(exchange.deadline)
            elif exchange.deadline:
                exchange.deadline = 0.0  # once
                task.cancel()
        if self._alone is not None:
            if self._alone_until > now:
                coming.append(self._alone_until)
            else:
                self._alone.cancel()
                self._alone = None
        self._timer = self._loop.call_at(min(coming), self._time_out) if coming else None
