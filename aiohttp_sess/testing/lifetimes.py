"""How long records live. Times are far enough apart for backends that count in seconds."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from datetime import timedelta

import pytest

from ..errors import SessionConflict, SessionGone
from ..storage.interface import AbstractStorage
from .capabilities import HOUR, Capabilities, needs
from .clock import FakeClock

__all__ = ("LifetimeCases",)

_MINUTE = timedelta(minutes=1)
_NEARLY, _REST = 50, 20  # seconds: a minute is nearly over, and is over


class LifetimeCases(Capabilities):
    """The idle TTL, what lets it start anew, and the deadline that nothing moves."""

    async def test_an_idle_session_ends(self, storage: AbstractStorage, clock: FakeClock) -> None:
        stored = await storage.save(self.new_record(storage, n=1), _MINUTE)
        await self.advance(storage, clock, _NEARLY)
        # To load it is not to refresh it.
        assert await storage.load(stored.key) is not None
        await self.advance(storage, clock, _REST)
        assert await storage.load(stored.key) is None
        assert await storage.load(stored.key, ttl=_MINUTE) is None
        assert await storage.update_ttl(stored.key, _MINUTE) is None

    @needs("ends_sessions_early")
    async def test_an_expired_session_is_never_brought_back(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=1), _MINUTE)
        await self.advance(storage, clock, _NEARLY + _REST)
        with pytest.raises(SessionGone):
            await storage.update(stored.key, stored.record, HOUR, revision=stored.revision)
        assert await storage.delete(stored.key) is False
        assert await storage.delete(stored.key, revision=stored.revision) is False
        assert await storage.load(stored.key) is None

    async def test_update_lets_the_ttl_start_anew(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=1), _MINUTE)
        await self.advance(storage, clock, _NEARLY)
        stored = await storage.update(stored.key, stored.record, _MINUTE, revision=stored.revision)
        await self.advance(storage, clock, _NEARLY)
        assert await storage.load(stored.key) is not None
        await self.advance(storage, clock, _REST)
        assert await storage.load(stored.key) is None

    async def test_update_ttl_lets_the_ttl_start_anew(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=1), _MINUTE)
        await self.advance(storage, clock, _NEARLY)
        key = await storage.update_ttl(stored.key, _MINUTE)
        assert key is not None
        await self.advance(storage, clock, _NEARLY)
        assert await storage.load(key) is not None
        await self.advance(storage, clock, _REST)
        assert await storage.load(key) is None

    async def test_load_lets_the_ttl_start_anew_if_asked_to(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=1), _MINUTE)
        await self.advance(storage, clock, _NEARLY)
        loaded = await self.found(storage, stored.key, ttl=_MINUTE)
        assert loaded.record == stored.record
        await self.advance(storage, clock, _NEARLY)
        assert await storage.load(loaded.key) is not None
        await self.advance(storage, clock, _REST)
        assert await storage.load(loaded.key) is None

    async def test_a_ttl_can_become_shorter(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        key = await storage.update_ttl(stored.key, _MINUTE)
        assert key is not None
        await self.found(storage, key)
        await self.advance(storage, clock, _NEARLY + _REST)
        assert await storage.load(key) is None

    async def test_a_ttl_of_months(self, storage: AbstractStorage, clock: FakeClock) -> None:
        """To memcached, what is over 30 days is a date."""
        months, day = timedelta(days=60), timedelta(days=1).total_seconds()
        saved = await storage.save(self.new_record(storage, n=1), months)
        touched = await storage.update_ttl(saved.key, months)
        assert touched is not None
        updated = await storage.update(touched, saved.record, months, revision=saved.revision)
        assert await storage.load(updated.key) is not None
        await self.advance(storage, clock, 59 * day)
        assert await storage.load(updated.key) is not None
        await self.advance(storage, clock, 2 * day)
        assert await storage.load(updated.key) is None

    async def test_a_ttl_of_nearly_nothing(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        """What is left of it just before its deadline. Rounded down to 0, it would be for ever."""
        nearly_nothing = timedelta(milliseconds=1)
        saved = await storage.save(self.new_record(storage, n=1), nearly_nothing)
        kept = await storage.save(self.new_record(storage, n=1), _MINUTE)
        key = await storage.update_ttl(kept.key, nearly_nothing)
        await self.advance(storage, clock, 5)
        assert await storage.load(saved.key) is None
        assert key is None or await storage.load(key) is None

    async def test_nothing_outlives_its_deadline(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        record = self.new_record(storage, n=1)
        record = dataclasses.replace(record, deadline=storage.clock() + 60)
        stored = await storage.save(record, HOUR)
        await self.advance(storage, clock, _NEARLY)
        loaded = await self.found(storage, stored.key, ttl=HOUR)
        assert loaded.record.deadline == record.deadline
        updated = await storage.update(loaded.key, record, HOUR, revision=loaded.revision)
        key = await storage.update_ttl(updated.key, HOUR)
        assert key is not None
        assert await storage.load(key) is not None
        await self.advance(storage, clock, _REST)
        assert await storage.load(key) is None
        # However it is touched now.
        assert await storage.load(key, ttl=HOUR) is None
        await storage.update_ttl(key, HOUR)
        assert await storage.load(key) is None
        with suppress(SessionGone, SessionConflict):
            updated = await storage.update(key, record, HOUR, revision=updated.revision)
        assert await storage.load(updated.key) is None

    @needs("keyed")
    async def test_what_is_past_its_deadline_takes_no_room(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        keyed = self.keyed_storage(storage)
        for ttl in (HOUR, _MINUTE):
            record = self.new_record(storage, n=1)
            record = dataclasses.replace(record, deadline=storage.clock() + 60)
            stored = await storage.save(record, ttl)
            await storage.update(stored.key, record, HOUR, revision=stored.revision)
            await self.advance(storage, clock, _NEARLY + _REST)
            name = keyed.name_of(stored.key)
            assert name is not None
            assert await keyed.read(name, None) is None
