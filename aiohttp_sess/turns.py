"""Commits that come to their end: whole, one at a time for each request, and before the cleanup."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
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
    """

    __slots__ = ("_commits", "_lock", "_under_way")

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._lock = asyncio.Lock()
        self._under_way: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        """Wait for one's turn. A commit goes on when the one who waits for it is cancelled."""
        await self._lock.acquire()
        if self._under_way is not None and not self._under_way.done():
            try:
                await asyncio.wait([self._under_way])
            except BaseException:
                self._lock.release()
                raise

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()

    async def run(self, commit: Coroutine[Any, Any, None]) -> None:
        """Carry out a commit, in one's turn. To be cancelled here does not cut it in half."""
        ended = asyncio.get_running_loop().create_future()
        self._under_way = self._commits.start(commit, ended)
        try:
            await ended
        finally:
            del ended  # as above
