"""Race for as long as you like: ``python -m tests.races.soak --rounds 1000 --writers 8``.

In every round, requests of one session write it at the same time, each after a random pause. After
every round each increment and each name must be there. The exit status is 1 where one is not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiohttp_sess import Session
from aiohttp_sess.storage import KeyedStorage, MemoryStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import start_memcached, start_redis
from .lab import GatedStorage, Lab, Work

_LONGEST_PAUSE = 10  # turns of the event loop


class LostError(Exception):
    """Something is not there that was written."""


def writer(number: int, current: int) -> Work:
    """Writes a name of its own, and one that all share."""
    turns = [random.randrange(_LONGEST_PAUSE) for _ in range(2)]

    async def pause(length: int) -> None:
        for _ in range(length):
            await asyncio.sleep(0)

    async def work(session: Session) -> None:
        await pause(turns[0])
        session[f"name{number}"] = current
        session.update_value("n", lambda n: n + 1, default=1)
        await pause(turns[1])

    return work


async def race(lab: Lab, rounds: int, writers: int) -> int:
    """Race in one session; how many attempts at a save it took.

    :raises LostError: at the first round after which something is not there.
    """
    cookie = await lab.begin(start=True)
    attempts = 0
    for current in range(1, rounds + 1):
        works = [writer(number, current) for number in range(writers)]
        replies = await asyncio.gather(*(lab.request(work, cookie) for work in works))
        attempts += lab.storage.calls.count("update")
        lab.storage.calls.clear()
        if failed := [reply.status for reply in replies if reply.status != 200]:
            raise LostError(f"round {current}: requests were answered with {failed}")
        names = {f"name{number}": current for number in range(writers)}
        expected = {"start": True, "n": current * writers, **names}
        found = await lab.state(cookie)
        if found != expected:
            raise LostError(f"round {current}: there is {found} instead of {expected}")
    return attempts


async def soak(name: str, storage: KeyedStorage, rounds: int, writers: int) -> bool:
    """Race on a storage, print a line, and answer whether nothing was lost."""
    began = time.perf_counter()
    try:
        async with Lab(GatedStorage(storage)).running() as lab:
            attempts = await race(lab, rounds, writers)
    except LostError as lost:
        print(f"{name:<10}LOST in {lost}", flush=True)
        return False
    finally:
        await storage.close()
    took = time.perf_counter() - began
    writes = rounds * writers
    print(
        f"{name:<10}{rounds} rounds, {writes} writes in {attempts} attempts, "
        f"{took:.1f} s, nothing lost",
        flush=True,
    )
    return True


async def soak_all(rounds: int, writers: int) -> bool:
    """Race on all storages, on servers that are started for it."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(start_redis())
        memcached = stack.enter_context(start_memcached())
        storages: dict[str, KeyedStorage] = {
            "memory": MemoryStorage(),
            "Redis": RedisStorage.from_url(redis.url),
            "memcached": MemcachedStorage.connect(memcached.host, memcached.port),
        }
        return all([await soak(name, each, rounds, writers) for name, each in storages.items()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Race; the answer is the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.races.soak",
        description="Requests of one session that write it at the same time, again and again.",
    )
    parser.add_argument("--rounds", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--writers", type=int, default=8, help="a round; default: %(default)s")
    given = parser.parse_args(arguments)
    return 0 if asyncio.run(soak_all(given.rounds, given.writers)) else 1


if __name__ == "__main__":
    sys.exit(main())
