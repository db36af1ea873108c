"""A purge that knows nothing of a rotation ends both keys all the same.

It loaded the session before its own lifecycle, or that of another process, began to rotate keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aiohttp_sess import BrowserSession, Session
from aiohttp_sess.storage import KeyedStorage

from ..races.lab import GatedStorage, Lab, purge
from . import AGE
from .rotating import RotatingLab, read, write
from .stepped import Stepped


async def rotate_from_now_on(session: Session) -> None:
    session.lifecycle = BrowserSession(rotate_every=AGE)


@pytest.fixture(params=["own", "hooks"])
async def still_lab(inner: Stepped, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """An application that rotates no keys, over a storage with all that it has of its own, or with
    nothing but the hooks that each one has.
    """
    storage: KeyedStorage = inner.inner if request.param == "own" else inner
    async with Lab(GatedStorage(storage), lifecycle=BrowserSession()).running() as lab:
        yield lab


def advance(lab: Lab, seconds: float) -> None:
    lab.storage.clock.advance(seconds)  # type: ignore[attr-defined]  # a fake one


async def test_of_one_that_began_to_rotate_since_it_was_loaded(still_lab: Lab) -> None:
    lab = still_lab
    cookie = await lab.begin(n=1)
    slow = await lab.slow(purge, cookie)
    await lab.request(rotate_from_now_on, cookie)
    advance(lab, AGE.total_seconds())
    new = (await lab.request(read, cookie)).cookie
    assert new not in (None, "", cookie)
    assert (await slow.go_on()).cookie == "", "it has ended it"
    assert await lab.storage.live() == []


async def test_of_one_that_another_process_rotates(inner: Stepped) -> None:
    """Those that were started anew rotate keys, and those that were not do not yet."""
    gated = GatedStorage(inner)
    rotates = RotatingLab(gated, lifecycle=BrowserSession(rotate_every=AGE))
    async with rotates.running() as new, Lab(gated, lifecycle=BrowserSession()).running() as old:
        cookie = await old.begin(n=1)
        advance(old, AGE.total_seconds())
        slow = await old.slow(purge, cookie)
        assert (await new.request(read, cookie)).cookie not in (None, "", cookie)
        assert (await slow.go_on()).cookie == ""
        assert await gated.live() == []
        assert await rotates.records() == 0


@pytest.mark.parametrize("step", ["read", "replace"])
async def test_rotated_between_any_two_steps(inner: Stepped, step: str) -> None:
    async with RotatingLab(GatedStorage(inner), lifecycle=BrowserSession()).running() as lab:
        assert isinstance(lab, RotatingLab)
        cookie = await lab.begin(n=1)
        slow = await lab.slow(purge, cookie)
        await lab.request(rotate_from_now_on, cookie)  # so the first attempt finds another version
        gate = inner.hold(step)
        ending = asyncio.create_task(slow.go_on())
        await asyncio.wait_for(gate.reached.wait(), 5)
        lab.clock.advance(AGE.total_seconds())
        assert (await lab.request(write, cookie)).cookie not in (None, "", cookie)
        gate.opened.set()
        assert (await ending).cookie == ""
        assert await lab.storage.live() == []
        assert await lab.records() == 0


async def test_that_has_no_patience_left_when_it_is_overtaken(lab: RotatingLab) -> None:
    lab.handle.conflict_timeout = 0.0
    cookie = await lab.begin_old(n=1)
    gate = lab.storage.gate("delete")
    ending = asyncio.create_task(lab.request(purge, cookie))
    await gate.reached.wait()
    assert (await lab.request(write, cookie)).cookie not in (None, "", cookie)
    gate.opened.set()
    assert (await ending).cookie == ""
    assert await lab.records() == 0


async def test_costs_one_step_as_ever(still_lab: Lab) -> None:
    """Also of a session that another request has written, which it then loads again."""
    lab = still_lab
    cookie = await lab.begin(n=1)
    lab.storage.calls.clear()
    assert (await lab.request(purge, cookie)).cookie == ""
    assert lab.storage.calls == ["load", "delete"]
    cookie = await lab.begin(n=1)
    slow = await lab.slow(purge, cookie)
    await lab.request(write, cookie)
    lab.storage.calls.clear()
    assert (await slow.go_on()).cookie == ""
    assert lab.storage.calls == ["delete", "load", "delete"]
    assert await lab.storage.live() == []
    # And of one that was ended already, it says nothing.
    cookie = await lab.begin(n=1)
    slow = await lab.slow(purge, cookie)
    await lab.request(purge, cookie)
    assert (await slow.go_on()).cookies == []
