"""An application whose way to its storage fails in the middle of an operation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import SessionKey

from ..apps import states
from . import SHORT, Place, behind_proxy
from .proxy import Fault


class Operation(NamedTuple):
    """A step on the way of a request to ``path``, by a visitor whose session has ``n`` = 1.

    :param marks: what is in its command, by kind.
    :param done: what the visitor's session is when the request has succeeded.
    :param left: what there is under the old cookie when the step was carried out, and the request
        failed nevertheless.
    """

    path: str
    marks: dict[str, bytes]
    done: dict[str, int]
    left: dict[str, int]


def marks(redis: str, memcached: str) -> dict[str, bytes]:
    return {"redis": f"\r\n{redis}".encode(), "memcached": f"{memcached} ".encode()}


ONE, TWO, NOTHING = {"n": 1}, {"n": 2}, dict[str, int]()
OPERATIONS = {
    "load": Operation("/read", marks("GET\r\n", "gets"), ONE, ONE),
    "save": Operation("/count", marks("SET\r\n", "add"), ONE, NOTHING),
    "update": Operation("/count", marks("EVAL", "cas"), TWO, TWO),
    "update_ttl": Operation("/read", marks("GETEX\r\n", "touch"), ONE, ONE),
    "delete": Operation("/purge", marks("EVAL", "cas"), NOTHING, NOTHING),
    "renew, saving": Operation("/renew", marks("SET\r\n", "add"), ONE, ONE),
    "renew, ending": Operation("/renew", marks("EVAL", "cas"), ONE, NOTHING),
}
EXECUTED = (Fault.CUT_REPLY, Fault.LOSE_REPLY, Fault.HOLD_REPLY)


async def visitor(place: Place, name: str) -> str:
    """The cookie of one who has a session, where the operation is on one."""
    if name == "save":
        return "none"
    return await place.begin("/remember" if name == "update_ttl" else "/count")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_REPLY, Fault.LOSE_REPLY])
async def test_connection_that_is_cut_once_is_made_up_for(
    kind: str, port: int, fault: Fault, name: str
) -> None:
    operation = OPERATIONS[name]
    async with behind_proxy(kind, port) as place:
        cookie = await visitor(place, name)
        trouble = place.proxy.trouble(fault, operation.marks[kind], times=1)
        answer = await place.get(operation.path, cookie)
        assert (answer.status, place.failures) == (200, [])
        assert (trouble.met, trouble.seen) == (1, 2)  # what was done already is not done anew
        current = answer.cookie.value if answer.cookies else cookie
        assert (await place.get("/read", current)).json == operation.done
        assert await states(place.storage) == [operation.done] * bool(operation.done)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault.REFUSE,
        Fault.CUT_BEFORE,
        Fault.CUT_REPLY,
        Fault.LOSE_REPLY,
        Fault.SILENCE,
        Fault.HOLD_REPLY,
    ],
)
async def test_fault_that_lasts_is_an_error_in_time_and_over_when_it_is_over(
    kind: str, port: int, fault: Fault, name: str
) -> None:
    operation = OPERATIONS[name]
    async with behind_proxy(kind, port, patience=SHORT) as place:
        cookie = await visitor(place, name)
        trouble = place.proxy.trouble(fault, operation.marks[kind])
        answer = await place.get(operation.path, cookie)
        assert (answer.status, answer.cookies) == (500, [])
        (failure,) = place.failures
        assert isinstance(failure, StorageUnavailable) and failure.__cause__ is not None
        cut = fault in (Fault.CUT_BEFORE, Fault.CUT_REPLY, Fault.LOSE_REPLY)
        assert trouble.met == (2 if cut else 1)  # it is sent once more, and no more
        await place.proxy.heal()
        before = NOTHING if name == "save" else ONE
        left = operation.left if fault in EXECUTED else before
        answer = await place.get("/read", cookie)
        assert (answer.status, answer.json) == (200, left)
        if (fault, name) != (Fault.REFUSE, "renew, ending"):  # there it cannot clean up
            assert await states(place.storage) == [left] * bool(left)
        answer = await place.get("/count", cookie)
        after = {"n": left.get("n", 0) + 1}
        current = answer.cookie.value if answer.cookies else cookie
        assert (await place.get("/read", current)).json == after


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("fault", [Fault.HOLD_REQUEST, Fault.HOLD_REPLY])
async def test_server_that_takes_its_time_is_waited_for(
    kind: str, port: int, fault: Fault, name: str
) -> None:
    operation = OPERATIONS[name]
    async with behind_proxy(kind, port) as place:
        cookie = await visitor(place, name)
        trouble = place.proxy.trouble(fault, operation.marks[kind])
        asking = asyncio.create_task(place.get(operation.path, cookie))
        await trouble.reached.wait()
        assert not asking.done()
        await place.proxy.heal()
        answer = await asking
        assert (answer.status, trouble.met) == (200, 1)
        assert await states(place.storage) == [operation.done] * bool(operation.done)


@pytest.mark.parametrize("pool_size", [1, 3])
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.HOLD_REQUEST])
async def test_parallel_sessions_keep_to_themselves(
    kind: str, port: int, fault: Fault, pool_size: int
) -> None:
    """What was acknowledged is there, what was not is there once or not at all."""
    names = [f"visitor{number}" for number in range(12)]
    async with behind_proxy(kind, port, patience=SHORT, pool_size=pool_size) as place:
        answers = await asyncio.gather(*(place.get(f"/count?me={name}", "none") for name in names))
        cookies = [answer.cookie.value for answer in answers]
        trouble = place.proxy.trouble(fault, OPERATIONS["update"].marks[kind], times=2)
        answers = await asyncio.gather(*(place.get("/count", cookie) for cookie in cookies))
        assert trouble.met
        await place.proxy.heal()
        for _ in range(2):
            reads = await asyncio.gather(*(place.get("/read", cookie) for cookie in cookies))
            for name, answer, read in zip(names, answers, reads, strict=True):
                assert read.json["me"] == name
                assert read.json["n"] in ((2,) if answer.status == 200 else (1, 2))
        assert all(isinstance(failure, StorageUnavailable) for failure in place.failures)


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.LOSE_REPLY])
async def test_parallel_increments_count_exactly_across_a_cut(
    kind: str, port: int, fault: Fault
) -> None:
    async with behind_proxy(kind, port) as place:
        cookie = await place.begin()
        mark = OPERATIONS["update"].marks[kind]
        trouble = place.proxy.trouble(fault, mark, times=1)
        answers = await asyncio.gather(*(place.get("/count", cookie) for _ in range(8)))
        assert [answer.status for answer in answers] == [200] * 8
        assert trouble.met == 1
        assert (await place.get("/read", cookie)).json == {"n": 9}


async def test_a_write_whose_reply_is_lost_is_done_once_also_when_another_came_after_it(
    kind: str, port: int
) -> None:
    async with behind_proxy(kind, port) as place:
        cookie = await place.begin()
        mark = OPERATIONS["update"].marks[kind]
        trouble = place.proxy.trouble(Fault.HOLD_REPLY, mark, times=1)
        first = asyncio.create_task(place.get("/count", cookie))
        await trouble.reached.wait()
        for _ in range(4):
            assert (await place.get("/count", cookie)).status == 200
        trouble.fault = Fault.LOSE_REPLY
        trouble.over.set()
        assert (await first).status == 200
        assert (await place.get("/read", cookie)).json == {"n": 6}


@pytest.mark.parametrize("others", range(5))
@pytest.mark.parametrize(("then", "counted"), [("", 1), ("count", 2), ("renew", 1)])
async def test_a_write_that_had_no_answer_counts_once_where_the_handler_goes_on(
    kind: str, port: int, others: int, then: str, counted: int
) -> None:
    """It is done, but the reply is lost, and so is that to the second attempt."""
    async with behind_proxy(kind, port) as place:
        cookie = await place.begin()
        trouble = place.proxy.trouble(Fault.HOLD_REPLY, OPERATIONS["update"].marks[kind], times=1)
        insisting = asyncio.create_task(place.get(f"/insist?then={then}", cookie))
        await trouble.reached.wait()
        for _ in range(others):
            assert (await place.get("/count?by=another", cookie)).status == 200
        trouble.fault, trouble.times = Fault.LOSE_REPLY, 2
        trouble.over.set()
        answer = await insisting
        assert (answer.status, place.failures, trouble.met) == (200, [], 2)
        by = "another" if others else "insist"  # it is not set again over what came after it
        state = {"n": 1 + counted + others, "by": by}
        assert (await place.get("/read", answer.cookie.value)).json == state
        assert await states(place.storage) == [state]


async def test_a_write_that_never_arrived_counts_once_where_the_handler_goes_on(
    kind: str, port: int
) -> None:
    async with behind_proxy(kind, port) as place:
        cookie, storage = await place.begin(), place.storage
        failing = storage.hold("update")
        insisting = asyncio.create_task(place.get("/insist", cookie))
        await failing.reached.wait()
        trouble = place.proxy.trouble(Fault.CUT_BEFORE, OPERATIONS["update"].marks[kind], times=2)
        going_on = storage.hold("update")
        failing.opened.set()
        await going_on.reached.wait()
        stored = await storage.inner.load(SessionKey(cookie))
        assert stored is not None
        record = replace(stored.record, state={"n": 5, "by": "another"})
        await storage.inner.update(stored.key, record, timedelta(days=1), revision=stored.revision)
        going_on.opened.set()
        answer = await insisting
        assert (answer.status, place.failures, trouble.met) == (200, [], 2)
        assert (await place.get("/read", cookie)).json == {"n": 6, "by": "insist"}
