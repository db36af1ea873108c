"""What a storage promises of the sessions of one owner, if it claims to know them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from ..errors import SessionGone
from ..record import SessionRecord, new_id
from ..storage.interface import AbstractStorage, ListedRecord, SessionKey, StoredRecord
from .capabilities import HOUR, Capabilities, needs
from .clock import FakeClock

__all__ = ("COOKIE", "OwnerCases")

COOKIE = "visitors"


class OwnerCases(Capabilities):
    """ASVS 7.5.2: a user can see which sessions there are."""

    async def log_in(
        self, storage: AbstractStorage, owner: str = "ferris", *, label: str | None = None
    ) -> StoredRecord:
        """A session of an owner."""
        created = storage.clock()
        record = SessionRecord({"n": 1}, created, owner=owner, cookie=COOKIE, label=label)
        return await storage.save(dataclasses.replace(record, authenticated=created + 1), HOUR)

    async def renew(self, storage: AbstractStorage, old: StoredRecord) -> StoredRecord:
        """The first half of a renewal: the old record is still there."""
        return await storage.renew(old, dataclasses.replace(old.record, id=new_id()), HOUR)

    async def listed(self, storage: AbstractStorage, owner: str = "ferris") -> list[ListedRecord]:
        """The sessions of an owner."""
        return await storage.sessions_of(owner, COOKIE)

    async def ids(self, storage: AbstractStorage, owner: str = "ferris") -> list[str]:
        """Their public ids."""
        return [each.record.id for each in await self.listed(storage, owner)]

    async def is_over(self, storage: AbstractStorage, stored: StoredRecord) -> None:
        """Whatever is done to a session that was ended, it stays ended."""
        key, record, revision = stored
        assert await storage.load(key) is None
        with pytest.raises(SessionGone):
            await storage.update(key, record, HOUR, revision=revision)
        assert await storage.update_ttl(key, HOUR) is None
        assert await storage.load(key, ttl=HOUR) is None
        assert await storage.delete(key, revision=revision) is False
        assert await storage.load(key) is None

    # -- listing ----------------------------------------------------------------------------------

    @needs("lists_sessions")
    async def test_the_sessions_of_an_owner(self, storage: AbstractStorage) -> None:
        """ASVS 7.5.2."""
        mine = [await self.log_in(storage, label=f"browser {n}") for n in range(3)]
        await self.log_in(storage, "crab")
        other_kind = dataclasses.replace(mine[0].record, cookie="staff", id=new_id())
        await storage.save(other_kind, HOUR)
        listed = await self.listed(storage)
        expected = [dataclasses.replace(each.record, state={}) for each in mine]
        assert [each.record for each in listed] == expected, "in the order of their logins"
        for each in listed:
            if each.expires is not None:
                assert abs(each.expires - storage.clock() - 3600) < 5
        assert await self.listed(storage, "nobody") == []

    @needs("lists_sessions")
    async def test_what_is_listed_is_no_key(self, storage: AbstractStorage) -> None:
        """ASVS 7.5.2: nothing in the list opens a session."""
        stored = await self.log_in(storage)
        (listed,) = await self.listed(storage)
        assert stored.key.value not in repr(listed)
        assert stored.key.digest not in repr(listed)
        assert await storage.load(SessionKey(listed.record.id)) is None

    @needs("lists_sessions")
    async def test_what_has_ended_is_not_listed(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        purged, expired, deadline, alive = [await self.log_in(storage) for _ in range(4)]
        now = storage.clock()
        soon = dataclasses.replace(deadline.record, deadline=now + 60)
        await storage.update(deadline.key, soon, HOUR, revision=deadline.revision)
        await storage.delete(purged.key)
        await storage.update_ttl(expired.key, timedelta(seconds=60))
        await self.advance(storage, clock, 120)
        assert await self.ids(storage) == [alive.record.id]
        await self.advance(storage, clock, 3600)
        assert await self.ids(storage) == []

    @needs("lists_sessions")
    async def test_a_session_that_goes_on_is_listed_once(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        """For longer than the TTL that it began with, however it is extended."""
        written = await self.log_in(storage)
        touched, loaded = await self.log_in(storage), await self.log_in(storage)
        for _ in range(3):
            await self.advance(storage, clock, 2400)
            again = await self.found(storage, written.key)
            await storage.update(again.key, again.record, HOUR, revision=again.revision)
            await self.found(storage, touched.key)
            await storage.update_ttl(touched.key, HOUR)
            await self.found(storage, loaded.key, ttl=HOUR)
        expected = {written.record.id, touched.record.id, loaded.record.id}
        ids = await self.ids(storage)
        assert len(ids) == 3 and set(ids) == expected

    @needs("lists_sessions")
    async def test_an_owner_that_is_set_changed_or_taken_away(
        self, storage: AbstractStorage
    ) -> None:
        record = SessionRecord(created=storage.clock(), cookie=COOKIE)
        stored = await storage.save(record, HOUR)
        for owner in ("ferris", "crab", None, "ferris"):
            changed = dataclasses.replace(record, owner=owner)
            stored = await storage.update(stored.key, changed, HOUR, revision=stored.revision)
            for name in ("ferris", "crab"):
                assert await self.ids(storage, name) == ([record.id] if name == owner else [])
        await storage.end_sessions("crab", COOKIE)
        assert await storage.load(stored.key) is not None
        await storage.end_sessions("ferris", COOKIE)
        assert await storage.load(stored.key) is None

    @needs("lists_sessions")
    async def test_a_renewal_is_no_other_login(self, storage: AbstractStorage) -> None:
        first, second = await self.log_in(storage), await self.log_in(storage)
        new = await self.renew(storage, first)
        assert await storage.delete(first.key, revision=first.revision)
        assert await self.ids(storage) == [new.record.id, second.record.id]
