"""Requests that loaded their session before it got another key, and finish after."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import (
    BrowserSession,
    Session,
    SessionGone,
    StorageUnavailable,
    get_session,
)

from ..apps import application, memory
from ..browser import serve
from ..races.lab import Work, purge, renew
from . import AGE
from .rotating import RotatingLab, read, write


async def change_in_place(session: Session) -> None:
    session["cart"].append("pear")


async def clear(session: Session) -> None:
    session.clear()


async def own(session: Session) -> None:
    session.owner = "ferris"


async def save_now(session: Session) -> None:
    session["late"] = 1
    await session.save()
    session["later"] = 1


async def reload(session: Session) -> None:
    assert await session.reload()
    assert session["first"] == 1


async def reload_and_write(session: Session) -> None:
    await reload(session)
    session["late"] = 1


START = {"n": 1, "cart": []}
NOW = {**START, "first": 1}
LATE: list[tuple[Work, dict[str, Any]]] = [
    (write, {**NOW, "n": 2, "late": 1}),
    (change_in_place, {**NOW, "cart": ["pear"]}),
    (clear, {}),
    (own, NOW),
    (save_now, {**NOW, "late": 1, "later": 1}),
    (reload, NOW),
    (reload_and_write, {**NOW, "late": 1}),
]


async def be_first(session: Session) -> None:
    session["first"] = 1


@pytest.mark.parametrize(("late", "state"), LATE)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_comes_late_goes_to_the_successor(
    lab: RotatingLab, late: Work, state: dict[str, Any], stream: bool
) -> None:
    cookie = await lab.begin(**START)
    slow = await lab.slow(late, cookie, stream=stream)
    lab.clock.advance(AGE.total_seconds())
    new = (await lab.request(be_first, cookie)).cookie or ""
    assert new not in ("", cookie)

    reply = await slow.go_on()

    assert (reply.status, reply.cookie) == (200, None if stream else new)
    assert await lab.live_keys() == {new}
    stored = await lab.stored(new)
    assert stored is not None
    assert dict(stored.record.state) == state
    assert stored.record.owner == ("ferris" if late is own else None)
    # It is the key of the session that was young a moment ago.
    assert (await lab.request(read, new)).cookies == []


@pytest.mark.parametrize("ends", [purge, renew])
@pytest.mark.parametrize("late", [write, save_now, change_in_place, clear, own, purge, renew])
async def test_what_comes_late_revives_nothing(
    lab: RotatingLab, late: Work, ends: Work, caplog: pytest.LogCaptureFixture
) -> None:
    async def and_be_told(session: Session) -> None:
        if late is save_now:
            with pytest.raises(SessionGone):
                await late(session)
        else:
            await late(session)

    caplog.set_level(logging.INFO, "aiohttp_sess")
    cookie = await lab.begin(**START)
    slow = await lab.slow(and_be_told, cookie)
    lab.clock.advance(AGE.total_seconds())
    new = (await lab.request(be_first, cookie)).cookie or ""
    await lab.request(ends, new)
    survivors = await lab.live_keys()
    reply = await slow.go_on()
    assert (reply.status, reply.cookies) == (200, [])
    assert await lab.live_keys() == survivors
    assert await lab.records() == len(survivors) == (1 if ends is renew else 0)
    assert not {cookie, new} & survivors
    assert cookie not in caplog.text and new not in caplog.text


async def test_a_reader_who_followed_says_nothing_of_a_key_that_ended_meanwhile(
    lab: RotatingLab,
) -> None:
    """Its response could overwrite the cookie of the login that was first."""
    cookie = await lab.begin_old(n=1)
    new = (await lab.request(read, cookie)).cookie or ""
    slow = await lab.slow(read, cookie)
    login = (await lab.request(renew, new)).cookie
    assert (await slow.go_on()).cookies == []
    assert await lab.live_keys() == {login}


async def test_a_reader_who_followed_says_so_where_the_storage_is_down(lab: RotatingLab) -> None:
    cookie = await lab.begin_old(n=1)
    new = (await lab.request(read, cookie)).cookie
    slow = await lab.slow(read, cookie)
    lab.inner.fail("read")
    reply = await slow.go_on()
    assert (reply.status, reply.cookie) == (200, new)


@pytest.mark.parametrize("ends", [purge, renew])
async def test_an_early_save_that_rotates_is_looked_at_again(lab: RotatingLab, ends: Work) -> None:
    async def work(session: Session) -> None:
        session["late"] = 1
        await session.save()
        await lab.request(ends, cookie)
        survivors.update(await lab.live_keys())

    survivors: set[str] = set()
    cookie = await lab.begin_old(n=1)
    assert (await lab.request(work, cookie)).cookies == []
    assert await lab.live_keys() == survivors


async def test_an_early_save_is_told_of_a_rotation_that_came_after_it(lab: RotatingLab) -> None:
    async def work(session: Session) -> None:
        session["late"] = 1
        await session.save()
        lab.clock.advance(AGE.total_seconds())
        new.append((await lab.request(read, cookie)).cookie or "")

    new: list[str] = []
    cookie = await lab.begin(n=1)
    assert (await lab.request(work, cookie)).cookie == new[0] != cookie


async def test_a_bound_websocket_stays_bound(lab: RotatingLab) -> None:
    """Its watcher takes the new key over, in time: twice in the grace."""
    lab.handle.rotation_grace = 1
    cookie = await lab.begin(n=1)
    async with lab.socket(cookie, every=60) as socket:
        lab.clock.advance(AGE.total_seconds())
        new = (await lab.request(read, cookie)).cookie or ""
        for _ in range(2):
            looking = lab.storage.gate("load")
            await asyncio.wait_for(looking.reached.wait(), 5)
            looking.opened.set()
        lab.clock.advance(2)
        assert await lab.state(cookie) is None
        looking = lab.storage.gate("load")
        await asyncio.wait_for(looking.reached.wait(), 5)
        looking.opened.set()
        await socket.send_str("still there")
        assert not lab.bindings[0].ended
        await lab.request(purge, new)
        message = await asyncio.wait_for(socket.receive(), 5)
        assert message.data == 1008
        assert lab.bindings[0].ended


async def test_a_stream_goes_on_after_the_grace_where_it_reloads(lab: RotatingLab) -> None:
    async def work(session: Session) -> None:
        session["late"] = 1
        await session.save()
        lab.clock.advance(AGE.total_seconds())
        new.append((await lab.request(read, cookie)).cookie or "")
        assert await session.reload()
        lab.clock.advance(lab.handle.rotation_grace)
        session["later"] = 1

    new: list[str] = []
    cookie = await lab.begin(n=1)
    await lab.request(work, cookie, stream=True)
    assert await lab.state(cookie) is None
    assert await lab.state(new[0]) == {"n": 1, "late": 1, "later": 1}


async def test_a_write_in_doubt_is_done_once_also_under_a_new_key(lab: RotatingLab) -> None:
    """Written without an answer, moved by another request, and saved again."""

    async def work(session: Session) -> None:
        session.update_value("n", lambda n: n + 1)
        lab.inner.fail("replace", after=True)
        with pytest.raises(StorageUnavailable):
            await session.save()
        lab.clock.advance(AGE.total_seconds())
        await lab.request(be_first, cookie)

    cookie = await lab.begin(n=1)
    reply = await lab.request(work, cookie)
    assert reply.status == 200
    assert await lab.state(reply.cookie or "") == {"n": 2, "first": 1}


class Socket:
    """As much of a websocket as is asked of one."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        self.closed.set()
        return True


