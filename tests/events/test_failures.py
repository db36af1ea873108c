"""A storage that is down: each failure is told once, and what for."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    PersistentSession,
    StorageUnavailable,
    TtlExtensionPolicy,
    get_session,
)
from aiohttp_sess.events import Event, Loaded, Rejected, StorageFailure

from ..apps import HANDLE, SECRET, Recorded, application, memory
from ..browser import serve
from ..wire import PATIENCE
from .conftest import Listen
from .test_told import ROUTES, said


def failed(heard: list[Event]) -> list[tuple[str | None, str]]:
    """The ids and the operations of the failures that were told, each with its cause."""
    found: list[tuple[str | None, str]] = []
    for event in heard:
        if isinstance(event, StorageFailure):
            assert isinstance(event.error.__cause__, ConnectionRefusedError)
            found.append((event.id, event.operation))
    return found


async def test_each_failure_of_the_storage_is_told_once(storage: Recorded, listen: Listen) -> None:
    app = application(storage, ROUTES)
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        first = await said(server, "/begin")
        for down, path, told in (
            ("load", "/read", (None, "load")),
            ("update", "/write", (first, "save")),
            ("delete", "/purge", (first, "save")),
            ("save", "/login", (first, "save")),
        ):
            storage.down = {down}
            assert (await server.get(path)).status == 500
            assert failed(heard) == [told]
            heard.clear()
        assert (await server.get("/")).status == 200
        assert heard == []


@pytest.mark.parametrize("lifecycle", [BrowserSession, PersistentSession])
async def test_refresh_that_fails(
    storage: Recorded, listen: Listen, lifecycle: type[BrowserSession | PersistentSession]
) -> None:
    every = TtlExtensionPolicy.ON_EVERY_REQUEST
    app = application(storage, ROUTES, lifecycle=lifecycle(ttl_extension_policy=every))
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        first = await said(server, "/begin")
        storage.down = {"load"}
        assert (await server.get("/")).status == 200
        assert failed(heard) == [(None, "refresh")]
        if lifecycle is PersistentSession:
            storage.down = {"update_ttl"}
            assert (await server.get("/")).status == 200
            assert failed(heard)[1:] == [(first, "refresh")]


async def test_refresh_that_is_done_sparingly_and_fails(storage: Recorded, listen: Listen) -> None:
    """Then it is a write, and still nothing but a refresh."""
    every = TtlExtensionPolicy.ON_EVERY_REQUEST
    lifecycle = BrowserSession(ttl_extension_policy=every, refresh_after=0.5)
    app = application(storage, ROUTES, lifecycle=lifecycle)
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        first = await said(server, "/begin")
        storage.clock.advance(lifecycle.ttl.total_seconds() * 0.6)
        storage.down = {"update"}
        assert (await server.get("/")).status == 200
        assert failed(heard) == [(first, "refresh")]


async def test_reload_and_looks_of_a_websocket_that_fail(storage: Recorded, listen: Listen) -> None:
    async def watch(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        storage.down = {"load"}
        for work in (session.reload(), session.bind(socket, check_every=3600)):
            with pytest.raises(Exception, match="did not answer to load"):
                await work
        storage.down.clear()
        await session.bind(socket, check_every=0.01)
        storage.down = {"load"}
        await storage.next_call()
        storage.down.clear()
        return socket

    app = application(storage, {**ROUTES, "/watch": watch})
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        first = await said(server, "/begin")
        async with asyncio.timeout(PATIENCE), server.websocket("/watch") as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        await server.stop()
        assert failed(heard) == [(first, "reload"), (first, "check"), (first, "check")]


async def test_it_is_told_once_also_where_the_session_is_asked_for_again(
    storage: Recorded, listen: Listen
) -> None:
    async def insist(request: web.Request) -> web.Response:
        with pytest.raises(StorageUnavailable):
            await get_session(request)
        storage.down.clear()
        await get_session(request)
        return web.Response(text=(await get_session(request)).id)

    app = application(storage, {**ROUTES, "/insist": insist}, secret_key=SECRET)
    heard = listen(app[HANDLE])
    async with serve(app) as server, server.wire() as wire:
        first = await said(server, "/begin")
        heard.clear()
        storage.down = {"load"}
        assert (await wire.get("/insist", "Cookie: id=forged", server.id)).text == first
        assert failed(heard[1:2]) == [(None, "load")]
        assert [heard[0], *heard[2:]] == [Rejected("id"), Loaded("id", first)]


@pytest.mark.parametrize("path", ["/id", "/write"])
async def test_rotation_that_fails(listen: Listen, path: str) -> None:
    """Be it that nothing else was to be saved, so that the request does not fail."""
    storage = memory()
    app = application(storage, ROUTES, lifecycle=BrowserSession(rotate_every=timedelta(hours=1)))
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        first = await said(server, "/begin")
        storage.clock.advance(3600)
        storage.down = {"rotate"}
        assert (await server.get(path)).status == (500 if path == "/write" else 200)
        assert failed(heard) == [(first, "save")]
        storage.down.clear()
        cookies = dict(server.cookies)
        assert await said(server, "/id") == first
        assert server.cookies != cookies
