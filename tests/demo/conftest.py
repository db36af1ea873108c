"""A running demo on each storage, shared by all tests: each has browsers of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from ..servers import MemcachedServer, RedisServer
from .running import Browser, Demo


@pytest.fixture(scope="session")
def on_cookie() -> Iterator[Demo]:
    with Demo() as demo:
        yield demo


@pytest.fixture(scope="session")
def on_memory() -> Iterator[Demo]:
    with Demo("--storage", "memory") as demo:
        yield demo


@pytest.fixture(scope="session")
def on_redis(redis_server: RedisServer) -> Iterator[Demo]:
    with Demo("--storage", redis_server.url) as demo:
        yield demo


@pytest.fixture(scope="session")
def on_memcached(memcached_server: MemcachedServer) -> Iterator[Demo]:
    address = f"memcached://{memcached_server.host}:{memcached_server.port}"
    with Demo("--storage", address) as demo:
        yield demo


@pytest.fixture(params=["on_memory", "on_redis", "on_memcached"])
def on_server(request: pytest.FixtureRequest) -> Demo:
    """The demo on each storage that keeps its records on the server."""
    demo = request.getfixturevalue(request.param)
    assert isinstance(demo, Demo)
    return demo


@pytest.fixture(params=["on_cookie", "on_memory", "on_redis", "on_memcached"])
def demo(request: pytest.FixtureRequest) -> Demo:
    """The demo on each storage."""
    demo = request.getfixturevalue(request.param)
    assert isinstance(demo, Demo)
    return demo


@pytest.fixture
async def browser(demo: Demo) -> AsyncIterator[Browser]:
    """A visitor of `demo`."""
    async with Browser(demo.url) as browser:
        yield browser
