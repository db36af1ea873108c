"""The wiring into aiohttp: who can get a session, several kinds of it, nested applications."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import (
    CookieConfig,
    SessionHandle,
    get_session,
    setup,
)
from aiohttp_sess.storage import MemoryStorage

from .apps import (
    HANDLE,
    Recorded,
    application,
    cookie,
    memory,
    read,
    untouched,
    write,
)
from .browser import serve

# -- who can get a session ------------------------------------------------------------------------


async def test_get_session_without_setup_says_what_to_call() -> None:
    async def ask(request: web.Request) -> web.Response:
        with pytest.raises(RuntimeError, match=r"aiohttp_sess\.setup\(app, storage\)"):
            await get_session(request)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", ask)
    async with serve(app) as server:
        assert (await server.get("/")).status == 200


async def test_handle_of_another_application_is_no_handle() -> None:
    foreign = setup(web.Application(), MemoryStorage())

    async def ask(request: web.Request) -> web.Response:
        with pytest.raises(RuntimeError, match="no such session"):
            await get_session(request, foreign)
        for nonsense in ("id", 7, dict):
            with pytest.raises(TypeError, match=r"what setup\(\) answered"):
                await get_session(request, nonsense)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="must be an aiohttp request"):
                await get_session(nonsense)  # type: ignore[arg-type]
        return web.Response()

    async with serve(application(memory(), {"/ask": ask})) as server:
        assert (await server.get("/ask")).status == 200


@web.middleware
async def note_before_and_after(request: web.Request, handler: Handler) -> web.StreamResponse:
    session = await get_session(request)
    session["before"] = True
    response = await handler(request)
    (await get_session(request))["after"] = True
    return response


@web.middleware
async def note_after(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    (await get_session(request))["outside"] = True
    return response


@web.middleware
async def too_early(request: web.Request, handler: Handler) -> web.StreamResponse:
    with pytest.raises(RuntimeError, match="before it gets any middleware that uses the session"):
        await get_session(request)
    return await handler(request)


async def test_middlewares_inside_have_the_session_before_and_after_the_handler() -> None:
    app = application(memory())
    app.middlewares.append(note_before_and_after)
    async with serve(app) as server:
        await server.get("/write")
        assert (await server.get("/read")).json == {"before": True, "n": 1, "after": True}


@pytest.mark.parametrize("make", [memory, cookie])
async def test_middlewares_outside_have_the_session_once_the_handler_is_done(make: Any) -> None:
    app = application(make(), outer=[note_after, too_early])
    async with serve(app) as server:
        for path in ("/", "/write"):
            answer = await server.get(path)
            assert answer.cookie
        assert (await server.get("/read")).json == {"outside": True, "n": 1}


async def test_middleware_outside_that_fails_to_save_gets_an_error_in_the_log() -> None:
    """The response has left the handler: an exception now would cut the connection."""
    storage = memory()
    async with serve(application(storage, outer=[note_after])) as server:
        storage.down = {"save"}
        answer = await server.get("/")
        assert (answer.status, answer.text, answer.cookies) == (200, "hello", [])
        assert any("lost" in line for line in server.logged(40))
        assert "ConnectionRefusedError" in server.causes()


@pytest.mark.parametrize("handler", [write, untouched])
@pytest.mark.parametrize("early", [True, False])
async def test_signals_have_the_session(early: bool, handler: Handler) -> None:
    """What a signal before ours changes is saved; after ours it is saved, or an ERROR says so."""

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        if request.path == "/":
            (await get_session(request))["noted"] = True

    storage = memory()
    app = web.Application()
    if early:
        app.on_response_prepare.append(note)
    setup(app, storage)
    app.router.add_get("/", handler)
    app.router.add_get("/read", read)
    if not early:
        app.on_response_prepare.append(note)
    async with serve(app) as server:
        await server.get("/")
        saved = "noted" in (await server.get("/read")).json
        assert saved or server.logged(40)
        assert saved or not early


async def test_cloned_request_has_the_same_session() -> None:
    @web.middleware
    async def clone(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request.clone(headers={"X": "y"}))
        assert (await get_session(request))["n"] == 1
        return response

    app = application(memory())
    app.middlewares.append(clone)
    async with serve(app) as server:
        assert (await server.get("/write")).cookie


# -- several kinds of session ---------------------------------------------------------------------

STAFF = web.AppKey("staff", SessionHandle)


async def badge(request: web.Request) -> web.Response:
    session = await get_session(request, request.config_dict[STAFF])
    session["badge"] = session.get("badge", 0) + 1
    return web.json_response(dict(session))


async def both(request: web.Request) -> web.Response:
    await badge(request)
    return await write(request)


def with_staff(storage: Recorded, staff: Recorded) -> web.Application:
    app = application(storage, {"/badge": badge, "/both": both})
    app[STAFF] = setup(app, staff, cookie=CookieConfig(name="staff", samesite="Strict"))
    return app


async def test_application_with_two_kinds_of_session() -> None:
    visitors, staff = memory(), memory()
    async with serve(with_staff(visitors, staff)) as server:
        assert [c.name for c in (await server.get("/write")).cookies] == ["id"]
        assert staff.calls == []
        visitors.forget()
        assert [c.name for c in (await server.get("/badge")).cookies] == ["staff"]
        assert visitors.calls == []
        answer = await server.get("/both")
        assert {c.name: c.attributes["samesite"] for c in answer.cookies} == {
            "id": "Lax",
            "staff": "Strict",
        }
        assert answer.headers.getall("Vary") == ["Cookie"]
        assert answer.headers.getall("Cache-Control") == ["no-store"]
        assert (await server.get("/read")).json == {"n": 2}
        await server.get("/purge")
        assert (await server.get("/badge")).json == {"badge": 3}


async def test_one_kind_that_fails_takes_nothing_from_the_other() -> None:
    visitors, staff = memory(), memory()
    async with serve(with_staff(visitors, staff)) as server:
        staff.down = {"save"}
        answer = await server.get("/both")
        assert (answer.status, answer.cookies, visitors.calls) == (500, [], [])


# -- nested applications --------------------------------------------------------------------------


def nest(outer: web.Application, inner: web.Application) -> web.Application:
    outer.add_subapp("/inner", inner)
    return outer


async def test_sub_application_shares_the_session_of_the_outer_one() -> None:
    inner = web.Application()
    inner.router.add_get("/write", write)
    async with serve(nest(application(memory()), inner)) as server:
        assert (await server.get("/inner/write")).cookie
        assert (await server.get("/write")).json == {"n": 2}


async def test_sub_application_may_have_a_session_of_its_own() -> None:
    async def other(request: web.Request) -> web.Response:
        """The outer session, asked for inside by its handle."""
        session = await get_session(request, outer[HANDLE])
        return web.json_response(dict(session))

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        session = await get_session(request)
        session["seen"] = session.get("seen", 0) + 1
        return response

    inner = application(memory(), {"/other": other}, cookie=CookieConfig(name="inner"))
    outer = application(memory())
    outer.middlewares.append(count)
    async with serve(nest(outer, inner)) as server:
        answer = await server.get("/inner/write")
        assert sorted(c.name for c in answer.cookies) == ["id", "inner"]
        assert (await server.get("/write")).json == {"seen": 1, "n": 1}
        assert (await server.get("/inner/read")).json == {"n": 1}
        assert (await server.get("/inner/other")).json == {"seen": 3, "n": 1}
        assert (await server.get("/inner/nowhere")).status == 404


async def test_sub_application_alone_may_have_sessions() -> None:
    outer = web.Application()
    outer.router.add_get("/", untouched)
    async with serve(nest(outer, application(memory()))) as server:
        assert (await server.get("/inner/write")).cookie
        assert (await server.get("/")).cookies == []
        assert (await server.get("/inner/nowhere")).status == 404


async def test_nested_applications_cannot_share_a_cookie_name() -> None:
    storage = memory()
    async with serve(nest(application(storage), application(memory()))) as server:
        answer = await server.get("/inner/write")
        assert (answer.status, answer.cookies) == (500, [])
        assert "RuntimeError" in server.causes()
        assert storage.calls == []
        assert (await server.get("/write")).status == 200


async def test_middleware_outside_may_call_its_handler_again() -> None:
    """As one that tries again after a failure does: each call has a session of its own."""
    failures = [web.HTTPServiceUnavailable()]

    @web.middleware
    async def try_again(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPServiceUnavailable:
            return await handler(request)

    async def fail_once(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = session.get("n", 0) + 1
        if failures:
            raise failures.pop()
        return web.json_response(dict(session))

    app = web.Application(middlewares=[try_again])
    setup(app, MemoryStorage())
    app.router.add_get("/", fail_once)
    async with serve(app) as server:
        answer = await server.get("/")
        assert (answer.status, answer.json) == (200, {"n": 1})
        assert len(answer.cookies) == 1
