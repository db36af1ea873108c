"""A cookie storage with a list of ended sessions: what it costs, and what is on the list."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from aiohttp_sess import SessionGone
from aiohttp_sess.storage import (
    CookieStorage,
    Entry,
    KeyedStorage,
    MemoryStorage,
    SessionKey,
    Version,
)
from aiohttp_sess.storage.batches import Batches
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.testing import FakeClock

from ...noted import Noted
from ...servers import MemcachedServer, RedisServer
from .revoking import DAY, HOUR, MINUTE, again, record

# -- what it costs --------------------------------------------------------------------------------


async def test_a_session_without_an_owner_costs_one_read(
    storage: CookieStorage, noted: Noted
) -> None:
    stored = await storage.save(record(storage), HOUR)
    assert noted.exchanges == []
    await storage.load(stored.key)
    assert noted.exchanges == [["read"]]
    noted.exchanges.clear()
    await storage.load(stored.key, ttl=HOUR)
    await again(storage, stored, HOUR)
    await storage.update_ttl(stored.key, HOUR)
    assert noted.exchanges == [["read"]] * 3
    noted.exchanges.clear()
    assert await storage.delete(stored.key)
    assert noted.exchanges == [["add"]]


async def test_a_session_with_an_owner_costs_one_exchange(
    storage: CookieStorage, noted: Noted
) -> None:
    stored = await storage.save(record(storage, owner="ferris"), HOUR)
    assert noted.exchanges == [["read"]]
    noted.exchanges.clear()
    await storage.load(stored.key)
    await storage.load(stored.key, ttl=HOUR)
    await again(storage, stored, HOUR)
    assert noted.exchanges == [["read", "read"]] * 3
    noted.exchanges.clear()
    assert await storage.delete(stored.key)
    assert noted.exchanges == [["add", "read"]]


async def test_what_is_no_session_costs_nothing(
    storage: CookieStorage, noted: Noted, clock: FakeClock
) -> None:
    stored = await storage.save(record(storage), MINUTE)
    clock.advance(DAY)
    for key in (stored.key, SessionKey("x"), SessionKey("1,x:[1]")):
        assert await storage.load(key) is None
        with pytest.raises(SessionGone):
            await storage.update(key, stored.record, HOUR, revision=None)
    assert noted.exchanges == []


# -- what is on the list --------------------------------------------------------------------------


async def test_the_list_names_nobody(storage: CookieStorage, noted: Noted) -> None:
    stored = await storage.save(record(storage, owner="ferris"), HOUR)
    await storage.delete(stored.key)
    other = await storage.save(record(storage, owner="gorris"), HOUR)
    await storage.end_sessions("gorris", "id", keep=other.record.id)
    await storage.end_sessions("gorris", "id", ids=["an id of gorris"])
    assert len(noted.written) == 3
    for name in noted.written:
        entry = await noted.inner.read(name, None)
        assert entry is not None
        shown = name.encode() + entry.value
        for told in (stored.record.id, other.record.id, "ferris", "gorris", "an id"):
            assert told.encode() not in shown
        assert name.startswith("session:revoked:")
        assert len(name) == len("session:revoked:") + 64


async def test_the_list_is_never_taken_for_sessions(storage: CookieStorage, noted: Noted) -> None:
    """The same storage may hold sessions of another kind; not even under one name."""
    stored = await storage.save(record(storage), HOUR)
    await storage.delete(stored.key)
    (name,) = noted.written
    beside = await noted.inner.save(record(storage), HOUR)
    key = SessionKey.generate()
    assert noted.inner.name_of(key) != name
    entry = await noted.inner.read(name, None)
    own = noted.inner.name_of(key)
    assert entry is not None and own is not None
    await noted.inner.add(own, entry.value, 60)
    assert await noted.inner.load(key) is None
    assert await noted.inner.update_ttl(key, HOUR) is None
    assert await noted.inner.load(beside.key) is not None


async def test_the_same_id_under_another_cookie_is_another_session(storage: CookieStorage) -> None:
    stored = await storage.save(record(storage), HOUR)
    other = await storage.save(dataclasses.replace(stored.record, cookie="staff"), HOUR)
    await storage.delete(stored.key)
    assert await storage.load(other.key) is not None


# -- how it is made -------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [MemoryStorage, CookieStorage(), "redis://localhost", True])
def test_revocations_are_a_keyed_storage(wrong: Any) -> None:
    with pytest.raises(TypeError, match="revocations must be a KeyedStorage"):
        CookieStorage(revocations=wrong)


def test_the_clock_can_be_called() -> None:
    with pytest.raises(TypeError, match="clock must be callable"):
        CookieStorage(clock=1.0)  # type: ignore[arg-type]


def test_only_with_a_list_can_it_end_sessions() -> None:
    assert CookieStorage().ends_sessions_early is False
    assert CookieStorage(revocations=MemoryStorage()).ends_sessions_early is True
    assert MemoryStorage().ends_sessions_early is True


async def test_close_closes_the_list(storage: CookieStorage, noted: Noted) -> None:
    await storage.close()
    assert noted.closed == 1
    await CookieStorage().close()


async def test_any_keyed_storage_is_good_enough(clock: FakeClock) -> None:
    """One that knows of nothing but the four operations."""

    class Plain(KeyedStorage):
        def __init__(self) -> None:
            super().__init__(key_prefix=secrets.token_hex(8))
            self.values: dict[str, bytes] = {}

        async def read(self, name: str, ttl: float | None) -> Entry | None:
            return Entry(self.values[name]) if name in self.values else None

        async def add(self, name: str, value: bytes, ttl: float) -> bool:
            return self.values.setdefault(name, value) is value

        async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
            if self.values.get(name, b"")[:16] != version.stamp:
                return False
            self.values[name] = value
            return True

        async def remove(self, name: str) -> bool:
            return self.values.pop(name, None) is not None

    storage = CookieStorage(revocations=Plain(), clock=clock)
    stored = await storage.save(record(storage, owner="ferris"), HOUR)
    other = await storage.save(record(storage, owner="ferris"), HOUR)
    assert await storage.delete(stored.key)
    assert await storage.load(stored.key) is None
    for _ in range(2):
        await storage.end_sessions("ferris", "id", keep=other.record.id)
    assert await storage.load(other.key) is not None
    await storage.end_sessions("ferris", "id")
    assert await storage.load(other.key) is None


# -- on real servers ------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "memcached"])
async def counted(
    request: pytest.FixtureRequest, redis_server: RedisServer, memcached_server: MemcachedServer
) -> AsyncIterator[tuple[KeyedStorage, list[int]]]:
    """A storage, and how many commands were in each exchange with its server."""
    prefix, exchanges = f"{secrets.token_hex(8)}:", list[int]()
    batches: Batches[Any]
    server: KeyedStorage
    if request.param == "redis":
        server = RedisStorage.from_url(redis_server.url, key_prefix=prefix)
        batches = server._pipelines
    else:
        host, port = memcached_server.host, memcached_server.port
        server = MemcachedStorage.connect(host, port, key_prefix=prefix)
        batches = server._exchanges
    together = batches.exchange

    async def exchange_one(command: Any) -> Any:
        exchanges.append(1)
        replies = await together([command])
        return replies[0]

    async def exchange(commands: Sequence[Any]) -> Sequence[Any]:
        exchanges.append(len(commands))
        return await together(commands)

    batches.exchange_one = exchange_one  # type: ignore[method-assign]
    batches.exchange = exchange  # type: ignore[method-assign]
    yield server, exchanges
    await server.close()


async def test_what_is_looked_up_of_a_session_leaves_in_one_exchange(
    counted: tuple[KeyedStorage, list[int]],
) -> None:
    server, exchanges = counted
    storage = CookieStorage(revocations=server)
    stored = await storage.save(record(storage, owner="ferris"), HOUR)
    assert exchanges == [1]
    await storage.load(stored.key)
    await again(storage, stored, HOUR)
    await storage.delete(stored.key)
    assert exchanges == [1, 2, 2, 2]
