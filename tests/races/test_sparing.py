"""A refresh that is done sparingly is a write: it races with those of other requests, and where it
loses, nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from aiohttp_sess import PersistentSession, Session, StoredRecord, TtlExtensionPolicy
from aiohttp_sess.storage import SessionKey

from .lab import GatedStorage, Lab, Reply, Work, purge, renew

DAY, MONTH = "Max-Age=86400", "Max-Age=2592000"


async def read(session: Session) -> None:
    """Change nothing."""


async def write(session: Session) -> None:
    session["x"] = 1


async def remember(session: Session) -> None:
    policy = TtlExtensionPolicy.ON_EVERY_REQUEST
    session.lifecycle = PersistentSession(timedelta(days=30), policy)


@pytest.fixture
async def lab(storage: GatedStorage) -> AsyncIterator[Lab]:
    """Sessions of which half a day has gone whenever the storage is asked for them."""
    async with Lab(storage, every_request=True, refresh_after=0.5).running() as lab:
        yield lab


async def begin(lab: Lab) -> str:
    """A session whose refresh is due."""
    cookie = await lab.begin(n=1)
    await grow_old(lab, cookie)
    return cookie


async def stored(lab: Lab, cookie: str) -> StoredRecord:
    stored = await lab.storage.inner.load(SessionKey(cookie))
    assert stored is not None
    return stored


async def grow_old(lab: Lab, cookie: str) -> None:
    key, record, revision = await stored(lab, cookie)
    assert record.refreshed is not None
    old = replace(record, refreshed=record.refreshed - 43_200)
    await lab.storage.inner.update(key, old, timedelta(days=1), revision=revision)


async def is_due(lab: Lab, cookie: str) -> bool:
    """Whether the next request is to refresh it."""
    refreshed = (await stored(lab, cookie)).record.refreshed
    return refreshed is None or refreshed < lab.storage.clock() - 40_000


async def held_back(lab: Lab, cookie: str) -> tuple[asyncio.Task[Reply], asyncio.Event]:
    """A request that only reads, and is about to refresh; and what lets it."""
    gate = lab.storage.gate("update")
    request = asyncio.create_task(lab.request(read, cookie))
    await gate.reached.wait()
    return request, gate.opened


async def test_of_two_refreshes_one_is_done_and_both_set_the_cookie(lab: Lab) -> None:
    cookie = await begin(lab)
    request, go = await held_back(lab, cookie)
    other = await lab.request(read, cookie)
    done = await stored(lab, cookie)
    lab.storage.calls.clear()
    go.set()
    late = await request
    assert (other.status, other.cookie) == (late.status, late.cookie) == (200, cookie)
    assert all(DAY in line for line in other.cookies + late.cookies)
    assert lab.storage.calls == ["load"]
    assert (await stored(lab, cookie)).record == done.record
    assert not await is_due(lab, cookie)


async def test_a_refresh_takes_no_write_back(lab: Lab) -> None:
    cookie = await begin(lab)
    request, go = await held_back(lab, cookie)
    assert (await lab.request(write, cookie)).cookie == cookie
    go.set()
    assert (await request).cookie == cookie
    assert await lab.state(cookie) == {"n": 1, "x": 1}


async def test_a_write_loses_nothing_to_a_refresh(lab: Lab) -> None:
    cookie = await begin(lab)
    slow = await lab.slow(write, cookie)
    assert (await lab.request(read, cookie)).cookie == cookie
    assert (await slow.go_on()).cookie == cookie
    assert await lab.state(cookie) == {"n": 1, "x": 1}
    assert not await is_due(lab, cookie)


@pytest.mark.parametrize("end", [purge, renew])
async def test_a_refresh_brings_nothing_back(lab: Lab, end: Work) -> None:
    """ASVS 7.4.1: and sets no cookie over the next session's."""
    cookie = await begin(lab)
    request, go = await held_back(lab, cookie)
    await lab.request(end, cookie)
    go.set()
    reply = await request
    assert (reply.status, reply.cookies) == (200, [])
    assert await lab.state(cookie) is None


async def test_a_session_that_ends_while_a_refresh_looks_again_gets_no_cookie(lab: Lab) -> None:
    cookie = await begin(lab)
    request, go = await held_back(lab, cookie)
    await lab.request(write, cookie)
    looking = lab.storage.gate("load")
    go.set()
    await looking.reached.wait()
    await lab.request(purge, cookie)
    looking.opened.set()
    reply = await request
    assert (reply.status, reply.cookies) == (200, [])
    assert await lab.state(cookie) is None


async def test_a_renewal_carries_a_refresh_over(lab: Lab) -> None:
    cookie = await begin(lab)
    ending = lab.storage.gate("delete")
    request = asyncio.create_task(lab.request(renew, cookie))
    await ending.reached.wait()
    await lab.request(read, cookie)
    ending.opened.set()
    new = (await request).cookie
    assert new
    assert await lab.state(new) == {"n": 1, "user": "ferris"}
    assert await lab.state(cookie) is None
    assert not await is_due(lab, new)


async def test_a_refresh_tells_the_cookie_of_the_lifecycle_that_came_meanwhile(lab: Lab) -> None:
    """Or the browser would forget the session that another request was told to remember."""
    cookie = await begin(lab)
    request, go = await held_back(lab, cookie)
    assert MONTH in (await lab.request(remember, cookie)).cookies[0]
    go.set()
    assert MONTH in (await request).cookies[0]


async def test_a_write_that_could_not_set_the_cookie_takes_no_refresh_away(lab: Lab) -> None:
    """A stream's, whose headers are gone: the one who was about to refresh sets it, and as the
    record does not know, so does the next.
    """
    cookie = await lab.begin(n=1)
    stream = await lab.slow(write, cookie, stream=True)
    await grow_old(lab, cookie)
    request, go = await held_back(lab, cookie)
    await stream.go_on()
    assert await is_due(lab, cookie)
    go.set()
    assert DAY in (await request).cookies[0]
    assert await is_due(lab, cookie)
    assert DAY in (await lab.request(read, cookie)).cookies[0]
    assert not await is_due(lab, cookie)
    assert await lab.state(cookie) == {"n": 1, "x": 1}


async def test_a_write_that_is_done_again_is_a_refresh_as_ever(lab: Lab) -> None:
    """Also where the record that it is done on was not refreshed."""
    cookie = await lab.begin(n=1)
    stream = await lab.slow(write, cookie, stream=True)
    await grow_old(lab, cookie)
    gate = lab.storage.gate("update")
    request = asyncio.create_task(lab.request(write, cookie))
    await gate.reached.wait()
    await stream.go_on()
    assert await is_due(lab, cookie)
    gate.opened.set()
    assert DAY in (await request).cookies[0]
    assert not await is_due(lab, cookie)
