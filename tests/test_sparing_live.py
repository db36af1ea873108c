"""Refreshing sparingly where the headers are gone: streams and websockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from aiohttp import WSMsgType, web

from aiohttp_sess import BrowserSession, PersistentSession, get_session
from aiohttp_sess.config import Lifecycle

from .apps import application, memory
from .browser import serve
from .test_lifetimes import DAY, EVERY, MONTH, alive
from .test_sparing import KINDS, sparing
from .test_sparing_otherwise import LOAD, WRITE, calls, keep
from .test_websockets import tied
from .wire import PATIENCE

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
