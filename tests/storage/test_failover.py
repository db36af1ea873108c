"""Redis on several servers: a failover that a Sentinel carries out, and a cluster of three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis.asyncio as redis
from redis.asyncio.sentinel import Sentinel

from aiohttp_sess import Session, SessionConflict
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.storage.redis import RedisStorage

from ..races.lab import GatedStorage, Lab, purge, renew
from ..servers import HOST, RedisServer, Server, start_redis
from .conftest import PATIENCE, until
from .test_redis import HOUR, record, start_sentinel, use

SESSIONS = 60  # so many that no node of three is left without (it would be 1 run in 10 billion)


async def count(session: Session) -> None:
    session.update_value("n", lambda n: n + 1, default=1)


# -- failover -------------------------------------------------------------------------------------


@pytest.fixture
def master() -> Iterator[RedisServer]:
    with start_redis("--repl-diskless-sync-delay", "0") as server:
        yield server


@pytest.fixture
def replica(master: RedisServer) -> Iterator[RedisServer]:
    """It has all that the master has."""
    with start_redis("--replicaof", HOST, str(master.port)) as server:
        until(lambda: b"master_link_status:up" in server.ask(b"INFO replication\r\n", b"\r\n\r\n"))
        yield server


@pytest.fixture
def sentinel(master: RedisServer, replica: RedisServer) -> Iterator[Server]:
    """It knows both, and decides alone, soon."""
    with start_sentinel(master) as server:
        server.ask(
            b"SENTINEL SET main down-after-milliseconds 100 failover-timeout 1000\r\n", b"\r\n"
        )
        until(lambda: b"slaves=1" in server.ask(b"INFO sentinel\r\n", b"\r\n\r\n"))
        yield server


@pytest.fixture
async def watched(sentinel: Server) -> AsyncIterator[RedisStorage]:
    """A storage on whatever server is the master."""
    make: Callable[..., Any] = Sentinel  # redis-py does not type it
    async with AsyncExitStack() as closing:
        asked = make([(sentinel.host, sentinel.port)])
        for one in asked.sentinels:
            closing.push_async_callback(one.aclose)
        client = await closing.enter_async_context(asked.master_for("main"))
        yield RedisStorage(client)


async def test_sessions_outlive_a_failover(
    watched: RedisStorage, master: RedisServer, replica: RedisServer
) -> None:
    async with Lab(GatedStorage(watched)).running() as lab:
        cookie = await lab.begin(n=1)
        ended = await lab.begin(n=1)
        await lab.request(purge, ended)
        other = await lab.begin(n=1)
        stale = await watched.load(SessionKey(other))
        assert stale is not None
        await lab.request(count, other)
        await lab.request(count, cookie)
        slow = await lab.slow(count, cookie)
        # No write is on its way to the replica any more.
        async with redis.from_url(master.url) as client:
            assert await client.wait(1, int(PATIENCE * 1000)) == 1
        master.stop()

        # Nobody is logged out meanwhile: a storage that is down says nothing of a session.
        async with asyncio.timeout(PATIENCE):
            while (reply := await lab.request(count, cookie)).status != 200:
                assert (reply.status, reply.cookies) == (500, [])
                await asyncio.sleep(0.02)

        assert b"role:master" in replica.ask(b"INFO replication\r\n", b"\r\n\r\n")
        assert await lab.state(cookie) == {"n": 3}, "what it was before, and one more"
        assert (await slow.go_on()).status == 200, "it loaded before the failover, and saves after"
        assert await lab.state(cookie) == {"n": 4}
        assert await lab.state(ended) is None
        new = (await lab.request(renew, cookie)).cookie
        assert new
        assert await lab.state(cookie) is None
        assert await lab.state(new) == {"n": 4, "user": "ferris"}
        assert await lab.state(await lab.begin(fresh=True)) == {"fresh": True}
    with pytest.raises(SessionConflict):
        await watched.update(stale.key, record(n=9), HOUR, revision=stale.revision)
    await use(watched)


# -- a cluster ------------------------------------------------------------------------------------


def sizes(nodes: list[RedisServer]) -> list[int]:
    """How many sessions each node has."""
    return [int(node.ask(b"DBSIZE\r\n", b"\r\n").removeprefix(b":")) for node in nodes]


async def test_sessions_on_all_nodes_of_a_cluster(
    cluster: RedisStorage, nodes: list[RedisServer]
) -> None:
    async with Lab(GatedStorage(cluster)).running() as lab:
        cookies = [await lab.begin(number=number) for number in range(SESSIONS)]
        assert sum(sizes(nodes)) == SESSIONS
        assert all(sizes(nodes))

        # Two requests of each race, and both count.
        slow = [await lab.slow(count, cookie) for cookie in cookies]
        for cookie in cookies:
            assert (await lab.request(count, cookie)).status == 200
        assert {(await one.go_on()).status for one in slow} == {200}
        states = [await lab.state(cookie) for cookie in cookies]
        assert states == [{"number": number, "n": 2} for number in range(SESSIONS)]

        new = [(await lab.request(renew, cookie)).cookie or "" for cookie in cookies]
        assert [await lab.state(cookie) for cookie in cookies] == [None] * SESSIONS
        states = [await lab.state(cookie) for cookie in new]
        expected = {"n": 2, "user": "ferris"}
        assert states == [{"number": number, **expected} for number in range(SESSIONS)]
        assert sum(sizes(nodes)) == SESSIONS, "the old ones are gone"

        slow = [await lab.slow(count, cookie) for cookie in new]
        assert [(await lab.request(purge, cookie)).cookie for cookie in new] == [""] * SESSIONS
        late = [await one.go_on() for one in slow]
        assert [(reply.status, reply.cookies) for reply in late] == [(200, [])] * SESSIONS
        assert sizes(nodes) == [0, 0, 0], "nothing was revived"


async def test_many_sessions_at_once_on_a_cluster(
    cluster: RedisStorage, nodes: list[RedisServer]
) -> None:
    await asyncio.gather(*(use(cluster) for _ in range(SESSIONS)))
    assert sizes(nodes) == [0, 0, 0]


async def test_a_session_whose_slot_moves_to_another_node_is_found_there(
    cluster: RedisStorage, nodes: list[RedisServer]
) -> None:
    saved = await cluster.save(record(n=1), HOUR)
    name = cluster.name_of(saved.key)
    assert name is not None
    source = next(node for node, size in zip(nodes, sizes(nodes), strict=True) if size)
    target = nodes[(nodes.index(source) + 1) % 3]

    def ask(node: RedisServer, command: str) -> str:
        return node.ask(f"{command}\r\n".encode(), b"\r\n").decode()

    slot = int(ask(source, f"CLUSTER KEYSLOT {name}").removeprefix(":"))
    ids = {
        node.port: node.ask(b"CLUSTER MYID\r\nPING\r\n", b"+PONG\r\n").decode().split()[1]
        for node in (source, target)
    }
    assert ask(target, f"CLUSTER SETSLOT {slot} IMPORTING {ids[source.port]}") == "+OK\r\n"
    assert ask(source, f"CLUSTER SETSLOT {slot} MIGRATING {ids[target.port]}") == "+OK\r\n"
    saved = await cluster.update(saved.key, record(n=2), HOUR, revision=saved.revision)
    assert ask(source, f'MIGRATE {HOST} {target.port} "{name}" 0 5000') == "+OK\r\n"

    # Half-way, the old node says who to ask; afterwards, where the slot is. One command at a time:
    # redis-py (8.1) may send what is to go with an ASKING on another connection than that.
    for number in (3, 4):
        loaded = await cluster.load(saved.key, ttl=HOUR)
        assert loaded is not None
        assert loaded.record.state == {"n": number - 1}
        saved = await cluster.update(saved.key, record(n=number), HOUR, revision=saved.revision)
        for node in sorted(nodes, key=lambda node: node is not target):
            assert ask(node, f"CLUSTER SETSLOT {slot} NODE {ids[target.port]}") == "+OK\r\n"
    assert await cluster.delete(saved.key, revision=saved.revision) is True
    assert sizes(nodes) == [0, 0, 0]
