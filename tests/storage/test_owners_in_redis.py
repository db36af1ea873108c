"""The index of an owner's sessions in Redis: on one server and on a cluster, lost and repaired."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import timedelta
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import redis.asyncio as redis

from aiohttp_sess import SessionRecord
from aiohttp_sess.storage import AbstractStorage
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.testing import FakeClock
from aiohttp_sess.testing.endings import EndingCases

from ..servers import RedisServer
from .test_redis_index import chores, ids, log_in

HOUR = timedelta(hours=1)
MANY = 10_000


class TestCluster(EndingCases):
    """The index is on another node than most of its records."""

    lists_sessions: ClassVar[bool] = True
    ends_all_sessions: ClassVar[bool] = True

    @pytest.fixture
    def storage(
        self, cluster: RedisStorage, nodes: list[RedisServer], clock: FakeClock
    ) -> RedisStorage:
        self.nodes = nodes
        cluster.clock = cluster._seen._clock = clock
        return cluster

    async def advance(self, storage: AbstractStorage, clock: FakeClock, seconds: float) -> None:
        await super().advance(storage, clock, seconds)
        for node in self.nodes:
            async with redis.from_url(node.url) as client:
                for name in await client.keys():
                    left = await client.pttl(name)
                    await client.pexpire(name, int(left - seconds * 1000))

    async def test_its_sessions_are_on_all_nodes(self, storage: AbstractStorage) -> None:
        await asyncio.gather(*(self.log_in(storage) for _ in range(60)))
        for node in self.nodes:
            assert int(node.ask(b"DBSIZE\r\n", b"\r\n").removeprefix(b":")) > 1
        ended = await storage.end_sessions("ferris", "visitors")
        assert ended is not None and len(ended) == 60
        for node in self.nodes:
            assert node.ask(b"DBSIZE\r\n", b"\r\n") == b":0\r\n"


# -- what it costs --------------------------------------------------------------------------------


class Counting(RedisStorage):
    """Counts the commands that leave."""

    sent: list[str]

    async def _ask(self, *command: Any, **options: Any) -> Any:
        self.sent.append(command[0])
        return await super()._ask(*command, **options)

    def counted(self) -> list[str]:
        """Those since the last time."""
        sent, self.sent = self.sent, []
        return [name.replace("EVALSHA", "EVAL") for name in sent]


async def test_what_an_owner_costs(redis_server: RedisServer) -> None:
    """A login one more command; what comes after it, none."""
    storage = Counting.from_url(redis_server.url, key_prefix=f"count-{secrets.token_hex(8)}:")
    storage.sent = []
    free = await storage.save(SessionRecord(cookie="id"), HOUR)
    assert storage.counted() == ["SET"]
    mine = await log_in(storage)
    assert storage.counted() == ["SET", "EVAL"]
    for stored, last in ((free, ["DEL"]), (mine, ["DEL", "ZREM"])):
        for _ in range(2):
            loaded = await storage.load(stored.key)
            assert loaded is not None
            await storage.load(stored.key, ttl=HOUR)
            await storage.update_ttl(stored.key, HOUR)
            await storage.update(loaded.key, loaded.record, HOUR, revision=loaded.revision)
            assert storage.counted() == ["GET", "GETEX", "GETEX", "EVAL"]
        await storage.delete(stored.key)
        await chores(storage)
        assert storage.counted() == last, "beside the request"
    await storage.close()


async def test_ten_thousand_sessions_end_in_one_call(redis_server: RedisServer) -> None:
    """Neither the event loop nor Redis waits for it."""
    storage = RedisStorage.from_url(redis_server.url, key_prefix=f"many-{secrets.token_hex(8)}:")
    for _ in range(MANY // 500):
        await asyncio.gather(*(log_in(storage, page="x" * 200) for _ in range(500)))
    redis_server.ask(b"CONFIG SET slowlog-log-slower-than 50000\r\nSLOWLOG RESET\r\n", b"+OK\r\n")
    turns: list[float] = []

    async def others() -> None:
        while True:
            turns.append(time.perf_counter())
            await asyncio.sleep(0)

    watching = asyncio.create_task(others())
    assert len(await storage.sessions_of("ferris", "id")) == MANY
    assert len(await storage.end_sessions("ferris", "id")) == MANY
    watching.cancel()
    assert redis_server.ask(b"SLOWLOG LEN\r\n", b"\r\n") == b":0\r\n"
    # Each batch is a few milliseconds; all at once would be seconds.
    assert len(turns) > 2 * MANY / 200
    assert sorted(b - a for a, b in pairwise(turns))[-5] < 0.25
    assert await ids(storage) == set()
    await storage.close()
