"""A TTL that starts anew at a request only where a share of it has gone: what that costs, and what
it keeps.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from aiohttp_sess import BrowserSession, PersistentSession, TtlExtensionPolicy
from aiohttp_sess.config import Lifecycle
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.testing import FakeClock

from .apps import Recorded, application, cookie, memory
from .browser import serve
from .servers import MemcachedServer, RedisServer
from .test_lifetimes import DAY, alive

EVERY = TtlExtensionPolicy.ON_EVERY_REQUEST
KINDS: list[Callable[..., Lifecycle]] = [BrowserSession, PersistentSession]


def sparing(kind: Callable[..., Lifecycle], share: float = 0.5) -> Lifecycle:
    """A day, of which a share goes by."""
    return kind(ttl_extension_policy=EVERY, refresh_after=share)


@pytest.fixture(params=[memory, cookie])
def storage(request: pytest.FixtureRequest) -> Recorded:
    """Where a fake clock decides what has expired."""
    storage: Recorded = request.param()
    return storage


@pytest.fixture(params=["memory", "cookie", "redis", "memcached"])
async def any_storage(
    request: pytest.FixtureRequest, redis_server: RedisServer, memcached_server: MemcachedServer
) -> AsyncIterator[Recorded]:
    clock, prefix = FakeClock(), f"sparing-{secrets.token_hex(8)}:"
    if request.param == "memory":
        yield memory()
    elif request.param == "cookie":
        yield cookie()
    elif request.param == "redis":
        yield Recorded(RedisStorage.from_url(redis_server.url, key_prefix=prefix), clock)
    else:
        host, port = memcached_server.host, memcached_server.port
        yield Recorded(MemcachedStorage.connect(host, port, key_prefix=prefix), clock)


# -- what it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/read"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_hundred_requests_within_the_share_are_a_hundred_loads(
    any_storage: Recorded, kind: Callable[..., Lifecycle], path: str
) -> None:
    """And the one after it one write, whether the handler asks for the session or not."""
    storage = any_storage
    async with serve(application(storage, lifecycle=sparing(kind))) as server:
        await server.get("/write")
        for _ in range(2):
            storage.forget()
            storage.clock.advance(DAY / 2 - 100)
            for _ in range(100):
                assert (await server.get(path)).cookies == []
                storage.clock.advance(1)
            assert storage.calls == ["load"] * 100
            storage.forget()
            answer = await server.get(path)
            assert storage.calls == ["load", "update"]
            if kind is PersistentSession:
                assert answer.cookie.attributes["max-age"] == str(DAY)
            elif storage.server_side:
                assert answer.cookies == []
            else:
                assert "max-age" not in answer.cookie.attributes
        assert (await server.get("/read")).json == {"n": 1}
        assert server.logged() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_refreshes_too(storage: Recorded, kind: Callable[..., Lifecycle]) -> None:
    async with serve(application(storage, lifecycle=sparing(kind))) as server:
        for path in ("/write", "/write", "/renew"):
            storage.clock.advance(DAY / 2 - 1)
            await server.get(path)
        storage.forget()
        storage.clock.advance(DAY / 2 - 1)
        assert (await server.get("/read")).cookies == []
        assert storage.calls == ["load"]
        storage.clock.advance(1)
        await server.get("/read")
        assert storage.calls == ["load", "load", "update"]


# -- what it keeps --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/read"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.25, 0.9])
@pytest.mark.parametrize(
    ("last", "lives"),
    [
        (-1, lambda share: DAY - share * DAY),  # not due by a second: what is left of the first
        (0, lambda share: DAY - 1),  # due: a whole TTL
    ],
)
@pytest.mark.parametrize("too_long", [0, 2])
async def test_a_session_lives_for_the_rest_of_its_ttl_after_its_last_request(
    storage: Recorded,
    kind: Callable[..., Lifecycle],
    path: str,
    share: float,
    last: int,
    lives: Callable[[float], float],
    too_long: int,
) -> None:
    """ASVS 7.3.1: so long, and not longer than its TTL after the last write."""
    async with serve(application(storage, lifecycle=sparing(kind, share))) as server:
        await server.get("/write")
        storage.clock.advance(share * DAY + last)
        await server.get(path)
        storage.clock.advance(lives(share) + too_long)
        assert await alive(server) == (not too_long)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_browser_that_comes_often_enough_never_loses_its_session(
    storage: Recorded, kind: Callable[..., Lifecycle], share: float
) -> None:
    """Nor its cookie, which it forgets when the Max-Age is over."""
    pauses = random.Random(7)
    async with serve(application(storage, lifecycle=sparing(kind, share))) as server:
        forgets = storage.clock() + DAY
        await server.get("/write")
        for _ in range(300):
            storage.clock.advance(pauses.choice([0, 1, pauses.random()]) * (1 - share) * DAY)
            if kind is PersistentSession:
                assert storage.clock() < forgets
            answer = await server.get(pauses.choice(["/", "/read"]))
            for each in answer.cookies:
                forgets = storage.clock() + float(each.attributes.get("max-age") or DAY)
            assert await alive(server)


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_sparing_extends_a_session_past_its_end(
    storage: Recorded, kind: Callable[..., Lifecycle]
) -> None:
    """ASVS 7.3.2."""
    hour, longest = 3600, timedelta(hours=10)
    lifecycle = kind(timedelta(hours=2), EVERY, longest, refresh_after=0.5)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        for passed in range(1, 10):
            storage.clock.advance(hour)
            for each in (await server.get("/read")).cookies:
                assert float(each.attributes.get("max-age") or 0) <= (10 - passed) * hour
        storage.clock.advance(hour - 1)
        assert await alive(server)
        storage.clock.advance(1)
        assert not await alive(server)


# -- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_clock_that_is_set_back_costs_one_refresh(
    storage: Recorded, kind: Callable[..., Lifecycle]
) -> None:
    """The time of the last one is in the future, and would be so for as long as it was set back."""
    async with serve(application(storage, lifecycle=sparing(kind))) as server:
        await server.get("/write")
        storage.forget()
        storage.clock.advance(-10 * DAY)
        for _ in range(3):
            await server.get("/read")
        assert storage.calls == ["load", "update", "load", "load"]
        for _ in range(4):
            storage.clock.advance(DAY / 2 - 1)
            await server.get("/read")
        assert await alive(server)
