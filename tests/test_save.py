"""Asking for the session, saving it and loading it again within one request."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from aiohttp_sess import CookieTooLarge, get_session
from aiohttp_sess.storage import CookieStorage, MemoryStorage

from .apps import Recorded, application, cookie, memory
from .browser import serve

GATED = web.AppKey("gated", Recorded)


@pytest.fixture(params=[memory, cookie])
def storage(request: pytest.FixtureRequest) -> Recorded:
    storage: Recorded = request.param()
    return storage


async def ask_at_once(request: web.Request) -> web.Response:
    gate = request.app[GATED].hold("load")
    asking = [asyncio.create_task(get_session(request)) for _ in range(3)]
    await gate.reached.wait()
    gate.opened.set()
    first, *others = await asyncio.gather(*asking)
    others.append(await get_session(request))
    return web.json_response(all(other is first for other in others))


async def test_session_is_loaded_once_however_often_it_is_asked_for(storage: Recorded) -> None:
    app = application(storage, {"/often": ask_at_once})
    app[GATED] = storage
    async with serve(app) as server:
        await server.get("/write")
        storage.forget()
        assert (await server.get("/often")).json is True
        assert storage.calls == ["load"]


async def save_and_go_on(request: web.Request) -> web.Response:
    """Changes the session while it is being saved, and saves it twice at once."""
    session = await get_session(request)
    session["before"] = session["kept"] = 1
    session["basket"] = ["apple"]
    saving = asyncio.gather(session.save(), session.save())
    gate = request.app[GATED].gates["save"]
    await gate.reached.wait()
    session["during"] = 2
    session["basket"].append("pear")
    del session["before"]
    gate.opened.set()
    await saving
    session["after"] = 3
    return web.Response()


async def test_nothing_is_lost_that_changes_while_it_is_saved() -> None:
    storage = memory()
    app = application(storage, {"/go": save_and_go_on})
    app[GATED] = storage
    storage.hold("save")
    async with serve(app) as server:
        answer = await server.get("/go")
        assert storage.calls == ["save", "update", "update"]
        assert answer.cookie
        assert (await server.get("/read")).json == {
            "kept": 1,
            "basket": ["apple", "pear"],
            "during": 2,
            "after": 3,
        }


async def save_early(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["n"] = 1
    await session.save()
    return web.json_response([session.status.value, session.new])


async def test_save_commits_at_once_and_the_end_has_nothing_left_to_do(storage: Recorded) -> None:
    async with serve(application(storage, {"/early": save_early})) as server:
        answer = await server.get("/early")
        assert answer.json == ["changed", False]
        assert answer.cookie
        assert storage.calls == ["save"]
        assert (await server.get("/read")).json == {"n": 1}


async def test_what_was_saved_before_a_crash_keeps_its_cookie(storage: Recorded) -> None:
    async def save_and_crash(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = 1
        await session.save()
        session["n"] = 2
        raise ZeroDivisionError

    async with serve(application(storage, {"/crash": save_and_crash})) as server:
        assert (await server.get("/crash")).status == 500
        assert (await server.get("/read")).json == {"n": 1}


async def test_purge_that_was_saved_is_not_undone_by_what_follows(storage: Recorded) -> None:
    async def purge_and_save(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.purge()
        await session.save()
        assert session.new and session.empty
        if "again" in request.query:
            session["fresh"] = True
        return web.json_response(session.status.value)

    async with serve(application(storage, {"/end": purge_and_save})) as server:
        await server.get("/write")
        assert (await server.get("/end")).json == "purged"
        assert server.cookies == {}
        await server.get("/write")
        await server.get("/end?again")
        assert (await server.get("/read")).json == {"fresh": True}


async def test_reload_takes_the_latest_state(storage: Recorded) -> None:
    async def reload(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = "forgotten"
        return web.json_response([await session.reload(), session.get("n")])

    async with serve(application(storage, {"/reload": reload})) as server:
        assert (await server.get("/reload")).json == [False, "forgotten"]
        server.cookies.clear()
        await server.get("/write")
        storage.forget()
        assert (await server.get("/reload")).json == [True, 1]
        assert storage.calls == ["load", "load"]


async def save_too_much(request: web.Request) -> web.Response:
    """Tries to, thinks better of it, and saves what is left."""
    session = await get_session(request)
    session["big"] = "x" * 5000
    with pytest.raises(CookieTooLarge):
        await session.save()
    with pytest.raises(CookieTooLarge):
        await session.save()
    if "logout" in request.query:
        session.purge()
        session["big"] = "x" * 5000
        with pytest.raises(CookieTooLarge):
            await session.save()
    is_stored = await session.reload()
    kept = sorted(session)
    session.pop("big", None)
    if "more" in request.query:
        session["after"] = 1
    await session.save()
    return web.json_response([is_stored, kept])


@pytest.mark.parametrize("revocable", [False, True])
async def test_what_is_too_large_is_not_stored(revocable: bool) -> None:
    storage = CookieStorage(revocations=MemoryStorage()) if revocable else CookieStorage()
    app = application(storage, {"/much": save_too_much})
    async with serve(app) as server:
        answer = await server.get("/much", cookies={})
        assert (answer.json, answer.cookies) == ([False, ["big"]], [])
        await server.get("/write")
        for query in ("", "more"):
            answer = await server.get(f"/much?{query}")
            assert answer.json == [True, ["n"]]
            assert len(answer.cookies) == bool(query)
        assert (await server.get("/read")).json == {"n": 1, "after": 1}
        assert (await server.get("/much?logout")).json == [False, ["big"]]
