"""All sessions of an owner are listed, counted or ended while one of them gets another key."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest

from aiohttp_sess import SessionConflict, SessionGone, SessionRecord, StoredRecord
from aiohttp_sess.record import new_id
from aiohttp_sess.storage import KeyedStorage, MemoryStorage, Version
from aiohttp_sess.storage.indexed import IndexedStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import MemcachedServer, RedisServer

HOUR = timedelta(hours=1)
GRACE = timedelta(seconds=30)
# Of a rotation: the successor is saved, the index entered, the pointer set.
AT_EACH_STEP = pytest.mark.parametrize("step", ["saved", "entered", "pointed"])


class Stopping(KeyedStorage):
    """Does something else in the middle of what it does, once."""

    meanwhile: dict[str, Callable[[], Awaitable[object]]]

    async def stop(self, when: str) -> None:
        work = self.meanwhile.pop(when, None)
        if work is not None:
            await work()

    async def moving(self, record: SessionRecord, old: str, new: str, ttl: float) -> None:
        await self.stop("saved")
        await super().moving(record, old, new, ttl)
        await self.stop("entered")

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        done: bool = await super().replace(name, value, ttl, version)  # type: ignore[safe-super]
        if value.startswith(b"moved:"):
            await self.stop("pointed")
        return done


class Indexed(Stopping, IndexedStorage):
    async def read_all(self, names: Sequence[str]) -> Any:
        await self.stop("read")
        return await super().read_all(names)  # type: ignore[safe-super]  # of the storage beside

    async def remove_all(self, names: Sequence[str]) -> Any:
        await self.stop("remove")
        return await super().remove_all(names)  # type: ignore[safe-super]  # of the storage beside

    async def leave(self, index: str, digests: Collection[str]) -> None:
        await super().leave(index, digests)  # type: ignore[safe-super]  # of the storage beside
        await self.stop("left")


class InMemory(Indexed, MemoryStorage):
    pass


class InRedis(Indexed, RedisStorage):
    pass


class InMemcached(Stopping, MemcachedStorage):
    pass


@pytest.fixture
async def storage(
    request: pytest.FixtureRequest, redis_server: RedisServer, memcached_server: MemcachedServer
) -> AsyncIterator[Stopping]:
    storage: Stopping
    kind, prefix = getattr(request, "param", "memory"), f"both-{secrets.token_hex(8)}:"
    if kind == "memory":
        storage = InMemory()
    elif kind == "redis":
        storage = InRedis.from_url(redis_server.url, key_prefix=prefix)
    else:
        server = memcached_server
        storage = InMemcached.connect(server.host, server.port, key_prefix=prefix)
    storage.meanwhile = {}
    yield storage
    await storage.close()


IN_ALL = pytest.mark.parametrize("storage", ["memory", "redis", "memcached"], indirect=True)
IN_INDEXED = pytest.mark.parametrize("storage", ["memory", "redis"], indirect=True)


async def log_in(storage: KeyedStorage, owner: str | None = "ferris") -> StoredRecord:
    return await storage.save(SessionRecord({"n": 1}, owner=owner, cookie="id"), HOUR)


async def rotate(
    storage: KeyedStorage, old: StoredRecord, owner: str | None = "ferris"
) -> StoredRecord:
    record = dataclasses.replace(old.record, state={"n": 2}, owner=owner)
    return await storage.rotate(old.key, record, HOUR, revision=old.revision, grace=GRACE)


async def ids(storage: KeyedStorage) -> list[str]:
    return [each.record.id for each in await storage.sessions_of("ferris", "id")]


# -- what is done in the middle of a rotation ------------------------------------------------------


@IN_ALL
@AT_EACH_STEP
async def test_all_end(storage: Stopping, step: str) -> None:
    """ASVS 7.4.2: under neither of its keys is anything left."""
    old, other = await log_in(storage), await log_in(storage, "crab")
    names: list[str] = []
    add = storage.add

    async def noted_add(name: str, value: bytes, ttl: float) -> bool:
        names.append(name)
        return await add(name, value, ttl)

    storage.add = noted_add  # type: ignore[method-assign]
    storage.meanwhile[step] = lambda: storage.end_sessions("ferris", "id")
    try:
        new = await rotate(storage, old)
    except SessionGone:
        pass
    else:
        assert step == "pointed" and storage.lists_sessions
        assert await storage.load(new.key) is None
        assert await storage.update_ttl(new.key, HOUR) is None
    assert await storage.load(old.key) is None
    assert [await storage.read(name, None) for name in names] == [None]
    assert await storage.load(other.key) is not None
    if storage.lists_sessions:
        assert await ids(storage) == []


@IN_ALL
@AT_EACH_STEP
async def test_all_others_end(storage: Stopping, step: str) -> None:
    old, other = await log_in(storage), await log_in(storage)
    storage.meanwhile[step] = lambda: storage.end_sessions("ferris", "id", keep=old.record.id)
    new = await rotate(storage, old)
    for key in (old.key, new.key):
        stored = await storage.load(key)
        assert stored is not None and stored.key == new.key
    assert await storage.load(other.key) is None


@IN_ALL
@AT_EACH_STEP
async def test_a_login_without_a_renewal(storage: Stopping, step: str) -> None:
    """Its owner is set as its key is rotated: sessions of the owner that there were end alone."""
    old, other = await log_in(storage, None), await log_in(storage)
    new = await rotate(storage, old)
    assert (await rotate(storage, other)).record.owner == "ferris"
    if storage.lists_sessions:
        assert await ids(storage) == [other.record.id, new.record.id]
    stored = await storage.load(old.key)
    assert stored is not None and stored.record.owner == "ferris"
    storage.meanwhile[step] = lambda: storage.end_sessions("crab", "id")
    third = await rotate(storage, await log_in(storage, None))
    await storage.end_sessions("ferris", "id")
    assert [await storage.load(key) for key in (old.key, new.key, third.key)] == [None] * 3


@IN_INDEXED
@AT_EACH_STEP
async def test_it_is_listed_once(storage: Stopping, step: str) -> None:
    first, old, last = [await log_in(storage) for _ in range(3)]
    expected, listed = [each.record.id for each in (first, old, last)], list[str]()

    async def look() -> None:
        listed.extend(await ids(storage))

    storage.meanwhile[step] = look
    new = await rotate(storage, old)
    assert listed == expected
    assert await ids(storage) == expected
    await storage.delete(new.key)
    assert await ids(storage) == [first.record.id, last.record.id]


@IN_INDEXED
@AT_EACH_STEP
@pytest.mark.parametrize("refuse", [False, True])
async def test_it_is_counted_once(storage: Stopping, step: str, refuse: bool) -> None:
    """ASVS 7.1.2."""
    old, second = await log_in(storage), await log_in(storage)

    async def count() -> None:
        assert await storage.limit_sessions(second, 2, refuse=refuse) == set()

    storage.meanwhile[step] = count
    new = await rotate(storage, old)
    assert step not in storage.meanwhile
    assert await storage.load(new.key) is not None


@IN_INDEXED
async def test_it_ends_as_the_oldest_alone(storage: Indexed) -> None:
    """ASVS 7.1.2: what it leaves in the index for a moment is no further login."""
    old, second = await log_in(storage), await log_in(storage)
    saved, left, entered, counted = [asyncio.Event() for _ in range(4)]

    async def before_the_index() -> None:
        saved.set()
        await left.wait()

    async def before_the_pointer() -> None:
        entered.set()
        await counted.wait()

    async def go_on() -> None:
        left.set()
        await entered.wait()

    storage.meanwhile = {"saved": before_the_index, "entered": before_the_pointer}
    rotation = asyncio.create_task(rotate(storage, old))
    await saved.wait()
    third = await log_in(storage)
    storage.meanwhile["left"] = go_on
    assert await storage.limit_sessions(third, 2, refuse=False) == {old.record.id}
    counted.set()
    with pytest.raises(SessionGone):
        await rotation
    assert await ids(storage) == [second.record.id, third.record.id]


# -- a rotation in the middle of something else ----------------------------------------------------


@IN_INDEXED
@pytest.mark.parametrize("when", ["read", "remove"])
@pytest.mark.parametrize("named", [False, True])
async def test_a_rotation_while_all_end(storage: Indexed, when: str, named: bool) -> None:
    old = await log_in(storage)
    new: list[StoredRecord] = []

    async def rotation() -> None:
        new.append(await rotate(storage, old))

    storage.meanwhile[when] = rotation
    named_ids = [old.record.id] if named else None
    assert await storage.end_sessions("ferris", "id", ids=named_ids) == {old.record.id}
    assert [await storage.load(key) for key in (old.key, new[0].key)] == [None, None]


@IN_INDEXED
@pytest.mark.parametrize("when", ["read", "remove"])
async def test_a_rotation_of_the_kept_one_while_the_others_end(storage: Indexed, when: str) -> None:
    kept, other = await log_in(storage), await log_in(storage)
    storage.meanwhile[when] = lambda: rotate(storage, kept)
    ended = await storage.end_sessions("ferris", "id", keep=kept.record.id)
    assert ended == {other.record.id}
    assert await ids(storage) == [kept.record.id]
    assert await storage.load(kept.key) is not None


@IN_INDEXED
async def test_a_renewal_that_a_rotation_overtook_while_all_end(storage: Indexed) -> None:
    """ASVS 7.4.2: it began under the old key, and is no later login than that."""
    old = await log_in(storage)
    moved = await rotate(storage, old)
    renewed: list[StoredRecord] = []

    async def renewal() -> None:
        record = dataclasses.replace(old.record, id=new_id())
        renewed.append(await storage.renew(old, record, HOUR))
        with pytest.raises(SessionConflict):
            await storage.delete(old.key, revision=old.revision)
        assert await storage.delete(moved.key, revision=moved.revision)

    await ids(storage)  # who looks takes what is gone out of the index
    storage.meanwhile["remove"] = renewal
    await storage.end_sessions("ferris", "id")
    assert await storage.load(renewed[0].key) is None
    assert await ids(storage) == []


@IN_INDEXED
async def test_a_login_that_is_rotated_before_it_is_counted(storage: Indexed) -> None:
    """ASVS 7.1.2: by a parallel request that took it for logged in."""
    await log_in(storage)
    last = await log_in(storage)
    await rotate(storage, last)
    assert await storage.limit_sessions(last, 1, refuse=True) is None


@IN_INDEXED
async def test_a_second_login_is_the_latest(storage: Indexed) -> None:
    first, second = await log_in(storage), await log_in(storage)
    for owner in (None, "ferris"):
        loaded = await storage.load(first.key)
        assert loaded is not None
        record = dataclasses.replace(loaded.record, owner=owner)
        await storage.update(loaded.key, record, HOUR, revision=loaded.revision)
    assert await ids(storage) == [second.record.id, first.record.id]
