"""Clients that leave in the middle, handlers that give up waiting: nothing is done by halves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiohttp_sess import get_session

from .apps import Gate, Recorded, application, memory, records, states
from .browser import Server, serve
from .test_responses import everything


class Watched:
    """A server whose client leaves while the storage is at it."""

    def __init__(self, app: web.Application, storage: Recorded) -> None:
        self._storage = storage
        self._cancelled = asyncio.Event()
        app.middlewares.insert(0, self._watch())

    async def leave(self, server: Server, path: str, call: str, *, cancels: bool = True) -> Gate:
        """Ask for something, go away, and answer the gate at which the storage waits.

        :param cancels: whether that cancels the handler; if so, it has by then.
        """
        gate = self._storage.hold(call)
        async with server.wire() as wire:
            wire.send(path, server.id)
            await gate.reached.wait()
        if cancels:
            await self._cancelled.wait()
        return gate

    def _watch(self) -> Middleware:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except asyncio.CancelledError:
                self._cancelled.set()
                raise

        return watch


@pytest.mark.parametrize("handler_cancellation", [True, False])
@pytest.mark.parametrize(
    ("path", "call", "left"),
    [
        ("/write", "update", [{"n": 2}]),
        ("/stream", "update", [{"n": 2}]),
        ("/purge", "delete", []),
        ("/renew", "save", [{"n": 1}]),
        ("/renew", "delete", [{"n": 1}]),
    ],
)
async def test_client_that_leaves_does_not_cut_a_commit_in_half(
    path: str, call: str, left: list[object], handler_cancellation: bool
) -> None:
    storage = memory()
    app = everything(storage)
    watched = Watched(app, storage)
    async with serve(app, handler_cancellation=handler_cancellation) as server:
        await server.get("/write")
        storage.forget()
        gate = await watched.leave(server, path, call, cancels=handler_cancellation)
        gate.opened.set()
        await server.stop()
        assert storage.done[-1] == "close"
        assert storage.calls == storage.done
        assert server.logged() == []
    assert await states(storage) == left


async def test_commit_that_fails_after_its_client_left_is_logged() -> None:
    storage = memory()
    app = application(storage)
    watched = Watched(app, storage)
    async with serve(app, handler_cancellation=True) as server:
        await server.get("/write")
        storage.down = {"update"}
        gate = await watched.leave(server, "/write", "update")
        gate.opened.set()
        await server.stop()
        (line,) = server.logged(40)
        assert "not saved" in line
        assert "ConnectionRefusedError" in server.causes()


async def test_change_that_is_dropped_after_its_client_left_is_no_error() -> None:
    storage = memory()
    app = application(storage)
    watched = Watched(app, storage)
    async with serve(app, handler_cancellation=True) as server:
        await server.get("/write")
        storage.ending = {"update"}
        gate = await watched.leave(server, "/write", "update")
        gate.opened.set()
        await server.stop()
        assert server.logged(30) == []
        assert records(storage) == 0


async def test_client_that_leaves_during_the_load_cancels_it() -> None:
    storage = memory()
    app = application(storage)
    watched = Watched(app, storage)
    async with serve(app, handler_cancellation=True) as server:
        await server.get("/write")
        storage.forget()
        await watched.leave(server, "/write", "load")
        await server.stop()
        assert (storage.calls, storage.done) == (["load", "close"], ["close"])


async def test_cancelled_load_can_be_asked_for_again() -> None:
    """A handler that gives the session a moment, and then asks once more."""
    storage = memory()

    async def impatient(request: web.Request) -> web.Response:
        gate = storage.hold("load")
        asking = asyncio.create_task(get_session(request))
        await gate.reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        storage.gates.clear()
        return web.json_response(dict(await get_session(request)))

    async with serve(application(storage, {"/impatient": impatient})) as server:
        await server.get("/write")
        assert (await server.get("/impatient")).json == {"n": 1}


Act = Callable[[web.Request], Awaitable[None]]


async def begin(request: web.Request) -> None:
    (await get_session(request)).update_value("n", lambda n: n + 1, default=1)


async def renew(request: web.Request) -> None:
    (await get_session(request)).renew()


@pytest.mark.parametrize(
    ("act", "call", "begun"),
    [(begin, "save", False), (begin, "update", True), (renew, "save", True)],
)
async def test_save_that_a_handler_gives_up_on_is_done_once(
    act: Act, call: str, begun: bool
) -> None:
    """As with asyncio.timeout() around it: the storage is still at it when the handler is done."""
    storage = memory()

    async def impatient(request: web.Request) -> web.Response:
        await act(request)
        session = await get_session(request)
        gate = storage.hold(call)
        saving = asyncio.create_task(session.save())
        await gate.reached.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        del storage.gates[call]
        asyncio.get_running_loop().call_soon(gate.opened.set)
        return web.Response()

    async with serve(application(storage, {"/impatient": impatient})) as server:
        if begun:
            await server.get("/write")
        storage.forget()
        answer = await server.get("/impatient")
        assert answer.status == 200
        assert answer.cookie
        assert records(storage) == 1
        assert storage.calls.count(call) == 1
        assert (await server.get("/read")).json == ({"n": 2} if call == "update" else {"n": 1})
        assert server.logged() == []


async def test_handler_that_times_out_saves_nothing() -> None:
    async def slow(request: web.Request) -> web.Response:
        (await get_session(request))["n"] = 1
        raise TimeoutError

    storage = memory()
    async with serve(application(storage, {"/slow": slow})) as server:
        answer = await server.get("/slow")
        assert (answer.status, answer.cookies, storage.calls) == (504, [], [])