async def test_a_watcher_who_looks_while_the_session_is_ended_takes_nothing_over(
    lab: RotatingLab, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(session: Session) -> None:
        socket = Socket()
        await session.bind(socket, check_every=0.01)
        looking = lab.inner.hold("read", after=True)
        await looking.reached.wait()
        session.purge()
        await session.save()
        looking.opened.set()
        await asyncio.wait_for(socket.closed.wait(), 5)

    cookie = await lab.begin(n=1)
    assert (await lab.request(work, cookie, stream=True)).status == 200
    assert "could not be looked at" not in caplog.text
    assert await lab.state(cookie) is None


async def test_a_purge_finds_a_session_that_began_to_rotate_meanwhile(lab: RotatingLab) -> None:
    """It had a lifecycle of its own, under which keys may become old, when it was loaded."""

    async def keep(session: Session) -> None:
        session.lifecycle = BrowserSession()

    async def rotate(session: Session) -> None:
        session.lifecycle = BrowserSession(rotate_every=AGE)

    cookie = await lab.begin_old(n=1)
    await lab.request(keep, cookie)
    slow = await lab.slow(purge, cookie)
    await lab.request(rotate, cookie)
    assert (await lab.request(read, cookie)).cookie not in (None, cookie)
    await slow.go_on()
    assert await lab.storage.live() == []


async def test_who_asks_when_the_handler_is_done_rotates_as_well() -> None:
    """A middleware around that of the sessions, say: the headers are still to come."""

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        await get_session(request)
        return response

    storage = memory()
    app = application(storage, outer=[look], lifecycle=BrowserSession(rotate_every=AGE))
    async with serve(app) as server:
        await server.get("/write")
        old = dict(server.cookies)
        storage.clock.advance(AGE.total_seconds())
        await server.get("/")
        assert server.cookies != old
        # And the way from the old key leads to the new one before it ends.
        (found,) = (await server.get("/", cookies=old)).cookies
        assert {found.name: found.value} == server.cookies
