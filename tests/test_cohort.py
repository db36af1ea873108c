"""Requests that arrived together are kept together, and a lone one does not wait."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import StoredRecord, setup
from aiohttp_sess.cohort import Cohort
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage

from .apps import HANDLE, SECRET, Gate, application, memory
from .browser import serve


async def test_all_arrive_before_the_first_goes_on() -> None:
    cohort, seen = Cohort(), list[str]()

    async def request(number: int) -> None:
        seen.append(f"arrives {number}")
        await cohort.gather()
        seen.append(f"goes on {number}")

    for _ in range(3):
        seen.clear()
        await asyncio.gather(*(request(number) for number in range(3)))
        assert [each[:7] for each in seen] == ["arrives"] * 3 + ["goes on"] * 3


def waits(cohort: Cohort) -> bool:
    """Whether a request that is alone waits."""
    gathering = cohort.gather()
    try:
        gathering.send(None)
    except StopIteration:
        return False
    with pytest.raises(StopIteration):
        gathering.send(None)
    return True


async def test_who_is_alone_mostly_does_not_wait() -> None:
    cohort = Cohort()
    waited = [waits(cohort) for _ in range(160)]
    assert waited.count(True) == 10


async def test_who_is_cancelled_is_not_there_any_more() -> None:
    cohort = Cohort()
    task = asyncio.ensure_future(cohort.gather())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert [waits(cohort) for _ in range(16)] == [True] + [False] * 15


@pytest.mark.parametrize(
    ("storage", "gathers"),
    [
        (MemoryStorage(), True),
        (CookieStorage(), True),
        (CookieStorage(revocations=MemoryStorage()), False),
        (memory(), False),
    ],
)
async def test_only_those_are_gathered_whose_storage_makes_nobody_wait(
    storage: AbstractStorage, gathers: bool
) -> None:
    handle = setup(web.Application(), storage, secret_key=SECRET)
    cohorts = (handle.just_loaded, handle.about_to_save, handle.about_to_answer)
    assert [cohort is not None for cohort in cohorts] == [gathers] * 3


async def test_all_are_saved_before_the_first_is_answered() -> None:
    seen = list[str]()

    class Noting(MemoryStorage):
        recognises_writes = True  # else each is saved in a task of its own

        async def update(self, *given: Any, **named: Any) -> StoredRecord:
            seen.append("saved")
            return await super().update(*given, **named)

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        seen.append("answered")
        return response

    async with serve(application(Noting(), outer=[note])) as server, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(server.wire()) for _ in range(3)]
        for wire in wires:  # not the first request of each, to be taken up together
            await wire.get("/")
        cookies = [list[str]() for _ in wires]
        for _ in range(2):
            seen.clear()
            for wire, lines in zip(wires, cookies, strict=True):
                wire.send("/write", *lines)
            for wire, lines in zip(wires, cookies, strict=True):
                answer = await wire.answer()
                if answer.cookies:
                    lines.append(f"Cookie: id={answer.cookie.value}")
    assert seen == ["saved"] * 3 + ["answered"] * 3


class Held(Cohort):
    """Lets nobody go on before the gate is open."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    async def gather(self) -> None:
        await self.gate.pass_through()


async def test_who_leaves_after_being_saved_and_before_being_answered_is_saved() -> None:
    app = application(MemoryStorage())
    async with serve(app, handler_cancellation=True) as server:
        await server.get("/write")
        gate = Gate()
        app[HANDLE].about_to_answer = Held(gate)
        async with server.wire() as wire:
            wire.send("/write", server.id)
            await gate.reached.wait()
        await gate.left.wait()
        app[HANDLE].about_to_answer = None
        assert (await server.get("/read")).json == {"n": 2}
        assert (await server.get("/write")).json == {"n": 3}
