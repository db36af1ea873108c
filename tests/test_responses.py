"""Every kind of response carries the session: whoever makes it, and whoever replaces it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import get_session

from .apps import Recorded, application, cookie, memory
from .browser import serve
from .wire import Answer


async def began(request: web.Request) -> None:
    """Write to the session, as every handler here does."""
    session = await get_session(request)
    session["n"] = session.get("n", 0) + 1


async def plain(request: web.Request) -> web.StreamResponse:
    await began(request)
    return web.Response(text="body")


async def as_json(request: web.Request) -> web.StreamResponse:
    await began(request)
    return web.json_response("body")


async def empty(request: web.Request) -> web.StreamResponse:
    await began(request)
    return web.Response(status=204)


async def redirect(request: web.Request) -> web.StreamResponse:
    await began(request)
    raise web.HTTPFound("/read")


async def forbidden(request: web.Request) -> web.StreamResponse:
    await began(request)
    raise web.HTTPForbidden(text="body")


async def broken(request: web.Request) -> web.StreamResponse:
    await began(request)
    raise web.HTTPServiceUnavailable(text="body")


async def prepared_early(request: web.Request) -> web.StreamResponse:
    await began(request)
    response = web.Response(text="body")
    await response.prepare(request)
    return response


async def stream(request: web.Request) -> web.StreamResponse:
    """As the query says: chunked, compressed, or with a length."""
    await began(request)
    response = web.StreamResponse()
    if "chunked" in request.query:
        response.enable_chunked_encoding()
    if "compressed" in request.query:
        response.enable_compression()
    if "length" in request.query:
        response.content_length = 4
    await response.prepare(request)
    if request.method != "HEAD":  # aiohttp would send it
        await response.write(b"bo")
        await response.write(b"dy")
    return response


async def websocket(request: web.Request) -> web.StreamResponse:
    await began(request)
    response = web.WebSocketResponse()
    await response.prepare(request)
    await response.close()
    return response


class View(web.View):
    async def get(self) -> web.StreamResponse:
        await began(self.request)
        return web.Response(text="body")

    head = post = get


ROUTES: dict[str, Handler] = {
    "/plain": plain,
    "/json": as_json,
    "/empty": empty,
    "/redirect": redirect,
    "/forbidden": forbidden,
    "/broken": broken,
    "/prepared": prepared_early,
    "/stream": stream,
    "/websocket": websocket,
}
PATHS = [
    "/plain",
    "/json",
    "/empty",
    "/redirect",
    "/forbidden",
    "/broken",
    "/prepared",
    "/stream",
    "/stream?chunked",
    "/stream?compressed",
    "/stream?compressed&chunked",
    "/stream?length",
    "/view",
]
# A compressed stream has a body even in answer to HEAD: that is aiohttp's own doing.
HEADS = [path for path in PATHS if "compressed" not in path]
Make = Callable[[], Recorded]


def everything(storage: Recorded) -> web.Application:
    app = application(storage, ROUTES)
    app.router.add_view("/view", View)
    return app


def has_session(answer: Answer) -> None:
    """Once, and with what goes with it."""
    assert len(answer.cookies) == 1
    assert answer.headers.getall("Cache-Control") == ["no-store"]
    assert answer.headers.getall("Vary") == ["Cookie"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("make", [memory, cookie])
async def test_response_has_the_session(make: Make, path: str) -> None:
    storage = make()
    async with serve(everything(storage)) as server:
        for _ in range(2):
            has_session(await server.get(path))
        assert storage.calls == ["save", "load", "update"]
        assert (await server.get("/read")).json == {"n": 2}


@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", path) for path in HEADS] + [("POST", path) for path in PATHS]
)
async def test_method_makes_no_difference(method: str, path: str) -> None:
    async with serve(everything(memory())) as server:
        has_session(await server.get(path, method=method))
        assert (await server.get("/read")).json == {"n": 1}


@pytest.mark.parametrize("make", [memory, cookie])
async def test_connection_stays_framed_from_answer_to_answer(make: Make) -> None:
    async with serve(everything(make())) as server, server.wire() as wire:
        line, count = "X: y", 0
        requests = [("GET", path) for path in PATHS] + [("HEAD", path) for path in HEADS]
        for method, path in requests:
            answer = await wire.get(path, line, "Accept-Encoding: deflate", method=method)
            has_session(answer)
            line, count = f"Cookie: id={answer.cookie.value}", count + 1
            assert (await wire.get("/read", line)).json == {"n": count}


async def test_stream_to_an_old_client_has_the_session() -> None:
    async with serve(everything(memory())) as server, server.wire() as wire:
        wire.send("/stream", version="1.0")
        answer = await wire.answer()
        has_session(answer)
        assert answer.body == b"body"
        assert await wire.closed()


@pytest.mark.parametrize("make", [memory, cookie])
async def test_websocket_handshake_has_the_session(make: Make) -> None:
    async with serve(everything(make())) as server:
        async with server.websocket("/websocket") as socket:
            answer = server.shaken(socket)
        assert answer.status == 101
        has_session(answer)
        assert (await server.get("/read")).json == {"n": 1}


# -- replaced on its way out ----------------------------------------------------------------------


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)


@web.middleware
async def replace(request: web.Request, handler: Handler) -> web.StreamResponse:
    await handler(request)
    return web.Response(text="another")


@pytest.mark.parametrize("path", ["/redirect", "/forbidden", "/broken"])
async def test_session_survives_errors_turned_to_json(path: str) -> None:
    app = application(memory(), ROUTES, outer=[errors_as_json])
    async with serve(app) as server:
        answer = await server.get(path)
        assert "error" in json.loads(answer.text)
        has_session(answer)
        assert (await server.get("/read")).json == {"n": 1}


async def test_session_survives_a_response_that_is_replaced() -> None:
    async with serve(application(memory(), ROUTES, outer=[replace])) as server:
        answer = await server.get("/plain")
        assert answer.text == "another"
        has_session(answer)


async def test_cookies_of_the_application_are_left_alone() -> None:
    async def two(request: web.Request) -> web.StreamResponse:
        await began(request)
        response = web.Response()
        response.set_cookie("theme", "dark")
        return response

    async with serve(application(memory(), {"/two": two})) as server:
        answer = await server.get("/two")
        assert sorted(c.name for c in answer.cookies) == ["id", "theme"]


# -- that no handler of ours made -----------------------------------------------------------------


@web.middleware
async def begin_everywhere(request: web.Request, handler: Handler) -> web.StreamResponse:
    await began(request)
    return await handler(request)


async def test_middleware_may_begin_a_session_where_there_is_no_route() -> None:
    app = application(memory())
    app.middlewares.append(begin_everywhere)
    async with serve(app) as server:
        answer = await server.get("/nowhere")
        assert answer.status == 404
        has_session(answer)
        assert (await server.get("/read")).json == {"n": 2}


async def test_request_that_leads_nowhere_costs_nothing() -> None:
    storage = memory()
    async with serve(application(storage)) as server:
        await server.get("/write")
        storage.forget()
        answer = await server.get("/nowhere")
        assert (answer.status, answer.cookies, storage.calls) == (404, [], [])


async def test_request_that_is_no_http_costs_nothing() -> None:
    """There is no application to ask for a session then."""
    storage = memory()
    async with serve(application(storage)) as server, server.wire() as wire:
        wire.send_raw("GET /read HTTP/1.1", "Host: localhost", "Bad Header: x")
        assert (await wire.answer()).status == 400
        assert storage.calls == []


async def test_handler_that_answers_nonsense_is_a_500() -> None:
    async def nonsense(request: web.Request) -> web.StreamResponse:
        await began(request)
        return None  # type: ignore[return-value]  # what a handler without a return does

    async with serve(application(memory(), {"/none": nonsense})) as server:
        assert (await server.get("/none")).status == 500
