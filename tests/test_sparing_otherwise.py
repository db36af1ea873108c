"""Refreshing sparingly where something comes in between: other lifecycles, other deployments,
streams, websockets, failures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from aiohttp import WSMsgType, web

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
from .test_websockets import tied
from .wire import PATIENCE

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


# -- after the headers ----------------------------------------------------------------------------


async def stream(request: web.Request) -> web.StreamResponse:
    """Writes when the headers are gone, and sets a lifecycle too if the query says so."""
    session = await get_session(request)
    response = web.StreamResponse()
    await response.prepare(request)
    session["late"] = True
    if "month" in request.query:
        session.lifecycle = PersistentSession(timedelta(days=30), EVERY, refresh_after=0.5)
    return response


async def test_a_write_that_cannot_set_the_cookie_does_not_refresh_it() -> None:
    """The record would live on, and the browser forget the cookie."""
    storage = memory()
    app = application(storage, {"/stream": stream}, lifecycle=sparing(PersistentSession))
    async with serve(app) as server:
        await server.get("/write")
        storage.clock.advance(DAY / 2 - 1)
        assert await calls(storage, server, "/stream") == WRITE
        storage.clock.advance(1)
        assert (await server.get("/read")).cookie.attributes["max-age"] == str(DAY)
        assert await calls(storage, server, "/read") == LOAD


async def test_a_lifecycle_that_was_set_too_late_for_the_cookie_is_told_next() -> None:
    storage = memory()
    app = application(storage, {"/stream": stream}, lifecycle=sparing(PersistentSession))
    async with serve(app) as server:
        await server.get("/write")
        await server.get("/stream?month")
        assert (await server.get("/read")).cookie.attributes["max-age"] == str(MONTH)
        assert await calls(storage, server, "/read") == LOAD


# -- websockets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_signs_of_life_refresh_sparingly_too(
    kind: Callable[..., Lifecycle], own: bool
) -> None:
    """ASVS 4.4.3, 7.3.1: and keep the session for as long as requests do."""
    storage = memory()
    routes = {"/tied": tied, "/keep": keep}
    default = BrowserSession() if own else sparing(kind)
    async with serve(application(storage, routes, lifecycle=default)) as server:
        life = MONTH if own else DAY
        await server.get("/keep?share=0.5" if own else "/write")
        async with server.websocket("/tied?seconds=0.001") as socket:

            async def live() -> None:
                """Show a sign of life, and wait until it was looked at."""
                await socket.send_str("hello")
                assert await socket.receive_str() == "hello"
                for _ in range(2):
                    await storage.next_call()

            for _ in range(2):
                storage.forget()
                storage.clock.advance(life / 2 - 1)
                for _ in range(5):
                    await live()
                assert "update_ttl" not in storage.calls
                storage.clock.advance(1)
                for _ in range(5):
                    await live()
                assert storage.calls.count("update_ttl") == 1
                assert "update" not in storage.calls
            storage.clock.advance(life - 1)
            await live()
            storage.clock.advance(life + 1)
            message = await socket.receive(timeout=PATIENCE)
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)


async def test_a_sign_of_life_that_failed_is_due_again() -> None:
    storage = memory()
    app = application(storage, {"/tied": tied}, lifecycle=sparing(BrowserSession))
    async with serve(app) as server:
        await server.get("/write")
        async with server.websocket("/tied?seconds=0.001") as socket:
            storage.clock.advance(DAY / 2)
            storage.down = {"update_ttl"}
            await socket.send_str("hello")
            await socket.receive_str()
            async with asyncio.timeout(PATIENCE):
                while storage.calls.count("update_ttl") < 2:
                    await storage.next_call()
                storage.down.clear()
                while "update_ttl" not in storage.done:
                    await storage.next_call()
            storage.clock.advance(DAY - 1)
            assert await alive(server)


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
