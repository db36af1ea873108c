"""Logout with sessions in cookies, over HTTP (ASVS 7.2.4, 7.4.1)."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import BrowserSession, PersistentSession, TtlExtensionPolicy, get_session
from aiohttp_sess.storage import CookieStorage, MemoryStorage
from aiohttp_sess.testing import FakeClock

from .apps import HANDLE, application
from .browser import Server, serve
from .noted import Noted
from .test_gone import Act, Held, late, only_read, purge_late, renew_late, set_late


@pytest.fixture
def noted() -> Noted:
    return Noted(MemoryStorage())


@pytest.fixture
def storage(noted: Noted) -> CookieStorage:
    return CookieStorage(revocations=noted)


async def state(server: Server, cookie: str) -> object:
    """What is in the session under a cookie."""
    return (await server.get("/read", cookies={"id": cookie})).json


@pytest.mark.parametrize("path", ["/purge", "/renew"])
async def test_a_kept_cookie_opens_in_no_process_once_it_was_ended(
    noted: Noted, storage: CookieStorage, path: str
) -> None:
    another = CookieStorage(revocations=noted)
    async with serve(application(storage)) as server, serve(application(another)) as other:
        await server.get("/write")
        kept = server.cookies["id"]
        assert await state(other, kept) == {"n": 1}
        answer = await server.get(path)
        assert await state(other, kept) == await state(server, kept) == {}
        if path == "/purge":
            assert answer.cookie.attributes["max-age"] == "0"
        else:
            assert await state(other, server.cookies["id"]) == {"n": 1}


@pytest.mark.parametrize("meanwhile", ["/purge", "/renew"])
@pytest.mark.parametrize("act", [set_late, renew_late, purge_late, only_read])
async def test_a_request_that_comes_late_sets_no_cookie(
    storage: CookieStorage, act: Act, meanwhile: str
) -> None:
    """It would take the place of the next login's."""
    held = Held(act)
    lifecycle = PersistentSession(ttl_extension_policy=TtlExtensionPolicy.ON_EVERY_REQUEST)
    async with serve(application(storage, {"/held": held.handle}, lifecycle=lifecycle)) as server:
        await server.get("/write")
        kept = server.cookies["id"]
        assert await late(server, held, meanwhile) is None
        assert await state(server, kept) == {}


@pytest.mark.parametrize("meanwhile", ["/purge", "/renew"])
async def test_a_cookie_of_the_load_is_taken_back(noted: Noted, meanwhile: str) -> None:
    """A browser session's TTL starts anew when it is loaded, which makes another cookie."""
    clock = FakeClock()
    storage, held = CookieStorage(revocations=noted, clock=clock), Held(only_read)
    lifecycle = BrowserSession(ttl_extension_policy=TtlExtensionPolicy.ON_EVERY_REQUEST)
    async with serve(application(storage, {"/held": held.handle}, lifecycle=lifecycle)) as server:
        await server.get("/write")
        clock.advance(5)
        assert await late(server, held, meanwhile) is None
        clock.advance(5)
        expected = {"n": 1} if meanwhile == "/renew" else {}
        assert (await server.get("/read")).json == expected


