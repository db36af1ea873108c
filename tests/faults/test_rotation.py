"""The way to the storage fails while a session gets another key."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from aiohttp_sess import BrowserSession, StorageUnavailable
from aiohttp_sess.storage import KeyedStorage, SessionKey

from . import LONG, SHORT, Place, behind_proxy
from .proxy import Fault

AGE = timedelta(minutes=15)
LIFECYCLE = BrowserSession(rotate_every=AGE)
# What is in the command that saves the successor, and in the one that puts the pointer in place.
STEPS = {
    "save": {"redis": b"\r\nSET\r\n", "memcached": b"add "},
    "point": {"redis": b"\r\nEVAL", "memcached": b"cas "},
}
EXECUTED = (Fault.CUT_REPLY, Fault.LOSE_REPLY, Fault.HOLD_REPLY)
EACH = pytest.mark.parametrize("step", STEPS)
DONE = {"/read": {"n": 1}, "/count": {"n": 2}}
BOTH = pytest.mark.parametrize("path", DONE)


async def old_session(place: Place) -> str:
    """A session whose key is due; its cookie."""
    cookie = await place.begin()
    place.storage.clock.advance(AGE.total_seconds())
    return cookie


async def state(place: Place, cookie: str) -> dict[str, object] | None:
    stored = await place.storage.inner.load(SessionKey(cookie))
    return None if stored is None else dict(stored.record.state)


@EACH
@BOTH
@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_REPLY, Fault.LOSE_REPLY])
async def test_connection_that_is_cut_once_is_made_up_for(
    kind: str, port: int, fault: Fault, path: str, step: str
) -> None:
    async with behind_proxy(kind, port, lifecycle=LIFECYCLE) as place:
        cookie = await old_session(place)
        trouble = place.proxy.trouble(fault, STEPS[step][kind], times=1)
        answer = await place.get(path, cookie)
        assert (answer.status, place.failures) == (200, [])
        assert (trouble.met, trouble.seen) == (1, 2)
        new = answer.cookie.value
        assert new != cookie
        assert await state(place, cookie) == await state(place, new) == DONE[path]
        place.storage.clock.advance(60)
        assert await state(place, cookie) is None
        assert await state(place, new) == DONE[path]


@EACH
@BOTH
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.HOLD_REQUEST])
async def test_fault_that_lasts_leaves_one_session(
    kind: str, port: int, fault: Fault, path: str, step: str
) -> None:
    patience = SHORT if fault in (Fault.SILENCE, Fault.HOLD_REPLY) else LONG
    async with behind_proxy(kind, port, patience=patience, lifecycle=LIFECYCLE) as place:
        cookie = await old_session(place)
        place.proxy.trouble(fault, STEPS[step][kind])
        answer = await place.get(path, cookie)
        # Who only reads is answered all the same.
        assert (answer.status, answer.cookies) == (200 if path == "/read" else 500, [])
        assert all(isinstance(failure, StorageUnavailable) for failure in place.failures)
        await place.proxy.heal()
        done = step == "point" and fault in EXECUTED and path == "/count"
        assert await state(place, cookie) == {"n": 2 if done else 1}
        answer = await place.get("/count", cookie)
        assert (answer.status, answer.cookie.value != cookie) == (200, True)
        after = {"n": 3 if done else 2}
        assert await state(place, cookie) == await state(place, answer.cookie.value) == after


@EACH
async def test_logout_while_a_reply_is_held(kind: str, port: int, step: str) -> None:
    """On another connection; whatever the rotation learns then, it brings nothing back."""
    async with behind_proxy(kind, port, lifecycle=LIFECYCLE) as place:
        cookie = await old_session(place)
        trouble = place.proxy.trouble(Fault.HOLD_REPLY, STEPS[step][kind], times=1)
        rotating = asyncio.create_task(place.get("/count", cookie))
        await trouble.reached.wait()
        assert isinstance(place.storage.inner, KeyedStorage)
        answer = await place.get("/purge", cookie)
        assert (answer.status, answer.cookie.value) == (200, "")
        await place.proxy.heal()
        assert (await rotating).status == 200
        for key in place.storage.keys:
            assert await state(place, key) is None
