"""What grows, and what must not: stored sessions, writers on one session, a process's memory."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import cycle

from redis.asyncio import Redis

from aiohttp_sess import SessionRecord
from aiohttp_sess.storage.redis import RedisStorage

from . import contention
from .client import Visitor, load
from .results import Contention, Growth, Memory
from .serving import Backends, Served, backends, serve_all
from .state import make_state

__all__ = ("measure_contention", "measure_growth", "measure_memory")

_SIZE = 500  # bytes of a state
_DAY = timedelta(days=1)
_BATCH = 500  # sessions that are stored at once
_USED = re.compile(rb"\r\nused_memory:(\d+)")
_POINTS = 10  # where a process's memory is looked at


def _used(servers: Backends) -> int:
    found = _USED.search(servers.redis.ask(b"INFO memory\r\n", b"\r\n\r\n"))
    assert found is not None
    return int(found[1])


async def _store_ours(client: Redis, sessions: int) -> None:
    storage = RedisStorage(client)
    record = SessionRecord(make_state(_SIZE), time.time())
    await asyncio.gather(*(storage.save(record, _DAY) for _ in range(sessions)))


async def _store_theirs(client: Redis, sessions: int) -> None:
    """As its storage writes them, without an application around it, which would take minutes."""
    value = json.dumps({"created": int(time.time()), "session": make_state(_SIZE)})
    pipeline = client.pipeline(transaction=False)
    for _ in range(sessions):
        pipeline.set(f"AIOHTTP_SESSION_{uuid.uuid4().hex}", value)
    await pipeline.execute()


async def _grow(
    servers: Backends,
    served: Served,
    store: Callable[[Redis, int], Awaitable[None]],
    steps: list[int],
) -> list[Growth]:
    library = "aiohttp-session" if served.name.startswith("their-") else "aiohttp_sess"
    results = []
    async with Redis.from_url(servers.redis.url) as client:
        await client.flushall()
        await store(client, 1)  # what a first command needs is no session's
        empty, stored = _used(servers), 0
        for step in steps:
            while stored < step:
                batch = min(_BATCH, step - stored)
                await store(client, batch)
                stored += batch
            bytes_each = (_used(servers) - empty) / step
            visitor = Visitor(served.port)
            await visitor.connect()
            await visitor.ask(f"/fill?size={_SIZE}")
            visitor.prepare("/read")
            latencies = sorted((await load([visitor], 1.0)).latencies)
            visitor.close()
            p50, p99 = (latencies[len(latencies) * part // 100] * 1e6 for part in (50, 99))
            results.append(Growth(library, step, bytes_each, p50, p99))
            print(
                f"{step} sessions of {library} in Redis: {bytes_each:.0f} bytes each, "
                f"a read takes {p50:.0f} µs (p99 {p99:.0f})",
                flush=True,
            )
        await client.flushall()
    return results


async def measure_growth(servers: Backends, quick: bool, full: bool) -> list[Growth]:
    """More and more sessions in Redis."""
    steps = [10**3, 10**4, *([] if quick else [10**5]), *([10**6] if full else [])]
    async with serve_all(["redis", "their-redis"], servers) as apps:
        return [
            *await _grow(servers, apps["redis"], _store_ours, steps),
            *await _grow(servers, apps["their-redis"], _store_theirs, steps),
        ]


async def _watch(served: Served, requests: int) -> Memory:
    """Reads and writes of 32 sessions, in turns."""
    visitors = [Visitor(served.port) for _ in range(32)]
    for visitor in visitors:
        await visitor.connect()
        await visitor.ask(f"/fill?size={_SIZE}")
    result = Memory(served.name, [], [])
    done = 0
    for path in cycle(("/read", "/write")):
        for visitor in visitors:
            visitor.prepare(path)
        done += (await load(visitors, 0.1)).requests
        if done >= requests * len(result.bytes) / _POINTS:
            result.requests.append(done)
            result.bytes.append((await served.clock()).memory)
        if done >= requests:
            break
    for visitor in visitors:
        visitor.close()
    first, last = result.bytes[1], result.bytes[-1]
    print(
        f"memory of {served.name}: {first / 1e6:.1f} MB after {result.requests[1]} requests, "
        f"{last / 1e6:.1f} MB after {done}",
        flush=True,
    )
    return result


async def measure_memory(servers: Backends, quick: bool, full: bool) -> list[Memory]:
    """The memory of serving processes, over many requests."""
    requests = 10**4 if quick else 10**6 if full else 10**5
    async with serve_all(["private", "redis", "memcached"], servers) as apps:
        return [await _watch(served, requests) for served in apps.values()]


async def measure_contention(rounds: int) -> list[Contention]:
    """Writers on one session, as in `benchmarks.contention`."""
    results = []
    with backends() as servers:
        memcached = servers.memcached
        makers: dict[str, Callable[[], contention.Counting]] = {
            "memory": contention.CountingMemory,
            "Redis": lambda: contention.CountingRedis.from_url(servers.redis.url),
            "memcached": lambda: contention.CountingMemcached.connect(
                memcached.host, memcached.port
            ),
        }
        for name, make in makers.items():
            for writers in contention.WRITERS:
                storage = make()
                try:
                    cost = await contention.measure(storage, writers, rounds)
                finally:
                    await storage.close()
                results.append(Contention(name, writers, cost.attempts, cost.seconds * 1000))
                print(
                    f"{writers} writers on one session in {name}: {cost.attempts:.2f} attempts "
                    f"a save, {cost.seconds * 1000:.1f} ms for all",
                    flush=True,
                )
    return results
