"""What happens to sessions in the middle of a call that is about all of an owner's."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from aiohttp_sess import SessionRecord, StoredRecord
from aiohttp_sess.record import new_id
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.storage.indexed import IndexedStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import RedisServer

HOUR = timedelta(hours=1)


class Meanwhile(IndexedStorage):
    """Does something else right before it reads records, or removes them, once."""

    meanwhile: dict[str, Callable[[], Awaitable[object]]]

    async def _do(self, when: str) -> None:
        work = self.meanwhile.pop(when, None)
        if work is not None:
            await work()

    async def read_all(self, names: Sequence[str]) -> Any:
        await self._do("read")
        return await super().read_all(names)  # type: ignore[safe-super]  # of the storage beside

    async def remove_all(self, names: Sequence[str]) -> Any:
        await self._do("remove")
        return await super().remove_all(names)  # type: ignore[safe-super]  # of the storage beside


class InMemory(Meanwhile, MemoryStorage):
    pass


class InRedis(Meanwhile, RedisStorage):
    pass


@pytest.fixture(params=["memory", "redis"])
async def storage(
    request: pytest.FixtureRequest, redis_server: RedisServer
) -> AsyncIterator[Meanwhile]:
    storage: Meanwhile
    if request.param == "memory":
        storage = InMemory()
    else:
        storage = InRedis.from_url(redis_server.url, key_prefix=f"i-{secrets.token_hex(8)}:")
    storage.meanwhile = {}
    yield storage
    await storage.close()


async def log_in(storage: Meanwhile) -> StoredRecord:
    return await storage.save(SessionRecord({"n": 1}, owner="ferris", cookie="id"), HOUR)


async def renewed(storage: Meanwhile, old: StoredRecord) -> StoredRecord:
    """A whole renewal."""
    new = await storage.renew(old, dataclasses.replace(old.record, id=new_id()), HOUR)
    assert await storage.delete(old.key, revision=old.revision)
    return new


async def ids(storage: Meanwhile) -> set[str]:
    return {each.record.id for each in await storage.sessions_of("ferris", "id")}


async def test_a_renewal_while_the_list_is_made(storage: Meanwhile) -> None:
    """The session is in the list, under the one id or the other."""
    old, other = await log_in(storage), await log_in(storage)
    new: list[StoredRecord] = []

    async def renewal() -> None:
        new.append(await renewed(storage, old))

    storage.meanwhile["read"] = renewal
    listed = await ids(storage)
    assert listed == {new[0].record.id, other.record.id}


@pytest.mark.parametrize("when", ["read", "remove"])
@pytest.mark.parametrize("named", [False, True])
async def test_a_renewal_while_all_end(storage: Meanwhile, when: str, named: bool) -> None:
    """ASVS 7.4.2: it does not slip through. One that is named does, if it was renewed before it was
    looked at: its id is nobody's any more.
    """
    old = await log_in(storage)
    new: list[StoredRecord] = []

    async def renewal() -> None:
        new.append(await renewed(storage, old))

    storage.meanwhile[when] = renewal
    await storage.end_sessions("ferris", "id", ids=[old.record.id] if named else None)
    assert new
    alive = await storage.load(new[0].key) is not None
    assert alive is (named and when == "read")


async def test_a_chain_of_renewals_while_all_end(storage: Meanwhile) -> None:
    """Each time that the call is about to remove the last."""
    last = await log_in(storage)
    left = 5

    async def renewal() -> None:
        nonlocal last, left
        last = await renewed(storage, last)
        left -= 1
        if left:
            storage.meanwhile["remove"] = renewal

    storage.meanwhile["remove"] = renewal
    await storage.end_sessions("ferris", "id")
    assert left == 0
    assert await storage.load(last.key) is None
    assert await ids(storage) == set()


@pytest.mark.parametrize("when", ["read", "remove"])
async def test_a_login_while_all_end(storage: Meanwhile, when: str) -> None:
    """One that begins after the call is not ended, also if the call looks again."""
    old = await log_in(storage)
    later: list[StoredRecord] = []

    async def renewal_and_login() -> None:
        await renewed(storage, old)
        later.append(await log_in(storage))

    storage.meanwhile[when] = renewal_and_login
    assert len(await storage.end_sessions("ferris", "id")) == 1
    assert await ids(storage) == {later[0].record.id}


async def test_a_renewal_of_the_kept_one_while_the_others_end(storage: Meanwhile) -> None:
    kept = await log_in(storage)
    others = [await log_in(storage) for _ in range(2)]
    new: list[StoredRecord] = []

    async def renewal() -> None:
        new.append(await renewed(storage, kept))

    storage.meanwhile["remove"] = renewal
    ended = await storage.end_sessions("ferris", "id", keep=kept.record.id)
    assert set(ended) == {each.record.id for each in others}
    assert await ids(storage) == {new[0].record.id}


@pytest.mark.parametrize("refuse", [False, True])
async def test_a_renewal_while_sessions_are_counted(storage: Meanwhile, refuse: bool) -> None:
    """ASVS 7.1.2: it is neither missed nor counted twice."""
    old, other = await log_in(storage), await log_in(storage)
    third = await log_in(storage)
    new: list[StoredRecord] = []

    async def renewal() -> None:
        new.append(await renewed(storage, old))

    storage.meanwhile["read"] = renewal
    ended = await storage.limit_sessions(third, 2, refuse=refuse)
    if refuse:
        assert ended is None
    else:
        assert ended is not None and set(ended) == {new[0].record.id}
        assert await ids(storage) == {other.record.id, third.record.id}


async def test_a_session_that_is_logged_out_and_in_again_is_the_latest(storage: Meanwhile) -> None:
    """By one request, which knows what it wrote itself and reads nothing."""
    first, second = await log_in(storage), await log_in(storage)
    for owner in (None, "ferris"):
        record = dataclasses.replace(first.record, owner=owner)
        first = await storage.update(first.key, record, HOUR, revision=first.revision)
    listed = await storage.sessions_of("ferris", "id")
    assert [each.record.id for each in listed] == [second.record.id, first.record.id]


async def test_a_session_that_is_renewed_before_the_oldest_ends(storage: Meanwhile) -> None:
    old, other = await log_in(storage), await log_in(storage)
    third = await log_in(storage)

    async def renewal() -> None:
        await renewed(storage, old)

    storage.meanwhile["remove"] = renewal
    await storage.limit_sessions(third, 2, refuse=False)
    assert await ids(storage) == {other.record.id, third.record.id}
