"""What stands in the place of a record whose session got another key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from datetime import timedelta

import pytest

from aiohttp_sess import DeserializationError, SessionRecord, StorageUnavailable
from aiohttp_sess.storage import Entry, MemoryStorage, SessionKey
from aiohttp_sess.storage.entry import digest_of
from aiohttp_sess.storage.pointer import Pointer
from aiohttp_sess.testing import FakeClock

from ..apps import application, memory
from ..browser import serve

HOUR = timedelta(hours=1)
GRACE = timedelta(seconds=30)
SALT = b"Aa0-_Aa0-_Aa0-_Aa0-_Aa"


def test_the_form() -> None:
    """It may be read by another release in a moment: do not change it."""
    pointer = Pointer(SALT, 1700000030.25)
    assert pointer.value == b"moved:Aa0-_Aa0-_Aa0-_Aa0-_Aa:1700000030.250"
    assert Pointer.read(pointer.value) == pointer
    assert repr(pointer) == "<Pointer>"


def test_the_successor_is_derived_from_key_and_salt() -> None:
    key = SessionKey("k" * 43)
    digest = hmac.new(b"k" * 43, b"aiohttp_sess rotation " + SALT, hashlib.sha256).digest()
    successor = Pointer(SALT, 0.0).successor(key)
    assert successor.value == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert digest_of(successor) is not None  # it looks like any other key
    assert Pointer.new(0.0).successor(key) != successor
    assert Pointer(SALT, 0.0).successor(SessionKey("l" * 43)) != successor


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"moved:",
        b"moved:" + SALT,
        b"moved:" + SALT + b":",
        b"moved:" + SALT + b":1700000030",
        b"moved:" + SALT + b":-170000003.000",
        b"moved:" + SALT + b":1700000030.000 ",
        b"moved:" + SALT + b":nan",
        b"moved:" + SALT[1:] + b":1700000030.000",
        b"Moved:" + SALT + b":1700000030.000",
        b"moved:" + SALT[1:] + b"=:1700000030.000",
        b"ended:" + SALT,
    ],
)
async def test_what_has_not_the_form_leads_nowhere(value: bytes) -> None:
    assert Pointer.read(value) is None
    clock = FakeClock()
    storage = MemoryStorage(clock=clock)
    key = SessionKey.generate()
    name = storage.name_of(key)
    assert name is not None
    await storage.add(name, value, 3600)
    if value.startswith(b"Moved:"):
        with pytest.raises(DeserializationError):  # as any other garbage
            await storage.load(key)
    else:
        assert await storage.load(key) is None


async def test_a_pointer_stays_no_longer_than_it_must() -> None:
    """Also where it is read as a record is whose TTL is to start anew."""
    clock = FakeClock()
    storage = MemoryStorage(clock=clock)
    old = await storage.save(SessionRecord(created=clock()), HOUR)
    new = await storage.rotate(old.key, old.record, HOUR, revision=old.revision, grace=GRACE)
    clock.advance(29)
    assert await storage.load(old.key, ttl=HOUR) is not None
    clock.advance(59)
    assert len(storage) == 2
    assert await storage.load(old.key, ttl=HOUR) is None
    clock.advance(61)
    assert len(storage) == 1
    assert await storage.load(new.key) is not None


async def test_what_cannot_be_read_behind_a_pointer_is_no_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = memory()
    async with serve(application(storage)) as server:
        await server.get("/write")
        inner, key = storage.inner, SessionKey(server.cookies["id"])
        assert isinstance(inner, MemoryStorage)
        stored = await inner.load(key)
        assert stored is not None
        new = await inner.rotate(key, stored.record, HOUR, revision=stored.revision, grace=GRACE)
        name = inner.name_of(new.key)
        assert name is not None
        await inner.remove(name)
        await inner.add(name, b"garbage", 3600)
        answer = await server.get("/write")
        assert (answer.status, answer.json) == (200, {"n": 1})
        assert answer.cookie.value not in (key.value, new.key.value)
    warnings = [line for line in caplog.records if line.levelno == logging.WARNING]
    assert len(warnings) == 1 and "it begins empty" in warnings[0].getMessage()


class Refuses(MemoryStorage):
    """Says that each name is taken, once it has some."""

    refuses = False

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return False if self.refuses else await super().add(name, value, ttl)


async def test_a_backend_that_takes_no_key_is_not_working() -> None:
    storage = Refuses()
    old = await storage.save(SessionRecord(), HOUR)
    storage.refuses = True
    with pytest.raises(StorageUnavailable, match="not working") as raised:
        await storage.rotate(old.key, old.record, HOUR, revision=old.revision, grace=GRACE)
    assert raised.value.revision is None  # it was not done
    assert await storage.load(old.key) is not None


class Indexes(MemoryStorage):
    """Knows where its sessions are."""

    def __init__(self) -> None:
        super().__init__()
        self.index: dict[str, str] = {}
        self.down = False

    async def moving(self, record: SessionRecord, old: str, new: str, ttl: float) -> None:
        for digest in (old, new):  # both are there, and nobody has the new key yet
            entry = await self.read(self.key_prefix + digest, None)
            assert entry is not None and not entry.value.startswith(b"moved:")
        assert 3590 < ttl <= 3600
        if self.down:
            raise StorageUnavailable("down")
        self.index[record.id] = new


async def test_an_index_learns_of_it_before_anybody_has_the_key() -> None:
    storage = Indexes()
    old = await storage.save(SessionRecord(), HOUR)
    new = await storage.rotate(old.key, old.record, HOUR, revision=old.revision, grace=GRACE)
    assert storage.index == {old.record.id: new.key.digest}
    storage.down = True
    with pytest.raises(StorageUnavailable):
        await storage.rotate(new.key, new.record, HOUR, revision=new.revision, grace=GRACE)
    assert len(storage) == 2  # the record and one pointer
    assert storage.index == {old.record.id: new.key.digest}


async def test_an_entry_is_no_pointer_by_chance() -> None:
    """A stamp has no colon."""
    storage = MemoryStorage()
    stored = await storage.save(SessionRecord(), HOUR)
    name = storage.name_of(stored.key)
    assert name is not None
    entry = await storage.read(name, None)
    assert isinstance(entry, Entry)
    assert b":" not in entry.value[:80]
