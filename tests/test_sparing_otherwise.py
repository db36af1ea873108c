"""Refreshing sparingly where something comes in between: other lifecycles, other deployments,
failures.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    PersistentSession,
    SerializationError,
    TtlExtensionPolicy,
    get_session,
)
from aiohttp_sess.config import Lifecycle
from aiohttp_sess.storage import MemoryStorage, SessionKey, Version
from aiohttp_sess.testing import FakeClock

from .apps import Recorded, application, cookie, memory
from .browser import Server, serve
from .test_lifetimes import DAY, EVERY, MONTH, alive
from .test_sparing import KINDS, sparing, storage
from .test_visit import spoil

__all__ = ("storage",)  # a fixture

LOAD, WRITE, TOUCH = ["load"], ["load", "update"], ["load", "update_ttl"]


async def keep(request: web.Request) -> web.Response:
    """Give the session a lifecycle of its own: of a month, or sparing as the query says."""
    session = await get_session(request)
    share = float(request.query.get("share", 0))
    policy = EVERY if share or "every" in request.query else TtlExtensionPolicy.ON_STATE_CHANGES
    kind = BrowserSession if "browser" in request.query else PersistentSession
    session.lifecycle = kind(timedelta(days=30), policy, refresh_after=share)
    session["n"] = 1
    return web.Response()


async def save(request: web.Request) -> web.Response:
    """Save, although nothing changed."""
    session = await get_session(request)
    await session.save()
    return web.json_response(dict(session))


async def calls(storage: Recorded, server: Server, path: str = "/read") -> list[str]:
    """What one more request asks of the storage."""
    storage.forget()
    await server.get(path)
    return list(storage.calls)


# -- lifecycles of their own ----------------------------------------------------------------------


@pytest.mark.parametrize("query", ["share=0.5", "share=0.5&browser"])
@pytest.mark.parametrize(
    "default", [BrowserSession(), PersistentSession(ttl_extension_policy=EVERY)]
)
async def test_one_session_can_be_sparing(
    storage: Recorded, query: str, default: Lifecycle
) -> None:
    async with serve(application(storage, {"/keep": keep}, lifecycle=default)) as server:
        await server.get(f"/keep?{query}")
        for _ in range(3):
            storage.clock.advance(MONTH / 2 - 1)
            assert await calls(storage, server) == LOAD
            storage.clock.advance(1)
            assert await calls(storage, server) == WRITE
        storage.clock.advance(MONTH - 1)
        assert await alive(server)


@pytest.mark.parametrize("query", ["share=0.5", "share=0.5&browser"])
async def test_one_session_is_sparing_where_all_are_refreshed_in_the_load(
    storage: Recorded, query: str
) -> None:
    """That gives it the TTL of all, and so costs a call for its own; the cookie is still spared."""
    default = BrowserSession(timedelta(hours=1), EVERY)
    async with serve(application(storage, {"/keep": keep}, lifecycle=default)) as server:
        await server.get(f"/keep?{query}")
        for _ in range(4):
            storage.clock.advance(MONTH / 2 - 1)
            storage.forget()
            answer = await server.get("/read")
            assert storage.calls[:2] == TOUCH
            if storage.server_side and "browser" in query:
                assert (storage.calls, answer.cookies) == (TOUCH, [])
        storage.clock.advance(MONTH / 2)
        assert await alive(server)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("query", "expected"), [("", LOAD), ("every", TOUCH)])
async def test_one_session_can_be_other_than_sparing(
    storage: Recorded, kind: Callable[..., Lifecycle], query: str, expected: list[str]
) -> None:
    async with serve(application(storage, {"/keep": keep}, lifecycle=sparing(kind))) as server:
        await server.get(f"/keep?{query}")
        for _ in range(3):
            storage.clock.advance(DAY)
            assert await calls(storage, server) == expected
        storage.clock.advance(MONTH - 3 * DAY - 1)
        assert await alive(server)


# -- deployments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_sessions_of_another_deployment_are_refreshed_when_they_come(
    kind: Callable[..., Lifecycle],
) -> None:
    """Their records do not say when that was last done, or say what is long out of date."""
    storage, cookies = memory(), dict[str, str]()

    async def come(lifecycle: Lifecycle, expected: list[list[str]]) -> None:
        async with serve(application(storage, lifecycle=lifecycle)) as server:
            server.cookies |= cookies
            if not cookies:
                await server.get("/write")
                cookies.update(server.cookies)
            for each in expected:
                assert await calls(storage, server) == each

    always = LOAD if kind is BrowserSession else TOUCH
    await come(kind(ttl_extension_policy=EVERY), [always, always])
    await come(sparing(kind), [WRITE, LOAD, LOAD])
    storage.clock.advance(DAY - 1)
    await come(kind(ttl_extension_policy=EVERY), [always])
    storage.clock.advance(DAY - 1)
    await come(sparing(kind), [WRITE, LOAD])
    await come(kind(), [LOAD, LOAD])
    storage.clock.advance(DAY / 2 - 1)
    await come(sparing(kind, 0.4), [WRITE, LOAD])


async def test_what_no_longer_fits_into_the_cookie_is_read_all_the_same() -> None:
    """A cookie that was full before it had to say when it was refreshed."""
    storage = cookie()
    async with serve(application(storage)) as server:
        await server.get("/write")
        small, large = 1_000, 4_000
        while large - small > 1:
            size = (small + large) // 2
            answer = await server.get(f"/write?pad={'x' * size}")
            small, large = (small, size) if answer.status == 500 else (size, large)
        await server.get(f"/write?pad={'x' * small}")
        cookies = dict(server.cookies)
    for kind in KINDS:
        app = application(storage, {"/save": save}, lifecycle=sparing(kind))
        async with serve(app) as server:
            for path in ("/", "/read", "/save"):
                answer = await server.get(path, cookies=cookies)
                assert (answer.status, answer.cookies) == (200, [])
            assert len(answer.json["pad"]) == small
            assert len(server.logged()) == 3
            assert all("its TTL does not start anew" in line for line in server.logged())


# -- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refresh_that_fails_fails_no_answer_that_did_not_ask(
    kind: Callable[..., Lifecycle],
) -> None:
    storage = memory()
    async with serve(application(storage, lifecycle=sparing(kind))) as server:
        await server.get("/write")
        storage.clock.advance(DAY / 2)
        storage.down = {"update"}
        answer = await server.get("/")
        assert (answer.status, answer.text, answer.cookies) == (200, "hello", [])
        assert len(server.logged()) == 1
        assert (await server.get("/read")).status == 500
        storage.down = set()
        assert await calls(storage, server, "/") == WRITE


class Full(MemoryStorage):
    """Takes new entries, and no larger ones in their place."""

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        raise SerializationError(f"{len(value)} bytes are too many")


async def test_a_record_that_has_no_room_for_the_time_is_read_all_the_same() -> None:
    clock = FakeClock()
    storage = Recorded(Full(clock=clock), clock)
    async with serve(application(storage, lifecycle=sparing(PersistentSession))) as server:
        await server.get("/write")
        clock.advance(DAY / 2)
        for path in ("/", "/read"):
            answer = await server.get(path)
            assert (answer.status, answer.cookies) == (200, [])
        assert answer.json == {"n": 1}
        assert (await server.get("/write")).status == 500
        lines = server.logged()
        assert all("its TTL does not start anew" in line for line in lines[:2])


@pytest.mark.parametrize("path", ["/", "/read"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_record_that_cannot_be_read_stays_as_it_is(
    kind: Callable[..., Lifecycle], path: str
) -> None:
    """A later release may have written it."""
    storage = memory()
    assert isinstance(storage.inner, MemoryStorage)
    async with serve(application(storage, lifecycle=sparing(kind))) as server:
        key = (await server.get("/write")).cookie.value
        await spoil(storage.inner, key)
        storage.clock.advance(30)
        assert await calls(storage, server, path) == LOAD
        name = storage.inner.name_of(SessionKey(key))
        assert name is not None
        entry = await storage.inner.read(name, None)
        assert entry is not None and entry.value == b"garbage of some length"
