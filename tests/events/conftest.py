"""Every kind of storage, and ears for whatever is told."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from aiohttp_sess import SessionHandle
from aiohttp_sess.events import Event
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.testing import FakeClock

from ..apps import Recorded, RecordedCookie
from ..servers import MemcachedServer, RedisServer
from .meter import Meter

Listen = Callable[[SessionHandle], list[Event]]


@pytest.fixture(params=["memory", "redis", "memcached", "cookie"])
async def storage(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    memcached_server: MemcachedServer,
) -> AsyncIterator[Recorded]:
    """Each of the storages, recorded, with a clock that a test moves."""
    clock, prefix = FakeClock(), f"{secrets.token_hex(8)}:"
    inner: AbstractStorage
    if request.param == "memory":
        inner = MemoryStorage(clock=clock)
    elif request.param == "redis":
        inner = RedisStorage.from_url(redis_server.url, key_prefix=prefix, clock=clock)
    elif request.param == "memcached":
        host, port = memcached_server.host, memcached_server.port
        inner = MemcachedStorage.connect(host, port, key_prefix=prefix, clock=clock)
    else:
        inner = CookieStorage(clock=clock)
    yield (Recorded if inner.server_side else RecordedCookie)(inner, clock)
    await inner.close()


@pytest.fixture
def listen() -> Iterator[Listen]:
    """What a handle tells, from all of its signals. None of it may show a key, or a value."""
    handles, every = list[SessionHandle](), list[Event]()

    def listen_to(handle: SessionHandle) -> list[Event]:
        heard = list[Event]()

        async def note(event: Event) -> None:
            heard.append(event)
            every.append(event)

        for signal in signals(handle):
            signal.append(note)
        handles.append(handle)
        return heard

    yield listen_to
    shown = "\n".join(map(repr, every))
    for handle in handles:
        if isinstance(handle.storage, Recorded):
            assert not [key for key in handle.storage.keys if key in shown]
    assert "a value" not in shown


@pytest.fixture
def meter() -> Meter:
    """Collects metrics."""
    return Meter()


def signals(handle: SessionHandle) -> list[Any]:
    """All of them."""
    events = handle.events
    return [
        events.created,
        events.loaded,
        events.renewed,
        events.rotated,
        events.purged,
        events.expired,
        events.rejected,
        events.conflict,
        events.late_change,
        events.storage_failure,
    ]
