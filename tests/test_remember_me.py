"""Sessions with a lifecycle of their own, whatever the lifecycle of all."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    PersistentSession,
    TtlExtensionPolicy,
    get_session,
)

from .apps import Recorded, application, cookie, memory, records
from .browser import serve
from .test_lifetimes import DAY, EVERY, MONTH, Lifecycle, alive


@pytest.fixture(params=[memory, cookie])
def storage(request: pytest.FixtureRequest) -> Recorded:
    storage: Recorded = request.param()
    return storage


async def remember(request: web.Request) -> web.Response:
    """Remember me: for a month, which starts anew as the query says."""
    session = await get_session(request)
    policy = EVERY if "every" in request.query else TtlExtensionPolicy.ON_STATE_CHANGES
    session.lifecycle = PersistentSession(timedelta(days=30), policy)
    session["n"] = 1
    return web.Response()


async def forget(request: web.Request) -> web.Response:
    (await get_session(request)).lifecycle = BrowserSession()
    return web.Response()


@pytest.mark.parametrize("policy", TtlExtensionPolicy)
async def test_longer_lifetime_of_one_session_is_remembered(
    storage: Recorded, policy: TtlExtensionPolicy
) -> None:
    """Also where every request gives each session the shorter TTL of all."""
    lifecycle = BrowserSession(timedelta(hours=1), policy)
    async with serve(application(storage, {"/remember": remember}, lifecycle=lifecycle)) as server:
        answer = await server.get("/remember")
        assert answer.cookie.attributes["max-age"] == str(MONTH)
        for path in ("/read", "/"):
            storage.clock.advance(10 * DAY)
            for cookie in (await server.get(path)).cookies:
                assert cookie.attributes["max-age"] == str(MONTH)
        storage.clock.advance(10 * DAY - 1)
        assert await alive(server)
        assert (await server.get("/write")).cookie.attributes["max-age"] == str(MONTH)
        storage.clock.advance(MONTH + 1)
        assert not await alive(server)


@pytest.mark.parametrize(
    "lifecycle",
    [
        BrowserSession(),
        BrowserSession(ttl_extension_policy=EVERY),
        PersistentSession(),
        PersistentSession(ttl_extension_policy=EVERY),
    ],
)
async def test_every_request_extends_a_session_that_wants_it_so(
    storage: Recorded, lifecycle: Lifecycle
) -> None:
    """Record and cookie alike: one is of no use without the other."""
    async with serve(application(storage, {"/remember": remember}, lifecycle=lifecycle)) as server:
        await server.get("/remember?every")
        for _ in range(3):
            storage.clock.advance(MONTH - 1)
            answer = await server.get("/read")
            assert answer.json == {"n": 1}
            assert answer.cookie.attributes["max-age"] == str(MONTH)


@pytest.mark.parametrize("policy", TtlExtensionPolicy)
async def test_every_request_extends_a_browser_session_that_wants_it_so(
    storage: Recorded, policy: TtlExtensionPolicy
) -> None:
    async def keep(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.lifecycle = BrowserSession(timedelta(days=30), EVERY)
        session["n"] = 1
        return web.Response()

    lifecycle = PersistentSession(ttl_extension_policy=policy)
    async with serve(application(storage, {"/keep": keep}, lifecycle=lifecycle)) as server:
        await server.get("/keep")
        for _ in range(3):
            storage.clock.advance(MONTH - 1)
            answer = await server.get("/read")
            assert answer.json == {"n": 1}
            assert all("max-age" not in cookie.attributes for cookie in answer.cookies)


async def test_refresh_of_a_remembered_session_that_was_ended_meanwhile_finds_nothing() -> None:
    """It ends between the load and the refresh with its own TTL: there is no session then."""
    storage = memory()
    lifecycle = BrowserSession(ttl_extension_policy=EVERY)
    async with serve(application(storage, {"/remember": remember}, lifecycle=lifecycle)) as server:
        await server.get("/remember")
        storage.ending = {"update_ttl"}
        answer = await server.get("/read")
        assert (answer.status, answer.json, answer.cookies) == (200, {}, [])
        assert records(storage) == 0


async def test_remembered_session_can_be_forgotten_again(storage: Recorded) -> None:
    routes = {"/remember": remember, "/forget": forget}
    async with serve(application(storage, routes)) as server:
        await server.get("/remember")
        assert "max-age" not in (await server.get("/forget")).cookie.attributes
        storage.clock.advance(DAY + 1)
        assert not await alive(server)


async def test_shorter_lifetime_of_one_session_holds(storage: Recorded) -> None:
    async def shorten(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.lifecycle = BrowserSession(timedelta(minutes=5))
        session["n"] = 1
        return web.Response()

    async with serve(application(storage, {"/short": shorten})) as server:
        await server.get("/short")
        storage.clock.advance(299)
        assert await alive(server)
        storage.clock.advance(2)
        assert not await alive(server)


async def test_lifecycle_alone_begins_no_session(storage: Recorded) -> None:
    async with serve(application(storage, {"/forget": forget})) as server:
        assert (await server.get("/forget")).cookies == []
        assert storage.calls == []


@pytest.mark.parametrize("query", ["", "?same=1"])
async def test_a_lifecycle_that_is_found_by_a_reload_is_kept(query: str) -> None:
    """Another request has set it since the session was loaded: the cookie gets its age."""
    loaded, remembered = asyncio.Event(), asyncio.Event()

    async def begin(request: web.Request) -> web.Response:
        (await get_session(request))["n"] = 1
        return web.Response()

    async def read_again(request: web.Request) -> web.Response:
        session = await get_session(request)
        if "same" in request.query:
            session.lifecycle = PersistentSession(timedelta(days=30), EVERY)
        loaded.set()
        await remembered.wait()
        await session.reload()
        return web.Response()

    app = application(memory(), {"/begin": begin, "/remember": remember, "/again": read_again})
    async with serve(app) as browser:
        await browser.get("/begin")
        again = asyncio.create_task(browser.get(f"/again{query}"))
        await loaded.wait()
        await browser.get("/remember?every=1")
        remembered.set()
        assert "Max-Age" in (await again).headers.get("Set-Cookie", "")
