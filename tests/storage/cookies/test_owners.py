"""The end of all sessions of an owner that are in cookies (ASVS 7.4.2, 7.4.3)."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from aiohttp_sess import SessionGone, StoredRecord
from aiohttp_sess.storage import CookieStorage, MemoryStorage
from aiohttp_sess.testing import FakeClock

from ...noted import Noted
from .revoking import DAY, HOUR, again, record


async def log_in(storage: CookieStorage, owner: str = "ferris") -> StoredRecord:
    """A session that begins with its owner."""
    return await storage.save(record(storage, owner=owner), HOUR)


async def alive(storage: CookieStorage, *sessions: StoredRecord) -> list[bool]:
    return [await storage.load(stored.key) is not None for stored in sessions]


async def test_all_sessions_of_the_owner_end_and_no_others(storage: CookieStorage) -> None:
    mine, too, yours = [await log_in(storage, owner) for owner in ("ferris", "ferris", "gorris")]
    nobodys = await storage.save(record(storage), HOUR)
    await storage.end_sessions("ferris", "id")
    assert await alive(storage, mine, too, yours, nobodys) == [False, False, True, True]
    with pytest.raises(SessionGone):
        await again(storage, mine, HOUR)
    assert await storage.update_ttl(mine.key, HOUR) is None
    assert await storage.delete(mine.key) is False
    staff = dataclasses.replace(yours.record, owner="ferris", cookie="staff")
    assert await storage.load((await storage.save(staff, HOUR)).key) is not None


async def test_a_login_right_after_works_also_where_no_time_goes_by(
    storage: CookieStorage, clock: FakeClock
) -> None:
    for behind in (0, 1, 600):
        clock.advance(3600)
        before = await log_in(storage)
        await storage.end_sessions("ferris", "id")
        clock.now -= behind  # as the clock of another process
        after = await log_in(storage)
        assert await alive(storage, before, after) == [False, True]
        # And goes on: refreshed, changed, renewed.
        changed = await again(storage, after, HOUR, state={"n": 2})
        key = await storage.update_ttl(changed.key, HOUR)
        assert key is not None
        renewed = dataclasses.replace(changed.record, id="another", authenticated=clock())
        last = await storage.save(renewed, HOUR)
        assert await storage.delete(key)
        assert await alive(storage, last, after) == [True, False]
        # And ends with the next end.
        await storage.end_sessions("ferris", "id")
        assert await alive(storage, last) == [False]


async def test_a_session_that_gets_its_owner_after_it_began_is_a_login(
    storage: CookieStorage, clock: FakeClock
) -> None:
    anonymous = await storage.save(record(storage), DAY)
    clock.advance(60)
    await storage.end_sessions("ferris", "id")
    logged_in = await again(storage, anonymous, DAY, owner="ferris")
    assert await alive(storage, logged_in) == [True]
    assert logged_in.record.authenticated is None
    assert logged_in.record.created == anonymous.record.created


@pytest.mark.parametrize("ahead", [-3000, 3000])
async def test_it_does_not_matter_what_time_it_is_elsewhere(
    storage: CookieStorage, clock: FakeClock, ahead: float
) -> None:
    other = CookieStorage(revocations=storage.revocations, clock=FakeClock(clock() + ahead))
    for ending in (storage, other, storage):
        before = [await log_in(storage), await log_in(other)]
        await ending.end_sessions("ferris", "id")
        after = [await log_in(storage), await log_in(other)]
        assert await alive(storage, *before, *after) == [False, False, True, True]


async def test_one_can_be_kept(storage: CookieStorage, clock: FakeClock) -> None:
    kept, ended = await log_in(storage), await log_in(storage)
    await storage.end_sessions("ferris", "id", keep=kept.record.id)
    assert await alive(storage, kept, ended) == [True, False]
    # It goes on, also under a new id.
    changed = await again(storage, kept, HOUR, state={"n": 2})
    renewed = await storage.save(
        dataclasses.replace(changed.record, id="another", authenticated=clock()), HOUR
    )
    assert await storage.delete(changed.key)
    assert await alive(storage, renewed, kept) == [True, False]


async def test_what_was_ended_cannot_be_kept(storage: CookieStorage, clock: FakeClock) -> None:
    first, second = await log_in(storage), await log_in(storage)
    await storage.end_sessions("ferris", "id", keep=first.record.id)
    clock.advance(60)
    await storage.end_sessions("ferris", "id", keep=second.record.id)
    assert await alive(storage, first, second) == [False, False]
    third = await log_in(storage)
    for _ in range(3):
        await storage.end_sessions("ferris", "id", keep=third.record.id)
        latest = await again(storage, third, HOUR)
        assert await alive(storage, first, second, third, latest) == [False, False, True, True]
        third = third if clock.now % 2 else latest
        clock.advance(1)
    await storage.end_sessions("ferris", "id")
    assert await alive(storage, third, latest) == [False, False]


async def test_one_can_be_kept_when_an_earlier_end_is_forgotten(
    storage: CookieStorage, clock: FakeClock
) -> None:
    longest = timedelta(days=400)
    await storage.end_sessions("ferris", "id")
    clock.advance(longest)
    one, other = [await storage.save(record(storage, owner="ferris"), longest) for _ in range(2)]
    clock.advance(60)  # it was of that generation, and nobody knows it any more
    await storage.end_sessions("ferris", "id", keep=one.record.id)
    assert await alive(storage, one, other) == [True, False]


async def test_only_those_with_certain_ids(storage: CookieStorage) -> None:
    sessions = [await log_in(storage) for _ in range(4)]
    ids = [stored.record.id for stored in sessions]
    await storage.end_sessions("ferris", "id", keep=ids[2], ids=ids[:3])
    assert await alive(storage, *sessions) == [False, False, True, True]
    with pytest.raises(SessionGone):
        await again(storage, sessions[0], HOUR)
    assert await storage.delete(sessions[0].key) is False
    await storage.end_sessions("ferris", "id", ids=[])
    assert await alive(storage, *sessions) == [False, False, True, True]


async def test_nobody_ends_a_session_of_another_by_its_id(storage: CookieStorage) -> None:
    """Ids may be shown, and may come back from anybody."""
    mine = await log_in(storage)
    await storage.end_sessions("mallory", "id", ids=[mine.record.id])
    await storage.end_sessions("trudy", "id", ids=[mine.record.id])
    await storage.end_sessions("trudy", "id", ids=[mine.record.id])
    assert await alive(storage, mine) == [True]
    longer = await again(storage, mine, DAY)
    assert await alive(storage, longer) == [True]
    # Nor keeps anybody from ending it.
    assert await storage.delete(mine.key) is True
    assert await alive(storage, mine, longer) == [False, False]
    other = await log_in(storage)
    await storage.end_sessions("mallory", "id", ids=[other.record.id])
    await storage.end_sessions("ferris", "id", ids=[other.record.id])
    assert await alive(storage, other) == [False]


async def test_it_is_remembered_for_as_long_as_any_cookie_could_live(
    storage: CookieStorage, noted: Noted, clock: FakeClock
) -> None:
    longest = timedelta(days=400)
    one = await storage.save(record(storage, owner="ferris"), longest)
    other = await storage.save(record(storage, owner="gorris"), longest)
    await storage.end_sessions("ferris", "id")
    await storage.end_sessions("gorris", "id", ids=[other.record.id])
    clock.advance(longest - timedelta(seconds=1))
    assert await alive(storage, one, other) == [False, False]
    clock.advance(20)
    assert isinstance(noted.inner, MemoryStorage)
    assert len(noted.inner) == 0


async def test_ends_at_once_all_count(storage: CookieStorage) -> None:
    sessions = [await log_in(storage) for _ in range(8)]
    await asyncio.gather(
        *(storage.end_sessions("ferris", "id", keep=one.record.id) for one in sessions)
    )
    # Each was ended by all but one of them.
    assert await alive(storage, *sessions) == [False] * 8


async def test_without_a_list_it_cannot() -> None:
    with pytest.raises(NotImplementedError, match=r"CookieStorage\(revocations="):
        await CookieStorage().end_sessions("ferris", "id")
