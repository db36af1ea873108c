"""The index of an owner's sessions in Redis: how long it lives, lost, and out of date."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import redis.asyncio as redis

from aiohttp_sess import SessionRecord, StorageUnavailable, StoredRecord
from aiohttp_sess.storage import Version
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.storage.seen import LOOK_EVERY
from aiohttp_sess.testing import FakeClock

from ..servers import RedisServer, start_redis

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def storage(redis_server: RedisServer, clock: FakeClock) -> AsyncIterator[RedisStorage]:
    prefix = f"owners-{secrets.token_hex(8)}:"
    storage = RedisStorage.from_url(redis_server.url, key_prefix=prefix, clock=clock)
    yield storage
    await storage.close()


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    async with redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


async def log_in(storage: RedisStorage, ttl: timedelta = HOUR, **state: Any) -> StoredRecord:
    record = SessionRecord(state, created=storage.clock(), owner="ferris", cookie="id")
    return await storage.save(record, ttl)


async def ids(storage: RedisStorage) -> set[str]:
    return {each.record.id for each in await storage.sessions_of("ferris", "id")}


async def chores(storage: RedisStorage) -> None:
    """Let what is done beside the requests be done."""
    await storage.finish()


async def index(storage: RedisStorage) -> str:
    return storage.index_of("ferris", "id")


async def test_an_index_names_no_key(storage: RedisStorage, client: Any) -> None:
    stored = await log_in(storage)
    name = await index(storage)
    assert "ferris" not in name
    members = await client.zrange(name, 0, -1)
    assert members == [stored.key.digest]


async def test_an_index_lives_longer_than_its_sessions_and_not_for_ever(
    storage: RedisStorage, client: Any
) -> None:
    name = await index(storage)
    await log_in(storage)
    hour = await client.pttl(name)
    assert 3_600_000 < hour < 2 * 3_600_000
    await log_in(storage, timedelta(days=2))
    assert await client.pttl(name) > 2 * 24 * 3_600_000
    before = await client.pttl(name)
    await log_in(storage, timedelta(minutes=1))
    assert before - 60_000 < await client.pttl(name) <= before, "it is never cut short"


@pytest.mark.parametrize("extend", ["load", "update", "update_ttl"])
async def test_an_index_lives_as_long_as_a_session_goes_on(
    storage: RedisStorage, client: Any, clock: FakeClock, extend: str
) -> None:
    stored, name = await log_in(storage), await index(storage)
    await client.pexpire(name, 5_000)
    clock.advance(LOOK_EVERY)
    await extended(storage, stored, extend)
    await chores(storage)
    assert await client.pttl(name) > 3_600_000


@pytest.mark.parametrize("extend", ["load", "update", "update_ttl"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_lost_index_loses_no_session(
    storage: RedisStorage,
    client: Any,
    clock: FakeClock,
    extend: str,
    elsewhere: bool,
    redis_server: RedisServer,
) -> None:
    """It goes on, and is in the index again when its TTL starts anew: at once in another process,
    in this one when a few minutes have gone by.
    """
    stored = await log_in(storage)
    await client.delete(await index(storage))
    assert await ids(storage) == set()
    assert await storage.load(stored.key) is not None
    other = storage
    if elsewhere:
        other = RedisStorage.from_url(redis_server.url, key_prefix=storage.key_prefix, clock=clock)
    else:
        clock.advance(LOOK_EVERY)
    await extended(other, stored, extend)
    await other.finish()
    assert await ids(storage) == {stored.record.id}
    if elsewhere:
        await other.close()


async def extended(storage: RedisStorage, stored: StoredRecord, how: str) -> None:
    """Its TTL starts anew, as a request does that."""
    loaded = await storage.load(stored.key, ttl=HOUR if how == "load" else None)
    assert loaded is not None
    if how == "update":
        await storage.update(loaded.key, loaded.record, HOUR, revision=loaded.revision)
    elif how == "update_ttl":
        await storage.update_ttl(loaded.key, HOUR)


async def test_what_is_gone_goes_from_the_index(storage: RedisStorage, client: Any) -> None:
    """Where it was met; and where nobody lists anything, as the index grows."""
    name = await index(storage)
    alive = await log_in(storage)
    for _ in range(200):
        stored = await log_in(storage)
        await client.delete(storage.name_of(stored.key))  # evicted: nobody is told
    await chores(storage)
    assert await client.zcard(name) < 100
    assert await ids(storage) == {alive.record.id}
    assert await client.zcard(name) == 1
    await storage.delete(alive.key)
    await chores(storage)
    assert await client.exists(name) == 0


async def test_evicted_sessions_leave_room_for_others(storage: RedisStorage, client: Any) -> None:
    """ASVS 7.1.2: before a login is refused, or one ended, it is seen who is there."""
    gone, *there = [await log_in(storage) for _ in range(3)]
    await client.delete(storage.name_of(gone.key))
    assert await storage.limit_sessions(there[1], 2, refuse=True) == set()
    assert await storage.limit_sessions(there[1], 2, refuse=False) == set()
    assert await ids(storage) == {each.record.id for each in there}


async def test_a_login_of_which_nobody_heard_again_counts(
    storage: RedisStorage, client: Any, clock: FakeClock
) -> None:
    """ASVS 7.1.2: a process died when it was written, and before it had a number."""
    name, stored = await index(storage), await log_in(storage)
    login = await client.zscore(name, stored.key.digest)
    await client.zadd(name, {stored.key.digest: -login})
    second = await log_in(storage)
    assert await storage.limit_sessions(second, 1, refuse=True) == set(), "it is under way"
    await client.zadd(name, {stored.key.digest: -login + 60e6})
    assert await storage.limit_sessions(second, 1, refuse=True) is None
    assert await storage.end_sessions("ferris", "id") == {stored.record.id, second.record.id}


async def test_an_index_that_is_lost_while_a_login_is_written(
    storage: RedisStorage, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is a limit. Elsewhere it is in the index again when its TTL next starts anew."""
    storage.counts_logins = True
    name, record = await index(storage), SessionRecord(owner="ferris", cookie="id")
    stored = await storage.save(dataclasses.replace(record, owner=None), HOUR)
    replace = storage.replace

    async def lost(name_of_record: str, value: bytes, ttl: float, version: Version) -> bool:
        await client.delete(name)
        return await replace(name_of_record, value, ttl, version)

    monkeypatch.setattr(storage, "replace", lost)
    await storage.update(stored.key, record, HOUR, revision=stored.revision)
    assert await ids(storage) == {record.id}
    assert await client.pttl(name) > 0


