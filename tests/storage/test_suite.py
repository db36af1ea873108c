"""The acceptance suite on every storage of ours, and on the demo's own."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis.asyncio

from aiohttp_sess.storage import AbstractStorage, CookieStorage, KeyedStorage, MemoryStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.testing import FakeClock, StorageSuite
from demo.sqlite_storage import SqliteStorage

from ..servers import MemcachedServer, RedisServer


def prefix() -> str:
    """A key prefix that no other test has: the servers are shared."""
    return f"suite-{secrets.token_hex(8)}:"


class TestCookie(StorageSuite):
    ends_sessions_early: ClassVar[bool] = False
    detects_conflicts: ClassVar[bool] = False
    server_side: ClassVar[bool] = False
    keyed: ClassVar[bool] = False
    state_size: ClassVar[int] = 2_500

    @pytest.fixture
    def storage(self, clock: FakeClock) -> CookieStorage:
        return CookieStorage(clock=clock)


class TestMemory(StorageSuite):
    lists_sessions: ClassVar[bool] = True
    ends_all_sessions: ClassVar[bool] = True

    @pytest.fixture
    def storage(self, clock: FakeClock) -> MemoryStorage:
        return MemoryStorage(clock=clock)


class TestSqlite(StorageSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStorage]:
        storage = SqliteStorage(tmp_path / "sessions.db", clock=clock)
        yield storage
        await storage.close()


class TestRedis(StorageSuite):
    lists_sessions: ClassVar[bool] = True
    ends_all_sessions: ClassVar[bool] = True

    @pytest.fixture
    async def storage(
        self, redis_server: RedisServer, clock: FakeClock
    ) -> AsyncIterator[RedisStorage]:
        self.server = redis_server
        storage = RedisStorage.from_url(redis_server.url, key_prefix=prefix(), clock=clock)
        yield storage
        await storage.close()

    async def advance(self, storage: AbstractStorage, clock: FakeClock, seconds: float) -> None:
        """Redis has a clock of its own, so what is left of each key's life is cut short."""
        await super().advance(storage, clock, seconds)
        assert isinstance(storage, KeyedStorage)
        async with redis.asyncio.from_url(self.server.url) as client:
            async for name in client.scan_iter(match=f"{storage.key_prefix}*"):
                left = await client.pttl(name)
                if left >= 0:
                    await client.pexpire(name, int(left - seconds * 1000))  # < 0: now


class NotingMemcachedStorage(MemcachedStorage):
    """Remembers its names, which memcached does not list in a hurry."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.names: set[str] = set()

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        self.names.add(name)
        return await super().add(name, value, ttl)


class TestMemcached(StorageSuite):
    ends_all_sessions: ClassVar[bool] = True

    @pytest.fixture
    async def storage(
        self, memcached_server: MemcachedServer, clock: FakeClock
    ) -> AsyncIterator[MemcachedStorage]:
        self.server = memcached_server
        storage = NotingMemcachedStorage.connect(
            memcached_server.host, memcached_server.port, key_prefix=prefix(), clock=clock
        )
        yield storage
        await storage.close()

    async def advance(self, storage: AbstractStorage, clock: FakeClock, seconds: float) -> None:
        """As for Redis, in seconds."""
        await super().advance(storage, clock, seconds)
        assert isinstance(storage, NotingMemcachedStorage)
        for name in storage.names:
            _, found, left = self.ask(f"mg {name} t").partition("HD t")
            if not found or int(left) < 0:  # it is gone, or would stay for ever
                continue
            if int(left) > seconds:
                # As a date, which it takes everything over 30 days for anyway.
                self.ask(f"touch {name} {int(time.time() + int(left) - seconds)}")
            else:
                self.ask(f"delete {name}")

    def ask(self, command: str) -> str:
        """The line that memcached answers."""
        return self.server.ask(f"{command}\r\n".encode(), b"\r\n").decode()


class RevokingCookieSuite(StorageSuite):
    """Cookies with a list of those that were ended."""

    detects_conflicts: ClassVar[bool] = False
    server_side: ClassVar[bool] = False
    keyed: ClassVar[bool] = False
    state_size: ClassVar[int] = 2_500


class TestCookieRevokedInMemory(RevokingCookieSuite):
    @pytest.fixture
    def storage(self, clock: FakeClock) -> CookieStorage:
        return CookieStorage(revocations=MemoryStorage(clock=clock), clock=clock)


class TestCookieRevokedInRedis(RevokingCookieSuite):
    @pytest.fixture
    async def storage(
        self, redis_server: RedisServer, clock: FakeClock
    ) -> AsyncIterator[CookieStorage]:
        revocations = RedisStorage.from_url(redis_server.url, key_prefix=prefix())
        yield (storage := CookieStorage(revocations=revocations, clock=clock))
        await storage.close()


class TestCookieRevokedInMemcached(RevokingCookieSuite):
    @pytest.fixture
    async def storage(
        self, memcached_server: MemcachedServer, clock: FakeClock
    ) -> AsyncIterator[CookieStorage]:
        server = memcached_server
        revocations = MemcachedStorage.connect(server.host, server.port, key_prefix=prefix())
        yield (storage := CookieStorage(revocations=revocations, clock=clock))
        await storage.close()
