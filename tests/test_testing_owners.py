"""The acceptance suite finds what is wrong with the sessions of an owner."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, ClassVar

import pytest

from aiohttp_sess import SessionError, StoredRecord
from aiohttp_sess.storage import AbstractStorage, ListedRecord, MemoryStorage
from aiohttp_sess.storage.members import Member
from aiohttp_sess.testing import FakeClock, StorageSuite


class _Claims(StorageSuite):  # pytest collects it under no such name
    lists_sessions: ClassVar[bool] = True
    ends_all_sessions: ClassVar[bool] = True


class ListsEverybody(MemoryStorage):
    def index_of(self, owner: str, cookie: str) -> str:
        return super().index_of("everybody", cookie)

    async def sessions_of(self, owner: str, cookie: str) -> list[ListedRecord]:
        return await super().sessions_of("ferris", cookie)


class NewestFirst(MemoryStorage):
    async def sessions_of(self, owner: str, cookie: str) -> list[ListedRecord]:
        return list(reversed(await super().sessions_of(owner, cookie)))


class ForgetsOwnersOfUpdates(MemoryStorage):
    async def stay(self, index: str, digest: str, ttl: float) -> None:
        pass

    async def together(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        for call in calls:
            call.close()
        return [1.0] * len(calls)


class RenewsAsALogin(MemoryStorage):
    async def renew(self, old: StoredRecord, *args: Any, contested: bool = False) -> StoredRecord:
        return await self.save(*args)


class EndsNobody(MemoryStorage):
    async def remove_all(self, names: Sequence[str]) -> Sequence[bool]:
        return [True] * len(names)

    async def members(self, index: str) -> tuple[float, list[Member]]:
        now, members = await super().members(index)
        self.looks = getattr(self, "looks", 0) + 1
        return now, [] if self.looks > 1 else members


class KeepsNobody(MemoryStorage):
    async def end_sessions(
        self,
        owner: str,
        cookie: str,
        *,
        keep: str | None = None,
        ids: Collection[str] | None = None,
    ) -> Collection[str]:
        return await super().end_sessions(owner, cookie, ids=ids)


class EndsWhoeverIsNamed(MemoryStorage):
    async def end_sessions(self, owner: str, cookie: str, **options: Any) -> Collection[str]:
        ended = await super().end_sessions("crab", cookie, **options)
        return {*ended, *await super().end_sessions(owner, cookie, **options)}


class NoLimit(MemoryStorage):
    async def limit_sessions(
        self, new: StoredRecord, limit: int, *, refuse: bool, contested: bool = False
    ) -> Collection[str] | None:
        return set()


class CountsTheDead(MemoryStorage):
    async def limit_sessions(
        self, new: StoredRecord, limit: int, *, refuse: bool, contested: bool = False
    ) -> Collection[str] | None:
        return None if refuse else set()


@pytest.mark.parametrize(
    ("storage", "test"),
    [
        (ListsEverybody, "the_sessions_of_an_owner"),
        (NewestFirst, "the_sessions_of_an_owner"),
        (ForgetsOwnersOfUpdates, "an_owner_that_is_set_changed_or_taken_away"),
        (RenewsAsALogin, "a_renewal_is_no_other_login"),
        (RenewsAsALogin, "the_oldest_login_ends"),
        (EndsNobody, "all_sessions_of_an_owner_end"),
        (KeepsNobody, "all_but_one"),
        (KeepsNobody, "those_that_are_named"),
        (EndsWhoeverIsNamed, "those_that_are_named"),
        (NoLimit, "the_oldest_login_ends"),
        (NoLimit, "a_login_too_many_is_refused"),
        (CountsTheDead, "a_login_too_many_is_refused"),
    ],
)
async def test_the_suite_finds_what_is_broken(
    storage: type[MemoryStorage], test: str, clock: FakeClock
) -> None:
    await run(test, MemoryStorage(clock=clock), clock)
    with pytest.raises((AssertionError, SessionError, pytest.fail.Exception)):
        await run(test, storage(clock=clock), clock)


async def run(test: str, storage: AbstractStorage, clock: FakeClock) -> None:
    """One test of the suite on a storage, without a pytest around it."""
    method = getattr(_Claims(), f"test_{test}")
    given = {"storage": storage, "clock": clock}
    await method(**{name: given[name] for name in inspect.signature(method).parameters})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_what_is_not_claimed_is_left_out() -> None:
    """And is there again in a class that claims it, and not where it was taken out by hand."""
    name = "test_the_sessions_of_an_owner"

    class ByHand(StorageSuite):
        test_the_sessions_of_an_owner = None  # type: ignore[assignment]

    class Again(ByHand):
        lists_sessions = True

    assert [getattr(each, name) is None for each in (StorageSuite, _Claims, ByHand, Again)] == [
        True, False, True, True,
    ]  # fmt: skip


async def test_a_claim_that_the_storage_does_not_make() -> None:
    class Plain(MemoryStorage):
        lists_sessions = False

    with pytest.raises(AssertionError, match="lists_sessions"):
        await _Claims().test_the_storage_is_what_the_suite_was_told(Plain())
