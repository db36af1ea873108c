"""Whether the last login was a while ago: `Session.authenticated_within` (ASVS 7.5.1, 7.5.3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    PersistentSession,
    Session,
    SessionRecord,
    TtlExtensionPolicy,
    get_session,
)
from aiohttp_sess.changes import Changes
from aiohttp_sess.record import decode_record, encode_record
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.testing import FakeClock

from .apps import Recorded, application, cookie, memory
from .browser import Server, serve

NOW, MINUTE = timedelta(0), timedelta(minutes=1)
EVERY = TtlExtensionPolicy.ON_EVERY_REQUEST


@pytest.fixture(params=[memory, cookie])
def storage(request: pytest.FixtureRequest) -> Recorded:
    storage: Recorded = request.param()
    return storage


def session_of(authenticated: float | None, clock: FakeClock) -> tuple[Session, Changes]:
    record = SessionRecord({"n": 1}, created=5.0, authenticated=authenticated)
    record = decode_record(encode_record(record))
    changes = Changes(record, stored=True, clock=clock)
    return Session(changes), changes


async def ask(server: Server, within: float = 0.0) -> bool:
    """Whether the browser's session is fresh, asked without keeping anything of the answer."""
    answer = await server.get(f"/fresh?within={within}", cookies=dict(server.cookies))
    return bool(answer.json)


async def fresh(request: web.Request) -> web.Response:
    session = await get_session(request)
    period = timedelta(seconds=float(request.query["within"]))
    return web.json_response(session.authenticated_within(period))


async def log_in(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.renew()
    session["user"] = "ferris"
    return web.json_response(session.authenticated_within(NOW))


ROUTES = {"/fresh": fresh, "/login": log_in}


# -- what it answers ------------------------------------------------------------------------------


def test_a_session_that_was_never_renewed_is_not_fresh() -> None:
    session, _ = session_of(None, FakeClock())
    assert not session.authenticated_within(timedelta.max)
    session["n"] = 2
    session.changed()
    assert not session.authenticated_within(timedelta.max)
    assert not Session().authenticated_within(timedelta.max)


@pytest.mark.parametrize("before", [None, 1000.0])
def test_a_renewal_makes_it_fresh_at_once_and_for_exactly_so_long(before: float | None) -> None:
    clock = FakeClock()
    session, _ = session_of(before, clock)
    session.renew()
    assert session.authenticated_within(NOW)
    clock.advance(60)
    assert session.authenticated_within(MINUTE)
    assert not session.authenticated_within(NOW)
    clock.advance(0.001)
    assert not session.authenticated_within(MINUTE)


def test_a_session_that_stands_alone_can_be_fresh() -> None:
    session = Session()
    session.renew()
    assert session.authenticated_within(MINUTE)


def test_what_was_done_in_the_future_was_done_now() -> None:
    """By a server whose clock is ahead, or before this one's was set back."""
    clock = FakeClock()
    session, _ = session_of(clock() + 1000, clock)
    assert session.authenticated_within(NOW)
    clock.advance(1001)
    assert not session.authenticated_within(NOW)


def test_a_purge_forgets_it() -> None:
    clock = FakeClock()
    session, _ = session_of(clock(), clock)
    session.purge()
    assert not session.authenticated_within(timedelta.max)
    session.renew()
    session.purge()
    assert not session.authenticated_within(timedelta.max)
    session.renew()
    assert session.authenticated_within(NOW)


@pytest.mark.parametrize("ago", [None, 100.0])
def test_a_renewal_that_cannot_be_leaves_it_as_it_was(ago: float | None) -> None:
    clock = FakeClock()
    before = None if ago is None else clock() - ago
    session, changes = session_of(before, clock)
    session.renew()
    changes.cancel_renewal()
    assert not session.authenticated_within(timedelta(seconds=99))
    assert session.authenticated_within(timedelta(seconds=100)) is (ago is not None)
    session["n"] = 2
    assert changes.snapshot().record.authenticated == before


def test_a_second_renewal_that_cannot_be_leaves_the_first() -> None:
    clock = FakeClock()
    session, changes = session_of(None, clock)
    session.renew()
    saved = changes.snapshot()
    clock.advance(100)
    session.renew()  # while the first is being saved
    changes.settle(saved, saved.record)
    assert session.authenticated_within(NOW)
    changes.cancel_renewal()
    assert not session.authenticated_within(timedelta(seconds=99))
    assert session.authenticated_within(timedelta(seconds=100))


@pytest.mark.parametrize("wrong", [60, 60.0, "60", None])
def test_what_is_no_period_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="period must be a timedelta, not"):
        Session().authenticated_within(wrong)


