"""Updates that are cut off, as their requests are cancelled: done once all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from aiohttp_sess import Session
from aiohttp_sess.storage import KeyedStorage, MemoryStorage, Version

from .cutting import Counter, Slow, SlowByGenerations, cut_off_everywhere
from .lab import GatedStorage


@pytest.mark.parametrize("owner", [None, "ferris"])
async def test_it_is_done_once_or_not_at_all(inner: KeyedStorage, owner: str | None) -> None:
    counter = Counter(inner)
    await counter.begin(owner)
    async for before, after in cut_off_everywhere(counter):
        assert after in (before, before + 1)


@pytest.mark.parametrize("owner", [None, "ferris"])
@pytest.mark.parametrize("kind", [Slow, SlowByGenerations])
async def test_it_has_begun_with_the_first_write(
    kind: type[Slow | SlowByGenerations], owner: str | None
) -> None:
    storage = kind()
    counter = Counter(storage)
    await counter.begin(owner)
    async for before, after in cut_off_everywhere(counter):
        assert after == before + (storage.replacements > 0)
        storage.replacements = 0


async def test_what_others_write_meanwhile_is_kept() -> None:
    storage = Slow()
    counter = Counter(storage)
    await counter.begin(None)
    for turns in range(12):
        before = await counter.value()
        tasks = [asyncio.ensure_future(counter.add_one()) for _ in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        storage.replacements = 0
        cancelled = tasks[0].cancel()
        await asyncio.wait(tasks)
        done = await counter.value() - before
        assert done in ((3, 4) if cancelled else (4,)), turns


@pytest.mark.parametrize("more", [0, 1])
async def test_one_that_had_lost_a_race_overwrites_nobody(inner: KeyedStorage, more: int) -> None:
    storage = GatedStorage(inner)
    counter = Counter(storage)
    await counter.begin(None)
    first = storage.gate("update")
    task = asyncio.ensure_future(counter.add_one())
    await first.reached.wait()
    await counter.add_one()
    second = storage.gate("update")
    first.opened.set()
    await second.reached.wait()
    for _ in range(more):  # of which it knows nothing
        await counter.add_one()
    task.cancel()
    await asyncio.wait([task])
    assert await counter.value() == 2 + more


class CutShort(Slow):
    """Its first write goes on after its request was cancelled.

    :param late: it lands only when the next one is about to; otherwise at once.
    """

    def __init__(self, *, late: bool) -> None:
        super().__init__()
        self.under_way = asyncio.Event()
        self._lands = asyncio.Event()
        self._late = late
        self._first: asyncio.Task[bool] | None = None

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        self.replacements += 1
        if self._first is not None:
            self._lands.set()
            await self._first
            return await MemoryStorage.replace(self, name, value, ttl, version)
        self._first = asyncio.create_task(self._land(name, value, ttl, version))
        if not self._late:
            self._lands.set()
            await asyncio.wait([self._first])
        self.under_way.set()
        return await asyncio.Event().wait()  # for an answer that never comes

    async def _land(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        await self._lands.wait()
        return await MemoryStorage.replace(self, name, value, ttl, version)


@pytest.mark.parametrize("late", [True, False])
async def test_one_that_lands_after_it_was_cut_off_is_done_once(late: bool) -> None:
    storage = CutShort(late=late)
    counter = Counter(storage)
    await counter.begin(None)
    task = asyncio.ensure_future(counter.add_one())
    await storage.under_way.wait()
    task.cancel()
    await asyncio.wait([task])
    assert await counter.value() == 1
    assert late or storage.replacements == 1  # it was seen to be done: nothing is written again


def log_in(session: Session) -> None:
    session.owner = "ferris"


@pytest.mark.parametrize(("deed", "task"), [(bool, False), (Session.renew, True), (log_in, True)])
async def test_a_task_is_only_for_what_needs_one(
    deed: Callable[[Session], object], task: bool
) -> None:
    counter = Counter(Slow(), deed)
    await counter.begin(None)
    request = asyncio.ensure_future(counter.add_one())
    most = 0
    while not request.done():
        await asyncio.sleep(0)
        most = max(most, len(counter.handle.commits._tasks))
    assert most == task
