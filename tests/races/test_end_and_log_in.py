"""All sessions of an owner end while somebody logs in."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import pytest

from aiohttp_sess import StorageUnavailable, end_sessions
from aiohttp_sess.storage import MemoryStorage, Version
from aiohttp_sess.storage.indexed import IndexedStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import RedisServer
from .lab import GatedStorage, Lab
from .limiting import OWNER, cookie_of, log_in, own, owners


class Paused(MemoryStorage):
    """Waits before it removes, and before a login gets its number."""

    def __init__(self) -> None:
        super().__init__()
        self.removes, self.may_remove = asyncio.Event(), asyncio.Event()
        self.logs_in, self.may_log_in = asyncio.Event(), asyncio.Event()
        self.may_log_in.set()

    async def remove_all(self, names: Sequence[str]) -> Sequence[bool]:
        self.removes.set()
        await self.may_remove.wait()
        return await super().remove_all(names)

    async def log_in(self, index: str, digest: str, announced: float | None) -> float:
        self.logs_in.set()
        await self.may_log_in.wait()
        return await super().log_in(index, digest, announced)


class _Stays(IndexedStorage):
    """Loses what comes after the writing of a record."""

    fails = False

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        done: bool = await super().replace(name, value, ttl, version)  # type: ignore[safe-super]
        if self.fails:
            raise StorageUnavailable("down")
        return done


class Stays(_Stays, MemoryStorage):
    pass


class StaysInRedis(_Stays, RedisStorage):
    pass


async def test_a_login_that_begins_after_the_call_goes_on() -> None:
    """It is announced while those from before are ended, and looked for again."""
    storage = Paused()
    lab = Lab(GatedStorage(storage), max_sessions_per_owner=5)
    async with lab.running():
        old = await cookie_of(lab, log_in, "")
        cookie = await lab.begin(n=1)
        ending = asyncio.create_task(end_sessions(lab.app, OWNER))
        await storage.removes.wait()
        storage.logs_in.clear()
        storage.may_log_in.clear()
        login = asyncio.create_task(lab.request(log_in, cookie))
        await storage.logs_in.wait()
        storage.may_remove.set()
        await ending
        storage.may_log_in.set()
        new = (await login).cookie
        assert new
        assert await owners(lab, old, new) == ["over", OWNER]


@pytest.mark.parametrize("storage", [Stays, StaysInRedis])
@pytest.mark.parametrize("limit", [None, 5])
async def test_a_login_that_fails_in_the_middle_ends_with_the_others(
    storage: type[Stays | StaysInRedis], limit: int | None, redis_server: RedisServer
) -> None:
    """It was written, and nobody was told: it may be logged in, and so it is in the index."""
    inner = (
        StaysInRedis.from_url(redis_server.url, key_prefix=f"e-{secrets.token_hex(8)}:")
        if storage is StaysInRedis
        else Stays()
    )
    lab = Lab(GatedStorage(inner), max_sessions_per_owner=limit)
    async with lab.running():
        cookie = await lab.begin(n=1)
        inner.fails = True
        assert (await lab.request(own, cookie)).status == 500
        inner.fails = False
        await end_sessions(lab.app, OWNER)
        assert await owners(lab, cookie) in (["over"], [None])
    await inner.close()
