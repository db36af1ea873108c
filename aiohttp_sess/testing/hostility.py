"""What nobody honest sends or stores: it is no session, and never an error."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from ..errors import DeserializationError, SessionGone
from ..storage.entry import HEAD_LENGTH
from ..storage.interface import AbstractStorage, SessionKey, StoredRecord
from ..storage.keyed import KeyedStorage
from .capabilities import HOUR, Capabilities, needs

__all__ = ("HostileCases", "plant")

_HOSTILE_KEYS = {
    "space": "a b",
    "only-space": " ",
    "line-break": "a\r\ndelete session:a\r\n",
    "trailing-line-break": "a" * 43 + "\n",
    "nul": "\0",
    "251-characters": "a" * 251,
    "5-kilobytes": "A" * 5120,
    "not-ascii": "ключ" * 11,
    "wide-digits": "\uff11" * 43,  # str.isalnum() takes them
    "half-a-pair": "\ud800" * 43,  # has no UTF-8
    "hash-tag": "{a}",
    "glob": "*",
    "path": "../../etc/passwd",
    "another-prefix": "session:" + "a" * 43,
    "quotes": "'; DROP TABLE sessions; --",
    "too-short": "a" * 42,
    "too-long": "a" * 44,
    "right-form": "a" * 43,
    "garbage-record": "9999999999:[1,",
}


async def stored_bytes(storage: KeyedStorage, key: SessionKey) -> bytes:
    """What is in the place of a record."""
    name = storage.name_of(key)
    assert name is not None
    entry = await storage.read(name, None)
    assert entry is not None
    return entry.value


async def plant(storage: KeyedStorage, key: SessionKey, value: bytes) -> None:
    """Put bytes in the place of a record."""
    name = storage.name_of(key)
    assert name is not None
    assert await storage.remove(name)
    assert await storage.add(name, value, HOUR.total_seconds())


class HostileCases(Capabilities):
    """Session keys that no storage made, and bytes that no storage wrote."""

    @pytest.mark.parametrize("value", _HOSTILE_KEYS.values(), ids=_HOSTILE_KEYS.keys())
    async def test_a_hostile_key_is_no_session(self, storage: AbstractStorage, value: str) -> None:
        kept = await storage.save(self.new_record(storage, n=1), HOUR)
        key = SessionKey(value)
        for ttl in (None, HOUR):
            await self._leads_nowhere(storage, key, ttl)
        assert await storage.update_ttl(key, HOUR) is None
        if self.ends_sessions_early:
            assert await storage.delete(key) is False
            assert await storage.delete(key, revision=kept.revision) is False
            with pytest.raises(SessionGone):
                await storage.update(key, kept.record, HOUR, revision=kept.revision)
            await self._leads_nowhere(storage, key)
        loaded = await self.found(storage, kept.key)
        assert loaded.record == kept.record

    @needs("server_side")
    async def test_a_key_with_something_added_is_no_session(self, storage: AbstractStorage) -> None:
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        value = stored.key.value
        for other in (value[:-1], value + "a", value.swapcase(), f" {value}", f"{value}\n"):
            assert await storage.load(SessionKey(other)) is None

    @needs("keyed")
    async def test_what_is_stored_gives_nobody_a_session(self, storage: AbstractStorage) -> None:
        keyed = self.keyed_storage(storage)
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        key = stored.key.value
        name = f"{keyed.key_prefix}{hashlib.sha256(key.encode()).hexdigest()}"
        assert keyed.name_of(stored.key) == name
        assert key.encode() not in await stored_bytes(keyed, stored.key)

    @needs("keyed")
    async def test_a_record_under_another_key_is_refused(self, storage: AbstractStorage) -> None:
        keyed = self.keyed_storage(storage)
        mine = await storage.save(self.new_record(storage, whose="mine"), HOUR)
        yours = await storage.save(self.new_record(storage, whose="yours"), HOUR)
        await plant(keyed, yours.key, await stored_bytes(keyed, mine.key))
        await self._refused_but_replaceable(keyed, yours)

    @needs("keyed")
    async def test_a_record_of_a_newer_version_is_refused(self, storage: AbstractStorage) -> None:
        keyed = self.keyed_storage(storage)
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        value = await stored_bytes(keyed, stored.key)
        head, record = value[:HEAD_LENGTH], value[HEAD_LENGTH:]
        assert record.startswith(b"[1,")
        await plant(keyed, stored.key, head + b"[2," + record[3:])
        await self._refused_but_replaceable(keyed, stored)

    @needs("keyed")
    @pytest.mark.parametrize(
        "garbage",
        [
            b"x",
            b"0123456789abcdef",
            b"0123456789abcdef{}",
            b"0123456789abcdef" + b"[" * 10_000,
            b"\x80\x04cos\nsystem\n(S'true'\ntR.",
            b"\xff" * 100,
        ],
        ids=["one-byte", "stamp", "object", "deep", "pickle", "binary"],
    )
    async def test_garbage_is_refused(self, storage: AbstractStorage, garbage: bytes) -> None:
        keyed = self.keyed_storage(storage)
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        await plant(keyed, stored.key, garbage)
        await self._refused_but_replaceable(keyed, stored)

    @needs("keyed")
    async def test_nothing_in_the_place_of_a_record_is_no_session(
        self, storage: AbstractStorage
    ) -> None:
        keyed = self.keyed_storage(storage)
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        await plant(keyed, stored.key, b"")
        assert await storage.load(stored.key) is None

    async def _leads_nowhere(
        self, storage: AbstractStorage, key: SessionKey, ttl: timedelta | None = None
    ) -> None:
        try:
            assert await storage.load(key, ttl=ttl) is None
        except DeserializationError:
            assert not storage.server_side  # there, the key is the record itself

    async def _refused_but_replaceable(self, storage: KeyedStorage, before: StoredRecord) -> None:
        with pytest.raises(DeserializationError) as refused:
            await storage.load(before.key)
        fresh = self.new_record(storage, fresh=True)
        revision = refused.value.revision
        updated = await storage.update(before.key, fresh, HOUR, revision=revision)
        loaded = await self.found(storage, updated.key)
        assert loaded.record == fresh
