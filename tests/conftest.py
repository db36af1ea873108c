"""Fixtures for all tests: one Redis and one memcached for the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import MemcachedServer, RedisServer, start_memcached, start_redis


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
