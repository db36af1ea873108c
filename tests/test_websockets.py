"""Websockets: saving in the middle, and closing when the session ends."""

from __future__ import annotations

import pytest
from aiohttp import WSMsgType, web

from aiohttp_sess import SessionError, SessionGone, get_session

from .apps import HANDLE, application, cookie, memory, records
from .browser import serve
from .test_lifetimes import DAY
from .wire import PATIENCE


async def counting(request: web.Request) -> web.StreamResponse:
    """Counts messages in the session, and answers how that went."""
    session = await get_session(request)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        session["n"] = session.get("n", 0) + 1
        if message.data == "renew":
            session.renew()
        elif message.data == "purge":
            session.purge()
        try:
            await session.save()
        except SessionError as error:
            await socket.send_str(type(error).__name__)
        else:
            await socket.send_str(f"{session.get('n')}")
    return socket


async def test_websocket_saves_message_by_message() -> None:
    storage = memory()
    async with serve(application(storage, {"/count": counting})) as server:
        await server.get("/write")
        async with server.websocket("/count") as socket:
            for count in (2, 3):
                await socket.send_str("go")
                assert await socket.receive_str() == str(count)
                assert (await server.get("/read")).json == {"n": count}
            await server.get("/purge")
            for _ in range(2):
                await socket.send_str("go")
                assert await socket.receive_str() == SessionGone.__name__
            assert records(storage) == 0
        (line,) = server.logged()
        assert "dropped" in line


@pytest.mark.parametrize("word", ["go", "purge", "renew"])
async def test_websocket_is_told_what_cannot_be_saved(word: str) -> None:
    """It has no way to give the client a key, or a state in a cookie."""
    async with serve(application(cookie(), {"/count": counting})) as server:
        await server.get("/write")
        async with server.websocket("/count") as socket:
            await socket.send_str(word)
            assert await socket.receive_str() == "SessionError"
        assert (await server.get("/read")).json == {"n": 1}


async def test_websocket_is_told_that_it_cannot_begin_a_session() -> None:
    storage = memory()
    async with serve(application(storage, {"/count": counting})) as server:
        async with server.websocket("/count") as socket:
            for word in ("go", "renew"):
                await socket.send_str(word)
                assert await socket.receive_str() == "SessionError"
            await socket.send_str("purge")
            assert await socket.receive_str() == "None"
        assert records(storage) == 0


async def test_websocket_that_renews_goes_on_under_the_old_key() -> None:
    storage = memory()
    async with serve(application(storage, {"/count": counting})) as server:
        await server.get("/write")
        async with server.websocket("/count") as socket:
            await socket.send_str("renew")
            assert await socket.receive_str() == "SessionError"
            await socket.send_str("go")
            assert await socket.receive_str() == "3"
        assert (await server.get("/read")).json == {"n": 3}


async def test_websocket_sees_what_others_saved() -> None:
    async def watching(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            await socket.send_json([await session.reload(), dict(session)])
        return socket

    async with serve(application(memory(), {"/watch": watching})) as server:
        await server.get("/write")
        async with server.websocket("/watch") as socket:
            await server.get("/write")
            await socket.send_str("")
            assert await socket.receive_json() == [True, {"n": 2}]
            await server.get("/purge")
            await socket.send_str("")
            ended, _ = await socket.receive_json()
            assert ended is False


# -- tied to the session --------------------------------------------------------------------------


async def tied(request: web.Request) -> web.StreamResponse:
    """Echoes until the session ends; looks at the storage as often as the query says."""
    session = await get_session(request)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    seconds = float(request.query.get("seconds", PATIENCE))
    binding = await session.bind(socket, check_every=seconds)
    async for message in socket:
        binding.active()
        await socket.send_str(message.data)
    return socket


@pytest.mark.parametrize("path", ["/purge", "/renew"])
async def test_websocket_is_closed_when_its_session_ends(path: str) -> None:
    """ASVS 4.4.3, 7.4.1."""
    app = application(memory(), {"/tied": tied})
    async with serve(app) as server:
        await server.get("/write")
        async with server.websocket("/tied") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            await server.get("/write")
            assert len(app[HANDLE].sockets) == 1
            await server.get(path)
            message = await socket.receive(timeout=PATIENCE)
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)
        await server.stop()
        assert len(app[HANDLE].sockets) == 0


@pytest.mark.parametrize("active", [True, False])
async def test_websocket_is_closed_when_its_session_expires(active: bool) -> None:
    """ASVS 4.4.3, 7.3.1: unless it is a sign of life itself."""
    storage = memory()
    app = application(storage, {"/tied": tied})
    async with serve(app) as server:
        await server.get("/write")
        async with server.websocket("/tied?seconds=0.001") as socket:
            storage.clock.advance(DAY - 1)
            if active:
                for _ in range(3):
                    await socket.send_str("hello")
                    assert await socket.receive_str() == "hello"
                    await storage.next_call()
                    storage.clock.advance(DAY - 1)
            storage.clock.advance(2)
            message = await socket.receive(timeout=PATIENCE)
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)


async def test_websocket_stays_open_while_its_storage_is_down() -> None:
    storage = memory()
    async with serve(application(storage, {"/tied": tied})) as server:
        await server.get("/write")
        async with server.websocket("/tied?seconds=0.001") as socket:
            storage.down = {"load"}
            await storage.next_call()
            await storage.next_call()
            storage.down.clear()
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            await server.get("/purge")
            assert (await socket.receive(timeout=PATIENCE)).data == 1008
        assert any("could not be looked at" in line for line in server.logged(30))


async def test_websocket_can_be_tied_to_nothing_but_a_saved_session() -> None:
    """ASVS 4.4.2."""
    app = application(memory(), {"/tied": tied})
    async with serve(app) as server, server.websocket("/tied") as socket:
        assert (await socket.receive(timeout=PATIENCE)).type is WSMsgType.CLOSED
        await server.stop()
        assert SessionGone.__name__ in server.causes()
        assert len(app[HANDLE].sockets) == 0


async def test_websocket_that_crashes_is_let_go() -> None:
    async def crash_later(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await session.bind(socket)
        raise ZeroDivisionError

    app = application(memory(), {"/tied": crash_later})
    async with serve(app) as server:
        await server.get("/write")
        async with server.websocket("/tied") as socket:
            await socket.receive(timeout=PATIENCE)
        await server.stop()
        assert len(app[HANDLE].sockets) == 0
