"""Commands of concurrent requests leave together, and each gets its own reply."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from aiohttp_sess import SessionRecord, StorageUnavailable
from aiohttp_sess.storage import Version
from aiohttp_sess.storage.pipelines import Pipelines
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.storage.scripts import REPLACE

from ..servers import RedisServer
from .faults import Relay, each_cancellation
from .watched import OTHER, STAMP, at_once, values, written

DAY = timedelta(days=1)


class Watched(Redis):
    """A client that keeps book of how its commands leave."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.alone: list[str] = []
        self.together: list[int] = []

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.alone.append(args[0])
        execute: Callable[..., Awaitable[Any]] = super().execute_command
        return await execute(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        assert not transaction
        pipeline = super().pipeline(transaction, shard_hint)
        execute = pipeline.execute

        async def counted(raise_on_error: bool = True) -> list[Any]:
            self.together.append(len(pipeline))
            return await execute(raise_on_error)

        pipeline.execute = counted  # type: ignore[method-assign]
        return pipeline


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Watched]:
    # With a timeout of its own it writes in `asyncio.wait_for`, which forgets cancellations before
    # Python 3.12.
    async with Watched(
        host=redis_server.host, port=redis_server.port, socket_timeout=None
    ) as client:
        yield client


@pytest.fixture
def pipelines(client: Watched) -> Pipelines:
    return Pipelines(client, timeout=5.0)


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[Relay]:
    async with Relay(redis_server.port).running() as relay:
        yield relay


@pytest.fixture
def name() -> str:
    return f"pipelines:{secrets.token_hex(8)}"


async def test_a_command_alone_leaves_at_once(client: Watched, pipelines: Pipelines) -> None:
    for _ in range(3):
        assert await pipelines.send("ECHO", "x") == b"x"
    assert client.alone == ["ECHO"] * 3
    assert client.together == []


async def test_commands_of_one_turn_leave_together(client: Watched, pipelines: Pipelines) -> None:
    texts = [str(number).encode() for number in range(100)]
    assert await asyncio.gather(*(pipelines.send("ECHO", text) for text in texts)) == texts
    assert len(client.alone) == 1
    assert client.together == [99]


async def test_no_pipeline_is_longer_than_its_limit(client: Watched, pipelines: Pipelines) -> None:
    texts = [str(number).encode() for number in range(1000)]
    assert await asyncio.gather(*(pipelines.send("ECHO", text) for text in texts)) == texts
    assert sum(client.together) == 999
    assert max(client.together) == 128


async def test_few_connections_are_enough_for_many(client: Watched, pipelines: Pipelines) -> None:
    for _ in range(3):
        await asyncio.gather(*(pipelines.send("ECHO", "x") for _ in range(1000)))
    names = [each["name"] for each in await client.client_list()]
    assert names
    assert len(client.connection_pool._available_connections) <= 4


async def test_a_small_pool_is_never_asked_for_too_much(redis_server: RedisServer) -> None:
    async with Redis.from_url(redis_server.url, max_connections=1) as client:
        pipelines = Pipelines(client, timeout=5.0)
        replies = await asyncio.gather(*(pipelines.send("ECHO", str(n)) for n in range(500)))
        assert replies == [str(n).encode() for n in range(500)]


async def test_an_error_reaches_its_own_request_only(pipelines: Pipelines, name: str) -> None:
    await pipelines.send("RPUSH", name, "no string")
    commands = [("ECHO", "a"), ("GET", name), ("ECHO", "b"), ("NO SUCH COMMAND",), ("ECHO", "c")]
    replies = await asyncio.gather(
        *(pipelines.send(*command) for command in commands), return_exceptions=True
    )
    assert [replies[0], replies[2], replies[4]] == [b"a", b"b", b"c"]
    assert isinstance(replies[1], ResponseError)
    assert isinstance(replies[3], ResponseError)


async def test_commands_on_one_key_keep_their_order(pipelines: Pipelines, name: str) -> None:
    first = asyncio.ensure_future(pipelines.send("ECHO", "x"))  # so that the others wait for it
    await asyncio.sleep(0)
    await asyncio.gather(*(pipelines.send("RPUSH", name, n) for n in range(100)), first)
    kept = await pipelines.send("LRANGE", name, 0, -1)
    assert kept == [str(n).encode() for n in range(100)]


@pytest.mark.parametrize("turns", range(12))
async def test_to_cancel_one_touches_no_other(pipelines: Pipelines, turns: int) -> None:
    tasks = [asyncio.ensure_future(pipelines.send("ECHO", str(n))) for n in range(9)]
    for _ in range(turns):
        await asyncio.sleep(0)
    cancelled = [task.cancel() for task in tasks[::2]]
    others = await asyncio.gather(*tasks[1::2])
    assert others == [b"1", b"3", b"5", b"7"]
    for number, task in enumerate(tasks[::2]):
        assert task.cancelled() or not cancelled[number]
        if not cancelled[number]:
            assert task.result() == str(2 * number).encode()
    assert await pipelines.send("ECHO", "after") == b"after"