async def test_a_record_that_cannot_be_read_ends_too(storage: RedisStorage, client: Any) -> None:
    """It may be of a later version, and its session goes on elsewhere."""
    stored = await log_in(storage)
    await client.set(storage.name_of(stored.key), "x" * 80 + "[3]", px=60_000)
    assert await ids(storage) == set()
    await storage.end_sessions("ferris", "id", ids=[stored.record.id])
    assert await client.exists(storage.name_of(stored.key)) == 1
    await storage.end_sessions("ferris", "id")
    assert await client.exists(storage.name_of(stored.key)) == 0


# -- faults ---------------------------------------------------------------------------------------


async def test_a_login_that_cannot_enter_the_index_fails(
    storage: RedisStorage, client: Any
) -> None:
    """And leaves no session that nobody would find."""
    name = await index(storage)
    await client.set(name, "no sorted set", px=60_000)
    with pytest.raises(StorageUnavailable):
        await log_in(storage)
    assert await client.keys(f"{storage.key_prefix}*") == [name]


async def test_a_session_goes_on_where_its_index_does_not(
    storage: RedisStorage, client: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    stored = await log_in(storage)
    await client.delete(await index(storage))
    await client.set(await index(storage), "no sorted set", px=60_000)
    clock.advance(LOOK_EVERY)
    with caplog.at_level(logging.WARNING, "aiohttp_sess"):
        await extended(storage, stored, "update")
        await chores(storage)
    assert "not brought up to date" in caplog.text
    assert stored.key.value not in caplog.text and stored.key.digest not in caplog.text


async def test_scripts_that_redis_forgot_are_sent_again(storage: RedisStorage, client: Any) -> None:
    await log_in(storage)
    await client.script_flush()
    stored = await log_in(storage)
    await client.script_flush()
    assert stored.record.id in await ids(storage)


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 2}, {"protocol": 3}])
async def test_whatever_the_client_is_like(
    redis_server: RedisServer, options: dict[str, Any]
) -> None:
    async with redis.from_url(redis_server.url, **options) as client:
        storage = RedisStorage(client, key_prefix=f"client-{secrets.token_hex(8)}:")
        first = await log_in(storage)
        second = await storage.renew(first, dataclasses.replace(first.record, id="second"), HOUR)
        await storage.delete(first.key, revision=first.revision)
        assert await ids(storage) == {"second"}
        assert await storage.end_sessions("ferris", "id") == {"second"}
        assert await storage.load(second.key) is None
        await storage.close()


async def test_the_servers_clock_is_set_back() -> None:
    """Logins keep their order, and those before a call are ended by it."""
    with start_redis() as server:
        storage = RedisStorage.from_url(server.url)
        first = await log_in(storage)
        async with redis.from_url(server.url) as client:
            future = (time.time() + 3600) * 1_000_000
            await client.zadd(await index(storage), {first.key.digest: future})
        second = await log_in(storage)
        listed = await storage.sessions_of("ferris", "id")
        assert [each.record for each in listed] == [
            dataclasses.replace(each.record, state={}) for each in (first, second)
        ]
        assert len(await storage.end_sessions("ferris", "id")) == 2
        await storage.close()


async def test_announcements_have_numbers_of_their_own_when_the_clock_is_set_back(
    storage: RedisStorage, client: Any
) -> None:
    """Or two logins would be one."""
    name = await index(storage)
    await client.zadd(name, {"x" * 64: (time.time() + 3600) * 1_000_000})
    announced = [await storage.announce(name, digest * 64, 60.0) for digest in "ab"]
    logins = [
        await storage.log_in(name, digest * 64, number)
        for digest, number in zip("ab", announced, strict=True)
    ]
    assert len({*announced, *logins}) == 4


async def test_an_announcement_when_the_clock_is_set_back_is_before_what_comes_after_it(
    storage: RedisStorage, client: Any
) -> None:
    """So all sessions end that were there, also one whose login was not heard of again."""
    name = await index(storage)
    await client.zadd(name, {"x" * 64: (time.time() + 3600) * 1_000_000})
    announced = await storage.announce(name, "a" * 64, 60.0)
    now, _ = await storage.members(name)
    assert -announced <= now < await storage.enter(name, "b" * 64, 60.0)


async def test_more_dead_members_of_one_login_than_a_page_has(
    storage: RedisStorage, client: Any
) -> None:
    """As many renewals leave them whose ends were never told to the index."""
    first = await log_in(storage)
    name = await index(storage)
    login = await client.zscore(name, first.key.digest)
    await client.zadd(name, {f"{number:064x}": login for number in range(1700)})
    later = [await log_in(storage) for _ in range(2)]
    await chores(storage)
    await client.zadd(name, {f"{number:064x}": login for number in range(1700)})
    _, members = await storage.members(name)
    assert len(members) == 1703
    assert await ids(storage) == {each.record.id for each in (first, *later)}
    assert await client.zcard(name) == 3
