"""How long sessions live: idle TTLs, when they start anew, and the end however active."""

from __future__ import annotations

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
from .browser import Server, serve

EVERY = TtlExtensionPolicy.ON_EVERY_REQUEST
HOUR, DAY, MONTH = 3600, 86_400, 30 * 86_400  # seconds
HOURS = timedelta(hours=2)
Lifecycle = BrowserSession | PersistentSession


@pytest.fixture(params=[memory, cookie])
def storage(request: pytest.FixtureRequest) -> Recorded:
    storage: Recorded = request.param()
    return storage


async def alive(server: Server) -> bool:
    """Whether the session is there, asked without keeping anything of the answer."""
    return bool((await server.get("/read", cookies=dict(server.cookies))).json)


# -- idle -----------------------------------------------------------------------------------------


async def test_browser_session_ends_with_the_browser(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        assert "max-age" not in (await server.get("/write")).cookie.attributes


async def test_cookie_of_a_persistent_session_lives_as_long_as_its_record(
    storage: Recorded,
) -> None:
    lifecycle = PersistentSession(timedelta(days=7))
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        for _ in range(2):
            assert (await server.get("/write")).cookie.attributes["max-age"] == str(7 * DAY)


@pytest.mark.parametrize("lifecycle", [BrowserSession(), PersistentSession()])
async def test_idle_session_ends_on_the_server(storage: Recorded, lifecycle: Lifecycle) -> None:
    """ASVS 7.3.1: although the cookie is still sent."""
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        storage.clock.advance(DAY - 1)
        assert await alive(server)
        await server.get("/write")
        storage.clock.advance(DAY - 1)
        assert await alive(server)
        storage.clock.advance(2)
        assert not await alive(server)
        assert (await server.get("/write")).json == {"n": 1}


async def test_reading_does_not_extend_a_session_unless_asked_to(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        await server.get("/write")
        storage.clock.advance(DAY - 1)
        await server.get("/read")
        storage.clock.advance(2)
        assert not await alive(server)


# -- anew at every request ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/read"])
async def test_every_request_extends_a_browser_session_in_the_load_itself(path: str) -> None:
    storage = memory()
    lifecycle = BrowserSession(ttl_extension_policy=EVERY)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        for _ in range(3):
            storage.clock.advance(DAY - 1)
            storage.forget()
            answer = await server.get(path)
            assert storage.calls == ["load"]
            assert answer.cookies == []
        storage.clock.advance(DAY + 1)
        assert not await alive(server)


@pytest.mark.parametrize("path", ["/", "/read"])
async def test_every_request_extends_a_browser_session_in_its_cookie(path: str) -> None:
    storage = cookie()
    lifecycle = BrowserSession(ttl_extension_policy=EVERY)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        for _ in range(3):
            storage.clock.advance(DAY - 1)
            storage.forget()
            answer = await server.get(path)
            assert storage.calls == ["load"]
            assert "max-age" not in answer.cookie.attributes
        storage.clock.advance(DAY + 1)
        assert not await alive(server)


@pytest.mark.parametrize("path", ["/", "/read"])
async def test_every_request_extends_a_persistent_session_and_its_cookie(
    storage: Recorded, path: str
) -> None:
    lifecycle = PersistentSession(ttl_extension_policy=EVERY)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        for _ in range(3):
            storage.clock.advance(DAY - 1)
            storage.forget()
            answer = await server.get(path)
            assert storage.calls == ["load", "update_ttl"]
            assert answer.cookie.attributes["max-age"] == str(DAY)
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Vary"] == "Cookie"
        storage.clock.advance(DAY + 1)
        assert not await alive(server)


@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
async def test_change_extends_a_session_without_a_call_of_its_own(
    storage: Recorded, kind: type[Lifecycle]
) -> None:
    lifecycle = kind(ttl_extension_policy=EVERY)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        storage.forget()
        assert (await server.get("/write")).cookie
        assert storage.calls == ["load", "update"]


@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
async def test_request_without_a_cookie_extends_nothing(
    storage: Recorded, kind: type[Lifecycle]
) -> None:
    async with serve(application(storage, lifecycle=kind(ttl_extension_policy=EVERY))) as server:
        answer = await server.get("/")
        assert storage.calls == []
    assert answer.cookies == []
    assert "Vary" not in answer.headers


@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
async def test_refresh_that_nobody_asked_for_never_fails_an_answer(kind: type[Lifecycle]) -> None:
    storage = memory()
    lifecycle = kind(ttl_extension_policy=EVERY)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        storage.forget()
        storage.down = {"load"}
        answer = await server.get("/")
        assert (answer.status, answer.text, answer.cookies) == (200, "hello", [])
        # A backend that is down may take seconds to say so: it is asked once.
        assert storage.calls == ["load"]
        assert len(server.logged()) == 1
        assert "ConnectionRefusedError" in server.causes()
        assert (await server.get("/read")).status == 500


async def test_refresh_that_fails_halfway_never_fails_an_answer() -> None:
    storage = memory()
    lifecycle = PersistentSession(ttl_extension_policy=EVERY)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        storage.forget()
        storage.down = {"update_ttl"}
        answer = await server.get("/")
        assert (answer.status, answer.text, answer.cookies) == (200, "hello", [])
        assert storage.calls == ["load", "update_ttl"]
        assert len(server.logged()) == 1
        assert (await server.get("/read")).status == 500


async def test_unhandled_exception_extends_no_cookie(storage: Recorded) -> None:
    for kind in (BrowserSession, PersistentSession):
        lifecycle = kind(ttl_extension_policy=EVERY)
        async with serve(application(storage, lifecycle=lifecycle)) as server:
            await server.get("/write")
            storage.clock.advance(1)
            answer = await server.get("/crash")
            assert (answer.status, answer.cookies) == (500, [])


# -- the end, however active ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/read", "/write", "/renew", "/remember"])
@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
async def test_nothing_extends_a_session_past_its_end(
    storage: Recorded, kind: type[Lifecycle], path: str
) -> None:
    """ASVS 7.3.2: touched, written and renewed in a loop."""
    longest = timedelta(hours=10)
    lifecycle = kind(timedelta(hours=2), EVERY, longest)

    async def remember_for_a_while(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.lifecycle = PersistentSession(timedelta(days=30), EVERY, longest)
        return web.Response()

    routes = {"/remember": remember_for_a_while}
    async with serve(application(storage, routes, lifecycle=lifecycle)) as server:
        await server.get("/write")
        for hour in range(1, 10):
            storage.clock.advance(HOUR)
            for set_cookie in (await server.get(path)).cookies:
                age = set_cookie.attributes.get("max-age")
                assert age is None or int(age) <= (10 - hour) * HOUR
        storage.clock.advance(HOUR - 1)
        last = await server.get(path)
        assert await alive(server)
        assert all(c.attributes.get("max-age", "1") == "1" for c in last.cookies)
        storage.clock.advance(1)
        assert not await alive(server)
        await server.get("/read")
        if storage.server_side:
            storage.clock.advance(MONTH)
            assert records(storage) == 0


async def test_max_age_is_never_nothing(storage: Recorded) -> None:
    """Max-Age=0 would erase the cookie, a moment early."""
    lifecycle = PersistentSession(timedelta(hours=1), max_lifetime=timedelta(hours=1))
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        await server.get("/write")
        storage.clock.advance(HOUR - 0.25)
        assert (await server.get("/write")).cookie.attributes["max-age"] == "1"
        storage.clock.advance(0.5)
        assert not await alive(server)


async def test_lifetime_that_was_made_shorter_holds_for_old_sessions_too() -> None:
    storage = memory()
    async with serve(application(storage)) as server:
        await server.get("/write")
        cookies = server.cookies
    storage.clock.advance(HOUR)
    lifecycle = BrowserSession(max_lifetime=timedelta(hours=1))
    storage.forget()
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        answer = await server.get("/read", cookies=cookies)
        assert (answer.json, answer.cookies) == ({}, [])
        assert storage.calls == ["load", "delete"]
        assert records(storage) == 0


async def test_end_that_was_promised_holds_although_lifetimes_were_made_longer() -> None:
    """It is in the record, until that is written again."""
    storage = memory()
    async with serve(application(storage, lifecycle=BrowserSession(max_lifetime=HOURS))) as server:
        await server.get("/write")
        cookies = server.cookies
    lifecycle = BrowserSession(ttl_extension_policy=EVERY)
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        storage.clock.advance(2 * HOUR - 1)
        assert (await server.get("/read", cookies=cookies)).json == {"n": 1}
        storage.clock.advance(2)
        assert (await server.get("/read", cookies=cookies)).json == {}


@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
async def test_session_whose_end_comes_while_it_is_at_work_is_over(
    storage: Recorded, kind: type[Lifecycle]
) -> None:
    async def slow(request: web.Request) -> web.Response:
        session = await get_session(request)
        storage.clock.advance(2 * HOUR + 1)
        session["late"] = True
        return web.Response()

    lifecycle = kind(HOURS, EVERY, max_lifetime=HOURS)
    async with serve(application(storage, {"/slow": slow}, lifecycle=lifecycle)) as server:
        await server.get("/write")
        assert (await server.get("/slow")).status == 200
        assert not await alive(server)
