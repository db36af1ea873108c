"""What it costs to write one session at the same time: ``python -m benchmarks.contention``.

Each writer is a request of its own. All have loaded the same record before the first saves, which
is the worst that can happen. The time is from then until all are answered; the median of the
rounds. An attempt is a call of the storage's `update`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import NamedTuple

from aiohttp_sess import Session, SessionRecord, StoredRecord
from aiohttp_sess.storage import KeyedStorage, MemoryStorage, SessionKey
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage
from tests.races.lab import GatedStorage, Lab
from tests.servers import start_memcached, start_redis

WRITERS = (1, 2, 8, 32, 64)


class Counting(KeyedStorage):
    """Counts the attempts."""

    attempts = 0

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        self.attempts += 1
        return await super().update(key, record, ttl, revision=revision)


class CountingMemory(Counting, MemoryStorage):
    """In this process."""


class CountingRedis(Counting, RedisStorage):
    """In Redis."""


class CountingMemcached(Counting, MemcachedStorage):
    """In memcached."""


class Cost(NamedTuple):
    """Of one save; and the seconds until all are done."""

    attempts: float
    seconds: float


async def count(session: Session) -> None:
    """Write what depends on what the others write."""
    session.update_value("n", lambda n: n + 1, default=1)


async def measure(storage: Counting, writers: int, rounds: int) -> Cost:
    """What ``writers`` at once cost.

    :raises RuntimeError: if a write is lost: what that costs is of no interest.
    """
    times = []
    async with Lab(GatedStorage(storage)).running() as lab:
        cookie = await lab.begin(n=0)
        storage.attempts = 0
        for _ in range(rounds):
            slow = [await lab.slow(count, cookie) for _ in range(writers)]
            began = time.perf_counter()
            await asyncio.gather(*(one.go_on() for one in slow))
            times.append(time.perf_counter() - began)
        saves = rounds * writers
        if (state := await lab.state(cookie)) != {"n": saves}:
            raise RuntimeError(f"{saves} writes, but the session has {state}")
    return Cost(storage.attempts / saves, statistics.median(times))


async def compare(name: str, make: Callable[[], Counting], rounds: int) -> None:
    """Print a storage's lines: first how many times the cost of one writer, then the cost."""
    one: Cost | None = None
    for writers in WRITERS:
        storage = make()
        try:
            cost = await measure(storage, writers, rounds)
        finally:
            await storage.close()
        one = one or cost
        print(
            f"{name:<10}{writers:>8}"
            f"{cost.attempts / one.attempts:>12.1f} x{cost.seconds / one.seconds:>11.1f} x"
            f"{cost.attempts:>14.2f}{cost.seconds * 1000:>12.1f}",
            flush=True,
        )


async def compare_all(rounds: int) -> None:
    """Compare on all storages, on servers that are started for it."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(start_redis())
        memcached = stack.enter_context(start_memcached())
        storages: dict[str, Callable[[], Counting]] = {
            "memory": CountingMemory,
            "Redis": lambda: CountingRedis.from_url(redis.url),
            "memcached": lambda: CountingMemcached.connect(memcached.host, memcached.port),
        }
        print(
            f"{'storage':<10}{'writers':>8}{'attempts':>14}{'time':>13}"
            f"{'attempts/save':>14}{'ms for all':>12}"
        )
        for name, make in storages.items():
            await compare(name, make, rounds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.contention",
        description="What it costs to write one session at the same time.",
    )
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    asyncio.run(compare_all(parser.parse_args(arguments).rounds))


if __name__ == "__main__":
    main()
