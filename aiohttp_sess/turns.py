"""Commits that come to their end: whole, one at a time for each request, and before the cleanup."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ("Background", "Commits", "Turns")

logger = logging.getLogger("aiohttp_sess")

_DRAIN_TIMEOUT = 10.0  # seconds
_CLEAN_UP_TIMEOUT = 1.0  # seconds more for those that were cancelled


class Background:
    """Work of an application that goes on whatever becomes of its requests.

    :param late: what to say of work that was not done in time for the end of the application.
    """

    def __init__(self, late: str) -> None:
        self._late = late
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Let work come to its end."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait for what is under way, and what begins meanwhile, for at most 10 seconds."""
        now = asyncio.get_running_loop().time
        end = now() + _DRAIN_TIMEOUT
        while self._tasks and now() < end:
            await asyncio.wait(self._tasks, timeout=end - now())
        if self._tasks:
            for task in self._tasks:
                logger.error("%s when the application ended", self._late)
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_CLEAN_UP_TIMEOUT)


class Commits(Background):
    """The commits of an application that are under way."""

    def __init__(self) -> None:
        super().__init__("a session was still being saved")

    def start(
        self, commit: Coroutine[Any, Any, None], ended: asyncio.Future[None]
    ) -> asyncio.Task[None]:
        """Let a commit come to its end, whatever becomes of its request.

        :param ended: is told how it ends; to cancel it does not cut the commit in half.
        """
        task = asyncio.create_task(self._see_through(commit, ended))
        self._tasks.add(task)
        return task

    async def _see_through(
        self, commit: Coroutine[Any, Any, None], ended: asyncio.Future[None]
    ) -> None:
        # One future, where a shield around the task would go through the event loop twice more.
        try:
            await commit
        except asyncio.CancelledError:
            ended.cancel()
            raise
        except Exception as error:
            if ended.done():
                logger.exception("a session of a cancelled request was not saved")
            else:
                ended.set_exception(error)
        else:
            if not ended.done():
                ended.set_result(None)
        finally:
            self._tasks.discard(asyncio.current_task())
            del ended  # which has the exception, whose traceback has this frame


class Turns:
    """The commits and reloads of one request, one after the other.

    :param commits: those of the application.
    :param taken: whether who makes it has taken the first turn.
    """

    __slots__ = ("_commits", "_next", "_taken", "_under_way")

    def __init__(self, commits: Commits, *, taken: bool = False) -> None:
        self._commits = commits
        self._taken = taken
        self._next: deque[asyncio.Future[None]] | None = None  # who waits, the first first
        self._under_way: asyncio.Task[None] | None = None

    def take_at_once(self) -> bool:
        """Take one's turn, and `leave` it later; False where one has to wait for it: `take`."""
        if self._taken or (self._under_way is not None and not self._under_way.done()):
            return False
        self._taken = True
        return True

    async def take(self, later: Callable[[], Coroutine[Any, Any, Any]] | None = None) -> None:
        """Wait for one's turn. A commit goes on when the one who waits for it is cancelled.

        :param later: what is to be done all the same where that is cancelled; it takes a turn.
        """
        try:
            await self._wait()
        except asyncio.CancelledError:
            if later is not None:
                self._begin_behind(later())
            raise

    async def _wait(self) -> None:
        if self._taken:
            turn = asyncio.get_running_loop().create_future()
            self._next = self._next or deque()
            self._next.append(turn)
            try:
                await turn
            except BaseException:
                if not turn.cancel() and not turn.cancelled():
                    self.leave()  # it had just been handed over
                raise
        self._taken = True
        if self._under_way is not None and not self._under_way.done():
            try:
                await asyncio.wait([self._under_way])
            except BaseException:
                self.leave()
                raise

    def leave(self) -> None:
        """Let the next one have its turn."""
        while self._next:
            turn = self._next.popleft()
            if not turn.done():
                turn.set_result(None)
                return  # it is taken all the time, so that nobody comes in between
        self._taken = False

    async def run(self, commit: Coroutine[Any, Any, None]) -> None:
        """Carry out a commit, in one's turn. To be cancelled here does not cut it in half."""
        ended = asyncio.get_running_loop().create_future()
        self._under_way = self._commits.start(commit, ended)
        try:
            await ended
        finally:
            del ended  # which has the exception, whose traceback has this frame

    def go_on(self, commit: Coroutine[Any, Any, None]) -> None:
        """Let a commit that was cut off come to its end, behind the request that was cancelled."""
        self._under_way = self._begin_behind(commit)

    def _begin_behind(self, commit: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        ended = asyncio.get_running_loop().create_future()
        ended.cancel()
        return self._commits.start(commit, ended)
