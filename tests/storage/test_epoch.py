"""Ending all sessions of an owner on memcached: by a generation, whatever becomes of it."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from aiohttp_sess import SessionConflict, SessionGone, SessionRecord, StorageUnavailable
from aiohttp_sess.storage import Entry, Version
from aiohttp_sess.storage.entry import version_of
from aiohttp_sess.storage.epoch import EpochStorage
from aiohttp_sess.storage.keyed import KeyedStorage
from aiohttp_sess.storage.members import index_name
from aiohttp_sess.storage.memcached import MemcachedStorage
from demo.sqlite_storage import SqliteStorage

from ..servers import MemcachedServer

HOUR = timedelta(hours=1)
RECORD = SessionRecord({"n": 1}, owner="ferris", cookie="id")


@pytest.fixture
async def storage(memcached_server: MemcachedServer) -> AsyncIterator[MemcachedStorage]:
    storage = MemcachedStorage.connect(
        memcached_server.host, memcached_server.port, key_prefix=f"epoch-{secrets.token_hex(8)}:"
    )
    yield storage
    await storage.close()


def name_in(storage: KeyedStorage) -> str:
    return index_name(storage.key_prefix, "ferris", "id")


class Counting(MemcachedStorage):
    """Counts what is read."""

    reads = 0

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        self.reads += 1
        return await super().read(name, ttl)


async def test_who_has_no_owner_pays_nothing(memcached_server: MemcachedServer) -> None:
    storage = Counting.connect(memcached_server.host, memcached_server.port)
    for owner, reads in ((None, 2), ("ferris", 7)):
        storage.reads = 0
        stored = await storage.save(dataclasses.replace(RECORD, owner=owner), HOUR)
        loaded = await storage.load(stored.key)
        assert loaded is not None
        await storage.update(loaded.key, loaded.record, HOUR, revision=loaded.revision)
        await storage.update_ttl(stored.key, HOUR)
        await storage.delete(stored.key)
        # Of the record: when it is loaded, and touched. Of the owner's entry: each time.
        assert storage.reads - (owner is not None) <= reads
    await storage.close()


async def test_an_entry_that_was_lost_ends_the_sessions(storage: MemcachedStorage) -> None:
    """Instead of bringing back those that were ended."""
    ended = await storage.save(RECORD, HOUR)
    await storage.end_sessions("ferris", "id")
    stored = await storage.save(RECORD, HOUR)
    await storage.remove(name_in(storage))
    assert await storage.load(stored.key) is None
    later = await storage.save(RECORD, HOUR)
    assert await storage.load(later.key) is not None
    assert await storage.load(ended.key) is None
    await storage.remove(name_in(storage))
    assert await storage.end_sessions("ferris", "id") is None  # type: ignore[func-returns-value]
    assert await storage.load(later.key) is None


async def test_an_entry_that_is_garbage_ends_the_sessions(storage: MemcachedStorage) -> None:
    stored = await storage.save(RECORD, HOUR)
    entry = await storage.read(name_in(storage), None)
    assert entry is not None
    garbage = entry.value[:16] + b"{nothing}"
    assert await storage.replace(name_in(storage), garbage, 60.0, version_of(entry))
    assert await storage.load(stored.key) is None


async def test_what_is_left_of_an_ended_session_goes(storage: MemcachedStorage) -> None:
    stored = await storage.save(RECORD, HOUR)
    await storage.end_sessions("ferris", "id")
    name = storage.name_of(stored.key)
    assert name is not None
    assert await storage.read(name, None) is not None
    assert await storage.load(stored.key) is None
    assert await storage.read(name, None) is None


@pytest.mark.parametrize("owner", [None, "another", "ferris"])
async def test_a_late_update_by_whoever(storage: MemcachedStorage, owner: str | None) -> None:
    """Another owner, or none, makes no session of one that was ended."""
    stored = await storage.save(RECORD, HOUR)
    await storage.end_sessions("ferris", "id")
    record = dataclasses.replace(RECORD, owner=owner)
    with pytest.raises(SessionGone):
        await storage.update(stored.key, record, HOUR, revision=stored.revision)
    assert await storage.load(stored.key) is None


async def test_conflicts_are_seen(storage: MemcachedStorage) -> None:
    stored = await storage.save(RECORD, HOUR)
    again = await storage.update(stored.key, RECORD, HOUR, revision=stored.revision)
    assert storage.includes(again.revision, stored.revision)
    assert not storage.includes(stored.revision, again.revision)
    with pytest.raises(SessionConflict):
        await storage.update(stored.key, RECORD, HOUR, revision=stored.revision)
    with pytest.raises(SessionConflict):
        await storage.delete(stored.key, revision=stored.revision)
    assert await storage.delete(stored.key, revision=again.revision)


class Elsewhere(EpochStorage, SqliteStorage):
    """On any keyed storage; what is done meanwhile by others is done before a replacement."""

    end_meanwhile = 0

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        if self.end_meanwhile and "owner:" in name:
            self.end_meanwhile -= 1
            new = secrets.token_urlsafe(12).encode() + b"{}"
            assert await super().replace(name, new, ttl, version)
        return await super().replace(name, value, ttl, version)


async def test_several_who_end_all_at_once(tmp_path: Path) -> None:
    storage = Elsewhere(tmp_path / "sessions.db")
    stored = await storage.save(RECORD, HOUR)
    storage.end_meanwhile = 2
    await storage.end_sessions("ferris", "id", keep=stored.record.id)
    assert await storage.load(stored.key) is None, "the other one kept nothing"
    later = await storage.save(dataclasses.replace(RECORD, id="later"), HOUR)
    await storage.end_sessions("ferris", "id", keep=later.record.id)
    assert await storage.load(later.key) is not None
    storage.end_meanwhile = 100
    with pytest.raises(StorageUnavailable, match="given up"):
        await storage.end_sessions("ferris", "id")
    await storage.close()


async def test_a_backend_that_does_not_keep_the_generation(tmp_path: Path) -> None:
    class Forgets(EpochStorage, SqliteStorage):
        async def add(self, name: str, value: bytes, ttl: float) -> bool:
            return True

    storage = Forgets(tmp_path / "sessions.db")
    with pytest.raises(StorageUnavailable, match="not working"):
        await storage.save(RECORD, HOUR)
    await storage.close()
