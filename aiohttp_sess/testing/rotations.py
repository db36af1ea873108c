"""A session gets another key: its old one leads there for a while, and no further."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from ..errors import SessionConflict, SessionGone
from ..storage.interface import AbstractStorage, SessionKey, StoredRecord
from .capabilities import HOUR, Capabilities, needs
from .clock import FakeClock

__all__ = ("RotationCases",)

_GRACE = timedelta(seconds=30)
_MANY = 8


class RotationCases(Capabilities):
    """What `AbstractStorage.rotate` promises. A `KeyedStorage` has it already."""

    @needs("rotates_keys")
    async def test_a_rotation_is_to_a_key_that_the_old_one_leads_to(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        assert storage.rotates_keys
        old, new = await self._rotated(storage)
        assert new.key != old.key
        assert new.record.state == {"n": 2}
        for key in (old.key, new.key):
            loaded = await self.found(storage, key, ttl=HOUR)
            assert (loaded.key, loaded.record) == (new.key, new.record)
        assert await storage.update_ttl(old.key, HOUR) is None, "its record is somewhere else"
        assert await storage.update_ttl(new.key, HOUR) == new.key
        await self.advance(storage, clock, _GRACE.total_seconds() + 1)
        assert await storage.load(old.key) is None
        loaded = await self.found(storage, new.key)
        assert loaded.record == new.record

    @needs("rotates_keys")
    async def test_what_was_loaded_before_a_rotation_is_loaded_again(
        self, storage: AbstractStorage
    ) -> None:
        old, new = await self._rotated(storage)
        key, record, revision = old
        with pytest.raises(SessionConflict):
            await storage.update(key, record, HOUR, revision=revision)
        with pytest.raises(SessionConflict):
            await storage.delete(key, revision=revision)
        with pytest.raises(SessionConflict):
            await storage.end(old)
        with pytest.raises(SessionConflict):
            await storage.rotate(key, record, HOUR, revision=revision, grace=_GRACE)
        latest = await self.found(storage, key)
        assert latest.record == new.record
        record = dataclasses.replace(record, state={"n": 3})
        await storage.update(latest.key, record, HOUR, revision=latest.revision)
        for each in (old.key, new.key):
            assert (await self.found(storage, each)).record == record

    @needs("rotates_keys")
    async def test_the_end_of_a_session_is_the_end_of_its_old_keys(
        self, storage: AbstractStorage
    ) -> None:
        for conditional in (False, True):
            old, new = await self._rotated(storage)
            revision = new.revision if conditional else None
            assert await storage.delete(new.key, revision=revision) is True
            for key in (old.key, new.key):
                assert await storage.load(key) is None
                assert await storage.load(key, ttl=HOUR) is None
                assert await storage.update_ttl(key, HOUR) is None

    @needs("rotates_keys")
    async def test_a_purge_ends_the_session_that_it_knows_or_loads_it_again(
        self, storage: AbstractStorage
    ) -> None:
        old, new = await self._rotated(storage)
        assert await storage.end(await self.found(storage, old.key)) is True
        for stored in (new, old):
            assert await storage.load(stored.key) is None
        assert await storage.end(new) is False
        # Of one that was only written since, likewise.
        loaded = await storage.save(self.new_record(storage, n=1), HOUR)
        latest = await storage.update(loaded.key, loaded.record, HOUR, revision=loaded.revision)
        with pytest.raises(SessionConflict):
            await storage.end(loaded)
        assert await storage.end(latest) is True
        assert await storage.load(loaded.key) is None
        with pytest.raises(SessionGone):
            await storage.update(latest.key, latest.record, HOUR, revision=latest.revision)

    @needs("rotates_keys")
    async def test_a_session_that_ended_gets_no_key(self, storage: AbstractStorage) -> None:
        key, record, revision = await storage.save(self.new_record(storage, n=1), HOUR)
        await storage.delete(key)
        with pytest.raises(SessionGone):
            await storage.rotate(key, record, HOUR, revision=revision, grace=_GRACE)
        with pytest.raises(SessionGone):
            await storage.rotate(
                SessionKey("unknown"), record, HOUR, revision=revision, grace=_GRACE
            )

    @needs("rotates_keys")
    async def test_of_parallel_rotations_one_is_done(self, storage: AbstractStorage) -> None:
        key, record, revision = await storage.save(self.new_record(storage, n=1), HOUR)
        outcomes = await asyncio.gather(
            *(
                storage.rotate(key, record, HOUR, revision=revision, grace=_GRACE)
                for _ in range(_MANY)
            ),
            return_exceptions=True,
        )
        (won,) = [outcome for outcome in outcomes if isinstance(outcome, StoredRecord)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, SessionConflict)]
        assert len(lost) == _MANY - 1, outcomes
        loaded = await self.found(storage, key)
        assert loaded.key == won.key

    @needs("rotates_keys")
    async def test_of_a_rotation_and_an_end_at_once_one_is_done(
        self, storage: AbstractStorage
    ) -> None:
        for n in range(_MANY):
            key, record, revision = await storage.save(self.new_record(storage, n=n), HOUR)
            rotate = storage.rotate(key, record, HOUR, revision=revision, grace=_GRACE)
            delete = (
                storage.end(StoredRecord(key, record, revision))
                if n % 4 < 2
                else storage.delete(key, revision=revision)
            )
            if n % 2:
                rotated, ended = await asyncio.gather(rotate, delete, return_exceptions=True)
            else:
                ended, rotated = await asyncio.gather(delete, rotate, return_exceptions=True)
            loaded = await storage.load(key)
            if isinstance(rotated, StoredRecord):
                assert isinstance(ended, SessionConflict), ended
                assert loaded is not None and loaded.key == rotated.key
            else:
                assert isinstance(rotated, SessionGone), rotated
                assert ended is True
                assert loaded is None

    async def _rotated(self, storage: AbstractStorage) -> tuple[StoredRecord, StoredRecord]:
        old = await storage.save(self.new_record(storage, n=1), HOUR)
        record = dataclasses.replace(old.record, state={"n": 2})
        new = await storage.rotate(old.key, record, HOUR, revision=old.revision, grace=_GRACE)
        return old, new
