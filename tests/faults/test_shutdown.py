"""An application that ends, and requests that are given up, while the storage is at it."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiohttp_sess import turns

from ..apps import states
from . import BOUND, Place, behind_proxy
from .proxy import Fault, Trouble
from .test_proxy import ONE, OPERATIONS, TWO, visitor

DRAIN = 0.1  # seconds
SAVING = ["save", "update", "update_ttl", "delete", "renew, saving", "renew, ending"]
HELD = [Fault.HOLD_REQUEST, Fault.HOLD_REPLY]


class Watch:
    """Watches requests from outside of their sessions.

    ``over`` is set when one has come to its end, also by being cancelled; ``limit`` is that of the
    last one that came.
    """

    def __init__(self) -> None:
        self.limit = asyncio.timeout(None)
        self.over = asyncio.Event()

    def middleware(self) -> Middleware:
        """To be around the session's."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.limit = asyncio.timeout(None)
            try:
                async with self.limit:
                    return await handler(request)
            finally:
                self.over.set()

        return watch

    def time_out(self) -> None:
        """The time of the last one that came is over."""
        self.limit.reschedule(asyncio.get_running_loop().time())


async def leave(place: Place, path: str, cookie: str, trouble: Trouble) -> None:
    """Ask for something, and hang up when it is held."""
    async with place.server.wire() as wire:
        wire.send(path, f"Cookie: id={cookie}")
        await trouble.reached.wait()


def own(others: dict[str, str]) -> list[object]:
    """What the others' sessions are."""
    return [{"n": 1, "me": name} for name in others]


async def own_data(place: Place, others: dict[str, str]) -> None:
    """See that each of the others has what is its own, several at once and one by one."""
    for _ in range(2):
        reads = await asyncio.gather(*(place.get("/read", cookie) for cookie in others.values()))
        assert [read.json for read in reads] == own(others)
    for name, cookie in others.items():
        assert (await place.get("/read", cookie)).json["me"] == name


async def go_on(place: Place, others: dict[str, str], name: str, *, given_up: bool) -> None:
    """See that all is well for everybody, when something is held for which nobody waits any more.

    :param name: what is held.
    :param given_up: whether its handler was cancelled.
    """
    if given_up and name == "load":
        await own_data(place, others)  # its connection is free; what is being saved keeps its own
    reading = asyncio.create_task(own_data(place, others))
    await asyncio.sleep(0)
    await place.proxy.heal()
    await reading
    await place.server.stop()
    done = OPERATIONS[name].done  # all of it, though nobody waited for it
    found = [state for state in await states(place.storage) if state not in own(others)]
    assert found == [done] * bool(done)
    await place.storage.inner.close()  # to look opened it again


async def neighbours(place: Place) -> dict[str, str]:
    """The cookies of some other visitors, by what their sessions have."""
    names = [f"neighbour{number}" for number in range(4)]
    return {name: await place.begin(f"/count?me={name}") for name in names}


@pytest.mark.parametrize("name", SAVING)
@pytest.mark.parametrize("fault", HELD)
async def test_cleanup_waits_for_what_is_being_saved(
    kind: str, port: int, fault: Fault, name: str
) -> None:
    operation, watch = OPERATIONS[name], Watch()
    around = watch.middleware()
    async with behind_proxy(kind, port, handler_cancellation=True, around=around) as place:
        cookie = await visitor(place, name)
        watch.over.clear()
        trouble = place.proxy.trouble(fault, operation.marks[kind])
        await leave(place, operation.path, cookie, trouble)
        await watch.over.wait()
        stopping = asyncio.create_task(place.server.stop())
        await place.ending.wait()
        assert not stopping.done()
        await place.proxy.heal()
        async with asyncio.timeout(BOUND):
            await stopping
        assert place.storage.calls == place.storage.done
        assert place.storage.done[-1] == "close"
        assert place.server.logged() == []
        assert await states(place.storage) == [operation.done] * bool(operation.done)
        await place.storage.inner.close()  # to look opened it again


async def test_cleanup_waits_for_a_handler_that_nobody_cancels(kind: str, port: int) -> None:
    operation = OPERATIONS["update"]
    async with behind_proxy(kind, port) as place:
        cookie = await place.begin()
        trouble = place.proxy.trouble(Fault.HOLD_REQUEST, operation.marks[kind])
        await leave(place, operation.path, cookie, trouble)
        stopping = asyncio.create_task(place.server.stop())
        await place.ending.wait()
        await place.proxy.heal()
        await stopping
        assert await states(place.storage) == [TWO]
        await place.storage.inner.close()


@pytest.mark.parametrize("fault", HELD)
async def test_cleanup_does_not_wait_for_ever(
    kind: str, port: int, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_DRAIN_TIMEOUT", DRAIN)
    operation, watch = OPERATIONS["update"], Watch()
    around = watch.middleware()
    async with behind_proxy(kind, port, handler_cancellation=True, around=around) as place:
        cookie = await place.begin()
        watch.over.clear()
        trouble = place.proxy.trouble(fault, operation.marks[kind])
        await leave(place, operation.path, cookie, trouble)
        await watch.over.wait()
        now = asyncio.get_running_loop().time
        begun = now()
        async with asyncio.timeout(BOUND):
            await place.server.stop()
        assert now() - begun >= DRAIN
        (line,) = place.server.logged()
        assert "still being saved" in line
        await place.proxy.heal()
        left = operation.left if fault is Fault.HOLD_REPLY else ONE
        assert await states(place.storage) == [left]
        await place.storage.inner.close()


@pytest.mark.parametrize("pool_size", [1, 2])
@pytest.mark.parametrize("handler_cancellation", [True, False])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("fault", HELD)
async def test_client_that_leaves_takes_nothing_from_others(
    kind: str, port: int, fault: Fault, name: str, handler_cancellation: bool, pool_size: int
) -> None:
    operation, watch = OPERATIONS[name], Watch()
    async with behind_proxy(
        kind,
        port,
        pool_size=pool_size,
        handler_cancellation=handler_cancellation,
        around=watch.middleware(),
    ) as place:
        others = await neighbours(place)
        cookie = await visitor(place, name)
        watch.over.clear()
        trouble = place.proxy.trouble(fault, operation.marks[kind], times=1)
        await leave(place, operation.path, cookie, trouble)
        if handler_cancellation:
            await watch.over.wait()
        await go_on(place, others, name, given_up=handler_cancellation)
        assert place.failures == []


@pytest.mark.parametrize("pool_size", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("fault", HELD)
async def test_handler_that_times_out_takes_nothing_from_others(
    kind: str, port: int, fault: Fault, name: str, pool_size: int
) -> None:
    operation, watch = OPERATIONS[name], Watch()
    around = watch.middleware()
    async with behind_proxy(kind, port, pool_size=pool_size, around=around) as place:
        others = await neighbours(place)
        cookie = await visitor(place, name)
        trouble = place.proxy.trouble(fault, operation.marks[kind], times=1)
        asking = asyncio.create_task(place.get(operation.path, cookie))
        await trouble.reached.wait()
        watch.time_out()
        answer = await asking
        assert (answer.status, answer.cookies) == (504, [])
        await go_on(place, others, name, given_up=True)
