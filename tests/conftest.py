"""Fixtures for all tests: one Redis and one memcached for the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from aiohttp_sess import changes, operations, watched

from .servers import MemcachedServer, RedisServer, start_memcached, start_redis

# The same examples in each run, so that a red run is about the change; `soak` looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("soak", deadline=None, max_examples=5_000)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def nothing_is_shared_by_mistake() -> Iterator[None]:
    """What all requests share as long as they have nothing of their own stays empty."""
    yield
    assert not operations.NO_OPERATIONS
    assert not watched._NONE
    assert not changes._NO_FIELDS


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that all tests share; each takes a key prefix of its own or random keys."""
    with start_redis() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[MemcachedServer]:
    """A memcached that all tests share."""
    with start_memcached() as server:
        yield server
