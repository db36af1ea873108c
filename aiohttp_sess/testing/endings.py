"""How the sessions of one owner end: all of them, some, or the oldest."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from ..record import new_id
from ..storage.interface import AbstractStorage
from .capabilities import HOUR, needs
from .clock import FakeClock
from .owners import COOKIE, OwnerCases

__all__ = ("EndingCases",)

_MANY = 20


class EndingCases(OwnerCases):
    """ASVS 7.4.2, 7.4.3, 7.4.5, 7.5.2: end all, other or single sessions of a user; 7.1.2: a limit
    to how many there are.
    """

    # -- ending -----------------------------------------------------------------------------------

    @needs("ends_all_sessions")
    async def test_all_sessions_of_an_owner_end(self, storage: AbstractStorage) -> None:
        """ASVS 7.4.2, 7.4.5."""
        mine = [await self.log_in(storage) for _ in range(3)]
        crab = await self.log_in(storage, "crab")
        other_kind = dataclasses.replace(crab.record, owner="ferris", cookie="staff", id=new_id())
        staff = await storage.save(other_kind, HOUR)
        ended = await storage.end_sessions("ferris", COOKIE)
        assert ended is None or set(ended) == {each.record.id for each in mine}
        for each in mine:
            await self.is_over(storage, each)
        assert await storage.load(crab.key) is not None
        assert await storage.load(staff.key) is not None
        again = await storage.end_sessions("ferris", COOKIE)
        assert again is None or not again

    @needs("ends_all_sessions")
    async def test_a_login_after_that_is_a_session(self, storage: AbstractStorage) -> None:
        await self.log_in(storage)
        await storage.end_sessions("ferris", COOKIE)
        later = await self.log_in(storage)
        loaded = await self.found(storage, later.key)
        assert loaded.record == later.record
        await storage.update(later.key, later.record, HOUR, revision=loaded.revision)

    @needs("ends_all_sessions")
    async def test_all_but_one(self, storage: AbstractStorage) -> None:
        """ASVS 7.4.3: all other sessions."""
        kept, *others = [await self.log_in(storage) for _ in range(3)]
        for _ in range(2):
            await storage.end_sessions("ferris", COOKIE, keep=kept.record.id)
            for each in others:
                await self.is_over(storage, each)
            loaded = await self.found(storage, kept.key)
            kept = await storage.update(kept.key, kept.record, HOUR, revision=loaded.revision)
        new = await self.renew(storage, kept)
        assert await storage.delete(kept.key, revision=kept.revision) is True
        assert await storage.load(new.key) is not None
        await storage.end_sessions("ferris", COOKIE)
        await self.is_over(storage, new)

    @needs("ends_all_sessions")
    async def test_one_that_is_over_is_not_kept(self, storage: AbstractStorage) -> None:
        ended = await self.log_in(storage)
        await storage.end_sessions("ferris", COOKIE)
        later = await self.log_in(storage)
        await storage.end_sessions("ferris", COOKIE, keep=ended.record.id)
        await self.is_over(storage, ended)
        await self.is_over(storage, later)

    @needs("ends_all_sessions")
    async def test_a_renewal_that_is_under_way_ends_too(self, storage: AbstractStorage) -> None:
        """ASVS 7.4.2, while a request runs."""
        old = await self.log_in(storage)
        new = await self.renew(storage, old)
        await storage.end_sessions("ferris", COOKIE)
        assert await storage.load(new.key) is None
        assert await storage.delete(old.key, revision=old.revision) is False
        # And one that only begins to save, for a session that is over.
        new = await self.renew(storage, old)
        assert await storage.delete(old.key, revision=old.revision) is False

    @needs("lists_sessions")
    async def test_those_that_are_named(self, storage: AbstractStorage) -> None:
        """ASVS 7.5.2: single sessions; and nobody else's."""
        one, two, three = [await self.log_in(storage) for _ in range(3)]
        crab = await self.log_in(storage, "crab")
        ids = {one.record.id, crab.record.id, two.record.id, "unknown"}
        ended = await storage.end_sessions("ferris", COOKIE, ids=ids, keep=two.record.id)
        assert ended is not None and set(ended) == {one.record.id}
        await self.is_over(storage, one)
        assert await self.ids(storage) == [two.record.id, three.record.id]
        assert await storage.load(crab.key) is not None
        ended = await storage.end_sessions("ferris", COOKIE, ids=[])
        assert ended is not None and not ended

    # -- a limit ----------------------------------------------------------------------------------

    @needs("lists_sessions")
    async def test_the_oldest_login_ends(self, storage: AbstractStorage) -> None:
        """ASVS 7.1.2."""
        first, second = await self.log_in(storage), await self.log_in(storage)
        third = await self.renew(storage, first)  # under way: no other login
        assert await storage.limit_sessions(third, 2, refuse=False) == set()
        await storage.delete(first.key, revision=first.revision)
        assert await storage.limit_sessions(third, 2, refuse=True) == set()
        fourth = await self.log_in(storage)
        ended = await storage.limit_sessions(fourth, 2, refuse=False)
        assert ended is not None and set(ended) == {third.record.id}
        assert await self.ids(storage) == [second.record.id, fourth.record.id]

    @needs("lists_sessions")
    async def test_a_login_too_many_is_refused(
        self, storage: AbstractStorage, clock: FakeClock
    ) -> None:
        """ASVS 7.1.2: but what has ended or expired does not count."""
        sessions = [await self.log_in(storage) for _ in range(3)]
        assert await storage.limit_sessions(sessions[2], 3, refuse=True) == set()
        fourth = await self.log_in(storage)
        assert await storage.limit_sessions(fourth, 3, refuse=True) is None
        await storage.update_ttl(sessions[0].key, timedelta(seconds=60))
        await self.advance(storage, clock, 120)
        assert await storage.limit_sessions(fourth, 3, refuse=True) == set()
        assert len(await self.ids(storage)) == 3

    @needs("lists_sessions")
    @pytest.mark.parametrize("refuse", [False, True])
    async def test_logins_at_once_keep_the_limit(
        self, storage: AbstractStorage, refuse: bool
    ) -> None:
        """ASVS 7.1.2: also with parallel logins."""

        async def try_it() -> bool:
            new = await self.log_in(storage)
            ended = await storage.limit_sessions(new, 3, refuse=refuse)
            if ended is None:
                await storage.delete(new.key)
            return ended is not None

        admitted = await asyncio.gather(*(try_it() for _ in range(_MANY)))
        assert len(await self.ids(storage)) == 3
        assert sum(admitted) == (3 if refuse else _MANY)
