"""Every rotation is run on every keyed storage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from aiohttp_sess import BrowserSession, PersistentSession, TtlExtensionPolicy
from aiohttp_sess.storage import KeyedStorage, MemoryStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.testing import FakeClock

from ..races.lab import GatedStorage
from ..servers import MemcachedServer, RedisServer
from . import AGE
from .rotating import RotatingLab
from .stepped import Stepped


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "redis", "memcached"])
async def inner(
    request: pytest.FixtureRequest,
    clock: FakeClock,
    redis_server: RedisServer,
    memcached_server: MemcachedServer,
) -> AsyncIterator[Stepped]:
    """A keyed storage, closed afterwards."""
    storage: KeyedStorage
    if request.param == "memory":
        storage = MemoryStorage(clock=clock)
    elif request.param == "redis":
        storage = RedisStorage.from_url(redis_server.url, clock=clock)
    else:
        server = memcached_server
        storage = MemcachedStorage.connect(server.host, server.port, clock=clock)
    yield Stepped(storage)
    await storage.close()


@pytest.fixture
async def lab(inner: Stepped) -> AsyncIterator[RotatingLab]:
    """An application over it whose keys are rotated."""
    lifecycle = BrowserSession(rotate_every=AGE)
    async with RotatingLab(GatedStorage(inner), lifecycle=lifecycle).running() as lab:
        assert isinstance(lab, RotatingLab)
        yield lab


@pytest.fixture(params=[BrowserSession, PersistentSession])
async def touching_lab(
    inner: Stepped, request: pytest.FixtureRequest
) -> AsyncIterator[RotatingLab]:
    """The same where the TTL of sessions starts anew at every request."""
    lifecycle = request.param(
        timedelta(days=1), TtlExtensionPolicy.ON_EVERY_REQUEST, rotate_every=AGE
    )
    async with RotatingLab(GatedStorage(inner), lifecycle=lifecycle).running() as lab:
        assert isinstance(lab, RotatingLab)
        yield lab
