"""Records in, records out: what `save`, `load`, `update`, `update_ttl` and `delete` promise."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from ..errors import SessionGone
from ..record import Lifetime, SessionRecord
from ..storage.interface import AbstractStorage, SessionKey
from ..storage.keyed import KeyedStorage
from .capabilities import HOUR, Capabilities, needs

__all__ = ("RecordCases",)

_STATE = {
    "text": "Ærøskøbing, 東京, 🦀, \0, \u2028",
    "": "the name is empty",
    "ключ": "the name is not ASCII",
    "number": -1.5e300,
    "int": 2**53,
    "nothing": None,
    "nested": {"list": [1, [True, {"a": []}]], "empty": {}},
}


class RecordCases(Capabilities):
    """One client at a time."""

    async def test_the_storage_is_what_the_suite_was_told(self, storage: AbstractStorage) -> None:
        """Or tests that it must pass would be left out."""
        assert self.server_side is storage.server_side
        assert self.keyed is isinstance(storage, KeyedStorage)
        assert storage.lists_sessions or not self.lists_sessions

    async def test_everything_in_a_record_comes_back(self, storage: AbstractStorage) -> None:
        now = storage.clock()
        record = SessionRecord(
            _STATE,
            created=now - 1.25,
            deadline=now + 7200.5,
            lifetime=Lifetime(True, 60.0, True, 3600.0),
            owner="Ferris 🦀",
            cookie="visitors",
        )
        stored = await storage.save(record, HOUR)
        assert stored.record == record
        loaded = await self.found(storage, stored.key)
        assert loaded.record == record
        assert loaded.key == stored.key

    async def test_what_is_not_set_comes_back_as_that(self, storage: AbstractStorage) -> None:
        stored = await storage.save(self.new_record(storage), HOUR)
        loaded = await self.found(storage, stored.key)
        assert loaded.record.state == {}
        assert loaded.record.owner is None
        assert loaded.record.deadline is None
        assert loaded.record.lifetime is None

    async def test_state_as_large_as_promised(self, storage: AbstractStorage) -> None:
        state = {"page": "0123456789" * (self.state_size // 10)}
        stored = await storage.save(self.new_record(storage, **state), HOUR)
        loaded = await self.found(storage, stored.key)
        assert loaded.record.state == state
        small = dataclasses.replace(loaded.record, state={})
        smaller = await storage.update(loaded.key, small, HOUR, revision=loaded.revision)
        loaded = await self.found(storage, smaller.key)
        assert loaded.record.state == {}

    async def test_records_share_nothing_with_who_saved_or_loaded_them(
        self, storage: AbstractStorage
    ) -> None:
        state = {"basket": ["tea"]}
        stored = await storage.save(self.new_record(storage, **state), HOUR)
        state["basket"].append("changed after it was saved")
        loaded = await self.found(storage, stored.key)
        assert loaded.record.state == {"basket": ["tea"]}
        loaded.record.state["basket"].append("changed after it was loaded")
        again = await self.found(storage, stored.key)
        assert again.record.state == {"basket": ["tea"]}

    async def test_save_never_overwrites(self, storage: AbstractStorage) -> None:
        saved = [await storage.save(self.new_record(storage, n=n), HOUR) for n in range(8)]
        assert len({stored.key for stored in saved}) == len(saved)
        for n, stored in enumerate(saved):
            loaded = await self.found(storage, stored.key)
            assert loaded.record.state == {"n": n}

    @needs("keyed")
    async def test_a_new_record_never_takes_the_place_of_another(
        self, storage: AbstractStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyed = self.keyed_storage(storage)
        first = await storage.save(self.new_record(storage, n=1), HOUR)
        name = keyed.name_of(first.key)
        assert name is not None
        assert await keyed.add(name, b"the bytes of another record", 60) is False
        added = await asyncio.gather(*(keyed.add(f"{name[:-4]}-new", b"x", 60) for _ in range(8)))
        assert sorted(added) == [False] * 7 + [True]
        # Even if the random number generator is broken.
        keys = iter([first.key, SessionKey.generate()])
        monkeypatch.setattr(SessionKey, "generate", lambda: next(keys))
        second = await storage.save(self.new_record(storage, n=2), HOUR)
        assert second.key != first.key
        for stored in (first, second):
            loaded = await self.found(storage, stored.key)
            assert loaded.record == stored.record

    @needs("server_side")
    async def test_a_session_key_is_fresh_and_cannot_be_guessed(
        self, storage: AbstractStorage
    ) -> None:
        record = self.new_record(storage, n=1)
        keys = [(await storage.save(record, HOUR)).key.value for _ in range(8)]
        assert len(set(keys)) == len(keys), "the same record was saved under the same key"
        # ASVS 7.2.3: 128 bits, which are 22 characters of base64url.
        assert min(map(len, keys)) >= 22
        assert all(record.id not in key for key in keys)

    async def test_a_session_key_is_shown_by_nothing(self, storage: AbstractStorage) -> None:
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        loaded = await storage.load(stored.key)
        for shown in (stored, stored.key, stored.revision, loaded, storage):
            assert stored.key.value not in f"{shown!r} {shown!s}"

    async def test_update_replaces_the_record(self, storage: AbstractStorage) -> None:
        stored = await storage.save(self.new_record(storage, n=0), HOUR)
        for n in (1, 2):  # with the revision that save answered, then with that of update
            record = dataclasses.replace(stored.record, state={"n": n}, owner=f"owner {n}")
            updated = await storage.update(stored.key, record, HOUR, revision=stored.revision)
            assert updated.record == record
            if storage.server_side:
                assert updated.key == stored.key
            stored = updated
        loaded = await self.found(storage, stored.key)
        assert loaded.record == stored.record
        # And with that of load.
        record = dataclasses.replace(loaded.record, state={})
        updated = await storage.update(loaded.key, record, HOUR, revision=loaded.revision)
        loaded = await self.found(storage, updated.key)
        assert loaded.record == record

    async def test_update_ttl_leaves_the_record_as_it_is(self, storage: AbstractStorage) -> None:
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        key = await storage.update_ttl(stored.key, 2 * HOUR)
        assert key is not None
        if storage.server_side:
            assert key == stored.key
        loaded = await self.found(storage, key)
        assert loaded.record == stored.record
        # Nothing was written, so what was loaded before can still be updated.
        await storage.update(key, stored.record, HOUR, revision=stored.revision)

    @needs("ends_sessions_early")
    async def test_delete_ends_a_session_and_no_other(self, storage: AbstractStorage) -> None:
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        other = await storage.save(self.new_record(storage, n=2), HOUR)
        assert await storage.delete(stored.key) is True
        assert await storage.load(stored.key) is None
        assert await storage.delete(stored.key) is False
        loaded = await self.found(storage, other.key)
        assert loaded.record == other.record

    @needs("ends_sessions_early")
    async def test_delete_with_the_revision_that_is_there(self, storage: AbstractStorage) -> None:
        saved = await storage.save(self.new_record(storage, n=1), HOUR)
        assert await storage.delete(saved.key, revision=saved.revision) is True
        assert await storage.load(saved.key) is None
        assert await storage.delete(saved.key, revision=saved.revision) is False
        saved = await storage.save(self.new_record(storage, n=1), HOUR)
        loaded = await self.found(storage, saved.key)
        assert await storage.delete(saved.key, revision=loaded.revision) is True
        assert await storage.load(saved.key) is None

    @needs("ends_sessions_early")
    async def test_a_missing_record_is_never_brought_back(self, storage: AbstractStorage) -> None:
        ended = await storage.save(self.new_record(storage, n=1), HOUR)
        await storage.delete(ended.key)
        for key in (ended.key, SessionKey.generate()):
            assert await storage.load(key) is None
            assert await storage.load(key, ttl=HOUR) is None
            with pytest.raises(SessionGone):
                await storage.update(key, ended.record, HOUR, revision=ended.revision)
            assert await storage.load(key) is None, "update brought it back"
            assert await storage.update_ttl(key, HOUR) is None
            assert await storage.load(key) is None, "update_ttl brought it back"
            assert await storage.delete(key) is False
            assert await storage.delete(key, revision=ended.revision) is False
            assert await storage.load(key) is None, "delete brought it back"

    async def test_close_may_come_twice(self, storage: AbstractStorage) -> None:
        await storage.save(self.new_record(storage, n=1), HOUR)
        await storage.close()
        await storage.close()
