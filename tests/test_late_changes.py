"""Changes after the headers are gone: saved where that can be, else told. Never lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import (
    PersistentSession,
    Session,
    SessionError,
    TtlExtensionPolicy,
    get_session,
)

from .apps import Recorded, application, cookie, memory, records, states
from .browser import serve

Act = Callable[[Session], Awaitable[None]]


def streaming(act: Act, *, first: Act | None = None) -> Handler:
    """A handler that does something with the session once its headers are sent."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if first is not None:
            await first(await get_session(request))
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"body")
        await act(await get_session(request))
        return response

    return handler


def shaking(act: Act, *, first: Act | None = None) -> Handler:
    """The same with a websocket."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if first is not None:
            await first(await get_session(request))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await act(await get_session(request))
        await socket.close()
        return socket

    return handler


async def ask(session: Session) -> None:
    session.get("n")


async def change(session: Session) -> None:
    session["late"] = True


async def renew(session: Session) -> None:
    session.renew()
    session["late"] = True


async def purge(session: Session) -> None:
    session.purge()


async def purge_and_change(session: Session) -> None:
    session.purge()
    session["late"] = True


@pytest.fixture(params=[streaming, shaking])
def answering(request: pytest.FixtureRequest) -> Callable[..., Handler]:
    answering: Callable[..., Handler] = request.param
    return answering


async def visit(storage: Recorded, handler: Handler, *, begun: bool = True) -> list[str]:
    """Let a visitor go to the handler, and answer the ERRORs that were logged."""
    async with serve(application(storage, {"/late": handler})) as server:
        if begun:
            await server.get("/write")
        storage.forget()
        if handler.__qualname__.startswith("shaking"):
            async with server.websocket("/late") as socket:
                answer = server.shaken(socket)
                await socket.receive()
        else:
            answer = await server.get("/late")
        await server.stop()
        assert answer.cookies == []
        return server.logged(40)


@pytest.mark.parametrize("first", [ask, None])
async def test_late_change_is_saved_on_the_server(
    answering: Callable[..., Handler], first: Act | None
) -> None:
    storage = memory()
    assert await visit(storage, answering(change, first=first)) == []
    assert storage.calls[:2] == ["load", "update"]
    assert await states(storage) == [{"n": 1, "late": True}]


async def test_late_purge_ends_the_session(answering: Callable[..., Handler]) -> None:
    """ASVS 7.4.1."""
    storage = memory()
    assert await visit(storage, answering(purge)) == []
    assert storage.calls[:2] == ["load", "delete"]
    assert records(storage) == 0


async def test_late_renewal_is_told_and_the_old_key_goes_on(
    answering: Callable[..., Handler],
) -> None:
    storage = memory()
    (line,) = await visit(storage, answering(renew))
    assert "renewed after the headers" in line
    assert await states(storage) == [{"n": 1, "late": True}]


async def test_late_renewal_is_told_once(answering: Callable[..., Handler]) -> None:
    async def renew_and_save(session: Session) -> None:
        session.renew()
        with pytest.raises(SessionError, match="after the headers"):
            await session.save()

    assert await visit(memory(), answering(renew_and_save)) == []
    assert await visit(cookie(), answering(renew_and_save)) == []


async def test_session_that_begins_late_is_told(answering: Callable[..., Handler]) -> None:
    storage = memory()
    (line,) = await visit(storage, answering(change), begun=False)
    assert "began after the headers" in line
    assert "save" not in storage.calls


async def test_late_purge_is_done_although_what_begins_then_is_lost(
    answering: Callable[..., Handler],
) -> None:
    storage = memory()
    (line,) = await visit(storage, answering(purge_and_change))
    assert "began after the headers" in line
    assert storage.calls[:2] == ["load", "delete"]
    assert records(storage) == 0


@pytest.mark.parametrize("act", [change, renew, purge, purge_and_change])
async def test_late_change_in_a_cookie_is_told(answering: Callable[..., Handler], act: Act) -> None:
    storage = cookie()
    (line,) = await visit(storage, answering(act))
    assert "everything in the cookie" in line
    assert storage.calls[:1] == ["load"]
    assert not {"save", "update"} & set(storage.calls)


@pytest.mark.parametrize("make", [memory, cookie])
@pytest.mark.parametrize("begun", [True, False])
async def test_late_look_is_nothing_to_tell(
    answering: Callable[..., Handler], make: Callable[[], Recorded], begun: bool
) -> None:
    storage = make()
    assert await visit(storage, answering(ask), begun=begun) == []
    assert storage.calls == (["load"] if begun else []) + ["close"]


async def test_late_changes_are_told_with_the_public_id() -> None:
    seen: list[str] = []

    async def note(session: Session) -> None:
        session["late"] = True
        seen.append(session.id)

    (line,) = await visit(cookie(), streaming(note))
    assert seen[0] in line


async def test_late_change_that_cannot_be_saved_is_told_with_its_cause() -> None:
    storage = memory()
    async with serve(application(storage, {"/late": streaming(change)})) as server:
        await server.get("/write")
        storage.down = {"update"}
        assert (await server.get("/late")).text == "body"
        (line,) = server.logged(40)
        assert "lost" in line
        assert "ConnectionRefusedError" in server.causes()


async def test_late_change_to_a_session_that_was_ended_is_dropped() -> None:
    storage = memory()
    async with serve(application(storage, {"/late": streaming(change, first=ask)})) as server:
        await server.get("/write")
        storage.ending = {"update"}
        answer = await server.get("/late")
        assert (answer.status, answer.cookies) == (200, [])
        (line,) = server.logged()
        assert "dropped" in line
        assert records(storage) == 0


async def test_every_request_extends_a_stream_once_and_before_its_headers() -> None:
    storage = memory()
    lifecycle = PersistentSession(ttl_extension_policy=TtlExtensionPolicy.ON_EVERY_REQUEST)
    app = application(storage, {"/late": streaming(change)}, lifecycle=lifecycle)
    async with serve(app) as server:
        await server.get("/write")
        storage.forget()
        assert (await server.get("/late")).cookie.attributes["max-age"] == "86400"
        assert storage.calls == ["load", "update_ttl", "update"]


async def test_stream_that_raises_an_answer_saves_what_came_late() -> None:
    """Too late for the answer, which aiohttp puts into the stream, but not for the session."""

    async def give_up(session: Session) -> None:
        session["late"] = True
        raise web.HTTPConflict

    storage = memory()
    async with serve(application(storage, {"/late": streaming(give_up)})) as server:
        await server.get("/write")
        async with server.wire() as wire:
            wire.send("/late", server.id, "Connection: close")
            await wire.skip_to_end()
        assert (await server.get("/read")).json == {"n": 1, "late": True}


@pytest.mark.parametrize("make", [memory, cookie])
async def test_stream_that_crashes_saves_nothing_more(make: Callable[[], Recorded]) -> None:
    async def crash(session: Session) -> None:
        session["late"] = True
        raise ZeroDivisionError

    storage = make()
    async with serve(application(storage, {"/late": streaming(crash)})) as server:
        await server.get("/write")
        with pytest.raises(aiohttp.ClientError):
            await server.get("/late")
        assert (await server.get("/read")).json == {"n": 1}


async def ask_nothing(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    return response


@pytest.mark.parametrize("handler", [streaming(ask), ask_nothing])
@pytest.mark.parametrize("make", [memory, cookie])
async def test_change_by_a_middleware_outside_a_stream_is_saved_or_told(
    make: Callable[[], Recorded], handler: Handler
) -> None:
    """Also where that middleware is the first to ask for the session."""

    @web.middleware
    async def outside(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if response.prepared:
            (await get_session(request))["outside"] = True
        return response

    storage = make()
    app = application(storage, {"/late": handler}, outer=[outside])
    async with serve(app) as server:
        await server.get("/write")
        await server.get("/late")
        saved = (await server.get("/read")).json.get("outside")
        assert saved or server.logged(40)


async def test_work_that_goes_on_behind_a_response_can_save() -> None:
    """A task that a handler leaves behind."""
    go, done = asyncio.Event(), asyncio.Event()
    tasks = []

    async def leave(request: web.Request) -> web.Response:
        session = await get_session(request)

        async def work() -> None:
            await go.wait()
            session["late"] = True
            await session.save()
            done.set()

        tasks.append(asyncio.create_task(work()))
        return web.Response()

    async with serve(application(memory(), {"/leave": leave})) as server:
        await server.get("/write")
        await server.get("/leave")
        go.set()
        await done.wait()
        assert (await server.get("/read")).json == {"n": 1, "late": True}
        assert server.logged() == []
