"""Sessions in cookies, with a list of those that were ended: what was ended stays ended."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import SessionGone, SessionRecord, get_session
from aiohttp_sess.storage import CookieStorage, KeyedStorage

from ..apps import Gate, application
from ..browser import Server, serve
from ..noted import Noted
from ..test_gone import Held, renew_late

HOUR = timedelta(hours=1)


@pytest.fixture
def noted(inner: KeyedStorage) -> Noted:
    noted = Noted(inner)
    noted.key_prefix = f"{secrets.token_hex(8)}:"
    return noted


@pytest.fixture
def cookies(noted: Noted) -> CookieStorage:
    return CookieStorage(revocations=noted)


async def lives(storage: CookieStorage, *records: Any) -> list[bool]:
    return [await storage.load(stored.key) is not None for stored in records]


async def logged_in(storage: CookieStorage, **fields: Any) -> Any:
    record = SessionRecord(created=storage.clock(), owner="ferris", cookie="id")
    return await storage.save(dataclasses.replace(record, **fields), HOUR)


async def state(server: Server, cookie: str) -> object:
    return (await server.get("/read", cookies={"id": cookie})).json


# -- over HTTP ------------------------------------------------------------------------------------


async def test_of_renewals_at_once_one_is_left(cookies: CookieStorage) -> None:
    requests = [Held(renew_late) for _ in range(4)]
    routes = {f"/{n}": held.handle for n, held in enumerate(requests)}
    async with serve(application(cookies, routes)) as server:
        await server.get("/write")
        old = server.cookies["id"]
        waiting = [asyncio.create_task(server.get(path, cookies={"id": old})) for path in routes]
        for held in requests:
            await held.gate.reached.wait()
        for held in requests:
            held.gate.opened.set()
        answers = await asyncio.gather(*waiting)
        (new,) = [answer.cookie.value for answer in answers if answer.cookies]
        assert await state(server, new) == {"n": 1}
        assert await state(server, old) == {}


@pytest.mark.parametrize("first", ["/purge", "/renew"])
async def test_a_renewal_in_whose_middle_the_session_is_ended_leaves_nothing(
    noted: Noted, cookies: CookieStorage, first: str
) -> None:
    async with serve(application(cookies)) as server:
        await server.get("/write")
        old = {"id": server.cookies["id"]}
        saved = noted.hold("add")  # it has saved the new session, and goes on to end the old one
        renewal = asyncio.create_task(server.get("/renew", cookies=old))
        await saved.reached.wait()
        ended = await server.get(first, cookies=old)
        saved.opened.set()
        assert (await renewal).cookies == []
        assert await state(server, old["id"]) == {}
        if first == "/renew":
            assert await state(server, ended.cookie.value) == {"n": 1}


async def test_a_change_in_whose_middle_the_session_is_ended_does_not_open(
    noted: Noted, cookies: CookieStorage
) -> None:
    """It was looked up right before, and its cookie is on the way."""
    gate = Gate()

    async def write(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = 2
        await session.save()
        noted.down = {"read"}  # it cannot be looked up again before the response
        await gate.pass_through()
        return web.Response()

    async with serve(application(cookies, {"/held": write})) as server:
        await server.get("/write")
        old = {"id": server.cookies["id"]}
        change = asyncio.create_task(server.get("/held", cookies=old))
        await gate.reached.wait()
        noted.down.clear()
        await server.get("/purge", cookies=old)
        noted.down = {"read"}
        gate.opened.set()
        late = (await change).cookie.value
        noted.down.clear()
        assert late != old["id"]
        assert await state(server, late) == {}


# -- the storage alone ----------------------------------------------------------------------------


async def test_a_session_that_gets_a_longer_life_while_it_is_ended_does_not_open(
    noted: Noted, cookies: CookieStorage
) -> None:
    stored = await logged_in(cookies)
    noting = noted.hold("add")  # it was not ended when it was looked up
    longer = asyncio.create_task(
        cookies.update(stored.key, stored.record, timedelta(days=9), revision=None)
    )
    await noting.reached.wait()
    assert await cookies.delete(stored.key)
    noting.opened.set()
    with pytest.raises(SessionGone):
        await longer


async def test_a_renewal_while_all_sessions_are_ended_is_ended_too(
    noted: Noted, cookies: CookieStorage
) -> None:
    """Though it neither saw the end, nor was its time before it."""
    stored = await logged_in(cookies)
    owner = stored.record.owner
    ending = noted.hold("add")  # it has its time, and is not written yet
    end = asyncio.create_task(cookies.end_sessions(owner, "id"))
    await ending.reached.wait()
    renewed = await logged_in(cookies, id="another", authenticated=cookies.clock())
    assert await cookies.delete(stored.key)
    ending.opened.set()
    await end
    assert await lives(cookies, stored, renewed) == [False, False]
    assert await lives(cookies, await logged_in(cookies)) == [True]


async def test_a_renewal_that_comes_after_the_end_of_all_sessions_knows_of_it(
    noted: Noted, cookies: CookieStorage
) -> None:
    stored = await logged_in(cookies)
    await cookies.end_sessions(stored.record.owner, "id")
    await logged_in(cookies, id="another", authenticated=cookies.clock())
    assert await cookies.delete(stored.key) is False  # so the renewal is given up


async def test_an_end_of_all_sessions_takes_in_the_one_that_came_first(
    noted: Noted, cookies: CookieStorage
) -> None:
    kept, other, third = [await logged_in(cookies) for _ in range(3)]
    owner = kept.record.owner
    ending = noted.hold("add")
    first = asyncio.create_task(cookies.end_sessions(owner, "id", keep=kept.record.id))
    await ending.reached.wait()
    await cookies.end_sessions(owner, "id", keep=other.record.id)
    assert await lives(cookies, kept, other, third) == [False, True, False]
    ending.opened.set()
    await first
    assert await lives(cookies, kept, other, third) == [False, False, False]


async def test_many_ends_at_once_all_come_through(cookies: CookieStorage) -> None:
    sessions = [await logged_in(cookies) for _ in range(8)]
    ids = [stored.record.id for stored in sessions]
    owner = sessions[0].record.owner
    other = dataclasses.replace(sessions[0].record, id="kept")
    kept = await cookies.save(other, HOUR)
    await asyncio.gather(
        *(cookies.end_sessions(owner, "id", keep="kept") for _ in range(8)),
        *(cookies.end_sessions(owner, "id", ids=ids) for _ in range(8)),
        *(cookies.delete(stored.key) for stored in sessions),
    )
    assert await lives(cookies, *sessions) == [False] * 8
    assert await lives(cookies, kept) == [True]
