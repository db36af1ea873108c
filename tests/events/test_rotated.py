"""A key that is rotated is told of, by the request that does it, and counted."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiohttp import web

from aiohttp_sess import BrowserSession, get_session
from aiohttp_sess.events import Loaded, Rotated
from aiohttp_sess.otel import instrument

from ..apps import HANDLE, application, memory
from ..browser import serve
from .conftest import Listen
from .meter import Meter

AGE = timedelta(minutes=15)
ROTATES = BrowserSession(rotate_every=AGE)


async def test_the_request_that_rotates_it_tells(listen: Listen, meter: Meter) -> None:
    async def write_twice(request: web.Request) -> web.Response:
        session = await get_session(request)
        for session["n"] in range(2):
            await session.save()
        return web.Response()

    storage = memory()
    app = application(storage, {"/twice": write_twice}, lifecycle=ROTATES)
    heard = listen(app[HANDLE])
    instrument(app[HANDLE], meter.provider)
    async with serve(app) as server:
        await server.get("/write")
        session_id = getattr(heard[0], "id", "")
        for path in ("/read", "/write", "/twice"):
            storage.clock.advance(AGE.total_seconds())
            heard.clear()
            await server.get(path)
            assert heard == [Loaded("id", session_id), Rotated("id", session_id)]
            heard.clear()
            await server.get(path)
            assert heard == [Loaded("id", session_id)]
    assert meter.counts("aiohttp_sess.sessions.rotated") == [({"aiohttp_sess.kind": "id"}, 3)]


async def test_one_of_two_at_once_tells_and_one_that_fails_does_not(listen: Listen) -> None:
    storage = memory()
    app = application(storage, lifecycle=ROTATES)
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        await server.get("/write")
        storage.clock.advance(AGE.total_seconds())
        storage.down = {"rotate"}
        assert (await server.get("/read")).status == 200
        assert not [event for event in heard if isinstance(event, Rotated)]
        storage.down = set()
        gate = storage.hold("rotate")
        cookies = dict(server.cookies)
        both = [asyncio.create_task(server.get("/read", cookies=cookies)) for _ in range(2)]
        while storage.calls.count("rotate") < 3:
            await storage.next_call() if not gate.reached.is_set() else await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*both)
        assert len([event for event in heard if isinstance(event, Rotated)]) == 1
