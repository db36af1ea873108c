"""What goes wrong with the list of ended sessions of a cookie storage (ASVS 16.5.3)."""

from __future__ import annotations

import pytest

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import (
    CookieStorage,
    Entry,
    MemoryStorage,
    Version,
)
from aiohttp_sess.testing import FakeClock

from ...noted import Noted
from .revoking import HOUR, MINUTE, again, record


async def test_a_list_that_is_down_lets_nobody_in(storage: CookieStorage, noted: Noted) -> None:
    """ASVS 16.5.3: it fails closed."""
    stored = await storage.save(record(storage, owner="ferris"), HOUR)
    noted.down = {"read"}
    for call in (
        storage.load(stored.key),
        storage.load(stored.key, ttl=HOUR),
        storage.update(stored.key, stored.record, HOUR, revision=None),
        storage.update_ttl(stored.key, HOUR),
        storage.delete(stored.key),
        storage.save(record(storage, owner="ferris"), HOUR),
    ):
        with pytest.raises(StorageUnavailable):
            await call
    noted.down = {"add"}
    for ending in (storage.delete(stored.key), storage.end_sessions("ferris", "id")):
        with pytest.raises(StorageUnavailable):
            await ending


@pytest.mark.parametrize("garbage", [b"", b"x", b"ended:" + b"x" * 16 + b"[", b"\xff" * 99])
async def test_an_entry_that_cannot_be_read_lets_nobody_in(
    storage: CookieStorage, noted: Noted, garbage: bytes
) -> None:
    stored = await storage.save(record(storage), HOUR)
    await storage.load(stored.key)
    (name,) = noted.names
    await noted.inner.add(name, garbage, 60)
    with pytest.raises(StorageUnavailable, match="cannot be read"):
        await storage.load(stored.key)


class Forgetful(MemoryStorage):
    """Does what it is told, but answers that it was done already: it was sent twice."""

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        await super().add(name, value, ttl)
        return False

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        await super().replace(name, value, ttl, version)
        return False


async def test_a_write_that_was_sent_twice_is_recognised(clock: FakeClock) -> None:
    storage = CookieStorage(revocations=Forgetful(clock=clock), clock=clock)
    short = await storage.save(record(storage), MINUTE)
    await again(storage, short, HOUR)
    assert await storage.delete(short.key) is True
    assert await storage.delete(short.key) is False


class Contended(MemoryStorage):
    """Says that others were first, again and again."""

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return False

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        return None


async def test_who_never_gets_a_turn_is_told(clock: FakeClock) -> None:
    storage = CookieStorage(revocations=Contended(clock=clock), clock=clock)
    with pytest.raises(StorageUnavailable, match="not working"):
        await storage.end_sessions("ferris", "id")


async def test_a_full_list_in_memory_refuses_and_forgets_nothing() -> None:
    """However many sessions of its own a client ends."""
    clock = FakeClock()
    storage = CookieStorage(revocations=MemoryStorage(max_sessions=5, clock=clock), clock=clock)
    victims = await storage.save(record(storage, owner="ferris"), HOUR)
    goes_on = await storage.save(record(storage, owner="ferris"), HOUR)
    assert await storage.delete(victims.key)
    for _ in range(4):
        assert await storage.delete((await storage.save(record(storage), HOUR)).key)
    for _ in range(20):
        of_attacker = await storage.save(record(storage), HOUR)
        with pytest.raises(StorageUnavailable, match="max_sessions"):
            await storage.delete(of_attacker.key)
    assert await storage.load(victims.key) is None
    assert await storage.load(goes_on.key)
    with pytest.raises(StorageUnavailable):
        await storage.delete(goes_on.key)
    clock.advance(2 * HOUR.total_seconds())
    later = await storage.save(record(storage), HOUR)
    assert await storage.delete(later.key)