async def test_whenever_one_is_cancelled_the_next_gets_its_own(pipelines: Pipelines) -> None:
    others: list[asyncio.Future[Any]] = []

    async def waits_for_another() -> None:
        others.append(asyncio.ensure_future(pipelines.send("ECHO", "other")))
        await asyncio.sleep(0)
        assert await pipelines.send("ECHO", "mine") == b"mine"

    async for _ in each_cancellation(waits_for_another):
        assert await others.pop() == b"other"
        replies = await asyncio.gather(*(pipelines.send("ECHO", str(n)) for n in range(5)))
        assert replies == [b"0", b"1", b"2", b"3", b"4"]


async def test_who_was_cancelled_before_leaving_is_not_sent(
    client: Watched, pipelines: Pipelines, name: str
) -> None:
    tasks = [asyncio.ensure_future(pipelines.send("INCR", name)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks[1:]:
        task.cancel()
    await asyncio.wait(tasks)
    assert client.together == []
    assert await pipelines.send("GET", name) == b"1"


async def test_a_server_that_is_silent_holds_nobody_for_longer_than_the_timeout(
    relay: Relay,
) -> None:
    storage = RedisStorage.from_url(f"redis://127.0.0.1:{relay.port}", timeout=0.1)
    relay.hold()
    reads = (storage.read(f"nothing{n}", None) for n in range(300))
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    relay.hold(False)
    storage.timeout = 5.0
    reads = (storage.read(f"nothing{n}", None) for n in range(300))
    assert await asyncio.gather(*reads) == [None] * 300
    await storage.close()


async def test_a_batch_whose_connection_drops_is_sent_once_more(relay: Relay) -> None:
    storage = RedisStorage.from_url(f"redis://127.0.0.1:{relay.port}")
    await asyncio.gather(*(storage.read(f"nothing{n}", None) for n in range(50)))
    relay.go_stale()
    reads = (storage.read(f"nothing{n}", None) for n in range(50))
    assert await asyncio.gather(*reads) == [None] * 50
    await storage.close()


async def test_what_is_asked_again_in_vain_takes_no_reply_from_the_others(
    relay: Relay, name: str
) -> None:
    storage = RedisStorage.from_url(f"redis://127.0.0.1:{relay.port}", key_prefix=f"{name}:")
    names = [*await written(storage, 3), f"{name}:new"]
    # Two replacements are merged. What is missing is then asked for by itself, and in vain.
    relay.lose_replies, relay.lose_only = 100, REPLACE.sha1.encode()
    *outcomes, gone, gone_too = await at_once(
        storage,
        storage.remove(names[0]),
        storage.read(names[1], None),
        storage.add(names[3], STAMP, 60.0),
        *(storage.replace(each, OTHER, 60.0, Version(STAMP)) for each in (names[2], "a", "b")),
    )
    assert relay.lose_replies < 100
    for outcome in (gone, gone_too):
        assert isinstance(outcome, StorageUnavailable)
        assert isinstance(outcome.__cause__, redis.ConnectionError)
    assert outcomes.pop(1).value == STAMP + b"1"
    assert outcomes == [True] * 3
    assert await values(storage, names) == [None, STAMP + b"1", OTHER, STAMP]
    await storage.close()


async def test_closing_ends_what_is_under_way(relay: Relay) -> None:
    storage = RedisStorage.from_url(f"redis://127.0.0.1:{relay.port}")
    relay.hold()
    reads = [asyncio.ensure_future(storage.read(f"nothing{n}", None)) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await storage.close()
    await asyncio.wait(reads[1:])
    assert all(isinstance(read.exception(), StorageUnavailable) for read in reads[1:])
    relay.hold(False)
    reads[0].cancel()
    await asyncio.wait(reads)


async def test_scripts_that_the_server_forgot_are_sent_again(
    client: Watched, redis_server: RedisServer
) -> None:
    storage = RedisStorage(client, key_prefix=f"{secrets.token_hex(8)}:")
    stored = [await storage.save(SessionRecord({"n": 0}), DAY) for _ in range(20)]
    for n in range(1, 3):
        stored = await asyncio.gather(
            *(
                storage.update(
                    one.key, SessionRecord({"n": n}, id=one.record.id), DAY, revision=one.revision
                )
                for one in stored
            )
        )
        await client.script_flush()
    loaded = [await storage.load(one.key) for one in stored]
    assert [one.record.state for one in loaded if one is not None] == [{"n": 2}] * 20


async def test_bytes_that_are_no_text_disturb_nobody(redis_server: RedisServer, name: str) -> None:
    """Not even with a client that decodes all replies."""
    async with Redis.from_url(redis_server.url, decode_responses=True) as client:
        storage = RedisStorage(client)
        await client.set(name, b"\xff\xfe")
        await storage.add(name + "b", b"text", 60.0)
        names = [name, name + "b"] * 10
        entries = await asyncio.gather(*(storage.read(each, None) for each in names))
        values = [entry.value for entry in entries if entry is not None]
        assert values == [b"\xff\xfe", b"text"] * 10
        assert not await storage.replace(name, b"new", 60.0, Version(b"another"))
