"""A login that is set without a renewal, when the session's key is due for rotation as well."""

from __future__ import annotations

import asyncio

import pytest

from aiohttp_sess import BrowserSession, Session, SessionLimitPolicy, sessions_of
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.testing import FakeClock

from ..races.lab import GatedStorage, Lab
from . import AGE
from .rotating import read, write

OWNER = "user-42"


def lab_of(clock: FakeClock, limit: int, policy: SessionLimitPolicy) -> Lab:
    return Lab(
        GatedStorage(MemoryStorage(clock=clock)),
        lifecycle=BrowserSession(rotate_every=AGE),
        max_sessions_per_owner=limit,
        session_limit_policy=policy,
    )


async def begin_old(lab: Lab, clock: FakeClock) -> str:
    cookie = await lab.begin(n=2)
    clock.advance(AGE.total_seconds())
    return cookie


async def own(session: Session) -> None:
    session.owner = OWNER


async def test_a_refused_login_leaves_the_session_under_its_key(clock: FakeClock) -> None:
    """The answer that says so tells of no other."""
    async with lab_of(clock, 1, SessionLimitPolicy.REFUSE).running() as lab:
        await lab.request(own, await lab.begin(n=1))
        cookie = await begin_old(lab, clock)
        reply = await lab.request(own, cookie)
        assert (reply.status, reply.cookies) == (500, [])
        clock.advance(lab.handle.rotation_grace + 60)
        assert await lab.state(cookie) == {"n": 2}
        new = (await lab.request(read, cookie)).cookie
        assert new not in (None, cookie), "the rotation is only put off"


@pytest.mark.parametrize("policy", SessionLimitPolicy)
async def test_a_login_that_is_admitted_is_rotated_next(
    clock: FakeClock, policy: SessionLimitPolicy
) -> None:
    async with lab_of(clock, 2, policy).running() as lab:
        cookie = await begin_old(lab, clock)
        assert (await lab.request(own, cookie)).cookie == cookie
        new = (await lab.request(read, cookie)).cookie
        assert new not in (None, cookie)
        assert len(await sessions_of(lab.app, OWNER)) == 1


async def test_a_refused_login_that_a_parallel_request_rotated_is_over(clock: FakeClock) -> None:
    """ASVS 7.1.2: under whichever key."""
    async with lab_of(clock, 1, SessionLimitPolicy.REFUSE).running() as lab:
        await lab.request(own, await lab.begin(n=1))
        cookie = await begin_old(lab, clock)
        gate = lab.storage.gate("limit")
        login = asyncio.create_task(lab.request(own, cookie))
        await gate.reached.wait()
        new = (await lab.request(write, cookie)).cookie
        assert new not in (None, cookie)
        gate.opened.set()
        reply = await login
        assert (reply.status, reply.cookies) == (500, [])
        assert [await lab.state(key) for key in (cookie, new or "")] == [None, None]
        assert len(await sessions_of(lab.app, OWNER)) == 1
