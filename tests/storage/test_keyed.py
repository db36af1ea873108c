"""What all keyed storages share: names, stamps, and writes that were sent twice."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from aiohttp_sess import SessionConflict, SessionGone, SessionRecord, StorageUnavailable
from aiohttp_sess.storage import Entry, MemoryStorage, SessionKey, Version

HOUR = timedelta(hours=1)


class Forgetful(MemoryStorage):
    """Loses the reply of its first writes, so that they are sent twice."""

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        await super().add(name, value, ttl)
        return await super().add(name, value, ttl)

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        await super().replace(name, value, ttl, version)
        return await super().replace(name, value, ttl, version)


class Full(MemoryStorage):
    """Says of its first names that they are taken."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self.taken = taken
        self.names: list[str] = []

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        self.names.append(name)
        if len(self.names) <= self.taken:
            return False
        return await super().add(name, value, ttl)


class Watched(MemoryStorage):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[tuple[str, bytes, float]] = []

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        self.added.append((name, value, ttl))
        return await super().add(name, value, ttl)


async def test_a_write_that_was_sent_twice_recognises_itself() -> None:
    storage = Forgetful()
    stored = await storage.save(SessionRecord({"n": 1}), HOUR)
    assert len(storage) == 1
    again = await storage.update(
        stored.key, SessionRecord({"n": 2}), HOUR, revision=stored.revision
    )
    loaded = await storage.load(stored.key)
    assert loaded is not None
    assert loaded.record.state == {"n": 2}
    with pytest.raises(SessionConflict):
        await storage.update(stored.key, stored.record, HOUR, revision=stored.revision)
    await storage.update(stored.key, stored.record, HOUR, revision=again.revision)


async def test_a_key_that_is_taken_is_not_used() -> None:
    """ASVS 7.2.3: a forced collision gets another key."""
    storage = Full(taken=1)
    stored = await storage.save(SessionRecord(), HOUR)
    assert storage.name_of(stored.key) == storage.names[1]
    assert storage.names[0] != storage.names[1]


async def test_a_backend_that_takes_no_key_is_not_working() -> None:
    with pytest.raises(StorageUnavailable, match="random keys"):
        await Full(taken=99).save(SessionRecord(), HOUR)


async def test_the_backend_sees_the_hash_of_the_key_alone() -> None:
    storage = Watched()
    stored = await storage.save(SessionRecord({"n": 1}), HOUR)
    ((name, value, ttl),) = storage.added
    assert name == "session:" + hashlib.sha256(stored.key.value.encode()).hexdigest()
    assert stored.key.value.encode() not in value
    assert ttl == HOUR.total_seconds()


async def test_the_bytes_are_a_stamp_and_the_record() -> None:
    """Golden: what is stored today is read for as long as there is version 1."""
    storage = Watched()
    record = SessionRecord(
        {"n": 1}, created=1_700_000_000, owner="ferris", cookie="id", id="abcdefghijklmnop"
    )
    stored = await storage.save(record, HOUR)
    ((name, value, _),) = storage.added
    tag = name.removeprefix("session:")[:32]
    assert stored.revision == Version(value[:16], None, b"-" * 64)
    assert value[16:80] == b"-" * 64
    assert value[80:].decode() == (
        f'[1,"{tag}","id","abcdefghijklmnop",1700000000,null,null,"ferris",{{"n":1}}]'
    )


async def test_the_stamps_of_four_versions_before_stay() -> None:
    storage = MemoryStorage()
    stored = await storage.save(SessionRecord(), HOUR)
    stamps: list[bytes] = []
    for _ in range(6):
        assert isinstance(stored.revision, Version)
        stamps.insert(0, stored.revision.stamp)
        stored = await storage.update(stored.key, stored.record, HOUR, revision=stored.revision)
    name = storage.name_of(stored.key)
    assert name is not None
    entry = await storage.read(name, None)
    assert entry is not None and entry.value[16:80] == b"".join(stamps[:4])


@pytest.mark.parametrize("key", ["x", "x" * 44, "x" * 42 + "=", "{}" * 20, "a b", "\r\n"])
async def test_a_key_that_we_cannot_have_made_costs_no_round_trip(key: str) -> None:
    class Down(MemoryStorage):
        async def read(self, name: str, ttl: float | None) -> Entry | None:
            raise StorageUnavailable("nobody should have asked")

    storage = Down()
    assert storage.name_of(SessionKey(key)) is None
    assert await storage.load(SessionKey(key)) is None
    assert await storage.update_ttl(SessionKey(key), HOUR) is None
    assert not await storage.delete(SessionKey(key))
    with pytest.raises(SessionGone):
        await storage.update(SessionKey(key), SessionRecord(), HOUR, revision=None)


async def test_a_revision_is_what_the_storage_answered() -> None:
    storage = MemoryStorage()
    stored = await storage.save(SessionRecord(), HOUR)
    with pytest.raises(TypeError, match="revision"):
        await storage.update(stored.key, stored.record, HOUR, revision="1")


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1)])
async def test_a_ttl_is_positive(ttl: timedelta) -> None:
    with pytest.raises(ValueError, match="positive"):
        await MemoryStorage().save(SessionRecord(), ttl)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"key_prefix": 7}, TypeError),
        ({"key_prefix": "a b"}, ValueError),
        ({"key_prefix": "x" * 129}, ValueError),
        ({"key_prefix": "é"}, ValueError),
        ({"clock": 7}, TypeError),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        MemoryStorage(**options)
