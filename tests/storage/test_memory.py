"""The memory storage: what expires goes by itself, and there is never more than it may hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aiohttp_sess import SessionRecord, StorageUnavailable
from aiohttp_sess.storage import Entry, MemoryStorage
from aiohttp_sess.storage.entry import new_end
from aiohttp_sess.testing import FakeClock

HOUR = timedelta(hours=1)


async def test_expired_records_go_without_anybody_asking_for_them() -> None:
    """ASVS 7.3.1."""
    clock = FakeClock()
    storage = MemoryStorage(clock=clock)
    for hours in (1, 2, 3):
        await storage.save(SessionRecord(), hours * HOUR)
    assert len(storage) == 3
    clock.advance(2 * HOUR)
    assert len(storage) == 1


async def test_a_record_that_was_touched_outlives_its_first_end() -> None:
    clock = FakeClock()
    storage = MemoryStorage(clock=clock)
    stored = await storage.save(SessionRecord(), HOUR)
    clock.advance(HOUR / 2)
    await storage.update_ttl(stored.key, HOUR)
    clock.advance(HOUR / 2)
    assert await storage.load(stored.key)
    clock.advance(HOUR / 2)
    assert await storage.load(stored.key) is None


async def test_it_never_grows_past_its_bound() -> None:
    storage = MemoryStorage(max_sessions=3)
    for _ in range(10):
        await storage.save(SessionRecord(), HOUR)
        assert len(storage) <= 3


async def test_the_one_that_was_used_least_recently_goes() -> None:
    storage = MemoryStorage(max_sessions=3)
    first, second, third = [await storage.save(SessionRecord(), HOUR) for _ in range(3)]
    await storage.load(first.key)
    await storage.update(second.key, second.record, HOUR, revision=second.revision)
    await storage.save(SessionRecord(), HOUR)
    assert await storage.load(third.key) is None
    assert await storage.load(first.key)
    assert await storage.load(second.key)


async def test_sessions_that_were_ended_leave_nothing_behind() -> None:
    """Neither a record nor a place in the queue of those that will expire."""
    storage = MemoryStorage()
    for _ in range(1_000):
        stored = await storage.save(SessionRecord(), HOUR)
        await storage.delete(stored.key)
    assert len(storage) == 0
    assert len(storage._due) < 100


async def test_owners_whose_sessions_are_gone_leave_nothing_behind() -> None:
    """Ended, expired, or too many."""
    clock = FakeClock()
    storage = MemoryStorage(max_sessions=3, clock=clock)
    for number in range(100):
        stored = await storage.save(SessionRecord(owner=f"user-{number % 7}", cookie="id"), HOUR)
        if number % 5 == 0:
            await storage.delete(stored.key)
    listed = [len(await storage.sessions_of(f"user-{number}", "id")) for number in range(7)]
    assert sum(listed) == len(storage) == 3
    clock.advance(HOUR)
    assert len(storage) == 0
    assert not storage._indexes and not storage._indexes_of


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), ("10", TypeError), (True, TypeError)]
)
def test_a_bound_that_is_none_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_sessions"):
        MemoryStorage(value)


async def test_what_says_that_a_session_was_ended_is_not_evicted() -> None:
    """Sessions go instead; where there are none, nothing is written."""
    clock = FakeClock()
    storage = MemoryStorage(max_sessions=3, clock=clock)
    mark = new_end() + b"until its time is over"
    assert await storage.add("ended", mark, 60)
    for _ in range(10):
        stored = await storage.save(SessionRecord(), HOUR)
    assert (await storage.read("ended", None), len(storage)) == (Entry(mark), 3)
    assert await storage.load(stored.key)
    for name in "ab":
        assert await storage.add(name, mark, 60)
    assert await storage.load(stored.key) is None
    with pytest.raises(StorageUnavailable, match="max_sessions"):
        await storage.add("c", mark, 60)
    with pytest.raises(StorageUnavailable):
        await storage.save(SessionRecord(), HOUR)
    assert [await storage.remove(name) for name in ("ended", "a", "b", "c")] == [True] * 3 + [False]
    for name in "abc":
        assert await storage.add(name, mark, 60)
    clock.advance(60)
    assert await storage.load((await storage.save(SessionRecord(), HOUR)).key)
    assert (len(storage), len(storage._recent)) == (1, 1)
