"""What leaves for Redis together: to bring it about, and to look at it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from aiohttp_sess.storage import Version
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import RedisServer

STAMP = b"0123456789abcdef"
OTHER = b"another-stamp-16"


class Watched(Redis):
    """A client that keeps book of what leaves: the commands of each exchange."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sent: list[list[str]] = []

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.sent.append([args[0]])
        execute: Callable[..., Awaitable[Any]] = super().execute_command
        return await execute(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipeline = super().pipeline(transaction, shard_hint)
        execute = pipeline.execute

        async def watched(raise_on_error: bool = True) -> list[Any]:
            self.sent.append([str(arguments[0]) for arguments, _ in pipeline.command_stack])
            return await execute(raise_on_error)

        pipeline.execute = watched  # type: ignore[method-assign]
        return pipeline


@asynccontextmanager
async def watched(
    server: RedisServer, kind: type[Watched] = Watched, **options: Any
) -> AsyncIterator[tuple[RedisStorage, Watched]]:
    """A storage with names that no other test has, and its client."""
    async with kind(host=server.host, port=server.port, socket_timeout=None, **options) as client:
        storage = RedisStorage(client, key_prefix=f"{secrets.token_hex(8)}:")
        yield storage, client
        await storage.close()


@contextmanager
def queued(storage: RedisStorage) -> Iterator[None]:
    """What is asked for in here in one turn leaves together, the first too."""
    with storage._pipelines.together():
        yield


async def at_once(storage: RedisStorage, *calls: Awaitable[Any]) -> list[Any]:
    """The outcomes of calls whose first commands leave together."""
    with queued(storage):
        return await asyncio.gather(*calls, return_exceptions=True)


async def written(storage: RedisStorage, count: int, size: int = 0) -> list[str]:
    """The names of new entries, all of version `STAMP`; the scripts are known from now on."""
    names = [f"{storage.key_prefix}{n}" for n in range(count)]
    values = [STAMP + str(n).encode() + b"x" * size for n in range(count)]
    for name, value in zip(names, values, strict=True):
        assert await storage.add(name, value, 60.0)
    assert await storage.replace(names[0], values[0], 60.0, Version(STAMP))
    same = [storage.replace(name, values[n], 60.0, Version(STAMP)) for n, name in enumerate(names)]
    assert await at_once(storage, *same) == [True] * count
    return names


def reads(storage: RedisStorage, names: Sequence[str]) -> list[Awaitable[Any]]:
    """Reads of names."""
    return [storage.read(name, None) for name in names]


async def values(storage: RedisStorage, names: Sequence[str]) -> list[bytes | None]:
    """What is under names, asked for one by one."""
    entries = [await storage.read(name, None) for name in names]
    return [None if entry is None else entry.value for entry in entries]
