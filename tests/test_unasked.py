"""What is known of a session that nobody asked for, for who asks later."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict, CIMultiDictProxy

from aiohttp_sess import SessionError, get_session
from aiohttp_sess.unasked import Unasked

from .apps import application, memory
from .browser import serve


def test_the_headers_are_in_no_repr() -> None:
    so_far = Unasked(CIMultiDictProxy(CIMultiDict(Cookie="id=secret")), sent=True)
    assert repr(so_far) == "<Unasked finished=False failed=False sent=True>"
    shown = dict(so_far.__rich_repr__())
    assert shown == {"finished": False, "failed": False, "sent": True}


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