def test_a_negative_period_is_refused() -> None:
    with pytest.raises(ValueError, match="period must not be negative"):
        Session().authenticated_within(timedelta(microseconds=-1))


# -- from request to request ----------------------------------------------------------------------


@pytest.mark.parametrize("begun", [True, False])
async def test_a_login_is_fresh_for_so_long_whatever_is_done(
    storage: Recorded, begun: bool
) -> None:
    """ASVS 7.5.1, 7.5.3: no request, write, refresh or lifecycle moves it; the next login does."""

    async def remember(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.lifecycle = PersistentSession(timedelta(days=30), EVERY, refresh_after=0.1)
        session.owner = "ferris"
        return web.Response()

    routes = {**ROUTES, "/remember": remember}
    lifecycle = PersistentSession(ttl_extension_policy=EVERY)
    async with serve(application(storage, routes, lifecycle=lifecycle)) as server:
        if begun:
            await server.get("/write")
            assert not await ask(server, 1e9)
        assert (await server.get("/login")).json is True
        assert await ask(server)
        for path in ("/", "/read", "/write", "/remember", "/write", "/read"):
            storage.clock.advance(100)
            await server.get(path)
        assert await ask(server, 600)
        assert not await ask(server, 599)
        assert (await server.get("/login")).json is True
        assert await ask(server)
        await server.get("/purge")
        await server.get("/write")
        assert not await ask(server, 1e9)


async def test_a_login_in_the_middle_of_a_request_stays_when_it_was(storage: Recorded) -> None:
    """Over a reload that comes before it is saved, a save, and another reload."""
    said = []

    async def working(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.renew()
        storage.clock.advance(60)
        await session.reload()
        said.append((session.authenticated_within(MINUTE), session.authenticated_within(NOW)))
        await session.save()
        said.append((session.authenticated_within(MINUTE), session.authenticated_within(NOW)))
        await session.reload()
        said.append((session.authenticated_within(MINUTE), session.authenticated_within(NOW)))
        return web.Response()

    async with serve(application(storage, {**ROUTES, "/work": working})) as server:
        await server.get("/write")
        assert (await server.get("/work")).status == 200
        assert said == [(True, False)] * 3
        assert await ask(server, 60) and not await ask(server, 59)


async def test_a_login_after_the_headers_counts_for_nothing() -> None:
    """The renewal could not be done, so a thief of the old key would be fresh too."""
    storage, said = memory(), []

    async def stream(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        response = web.StreamResponse()
        await response.prepare(request)
        session.renew()
        with pytest.raises(Exception, match="renewed after the headers were sent"):
            await session.save()
        said.append(session.authenticated_within(timedelta.max))
        return response

    async with serve(application(storage, {**ROUTES, "/stream": stream})) as server:
        await server.get("/write")
        await server.get("/stream")
        assert said == [False]
        assert not await ask(server, 1e9)


@pytest.mark.parametrize(("path", "call"), [("/login", "delete"), ("/write", "update")])
async def test_what_loses_a_race_is_fresh_since_the_login(path: str, call: str) -> None:
    """A renewal counts from when it was asked for, another write takes what there is."""
    storage = memory()
    lifecycle = BrowserSession()
    async with serve(application(storage, ROUTES, lifecycle=lifecycle)) as server:
        await server.get("/login")
        storage.clock.advance(100)
        gate = storage.hold(call)
        slow = asyncio.create_task(server.get(path))
        await gate.reached.wait()
        storage.clock.advance(100)
        key = server.cookies["id"]
        stored = await storage.inner.load(SessionKey(key))
        assert stored is not None
        await storage.inner.update(
            key=stored.key, record=stored.record, ttl=lifecycle.ttl, revision=stored.revision
        )
        gate.opened.set()
        assert (await slow).status == 200
        since = 100 if path == "/login" else 200
        assert await ask(server, since) and not await ask(server, since - 1)
