"""Every race is run on every keyed storage."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from aiohttp_sess.storage import KeyedStorage, MemoryStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import MemcachedServer, RedisServer
from .lab import GatedStorage, Lab


@pytest.fixture(params=["memory", "redis", "memcached"])
async def inner(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    memcached_server: MemcachedServer,
) -> AsyncIterator[KeyedStorage]:
    """A keyed storage, closed afterwards."""
    storage: KeyedStorage
    prefix = f"races-{secrets.token_hex(8)}:"  # owners have the same names in many tests
    if request.param == "memory":
        storage = MemoryStorage()
    elif request.param == "redis":
        storage = RedisStorage.from_url(redis_server.url, key_prefix=prefix)
    else:
        storage = MemcachedStorage.connect(
            memcached_server.host, memcached_server.port, key_prefix=prefix
        )
    yield storage
    await storage.close()


@pytest.fixture
async def storage(inner: KeyedStorage) -> GatedStorage:
    """The same with gates."""
    return GatedStorage(inner)


@pytest.fixture
async def lab(storage: GatedStorage) -> AsyncIterator[Lab]:
    """An application over it."""
    async with Lab(storage).running() as lab:
        yield lab


@pytest.fixture
async def touching_lab(storage: GatedStorage) -> AsyncIterator[Lab]:
    """An application over it whose sessions' TTL starts anew at every request."""
    async with Lab(storage, every_request=True).running() as lab:
        yield lab
