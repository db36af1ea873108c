"""Commands of concurrent requests, sent to Redis together.

Most of what a command costs is paid once for each exchange with the server, not for each command.
So the commands that become ready while an exchange is under way leave as one pipeline when it is
done. A command that comes when there is none leaves at once, alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError

__all__ = ("Pipelines",)

_EXCHANGES = 4  # at once, at most
# Seconds for which an exchange is waited for before another begins beside it. Meanwhile the next
# pipeline fills up; but a reply that does not come must not hold up everybody.
_PATIENCE = 0.005
_LONGEST = 128  # commands in a pipeline


class _Waiting:
    """A command that has no reply yet. ``deadline`` is on the event loop's clock."""

    __slots__ = ("command", "deadline", "options", "reply")

    def __init__(self, command: tuple[Any, ...], options: dict[str, Any], deadline: float) -> None:
        self.command = command
        self.options = options
        self.deadline = deadline
        self.reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Pipelines:
    """Sends commands, and hands each its own reply.

    To be cancelled while one waits touches no other's command; one's own is done or not done.

    :param client: of ``redis.asyncio``.
    :param timeout: seconds that a command may take, waiting for its turn included.
    """

    def __init__(self, client: Redis | RedisCluster, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        # A pool that is smaller than that raises when it is asked for one connection too many.
        pool = getattr(client, "connection_pool", None)
        self._slots = min(_EXCHANGES, getattr(pool, "max_connections", _EXCHANGES))
        self._free = self._slots
        self._under_way: set[asyncio.Task[list[Any]]] = set()
        self._waiting: deque[_Waiting] = deque()
        self._leaving: asyncio.Handle | None = None  # when those who wait leave
        self._began = 0.0  # when the last exchange began
        # Those that wait and those that are under way, the first first, and one timer for all.
        self._unanswered: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def send(self, *command: Any, **options: Any) -> Any:
        """The reply to a command.

        :raises redis.RedisError: whatever the client or the server says to it, or `close` came
            first.
        :raises TimeoutError: where it took too long.
        """
        if self._free == self._slots and not self._waiting:
            self._begin()
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._client.execute_command(*command, **options)
            finally:
                self._returned()
        deadline = asyncio.get_running_loop().time() + self._timeout
        one = _Waiting(command, options, deadline)
        self._waiting.append(one)
        self._unanswered.append(one)
        if self._timer is None:
            self._set_timer()
        if self._leaving is None and self._free:
            self._leave_in_time()
        return await one.reply

    async def close(self) -> None:
        """Give up what waits and what is under way."""
        for one in self._waiting:
            if not one.reply.done():
                one.reply.set_exception(RedisConnectionError("closed"))
        self._waiting.clear()
        if self._leaving is not None:
            self._leaving.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _begin(self) -> None:
        self._free -= 1
        self._began = asyncio.get_running_loop().time()

    def _leave_in_time(self) -> None:
        """Let those who wait leave: at the end of this turn, or when an exchange has had its time.

        Should that come back earlier, it lets them leave itself.
        """
        loop = asyncio.get_running_loop()
        if self._free == self._slots:
            self._leaving = loop.call_soon(self._leave)
        else:
            self._leaving = loop.call_at(self._began + _PATIENCE, self._leave)

    def _leave(self) -> None:
        self._leaving = None
        longest = min(len(self._waiting), _LONGEST)
        batch = [self._waiting.popleft() for _ in range(longest)]
        batch = [one for one in batch if not one.reply.done()]
        if batch:
            self._begin()
            task = asyncio.create_task(self._exchange(batch))
            self._under_way.add(task)
            task.add_done_callback(partial(self._hand_out, batch))
        if self._waiting and self._free:
            self._leave_in_time()

    def _returned(self) -> None:
        self._free += 1
        if self._waiting:
            if self._leaving is not None:
                self._leaving.cancel()
            self._leaving = asyncio.get_running_loop().call_soon(self._leave)

    async def _exchange(self, batch: Sequence[_Waiting]) -> list[Any]:
        async with asyncio.timeout(self._timeout):
            pipeline = self._client.pipeline(transaction=False)
            for one in batch:
                pipeline.execute_command(*one.command, **one.options)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
            return replies

    def _hand_out(self, batch: Sequence[_Waiting], task: asyncio.Task[list[Any]]) -> None:
        self._under_way.discard(task)
        self._returned()
        # Who waits was not cancelled, only what it waits for.
        error = RedisConnectionError("closed") if task.cancelled() else task.exception()
        replies = task.result() if error is None else [error] * len(batch)
        for one, reply in zip(batch, replies, strict=True):
            if one.reply.done():
                continue  # nobody waits for it any more
            if isinstance(reply, BaseException):
                one.reply.set_exception(reply)
            else:
                one.reply.set_result(reply)
        self._forget_answered()

    # -- the timer --------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        deadline = self._unanswered[0].deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for one in self._unanswered:
            if one.deadline > now:
                break
            if not one.reply.done():
                one.reply.set_exception(TimeoutError())
        self._forget_answered()
        if self._unanswered:
            self._set_timer()

    def _forget_answered(self) -> None:
        while self._unanswered and self._unanswered[0].reply.done():
            self._unanswered.popleft()
