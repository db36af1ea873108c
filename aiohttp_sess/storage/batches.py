"""Commands of concurrent requests, sent to a server together.

Most of what a command costs is paid once for each exchange with the server, not for each command.
So the commands that become ready while an exchange is under way leave together when it is done. A
command that comes when there is none leaves at once, alone.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

__all__ = ("Batches",)

C = TypeVar("C")

# Seconds for which an exchange is waited for before another begins beside it. Meanwhile the next
# batch fills up; but a reply that does not come must not hold up everybody.
_PATIENCE = 0.005
_LONGEST = 128  # commands in a batch


class _Waiting(Generic[C]):
    """A command that has no reply yet. ``deadline`` is on the event loop's clock."""

    __slots__ = ("command", "deadline", "reply")

    def __init__(self, command: C, deadline: float) -> None:
        self.command = command
        self.deadline = deadline
        self.reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Batches(ABC, Generic[C]):
    """Sends commands, and hands each its own reply.

    To be cancelled while one waits touches no other's command; one's own is done or not done.

    :param timeout: seconds that a command may take, waiting for its turn included.
    :param exchanges: how many may be under way at once.
    """

    def __init__(self, *, timeout: float, exchanges: int) -> None:
        self._timeout = timeout
        self._slots = exchanges
        self._held = 0  # by how many `together` commands are kept from leaving alone
        self._under_way: set[asyncio.Task[Sequence[Any]]] = set()
        self._waiting: deque[_Waiting[C]] = deque()
        self._leaving: asyncio.Handle | None = None  # when those who wait leave
        self._running: list[float] = []  # when the exchanges under way began, the first first
        # Those that wait and those that are under way, the first first, and one timer for all.
        self._unanswered: dict[_Waiting[C], None] = {}
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    async def exchange_one(self, command: C) -> Any:
        """The reply to a command that leaves alone."""

    @abstractmethod
    async def exchange(self, commands: Sequence[C]) -> Sequence[Any]:
        """The replies to commands that leave together, in their order; an exception for one that
        failed by itself.
        """

    async def ask(self, command: C) -> Any:
        """The reply to a command.

        :raises ConnectionError: where `close` came first.
        :raises TimeoutError: where it took too long.
        :raises Exception: whatever the exchange raises.
        """
        if not (self._running or self._waiting or self._held):
            began = self._begin()
            try:
                async with asyncio.timeout(self._timeout):
                    return await self.exchange_one(command)
            finally:
                self._returned(began)
        (one,) = self._line_up([command])
        return await one.reply

    async def ask_all(self, commands: Sequence[C]) -> list[Any]:
        """The replies to commands that leave together, as far as a batch takes them: see `ask`."""
        lined_up = self._line_up(commands)
        replies = await asyncio.gather(*(one.reply for one in lined_up), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return replies

    def _line_up(self, commands: Sequence[C]) -> list[_Waiting[C]]:
        deadline = asyncio.get_running_loop().time() + self._timeout
        lined_up = [_Waiting(command, deadline) for command in commands]
        self._waiting.extend(lined_up)
        self._unanswered.update(dict.fromkeys(lined_up))
        if self._timer is None and lined_up:
            self._set_timer()
        if self._leaving is None and len(self._running) < self._slots:
            self._leave_in_time()
        return lined_up

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
        for one in self._waiting:
            if not one.reply.done():
                one.reply.set_exception(ConnectionAbortedError("closed"))
        self._waiting.clear()
        self._unanswered.clear()
        for handle in (self._leaving, self._timer):
            if handle is not None:
                handle.cancel()
        self._leaving = self._timer = None
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _begin(self) -> float:
        self._running.append(asyncio.get_running_loop().time())
        return self._running[-1]

    def _leave_in_time(self) -> None:
        """Let those who wait leave: at the end of this turn, or when the newest exchange that is
        under way has had its time.

        Should that come back earlier, it lets them leave itself.
        """
        loop = asyncio.get_running_loop()
        if self._running:
            self._leaving = loop.call_at(self._running[-1] + _PATIENCE, self._leave)
        else:
            self._leaving = loop.call_soon(self._leave)

    def _leave(self) -> None:
        self._leaving = None
        longest = min(len(self._waiting), _LONGEST)
        batch = [self._waiting.popleft() for _ in range(longest)]
        batch = [one for one in batch if not one.reply.done()]
        if batch:
            began = self._begin()
            task = asyncio.create_task(self._exchange(batch))
            self._under_way.add(task)
            task.add_done_callback(partial(self._hand_out, batch, began))
        if self._waiting and len(self._running) < self._slots:
            self._leave_in_time()

    def _returned(self, began: float) -> None:
        self._running.remove(began)
        if self._waiting:
            if self._leaving is not None:
                self._leaving.cancel()
            self._leaving = asyncio.get_running_loop().call_soon(self._leave)

    async def _exchange(self, batch: Sequence[_Waiting[C]]) -> Sequence[Any]:
        async with asyncio.timeout(self._timeout):
            return await self.exchange([one.command for one in batch])

    def _hand_out(
        self, batch: Sequence[_Waiting[C]], began: float, task: asyncio.Task[Sequence[Any]]
    ) -> None:
        self._under_way.discard(task)
        # Who waits was not cancelled, only what it waits for.
        error = ConnectionAbortedError("closed") if task.cancelled() else task.exception()
        replies = task.result() if error is None else [error] * len(batch)
        if len(replies) != len(batch):
            replies = [RuntimeError("another number of replies than of commands")] * len(batch)
        for one, reply in zip(batch, replies, strict=True):
            self._unanswered.pop(one, None)
            if one.reply.done():
                continue  # nobody waits for it any more
            if isinstance(reply, BaseException):
                one.reply.set_exception(reply)
            else:
                one.reply.set_result(reply)
        # After those who got a reply, so that what they ask for next leaves with the others.
        self._returned(began)

    # -- the timer --------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        first = next(iter(self._unanswered))
        self._timer = asyncio.get_running_loop().call_at(first.deadline, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for one in list(self._unanswered):
            if one.deadline > now and not one.reply.done():
                break
            del self._unanswered[one]
            if not one.reply.done():
                one.reply.set_exception(TimeoutError())
        if self._unanswered:
            self._set_timer()
