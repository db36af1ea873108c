"""For how long an end of a session in a cookie is remembered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiohttp_sess.storage import (
    CookieStorage,
    MemoryStorage,
    SessionKey,
)
from aiohttp_sess.testing import FakeClock

from ...noted import Noted
from .revoking import DAY, HOUR, MARGIN, MINUTE, again, record


async def test_an_end_is_remembered_for_as_long_as_the_cookie_could_live(
    storage: CookieStorage, noted: Noted, clock: FakeClock
) -> None:
    stored = await storage.save(record(storage), HOUR)
    await storage.delete(stored.key)
    assert list(noted.written.values()) == [3600 + MARGIN]
    ends = await storage.save(record(storage, deadline=clock() + 600), HOUR)
    await storage.delete(ends.key)
    assert list(noted.written.values())[1:] == [600 + MARGIN]
    clock.advance(3600 + MARGIN)
    assert isinstance(noted.inner, MemoryStorage)
    assert len(noted.inner) == 0


async def test_an_end_that_came_with_an_old_cookie_counts_for_the_newest(
    storage: CookieStorage, clock: FakeClock
) -> None:
    old = await storage.save(record(storage), HOUR)
    clock.advance(3500)
    new = await again(storage, old, HOUR)
    assert await storage.delete(old.key)
    for _ in range(36):
        assert await storage.load(new.key) is None
        clock.advance(100)


async def test_an_end_with_a_cookie_that_expired_meanwhile_counts_too(
    storage: CookieStorage, clock: FakeClock
) -> None:
    old = await storage.save(record(storage), HOUR)
    clock.advance(3500)
    new = await again(storage, old, HOUR)
    clock.advance(200)
    assert await storage.delete(old.key) is False
    assert await storage.load(new.key) is None


async def test_an_end_counts_for_cookies_from_before_the_ttl_became_shorter(
    storage: CookieStorage, clock: FakeClock
) -> None:
    long = await storage.save(record(storage), DAY)
    short = await again(storage, long, MINUTE)
    key = await storage.update_ttl(short.key, MINUTE)
    assert key is not None
    await storage.delete(key)
    clock.advance(DAY - MINUTE)
    assert await storage.load(long.key) is None


@pytest.mark.parametrize("how", ["update", "update_ttl", "load"])
async def test_an_end_with_a_cookie_from_before_the_ttl_became_longer_counts(
    storage: CookieStorage, clock: FakeClock, how: str
) -> None:
    short = await storage.save(record(storage), MINUTE)
    if how == "update":
        long: SessionKey | None = (await again(storage, short, DAY)).key
    elif how == "update_ttl":
        long = await storage.update_ttl(short.key, DAY)
    else:
        loaded = await storage.load(short.key, ttl=DAY)
        long = None if loaded is None else loaded.key
    assert long is not None
    assert await storage.delete(short.key)
    assert await storage.delete(short.key) is False
    clock.advance(DAY - MINUTE)
    assert await storage.load(long) is None


async def test_both_lines_of_cookies_know_the_longer_ttl(
    storage: CookieStorage, clock: FakeClock
) -> None:
    """One goes on with the shorter TTL, until the mark of the longer one is gone."""
    short = await storage.save(record(storage), HOUR)
    long = await again(storage, short, 3 * HOUR)
    for _ in range(8):
        clock.advance(1800)
        short = await again(storage, short, HOUR)
        long = await again(storage, long, 3 * HOUR)
    assert await storage.delete(short.key)
    clock.advance(2.5 * 3600)
    assert await storage.load(long.key) is None


async def test_an_end_counts_for_cookies_from_after_the_deadline_became_later(
    storage: CookieStorage, clock: FakeClock
) -> None:
    now = clock()
    soon = await storage.save(record(storage, deadline=now + 60), HOUR)
    late = await again(storage, soon, HOUR, deadline=now + 10_000)
    assert await storage.delete(soon.key)
    clock.advance(3500)
    assert await storage.load(late.key) is None


async def test_no_cookie_lives_for_longer_than_400_days(
    storage: CookieStorage, noted: Noted, clock: FakeClock
) -> None:
    stored = await storage.save(record(storage), timedelta(days=10_000))
    clock.advance(timedelta(days=399))
    assert await storage.load(stored.key) is not None
    clock.advance(timedelta(days=1, seconds=1))
    assert await storage.load(stored.key) is None


async def test_a_cookie_from_before_there_was_a_list_can_be_ended(
    storage: CookieStorage, noted: Noted, clock: FakeClock
) -> None:
    old = await CookieStorage(clock=clock).save(record(storage), DAY)
    assert await storage.load(old.key) is not None
    new = await again(storage, old, HOUR)
    assert await storage.delete(new.key)
    assert await storage.load(old.key) is None
    assert list(noted.written.values()) == [timedelta(days=400).total_seconds() + MARGIN]
    # And without the list again, its cookies still open.
    kept = await storage.save(record(storage), DAY)
    assert await CookieStorage(clock=clock).load(kept.key) is not None
