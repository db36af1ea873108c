"""A storage that is down: an opaque 500, and answers that stay framed as HTTP says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import SessionError, StorageUnavailable, get_session

from .apps import Recorded, application, cookie, memory, records
from .browser import serve
from .test_responses import ROUTES, View, everything

# Answers that are one piece: nothing of them is sent before the middleware is done.
WHOLE = ["/plain", "/json", "/empty", "/redirect", "/forbidden", "/broken", "/view"]
# Answers that are prepared inside the handler.
PREPARED = ["/prepared", "/stream", "/stream?chunked", "/stream?length"]
COMPRESSED = ["/stream?compressed", "/stream?compressed&chunked", "/stream?compressed&length"]
WORDS = ("Unavailable", "backend", "answer to", "Refused", "Traceback", "session")


def is_opaque(text: str) -> bool:
    """Whether a client learns nothing of what went wrong (ASVS 16.5.1)."""
    return not any(word in text for word in WORDS)


@pytest.mark.parametrize("down", ["load", "update"])
@pytest.mark.parametrize("path", [*WHOLE, *PREPARED])
async def test_storage_that_is_down_is_an_opaque_500(path: str, down: str) -> None:
    """ASVS 16.5.1, 16.5.3: its cause is in the log, and nobody is somebody else meanwhile."""
    storage = memory()
    async with serve(everything(storage)) as server, server.wire() as wire:
        await server.get("/write")
        storage.down = {down}
        answer = await wire.get(path, server.id)
        assert (answer.status, answer.cookies) == (500, [])
        assert is_opaque(answer.text)
        assert {"StorageUnavailable", "ConnectionRefusedError"} <= set(server.causes())
        storage.down.clear()
        assert (await server.get("/read")).json == {"n": 1}
        if answer.headers.get("Connection") != "close":
            assert (await wire.get("/read", server.id)).json == {"n": 1}


async def test_traceback_that_is_shown_in_debug_mode_shows_no_key() -> None:
    """Aiohttp puts it into the answer then. Whoever serves looks through every answer for keys."""
    storage = memory()
    asyncio.get_running_loop().set_debug(True)
    async with serve(application(storage)) as server:
        await server.get("/write")
        storage.down = {"update"}
        assert "Traceback" in (await server.get("/write")).text


@pytest.mark.parametrize("path", COMPRESSED)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_compressed_stream_is_cut_off_rather_than_garbled(path: str, version: str) -> None:
    storage = memory()
    async with serve(everything(storage)) as server, server.wire() as wire:
        storage.down = {"save"}
        wire.send(path, "Accept-Encoding: deflate", version=version)
        if version == "1.0" and "chunked" in path:
            # aiohttp itself refuses to send that.
            assert (await wire.answer()).status == 500
        else:
            assert await wire.closed()
        assert (await server.get("/")).status == 200


@pytest.mark.parametrize("path", PREPARED)
@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_failing_stream_stays_framed_whatever_the_method(path: str, method: str) -> None:
    storage = memory()
    async with serve(everything(storage)) as server, server.wire() as wire:
        storage.down = {"save"}
        assert (await wire.get(path, "Content-Length: 0", method=method)).status == 500


async def test_failing_stream_to_an_old_client() -> None:
    storage = memory()
    async with serve(everything(storage)) as server, server.wire() as wire:
        storage.down = {"save"}
        wire.send("/stream", version="1.0")
        answer = await wire.answer()
        assert answer.status == 500
        assert is_opaque(answer.text)


async def test_failing_websocket_is_a_clean_500() -> None:
    storage = memory()
    async with serve(everything(storage)) as server:
        storage.down = {"save"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await server.websocket("/websocket")
        assert caught.value.status == 500


@web.middleware
async def say_so(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What an application may do: an answer of its own, on a connection that goes on."""
    try:
        return await handler(request)
    except StorageUnavailable as error:
        cause = type(error.__cause__).__name__
        raise web.HTTPServiceUnavailable(text=f"come back later: {cause}") from None


@pytest.mark.parametrize("down", ["load", "update"])
@pytest.mark.parametrize("path", [*WHOLE, *PREPARED])
async def test_middleware_outside_sees_what_it_was(path: str, down: str) -> None:
    """And the next answer on the same connection is where it belongs."""
    storage = memory()
    app = application(storage, ROUTES, outer=[say_so])
    app.router.add_view("/view", View)
    async with serve(app) as server, server.wire() as wire:
        await server.get("/write")
        for _ in range(2):
            storage.down = {down}
            answer = await wire.get(path, server.id)
            assert (answer.status, answer.text) == (503, "come back later: ConnectionRefusedError")
            assert answer.cookies == []
            storage.down.clear()
            assert (await wire.get("/read", server.id)).json == {"n": 1}


async def test_handler_may_do_without_the_session() -> None:
    storage = memory()

    async def anonymous(request: web.Request) -> web.Response:
        try:
            await get_session(request)
        except StorageUnavailable:
            return web.Response(text="nobody")
        return web.Response(text="somebody")

    async with serve(application(storage, {"/who": anonymous})) as server:
        await server.get("/write")
        storage.forget()
        storage.down = {"load"}
        answer = await server.get("/who")
        assert (answer.status, answer.text, answer.cookies) == (200, "nobody", [])
        assert answer.headers["Vary"] == "Cookie"
        assert storage.calls == ["load"]
        storage.down.clear()
        assert (await server.get("/who")).text == "somebody"


async def test_handler_may_ask_again_when_the_storage_is_back() -> None:
    storage = memory()

    async def twice(request: web.Request) -> web.Response:
        with pytest.raises(StorageUnavailable):
            await get_session(request)
        storage.down.clear()
        return web.json_response(dict(await get_session(request)))

    async with serve(application(storage, {"/twice": twice})) as server:
        await server.get("/write")
        storage.down = {"load"}
        assert (await server.get("/twice")).json == {"n": 1}


@pytest.mark.parametrize("first", ["plain", "chunked", "length"])
@pytest.mark.parametrize("streams_again", [False, True])
async def test_handler_may_answer_otherwise_when_its_stream_fails(
    first: str, streams_again: bool
) -> None:
    """Nothing of the stream is sent yet. What it wanted to save is not saved behind its back."""
    storage = memory()

    async def careful(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        session["n"] = 1
        response = web.StreamResponse()
        if first == "chunked":
            response.enable_chunked_encoding()
        elif first == "length":
            response.content_length = 4
        with pytest.raises(StorageUnavailable):
            await response.prepare(request)
        storage.down.clear()
        with pytest.raises(SessionError, match="not saved any more"):
            await session.save()
        if not streams_again:
            return web.Response(text="instead")
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"instead")
        return response

    async with serve(application(storage, {"/careful": careful})) as server, server.wire() as wire:
        for _ in range(2):
            storage.down = {"save"}
            answer = await wire.get("/careful")
            assert (answer.status, answer.text, answer.cookies) == (200, "instead", [])
        assert records(storage) == 0


@pytest.mark.parametrize("make", [memory, cookie])
async def test_value_that_is_no_json_is_found_in_time(make: Callable[[], Recorded]) -> None:
    async def spoil(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["list"] = []
        session["list"].append(object())
        return web.Response()

    storage = make()
    async with serve(application(storage, {"/spoil": spoil})) as server:
        answer = await server.get("/spoil")
        assert (answer.status, answer.cookies, storage.calls) == (500, [], [])
        assert "SessionValueError" in server.causes()
