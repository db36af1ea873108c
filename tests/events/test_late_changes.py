"""Changes that come too late to be saved, and are told instead."""

from __future__ import annotations

import asyncio

from aiohttp import web

from aiohttp_sess import Session, get_session
from aiohttp_sess.events import Created, LateChange

from ..apps import HANDLE, Recorded, application, memory
from ..browser import serve
from .conftest import Listen


async def test_change_after_the_headers_that_cannot_be_saved(
    storage: Recorded, listen: Listen
) -> None:
    ids: list[str] = []

    async def stream(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        response = web.StreamResponse()
        await response.prepare(request)
        session["late"] = "a value"
        ids.append(session.id)
        return response

    app = application(storage, {"/stream": stream})
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        await server.get("/stream")
        await server.stop()
        assert heard == [LateChange("id", ids[0], "sent")]


async def test_handler_of_a_stream_that_fails(storage: Recorded, listen: Listen) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        session["n"] = 1
        response = web.StreamResponse()
        await response.prepare(request)
        session["late"] = "a value"
        raise ZeroDivisionError

    app = application(storage, {"/stream": stream})
    heard = listen(app[HANDLE])
    async with serve(app) as server, server.wire() as wire:
        wire.send("/stream")
        await wire.closed()
        await server.stop()
        (created, late) = heard
        assert isinstance(created, Created)
        assert late == LateChange("id", created.id, "failed")


async def test_change_when_the_response_was_sent(storage: Recorded, listen: Listen) -> None:
    kept: list[Session] = []

    async def keep(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = 1
        kept.append(session)
        return web.Response()

    app = application(storage, {"/keep": keep})
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        await server.get("/keep")
        (session,) = kept
        session["late"] = "a value"
        await asyncio.sleep(0)
        await server.stop()
        assert heard == [Created("id", session.id), LateChange("id", session.id, "sent")]


async def test_change_in_a_thread_is_told_to_nobody(listen: Listen) -> None:
    """There is no loop to run a receiver in; it is in the log."""
    kept: list[Session] = []

    async def keep(request: web.Request) -> web.Response:
        kept.append(await get_session(request))
        return web.Response()

    app = application(memory(), {"/keep": keep})
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        await server.get("/keep")
        await asyncio.to_thread(kept[0].update, late=True)
        assert "not saved any more" in server.logged()[-1]
    assert heard == []
