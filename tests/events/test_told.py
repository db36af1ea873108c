"""What is told of each request, and how often: on every storage."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from aiohttp_sess import BrowserSession, HeaderConfig, get_session
from aiohttp_sess.events import (
    Created,
    Expired,
    Loaded,
    Purged,
    Rejected,
    Renewed,
    StorageFailure,
)

from ..apps import HANDLE, SECRET, Recorded, application, cookie, memory
from ..browser import Server, serve
from ..test_visit import purge_and_write
from .conftest import Listen


async def tell_id(request: web.Request) -> web.Response:
    return web.Response(text=(await get_session(request)).id)


async def begin(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["secret"] = "a value"
    return web.Response(text=session.id)


async def renew(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.renew()
    return web.Response(text=session.id)


ROUTES = {"/id": tell_id, "/begin": begin, "/login": renew, "/again": purge_and_write}


async def said(server: Server, path: str) -> str:
    """What a path answers, which is 200."""
    answer = await server.get(path)
    assert answer.status == 200
    return answer.text


async def test_a_session_from_its_beginning_to_its_end(storage: Recorded, listen: Listen) -> None:
    app = application(storage, ROUTES)
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        assert await said(server, "/") == "hello"
        assert await said(server, "/read") == "{}"
        assert heard == []
        first = await said(server, "/begin")
        assert heard == [Created("id", first)]
        heard.clear()
        assert await said(server, "/id") == first
        await said(server, "/write")
        assert heard == [Loaded("id", first)] * 2
        heard.clear()
        second = await said(server, "/login")
        assert second != first
        assert heard == [Loaded("id", first), Renewed("id", second, old_id=first)]
        heard.clear()
        await said(server, "/purge")
        assert heard == [Loaded("id", second), Purged("id", second)]
        heard.clear()
        await said(server, "/read")
        await said(server, "/purge")
        assert heard == []


async def test_a_request_that_asks_twice_at_once_loads_once(
    storage: Recorded, listen: Listen
) -> None:
    async def ask_twice(request: web.Request) -> web.Response:
        await asyncio.gather(get_session(request), get_session(request))
        return web.Response()

    app = application(storage, {**ROUTES, "/twice": ask_twice})
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        first = await said(server, "/begin")
        gate = storage.hold("load")
        asking = asyncio.create_task(server.get("/twice"))
        await gate.reached.wait()
        gate.opened.set()
        assert (await asking).status == 200
        assert heard == [Created("id", first), Loaded("id", first)]


async def test_a_session_that_is_too_large_for_its_cookie_was_never_there(listen: Listen) -> None:
    async def fill(request: web.Request) -> web.Response:
        (await get_session(request))["large"] = "a value" * 1000
        return web.Response()

    app = application(cookie(), {"/fill": fill})
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        assert (await server.get("/fill")).status == 500
        assert heard == []


async def test_a_fresh_session_after_a_purge(storage: Recorded, listen: Listen) -> None:
    app = application(storage, ROUTES)
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        old = await said(server, "/begin")
        heard.clear()
        new = (await server.get("/again")).json["id"]
        assert heard == [Loaded("id", old), Purged("id", old), Created("id", new)]


async def test_a_purge_whose_fresh_session_is_not_saved_was_done_all_the_same(
    storage: Recorded, listen: Listen
) -> None:
    app = application(storage, ROUTES)
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        old = await said(server, "/begin")
        heard.clear()
        storage.down = {"save"}
        assert (await server.get("/again")).status == 500
        assert heard[:2] == [Loaded("id", old), Purged("id", old)]
        (failure,) = heard[2:]
        assert isinstance(failure, StorageFailure) and failure.operation == "save"


async def test_a_purge_ends_the_other_sessions_of_the_request(
    storage: Recorded, listen: Listen
) -> None:
    """Of which nothing is known but their keys; and those in cookies go on, as it is."""
    app = application(storage, ROUTES)
    heard = listen(app[HANDLE])
    async with serve(app) as server, server.wire() as wire:
        cookies, first = [], await said(server, "/begin")
        for _ in range(2):
            cookies.append(server.id.removeprefix("Cookie: "))
            server.cookies.clear()
            await said(server, "/begin")
        heard.clear()
        assert (await wire.get("/purge", f"Cookie: {'; '.join(cookies)}")).status == 200
        others = [Purged("id", None)] if storage.server_side else []
        assert heard == [Loaded("id", first), *others, Purged("id", first)]


async def test_a_cookie_that_does_not_unseal_is_told_once_a_request(
    storage: Recorded, listen: Listen
) -> None:
    app = application(storage, ROUTES, secret_key=SECRET)
    heard = listen(app[HANDLE])
    async with serve(app) as server, server.wire() as wire:
        first = await said(server, "/begin")
        heard.clear()
        await wire.get("/read", "Cookie: id=forged; id=another")
        assert heard == [Rejected("id")]
        heard.clear()
        await wire.get("/read", "Cookie: id=forged", server.id)
        assert heard == [Rejected("id"), Loaded("id", first)]
        heard.clear()
        await wire.get("/", "Cookie: id=forged")  # which nobody asks for
        assert heard == []


async def test_a_header_that_does_not_unseal_is_told_as_well(listen: Listen) -> None:
    app = application(memory(), transports=[HeaderConfig("X-Session")])
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        await server.get("/read", headers={"X-Session": "??, ??"})
        assert heard == [Rejected("x-session:")]


@pytest.mark.parametrize("path", ["/stream", "/websocket"])
async def test_streams_and_websockets_tell_before_their_headers_leave(
    storage: Recorded, listen: Listen, path: str
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        (await get_session(request))["n"] = 1
        response = web.StreamResponse()
        await response.prepare(request)
        assert len(heard) == 1
        return response

    async def websocket(request: web.Request) -> web.StreamResponse:
        (await get_session(request))["n"] = 1
        response = web.WebSocketResponse()
        await response.prepare(request)
        assert len(heard) == 1
        return response

    app = application(storage, {"/stream": stream, "/websocket": websocket})
    heard = listen(app[HANDLE])
    async with serve(app) as server:
        if path == "/stream":
            assert (await server.get(path)).status == 200
        else:
            async with server.websocket(path) as socket:
                server.shaken(socket)
        assert [type(event) for event in heard] == [Created]


async def test_a_session_past_a_max_lifetime_that_was_longer(
    storage: Recorded, listen: Listen
) -> None:
    """Told by the one of those who find it that ends it."""
    hour = BrowserSession(max_lifetime=timedelta(hours=1))
    async with serve(application(storage, ROUTES, secret_key=SECRET)) as server:
        cookies, first = server.cookies, await said(server, "/begin")
        storage.clock.advance(3601)
        app = application(storage, ROUTES, secret_key=SECRET, lifecycle=hour)
        heard = listen(app[HANDLE])
        async with serve(app) as stricter:
            both = range(2 if storage.server_side else 1)
            gate = storage.hold("delete")
            asking = [asyncio.create_task(stricter.get("/read", cookies=cookies)) for _ in both]
            while storage.calls.count("delete") < len(both):
                await asyncio.sleep(0)
            gate.opened.set()
            assert [(await each).json for each in asking] == [{} for _ in both]
            await stricter.stop()  # it is told behind the request
            assert heard == [Expired("id", first, "max_lifetime")]
