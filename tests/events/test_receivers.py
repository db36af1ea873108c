"""Who listens, when it is told, and what a receiver can and cannot do."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import CookieConfig, get_session, middleware, setup
from aiohttp_sess.events import Created, Event, LateChange, Loaded, Renewed
from aiohttp_sess.storage import MemoryStorage

from ..apps import HANDLE, Recorded, application, memory
from ..browser import serve
from ..wire import PATIENCE
from .conftest import Listen, signals


async def test_signals_are_frozen_when_the_application_starts() -> None:
    async def note(event: Event) -> None:
        pass

    app = application(memory())
    handle = app[HANDLE]
    second = setup(app, MemoryStorage(), cookie=CookieConfig(name="second"))
    assert handle.events.created(note) is note  # as a decorator
    assert not handle.events.frozen
    async with serve(app):
        for each in (handle, second):
            assert each.events.frozen
            for signal in signals(each):
                with pytest.raises(RuntimeError, match="frozen"):
                    signal.append(note)
        assert (handle.events.heard, second.events.heard) == (True, False)


async def test_where_nobody_listens_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoVisit:
        def __init__(self, *_: object) -> None:
            raise AssertionError("there is nobody to tell")

    monkeypatch.setattr(middleware, "HeardVisit", NoVisit)
    async with serve(application(memory())) as server:
        for path in ("/", "/write", "/read", "/renew", "/purge"):
            assert (await server.get(path)).status == 200


async def test_each_kind_of_session_tells_its_own(listen: Listen) -> None:
    async def write_both(request: web.Request) -> web.Response:
        for handle in (app[HANDLE], staff):
            (await get_session(request, handle))["n"] = 1
        return web.Response()

    app = application(memory(), {"/both": write_both})
    staff = setup(app, MemoryStorage(), cookie=CookieConfig(name="staff"))
    visitors_heard, staff_heard = listen(app[HANDLE]), listen(staff)
    async with serve(app) as server:
        await server.get("/both")
        await server.get("/write")
    assert [(type(e), e.kind) for e in visitors_heard] == [(Created, "id"), (Loaded, "id")]
    assert [(type(e), e.kind) for e in staff_heard] == [(Created, "staff")]


async def test_receiver_that_raises_changes_nothing(storage: Recorded, listen: Listen) -> None:
    async def fail(event: Event) -> None:
        raise ZeroDivisionError

    app = application(storage)
    for signal in signals(app[HANDLE]):
        signal.append(fail)
    heard = listen(app[HANDLE])  # those who come after it are told all the same
    async with serve(app) as server:
        assert (await server.get("/write")).cookie
        assert (await server.get("/write")).json == {"n": 2}
        assert (await server.get("/renew")).cookie
        storage.down = {"load"}
        assert (await server.get("/read")).status == 500
        storage.down.clear()
        assert (await server.get("/purge")).cookie.value == ""
        assert server.causes().count("ZeroDivisionError") == len(heard) == 7
        assert "fail failed to take a Renewed event" in "\n".join(server.logged())


async def test_receiver_is_told_when_the_storage_is_done_and_before_the_client(
    storage: Recorded,
) -> None:
    told, go = asyncio.Event(), asyncio.Event()
    calls: list[list[str]] = []

    async def wait(event: Renewed) -> None:
        calls.append(list(storage.done))
        told.set()
        await go.wait()

    app = application(storage)
    app[HANDLE].events.renewed.append(wait)
    async with serve(app) as server:
        await server.get("/write")
        storage.forget()
        renewal = asyncio.create_task(server.get("/renew"))
        await told.wait()
        assert calls == [["load", "save", "delete"]]
        # A slow receiver holds up its own request, and no other one, nor the session's.
        assert not renewal.done()
        for cookies in ({}, server.cookies):
            assert (await server.get("/write", cookies=cookies)).status == 200
        assert not renewal.done()
        go.set()
        assert (await renewal).cookie
        assert (await server.get("/read")).json == {"n": 1}


async def test_receiver_may_use_the_session() -> None:
    """It holds no lock that this would wait for, and runs in the request's context."""
    current = contextvars.ContextVar[web.Request]("current")
    seen: list[int] = []

    async def count(event: Event) -> None:
        session = await get_session(current.get())
        session["told"] = session.get("told", 0) + 1
        await session.save()
        seen.append(session["told"])

    @web.middleware
    async def remember(request: web.Request, handler: Any) -> Any:
        current.set(request)
        return await handler(request)

    app = application(memory(), outer=[remember])
    for signal in (app[HANDLE].events.created, app[HANDLE].events.loaded):
        signal.append(count)
    async with serve(app) as server, asyncio.timeout(PATIENCE):
        await server.get("/write")
        assert (await server.get("/write")).json == {"n": 2, "told": 2}
        assert seen == [1, 2]


async def test_what_a_cancelled_request_has_saved_is_told(listen: Listen) -> None:
    """Its commit goes on, and ends after it."""
    storage = memory()
    app = application(storage)
    heard = listen(app[HANDLE])
    async with serve(app, handler_cancellation=True) as server:
        gate = storage.hold("save")
        async with server.wire() as wire:
            wire.send("/write")
            await gate.reached.wait()
        async with asyncio.timeout(PATIENCE):
            while not app[HANDLE].events._background._tasks:  # until the handler was cancelled
                await asyncio.sleep(0)
        assert heard == []
        gate.opened.set()
        await server.stop()
        assert [type(event) for event in heard] == [Created]


async def test_receiver_that_is_cancelled_with_its_request_keeps_nothing_from_others(
    listen: Listen,
) -> None:
    """The event that it was at is told no further; those after it are."""
    storage, reached = memory(), asyncio.Event()

    async def hang(event: Event) -> None:
        reached.set()
        await asyncio.Event().wait()

    app = application(storage, {"/again": begin_anew})
    heard = listen(app[HANDLE])
    app[HANDLE].events.purged.append(hang)
    async with serve(app, handler_cancellation=True) as server:
        await server.get("/write")
        heard.clear()
        async with server.wire() as wire:
            wire.send("/again", server.id)
            await reached.wait()
        await server.stop()
    assert [type(event).__name__ for event in heard] == ["Loaded", "Purged", "Created"]


async def test_cleanup_waits_for_receivers_that_no_request_waits_for() -> None:
    told, storage = list[Event](), memory()

    async def take_a_while(event: Event) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        assert "close" not in storage.calls
        told.append(event)

    async def stream(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        response = web.StreamResponse()
        await response.prepare(request)
        session["late"] = True
        raise ZeroDivisionError

    app = application(storage, {"/stream": stream})
    app[HANDLE].events.late_change.append(take_a_while)
    async with serve(app) as server, server.wire() as wire:
        wire.send("/stream")
        await wire.closed()
        await server.stop()
        assert [type(event) for event in told] == [LateChange]


async def begin_anew(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.purge()
    session["fresh"] = True
    return web.Response()
