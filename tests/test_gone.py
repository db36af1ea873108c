"""A session that another request ended, seen by the one that still is at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from aiohttp_sess import (
    PersistentSession,
    SessionGone,
    TtlExtensionPolicy,
    get_session,
)

from .apps import Gate, application, memory, records
from .browser import Server, serve

Act = Callable[[web.Request], Awaitable[None]]


class Held:
    """A handler that loads the session, waits at a gate, and then does something with it."""

    def __init__(self, act: Act) -> None:
        self.gate = Gate()
        self._act = act

    async def handle(self, request: web.Request) -> web.Response:
        await get_session(request)
        await self.gate.pass_through()
        await self._act(request)
        return web.Response()


async def set_late(request: web.Request) -> None:
    (await get_session(request))["late"] = True


async def renew_late(request: web.Request) -> None:
    (await get_session(request)).renew()


async def purge_late(request: web.Request) -> None:
    (await get_session(request)).purge()


async def only_read(request: web.Request) -> None:
    (await get_session(request)).get("n")


async def late(server: Server, held: Held, meanwhile: str) -> str | None:
    """What the held request sets, when another one has come and gone meanwhile."""
    waiting = asyncio.create_task(server.get("/held", cookies=dict(server.cookies)))
    await held.gate.reached.wait()
    await server.get(meanwhile)
    held.gate.opened.set()
    answer = await waiting
    assert answer.status == 200
    return answer.headers.get("Set-Cookie")


@pytest.mark.parametrize("meanwhile", ["/purge", "/renew"])
@pytest.mark.parametrize("act", [set_late, renew_late])
async def test_change_to_a_session_that_was_ended_is_dropped(act: Act, meanwhile: str) -> None:
    """ASVS 7.4.1, 15.4.2: neither the old cookie nor an erasure, which would end the next login."""
    held, storage = Held(act), memory()
    async with serve(application(storage, {"/held": held.handle})) as server:
        await server.get("/write")
        assert await late(server, held, meanwhile) is None
        (line,) = server.logged()
        assert "dropped" in line
        # What was ended stays ended, and a renewal leaves nothing behind.
        assert records(storage) == (1 if meanwhile == "/renew" else 0)
        assert (await server.get("/read")).json == ({"n": 1} if server.cookies else {})


async def test_refresh_of_a_session_that_was_ended_sets_no_cookie() -> None:
    held, storage = Held(only_read), memory()
    lifecycle = PersistentSession(ttl_extension_policy=TtlExtensionPolicy.ON_EVERY_REQUEST)
    async with serve(application(storage, {"/held": held.handle}, lifecycle=lifecycle)) as server:
        await server.get("/write")
        assert await late(server, held, "/purge") is None
        assert records(storage) == 0


async def test_reader_of_a_session_that_was_ended_meanwhile_is_left_alone() -> None:
    held, storage = Held(only_read), memory()
    async with serve(application(storage, {"/held": held.handle})) as server:
        await server.get("/write")
        assert await late(server, held, "/purge") is None
        assert server.logged() == []


async def test_renewal_that_fails_leaves_the_old_session() -> None:
    """ASVS 7.2.4: the old token is ended last, so a failure in between logs nobody out."""
    storage = memory()
    async with serve(application(storage)) as server:
        await server.get("/write")
        storage.down = {"delete"}
        answer = await server.get("/renew")
        assert (answer.status, answer.cookies) == (500, [])
        (warning,) = server.logged()
        assert "left over" in warning
        storage.down.clear()
        assert (await server.get("/read")).json == {"n": 1}
        storage.down = {"save"}
        assert (await server.get("/renew")).status == 500
        storage.down.clear()
        assert (await server.get("/read")).json == {"n": 1}


# -- told inside the handler ----------------------------------------------------------------------


async def test_save_of_a_session_that_was_ended_is_told_to_the_handler() -> None:
    async def save_late(request: web.Request) -> None:
        session = await get_session(request)
        session["late"] = True
        for _ in range(2):
            with pytest.raises(SessionGone):
                await session.save()
        assert session.new

    held, storage = Held(save_late), memory()
    async with serve(application(storage, {"/held": held.handle})) as server:
        await server.get("/write")
        assert await late(server, held, "/purge") is None
        assert records(storage) == 0


async def test_cookie_of_an_earlier_save_is_taken_back_when_the_session_is_gone() -> None:
    held, storage = Held(set_late), memory()

    async def save_first(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["early"] = True
        await session.save()
        return await held.handle(request)

    async with serve(application(storage, {"/held": save_first})) as server:
        await server.get("/write")
        assert await late(server, held, "/purge") is None
        assert records(storage) == 0


async def test_reload_of_a_session_that_was_ended_answers_false() -> None:
    async def reload_late(request: web.Request) -> None:
        session = await get_session(request)
        assert not await session.reload()
        session["late"] = True

    held, storage = Held(reload_late), memory()
    async with serve(application(storage, {"/held": held.handle})) as server:
        await server.get("/write")
        assert await late(server, held, "/purge") is None
        assert records(storage) == 0


async def test_handler_can_begin_anew_when_its_session_was_ended() -> None:
    async def begin_anew(request: web.Request) -> None:
        session = await get_session(request)
        assert not await session.reload()
        session.purge()
        session["fresh"] = True

    held, storage = Held(begin_anew), memory()
    async with serve(application(storage, {"/held": held.handle})) as server:
        await server.get("/write")
        assert await late(server, held, "/purge") is not None
        assert records(storage) == 1


async def test_purge_of_a_session_that_was_ended_needs_no_storage() -> None:
    async def purge_after_reload(request: web.Request) -> None:
        session = await get_session(request)
        assert not await session.reload()
        session.purge()
        await session.save()

    held, storage = Held(purge_after_reload), memory()
    async with serve(application(storage, {"/held": held.handle})) as server:
        await server.get("/write")
        storage.forget()
        assert await late(server, held, "/purge") is None
        assert storage.calls == ["load", "load", "delete", "load"]


async def test_reload_sees_what_others_saved() -> None:
    seen: list[object] = []

    async def reload_late(request: web.Request) -> None:
        session = await get_session(request)
        assert await session.reload()
        seen.append(session["n"])
        session["late"] = True

    held, storage = Held(reload_late), memory()
    async with serve(application(storage, {"/held": held.handle})) as server:
        await server.get("/write")
        assert await late(server, held, "/write") is not None
        assert seen == [2]
        assert (await server.get("/read")).json == {"n": 2, "late": True}
