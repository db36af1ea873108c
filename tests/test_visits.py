"""The visits of a request: begun by who asks first, however late; passes inside of passes."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict, CIMultiDictProxy

from aiohttp_sess import CookieConfig, SessionError, get_session, middleware, setup
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.visits import Progress

from .apps import HANDLE, application, memory
from .browser import serve


def test_what_is_a_users_is_in_no_repr() -> None:
    app = application(memory())
    headers = CIMultiDictProxy(CIMultiDict(Cookie="id=secret"))
    progress = Progress(app[HANDLE], headers, sent=True)
    assert repr(progress) == "<Progress with 'id'>"
    assert progress.__rich_repr__() == [("handle", "id")]


async def ok(request: web.Request) -> web.Response:
    return web.Response()


async def moved(request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def write(request: web.Request, response: web.StreamResponse) -> None:
    (await get_session(request))["n"] = 1


@pytest.mark.parametrize(("handler", "status"), [(ok, 200), (moved, 302)])
async def test_who_asks_first_once_the_handler_is_done_changes_the_session(
    handler: Handler, status: int
) -> None:
    storage = memory()
    app = application(storage, {"/": handler})
    app.on_response_prepare.insert(0, write)
    async with serve(app) as server:
        answer = await server.get("/")
        assert (answer.status, len(answer.cookies)) == (status, 1)
        assert (await server.get("/read")).json == {"n": 1}
        # An exception would cut the connection now.
        storage.down = {"save"}
        answer = await server.get("/", cookies={})
        assert (answer.status, answer.cookies) == (status, [])
        assert "changes that came late are lost" in "".join(server.logged(logging.ERROR))


async def test_who_asks_first_after_a_failure_saves_nothing() -> None:
    caught: list[Exception] = []

    async def fail(request: web.Request) -> web.Response:
        raise ZeroDivisionError

    @web.middleware
    async def outside(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ZeroDivisionError:
            session = await get_session(request)
            session["n"] = 1
            try:
                await session.save()
            except SessionError as error:
                caught.append(error)
            return web.Response()

    app = application(memory(), {"/fail": fail})
    app.middlewares.insert(0, outside)
    async with serve(app) as server:
        assert not (await server.get("/fail")).cookies
        assert (await server.get("/read")).json == {}
    assert [str(error) for error in caught] == [
        "the request has failed: its session is not saved any more"
    ]


async def test_who_asks_first_once_the_headers_are_gone_is_told() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        (await get_session(request))["n"] = 1
        await response.write_eof()
        return response

    app = application(memory(), {"/late": stream})
    async with serve(app) as server:
        answer = await server.get("/late")
        assert not answer.cookies
        assert "Vary" not in answer.headers
        assert (await server.get("/read")).json == {}
        assert "it began after the headers" in "".join(server.logged(logging.ERROR))


# -- a request that goes through the application again ------------------------------------------


@pytest.mark.parametrize("as_clone", [True, False])
async def test_what_was_done_before_an_internal_redirect_is_saved(as_clone: bool) -> None:
    async def forward(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        if "logout" in request.query:
            session.purge()
        else:
            session["before"] = 1
        to = request.clone(rel_url="/read") if as_clone else request
        return await to.app._handle(to) if as_clone else await read_again(to)

    async def read_again(request: web.Request) -> web.StreamResponse:
        ours = [each for each in request.app.middlewares if each.__module__ == middleware.__name__]
        return await ours[0](request, ok)

    app = application(memory(), {"/forward": forward})
    async with serve(app) as server:
        await server.get("/write")
        key = dict(server.cookies)
        assert (await server.get("/forward")).status == 200
        assert (await server.get("/read")).json == {"n": 1, "before": 1}
        assert (await server.get("/forward?logout")).status == 200
        assert (await server.get("/read", cookies=key)).json == {}


async def test_handlers_that_are_called_at_once_save_each_their_own() -> None:
    count = iter(range(2))

    async def name(request: web.Request) -> web.Response:
        session = await get_session(request)
        await asyncio.sleep(0)
        session[f"n{next(count)}"] = 1
        return web.Response()

    @web.middleware
    async def twice(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != "/twice":
            return await handler(request)
        return (await asyncio.gather(handler(request), handler(request)))[0]

    app = application(memory(), {"/twice": name})
    app.middlewares.insert(0, twice)
    async with serve(app) as server:
        await server.get("/write")
        await server.get("/twice")
        assert (await server.get("/read")).json == {"n": 1, "n0": 1, "n1": 1}


@pytest.mark.parametrize("nested", [True, False])
async def test_the_default_is_known_where_a_middleware_made_a_clone(nested: bool) -> None:
    @web.middleware
    async def clone(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request.clone(headers=request.headers))
        (await get_session(request))["n"] = 1
        return response

    app = application(memory())
    app.middlewares.append(clone)
    inner = web.Application() if nested else app
    setup(inner, MemoryStorage(), cookie=CookieConfig(name="inner", secure=False))
    inner.router.add_get("/x", ok)
    if nested:
        app.add_subapp("/inner", inner)
    async with serve(app) as server:
        answer = await server.get("/inner/x" if nested else "/x")
        assert (answer.status, answer.cookie.name) == (200, "id")
        assert (await server.get("/read")).json == {"n": 1}