@pytest.mark.parametrize("meanwhile", ["/purge", "/renew"])
async def test_a_cookie_of_an_earlier_save_is_taken_back(
    storage: CookieStorage, meanwhile: str
) -> None:
    held = Held(only_read)

    async def save_first(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["early"] = True
        await session.save()
        return await held.handle(request)

    async with serve(application(storage, {"/held": save_first})) as server:
        await server.get("/write")
        assert await late(server, held, meanwhile) is None


async def test_where_the_list_is_down_nobody_is_logged_in_or_out(
    noted: Noted, storage: CookieStorage
) -> None:
    """ASVS 16.5.3."""
    async with serve(application(storage)) as server:
        await server.get("/write")
        noted.down = {"read"}
        for path in ("/read", "/write", "/purge"):
            answer = await server.get(path)
            assert (answer.status, answer.cookies) == (500, [])
            assert "answer" not in answer.text
        assert (await server.get("/")).status == 200
        noted.down = {"add"}
        for path in ("/purge", "/renew"):
            answer = await server.get(path)
            assert (answer.status, answer.cookies) == (500, [])
        assert "ConnectionRefusedError" in server.causes()
        noted.down.clear()
        assert (await server.get("/read")).json == {"n": 1}


async def test_a_renewal_that_does_not_fit_into_a_cookie_ends_nothing(
    storage: CookieStorage,
) -> None:
    async def renew_too_large(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.renew()
        session["large"] = "x" * 5000
        return web.Response()

    async with serve(application(storage, {"/large": renew_too_large})) as server:
        await server.get("/write")
        answer = await server.get("/large")
        assert (answer.status, answer.cookies) == (500, [])
        assert "CookieTooLarge" in server.causes()
        assert (await server.get("/read")).json == {"n": 1}


@pytest.mark.parametrize("path", ["/purge", "/renew"])
async def test_a_client_that_leaves_does_not_cut_an_end_in_half(
    noted: Noted, storage: CookieStorage, path: str
) -> None:
    left = asyncio.Event()

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except asyncio.CancelledError:
            left.set()
            raise

    app = application(storage, outer=[watch])
    async with serve(app, handler_cancellation=True) as server:
        await server.get("/write")
        gate = noted.hold("add")
        async with server.wire() as wire:
            wire.send(path, server.id)
            await gate.reached.wait()
        await left.wait()
        assert not gate.left.is_set()
        gate.opened.set()
        assert await state(server, server.cookies["id"]) == {}
        stopping = noted.hold("add")
        async with server.wire() as wire:
            await server.get("/write")
            wire.send("/purge", server.id)
            await stopping.reached.wait()
        stop = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        assert noted.closed == 0
        stopping.opened.set()
        await stop
        assert noted.closed == 1  # after the last commit
        assert server.logged() == []


@pytest.mark.parametrize("what", ["purge", "renew", "write", "begin"])
async def test_of_what_comes_after_the_headers_only_an_end_can_be(
    storage: CookieStorage, what: str
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        response = web.StreamResponse()
        await response.prepare(request)
        if what in ("purge", "begin"):
            session.purge()
        if what == "renew":
            session.renew()
        if what in ("begin", "write"):
            session["late"] = 1
        return response

    async with serve(application(storage, {"/stream": stream})) as server:
        await server.get("/write")
        kept = server.cookies["id"]
        assert (await server.get("/stream")).cookies == []
        ended = what in ("purge", "begin")
        assert await state(server, kept) == ({} if ended else {"n": 1})
        assert len(server.logged()) == (0 if what == "purge" else 1)


async def test_a_websocket_is_closed_when_its_session_ends_in_another_process(
    noted: Noted, storage: CookieStorage
) -> None:
    async def socket(request: web.Request) -> web.WebSocketResponse:
        session = await get_session(request)
        response = web.WebSocketResponse()
        await response.prepare(request)
        await session.bind(response, check_every=0.05)
        async for _ in response:
            pass
        return response

    another = CookieStorage(revocations=noted)
    app = application(storage, {"/socket": socket})
    async with serve(app) as server, serve(application(another)) as other:
        await server.get("/write")
        async with server.websocket("/socket") as client:
            await other.get("/purge", cookies=dict(server.cookies))
            await client.receive()
            assert client.close_code == 1008


async def test_what_a_request_costs(noted: Noted, storage: CookieStorage) -> None:
    """In round trips: a change is one more than a load, as the session may have been ended."""

    async def log_in(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.renew()
        session.owner = "ferris"
        return web.Response()

    paths = {"/": 0, "/read": 1, "/write": 2, "/renew": 2, "/login": 3, "/purge": 2}
    async with serve(application(storage, {"/login": log_in})) as server:
        for owned in (False, True):
            for path in ("/", "/read", "/write"):  # nobody has a session yet
                noted.exchanges.clear()
                await server.get(path)
                assert noted.exchanges == []
            if owned:
                await server.get("/login")
                paths["/renew"] = 3
            for path, trips in paths.items():
                noted.exchanges.clear()
                await server.get(path)
                assert len(noted.exchanges) == trips, (path, noted.exchanges)


async def test_the_password_is_changed_and_all_others_are_logged_out(
    storage: CookieStorage,
) -> None:
    """Also where the handler goes on to log in anew (ASVS 7.4.3)."""

    async def log_in(request: web.Request) -> web.Response:
        session = await get_session(request)
        await storage.end_sessions("ferris", request.app[HANDLE].name)
        session["n"] = 1
        session.owner = "ferris"
        return web.Response()

    async def change(request: web.Request) -> web.Response:
        session = await get_session(request)
        await storage.end_sessions("ferris", "id", keep=session.id)
        session.renew()
        return web.Response()

    app = application(storage, {"/login": log_in, "/password": change})
    async with serve(app) as server:
        await server.get("/login")
        first = server.cookies.pop("id")
        assert await state(server, first) == {"n": 1}
        await server.get("/write")  # a session without an owner, which gets one without a renewal
        await server.get("/login")
        second = server.cookies["id"]
        assert (await state(server, first), await state(server, second)) == ({}, {"n": 1})
        await server.get("/password")
        assert await state(server, second) == {}
        assert (await server.get("/read")).json == {"n": 1}


@pytest.mark.parametrize("lifecycle", [BrowserSession, PersistentSession])
@pytest.mark.parametrize("path", ["/", "/size"])
async def test_who_only_reads_does_not_fail_as_a_cookie_would_grow(
    lifecycle: type[BrowserSession | PersistentSession], path: str
) -> None:
    """With a list of ended sessions, a cookie says more than without."""
    every = lifecycle(ttl_extension_policy=TtlExtensionPolicy.ON_EVERY_REQUEST)

    async def fill(request: web.Request) -> web.Response:
        (await get_session(request))["x"] = "x" * int(request.query["n"])
        return web.Response()

    async def size(request: web.Request) -> web.Response:
        return web.Response(text=str(len((await get_session(request))["x"])))

    routes = {"/fill": fill, "/size": size}
    async with serve(application(CookieStorage(), routes, lifecycle=every)) as server:
        n = 3000
        while (await server.get(f"/fill?n={n}")).status == 500:
            n -= 10
        cookies = server.cookies
    storage = CookieStorage(revocations=MemoryStorage())
    async with serve(application(storage, routes, lifecycle=every)) as server:
        answer = await server.get(path, cookies=cookies)
        assert (answer.status, answer.cookies) == (200, [])
        assert "does not start anew" in server.logged(logging.WARNING)[-1]
        assert path == "/" or answer.text == str(n)
