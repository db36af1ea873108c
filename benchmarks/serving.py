"""The processes of a run: Redis, memcached and the applications."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers import MemcachedServer, RedisServer, start_memcached, start_redis

from .client import Visitor
from .cores import take_first_core

__all__ = ("Backends", "Clock", "Commands", "Served", "backends", "serve_all")

_ROOT = Path(__file__).parent.parent
_PATIENCE = 30.0  # seconds for a process to start or end

_CALLS = re.compile(rb"cmdstat_([^:|]+)\S*:calls=(\d+)")
_LOOKUPS = re.compile(rb"keyspace_(?:hits|misses):(\d+)")
_STAT = re.compile(rb"STAT (cmd_get|cmd_set) (\d+)")


class Commands(NamedTuple):
    """What a backend was asked, by whatever way."""

    reads: int
    writes: int

    def since(self, before: Commands) -> Commands:
        """The difference."""
        return Commands(self.reads - before.reads, self.writes - before.writes)


class Backends(NamedTuple):
    """The servers that keep sessions."""

    redis: RedisServer
    memcached: MemcachedServer

    def commands(self, family: str) -> Commands:
        """What a family's server was asked until now."""
        if family == "redis":
            said = self.redis.ask(b"INFO commandstats\r\n", b"\r\n\r\n")
            # What a script calls inside is counted as well, so each write has one SET, and looks at
            # what it replaces. One command can read many keys.
            calls = {name.decode(): int(n) for name, n in _CALLS.findall(said)}
            said = self.redis.ask(b"INFO stats\r\n", b"\r\n\r\n")
            lookups = sum(map(int, _LOOKUPS.findall(said)))
            return Commands(lookups - calls.get("getrange", 0), calls.get("set", 0))
        if family == "memcached":
            stats = dict(_STAT.findall(self.memcached.ask(b"stats\r\n", b"END\r\n")))
            return Commands(int(stats[b"cmd_get"]), int(stats[b"cmd_set"]))
        return Commands(0, 0)


@contextlib.contextmanager
def backends() -> Iterator[Backends]:
    """Servers of one's own."""
    with start_redis() as redis, start_memcached("-I", "8m", "-m", "512") as memcached:
        yield Backends(redis, memcached)


class Clock(NamedTuple):
    """What a process has used."""

    cpu: float  # seconds
    memory: int  # bytes


class Served(NamedTuple):
    """An application that is served."""

    name: str
    port: int
    control: Visitor

    async def clock(self) -> Clock:
        """What its process has used until now."""
        return Clock(*json.loads(await self.control.ask("/clock")))


@asynccontextmanager
async def _serve(name: str, servers: Backends) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.apps", name),
        *("--redis", servers.redis.url),
        *("--memcached", f"{servers.memcached.host}:{servers.memcached.port}"),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        take_first_core(process.pid)
        async with asyncio.timeout(_PATIENCE):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the application {name} does not start")
        control = Visitor(int(line))
        await control.connect()
        yield Served(name, int(line), control)
        control.close()
    finally:
        process.stdin.close()  # at which it ends
        try:
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def serve_all(names: Iterable[str], servers: Backends) -> AsyncIterator[Mapping[str, Served]]:
    """Serve applications until the end of the block."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(_serve(name, servers)) for name in names}
