"""Websockets whose session has ended, and whose clients do not help to close them.

ASVS 4.4.3: aiohttp alone waits for a client that does not read, and for its closing handshake.
"""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from aiohttp_sess import get_session, sockets

from .apps import HANDLE, application, memory
from .browser import serve
from .wire import PATIENCE

HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def bind(request: web.Request) -> web.WebSocketResponse:
    session = await get_session(request)
    socket = web.WebSocketResponse(timeout=2 * PATIENCE)
    await socket.prepare(request)
    await session.bind(socket)
    return socket


async def test_client_that_does_not_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_CLOSE_TIMEOUT", 0.01)
    over = asyncio.Event()

    async def only_send(request: web.Request) -> web.StreamResponse:
        socket = await bind(request)
        await socket.send_str("ready")
        await over.wait()
        assert socket.close_code == 1006
        return socket

    app = application(memory(), {"/push": only_send})
    async with serve(app) as server, server.wire() as wire:
        await server.get("/write")
        wire.send("/push", *HANDSHAKE, server.id)
        assert (await wire.answer()).status == 101
        await server.get("/purge")
        async with asyncio.timeout(PATIENCE / 2):
            await wire.skip_to_end()
        over.set()
        await server.stop()
        assert server.causes() == []


async def test_client_that_does_not_read_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_CLOSE_TIMEOUT", 0.01)
    sending, over = asyncio.Event(), asyncio.Event()

    async def flood(request: web.Request) -> web.StreamResponse:
        socket = await bind(request)
        sending.set()
        try:
            await socket.send_bytes(bytes(64 << 20))  # more than fits into all buffers on the way
        finally:
            over.set()
        return socket

    app = application(memory(), {"/flood": flood})
    async with serve(app) as server, server.wire() as wire:
        await server.get("/write")
        wire.send("/flood", *HANDSHAKE, server.id)
        await sending.wait()
        assert not over.is_set()
        await server.get("/purge")
        async with asyncio.timeout(PATIENCE):
            await over.wait()
        await server.stop()
        assert len(app[HANDLE].sockets) == 0
