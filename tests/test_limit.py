"""How many sessions a user may have: what a login does that is one too many (ASVS 7.1.2)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    Session,
    SessionLimitPolicy,
    StorageUnavailable,
    TooManySessions,
    end_sessions,
    sessions_of,
    setup,
)
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.testing import FakeClock

from .test_owners import OWNER, lab_of, log_in, new_login, own, write

REFUSE = SessionLimitPolicy.REFUSE


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_sessions_per_owner": 0}, ValueError),
        ({"max_sessions_per_owner": True}, TypeError),
        ({"max_sessions_per_owner": "3"}, TypeError),
        ({"max_sessions_per_owner": 3, "session_limit_policy": "refuse"}, TypeError),
    ],
)
async def test_a_limit_that_is_none(options: dict[str, Any], error: type[Exception]) -> None:
    app = web.Application()
    with pytest.raises(error, match="session"):
        setup(app, MemoryStorage(), **options)
    setup(app, MemoryStorage())  # nothing was left behind


@pytest.mark.parametrize("way", [log_in, own])
async def test_the_oldest_is_ended_by_a_login(way: Any) -> None:
    """ASVS 7.1.2: with its websockets."""
    async with lab_of(max_sessions_per_owner=2).running() as lab:
        first, second = await new_login(lab), await new_login(lab)
        await lab.request(write, first)  # to be used does not make it younger
        async with lab.socket(first, every=3600) as socket, asyncio.timeout(10):
            third = (await lab.request(way, await lab.begin(n=3))).cookie
            await socket.receive()
            assert socket.close_code == 1008
        assert third
        assert await lab.state(first) is None
        assert len(await sessions_of(lab.app, OWNER)) == 2
        # Nothing of it concerns a session that has its owner already.
        renewed = (await lab.request(log_in, second)).cookie
        assert renewed and await lab.state(third) is not None


@pytest.mark.parametrize("way", [log_in, own])
@pytest.mark.parametrize("stored", [False, True])
async def test_a_login_is_refused(way: Any, stored: bool) -> None:
    """ASVS 7.1.2: the session is what it was before, and nothing of the login is saved."""
    async with lab_of(max_sessions_per_owner=2, session_limit_policy=REFUSE).running() as lab:
        await new_login(lab), await new_login(lab)
        cookie = await lab.begin(n=3) if stored else ""

        async def refused(session: Session) -> None:
            await way(session)
            session["user"] = "ferris"
            with pytest.raises(TooManySessions, match="2 others") as caught:
                await session.save()
            assert caught.value.limit == 2
            assert (session.owner, dict(session)) == (None, {"n": 3} if stored else {})

        reply = await lab.request(refused, cookie)
        assert (reply.status, reply.cookies) == (200, [])
        assert (await lab.request(way, cookie)).status == 500, "who does not ask cannot answer"
        assert len(await lab.storage.live()) == 2 + stored
        if stored:
            assert await lab.state(cookie) == {"n": 3}
            assert (await lab.request(write, cookie)).cookie == cookie
        await end_sessions(lab.app, OWNER)
        assert (await lab.request(way, cookie)).cookie


async def test_a_refused_login_that_a_parallel_request_saw_is_over() -> None:
    """It was set without a renewal, so for a moment the session was the owner's."""
    async with lab_of(max_sessions_per_owner=1, session_limit_policy=REFUSE).running() as lab:
        await new_login(lab)
        cookie = await lab.begin(n=1)
        gate = lab.storage.gate("limit")
        login = asyncio.create_task(lab.request(own, cookie))
        await gate.reached.wait()
        await lab.request(write, cookie)
        gate.opened.set()
        reply = await login
        assert (reply.status, reply.cookies) == (500, [])
        assert await lab.state(cookie) is None
        assert len(await sessions_of(lab.app, OWNER)) == 1


async def test_a_refused_login_that_got_another_key_meanwhile_is_over() -> None:
    """A parallel request found the key too old, when it was the owner's for a moment."""
    lifecycle, clock = BrowserSession(rotate_every=timedelta(minutes=1)), FakeClock()
    lab = lab_of(clock, max_sessions_per_owner=1, session_limit_policy=REFUSE, lifecycle=lifecycle)
    async with lab.running():
        await new_login(lab)
        cookie = await lab.begin(n=1)
        gate = lab.storage.gate("limit")
        login = asyncio.create_task(lab.request(own, cookie))
        await gate.reached.wait()
        clock.advance(60)
        rotated = (await lab.request(write, cookie)).cookie
        assert rotated not in (None, cookie)
        gate.opened.set()
        assert (await login).status == 500
        assert len(await lab.storage.live()) == len(await sessions_of(lab.app, OWNER)) == 1


@pytest.mark.parametrize("way", [log_in, own])
@pytest.mark.parametrize("policy", SessionLimitPolicy)
async def test_a_login_that_cannot_be_counted_is_none(way: Any, policy: SessionLimitPolicy) -> None:
    """ASVS 16.5.3: it leaves nothing that counts, nor a session that is logged in."""
    async with lab_of(max_sessions_per_owner=1, session_limit_policy=policy).running() as lab:
        await new_login(lab)
        cookie = await lab.begin(n=1)
        lab.storage.gate("limit", failure=StorageUnavailable("down")).opened.set()
        assert (await lab.request(way, cookie)).status == 500
        assert len(await lab.storage.live()) == 2
        assert len(await sessions_of(lab.app, OWNER)) == 1
        assert await lab.state(cookie) == {"n": 1}


@pytest.mark.parametrize("policy", SessionLimitPolicy)
async def test_logins_at_once_keep_the_limit(policy: SessionLimitPolicy) -> None:
    """ASVS 7.1.2."""
    async with lab_of(max_sessions_per_owner=3, session_limit_policy=policy).running() as lab:
        anonymous = [await lab.begin(n=n) for n in range(20)]
        replies = await asyncio.gather(*(lab.request(log_in, cookie) for cookie in anonymous))
        cookies = [reply.cookie for reply in replies if reply.cookie]
        alive = [cookie for cookie in cookies if await lab.state(cookie) is not None]
        assert len(alive) == len(await sessions_of(lab.app, OWNER)) == 3
        assert len(cookies) == (3 if policy is REFUSE else 20)
        refused = [reply for reply in replies if reply.status == 500]
        assert len(refused) == (17 if policy is REFUSE else 0)


@pytest.mark.parametrize("policy", SessionLimitPolicy)
async def test_a_second_login_of_a_session_counts_from_then_on(policy: SessionLimitPolicy) -> None:
    """ASVS 7.1.2: who logged out without a purge, and in again without a renewal, is the latest."""

    async def disown(session: Session) -> None:
        session.owner = None

    async with lab_of(max_sessions_per_owner=2, session_limit_policy=policy).running() as lab:
        first = await new_login(lab)
        await lab.request(disown, first)
        second, third = await new_login(lab), await new_login(lab)
        refused = policy is REFUSE
        assert (await lab.request(own, first)).status == (500 if refused else 200)
        assert len(await sessions_of(lab.app, OWNER)) == 2
        assert (await lab.state(second) is None) is not refused
        for cookie in (first, third):
            assert await lab.state(cookie) is not None
