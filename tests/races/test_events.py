"""What is told of races: each conflict, each change that was dropped, and no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import WSMsgType

from aiohttp_sess import Session
from aiohttp_sess.events import Conflict, Created, Event, Expired, LateChange, Loaded, Purged
from aiohttp_sess.sockets import Sockets
from aiohttp_sess.storage import SessionKey

from ..events.conftest import signals
from .lab import GatedStorage, Lab, Work, purge, renew

SOON = 0.01


class Heard(list[Event]):
    """What was told, but for loads and beginnings."""

    async def note(self, event: Event) -> None:
        """Take it down."""
        if not isinstance(event, Loaded | Created):
            self.append(event)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def lab(storage: GatedStorage, heard: Heard) -> AsyncIterator[Lab]:
    """An application whose events are heard."""
    lab = Lab(storage)
    for signal in signals(lab.handle):
        signal.append(heard.note)
    async with lab.running():
        yield lab


async def count(session: Session) -> None:
    session.update_value("n", lambda n: n + 1, default=1)


async def id_of(lab: Lab, cookie: str) -> str:
    stored = await lab.storage.inner.load(SessionKey(cookie))
    assert stored is not None
    return stored.record.id


@pytest.mark.parametrize("work", [count, renew])
async def test_each_lost_write_is_told(lab: Lab, heard: Heard, work: Work) -> None:
    cookie = await lab.begin(n=0)
    first = await id_of(lab, cookie)
    slow = await lab.slow(work, cookie)
    await lab.request(count, cookie)
    again = lab.storage.gate("load")
    going = asyncio.create_task(slow.go_on())
    await again.reached.wait()
    assert heard == []  # its commit is not over
    again.opened.set()
    # The second try loses as well.
    write = lab.storage.gate("update" if work is count else "delete")
    await write.reached.wait()
    await lab.request(count, cookie)
    write.opened.set()
    assert (await going).status == 200
    conflicts = [event for event in heard if isinstance(event, Conflict)]
    assert conflicts == [Conflict("id", first, n, given_up=False) for n in (1, 2)]
    assert heard[:2] == conflicts
    assert len(heard) == (2 if work is count else 3)  # and the renewal


async def test_each_commit_counts_its_own(lab: Lab, heard: Heard) -> None:
    cookie = await lab.begin(n=0)
    first = await id_of(lab, cookie)

    async def save_twice(session: Session) -> None:
        for _ in range(2):
            await lab.request(count, cookie)
            await count(session)
            await session.save()

    slow = await lab.slow(save_twice, cookie)
    assert (await slow.go_on()).status == 200
    assert heard == [Conflict("id", first, 1, given_up=False)] * 2


async def test_one_that_gives_up_says_so(lab: Lab, heard: Heard) -> None:
    lab.handle.conflict_timeout = 0
    cookie = await lab.begin(n=0)
    slow = await lab.slow(count, cookie)
    await lab.request(count, cookie)
    assert (await slow.go_on()).status == 500
    assert heard == [Conflict("id", await id_of(lab, cookie), 1, given_up=True)]


@pytest.mark.parametrize("stream", [False, True])
async def test_change_to_a_session_that_was_ended(lab: Lab, heard: Heard, stream: bool) -> None:
    cookie = await lab.begin(n=0)
    first = await id_of(lab, cookie)

    async def change_twice(session: Session) -> None:
        await count(session)
        with pytest.raises(Exception, match="ended"):
            await session.save()
        await count(session)

    slow = await lab.slow(change_twice, cookie, stream=stream)
    await lab.request(purge, cookie)
    assert (await slow.go_on()).status == 200
    assert heard == [Purged("id", first), LateChange("id", first, "ended")]


async def test_of_two_purges_the_one_that_ended_it_is_told(lab: Lab, heard: Heard) -> None:
    cookie = await lab.begin(n=0)
    first = await id_of(lab, cookie)
    slow = await lab.slow(purge, cookie)
    await lab.request(purge, cookie)
    await slow.go_on()
    assert heard == [Purged("id", first)]


async def test_a_renewal_that_came_too_late_is_none(lab: Lab, heard: Heard) -> None:
    cookie = await lab.begin(n=0)
    first = await id_of(lab, cookie)
    slow = await lab.slow(renew, cookie)
    await lab.request(purge, cookie)
    await slow.go_on()
    assert heard == [Purged("id", first), LateChange("id", first, "ended")]


async def test_a_session_that_vanishes_from_under_its_websockets_is_told_once(
    lab: Lab, heard: Heard
) -> None:
    """Be it expired, evicted, or ended by another process."""
    cookie = await lab.begin(n=0)
    first = await id_of(lab, cookie)
    async with lab.socket(cookie, every=SOON) as one, lab.socket(cookie, every=SOON) as two:
        assert await lab.storage.inner.delete(SessionKey(cookie))
        for socket in (one, two):
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)
    assert heard == [Expired("id", first, "vanished")]


async def test_one_that_ends_in_this_process_has_not_vanished() -> None:
    looking, go = asyncio.Event(), asyncio.Event()
    told: list[str] = []
    sockets = Sockets(told.append)

    class Closes:
        async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
            return True

    async def alive(refresh: bool) -> bool:
        looking.set()
        await go.wait()
        return False

    request = object()
    binding = sockets.bind(request, Closes(), "first", alive, SOON)
    (bound,) = sockets._by_request[request]
    await looking.wait()
    sockets.end("first")
    while not binding.ended:
        await asyncio.sleep(0)
    go.set()
    await bound.watcher
    assert told == []
    sockets.release(request)


async def test_a_look_that_outlives_its_websocket_leaves_nothing_behind() -> None:
    told: list[str] = []
    sockets = Sockets(told.append)

    class Closes:
        async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
            return True

    async def alive(refresh: bool) -> bool:
        await asyncio.sleep(0)
        return False

    request = object()
    sockets.bind(request, Closes(), "first", alive, 3600)
    sockets.look_at_all()
    sockets.release(request)
    while sockets._closing:
        await asyncio.sleep(0)
    assert told == ["first"]
    assert not sockets._vanished


async def test_to_look_at_all_asks_for_some_at_a_time() -> None:
    """A storage that cannot say whose sessions ended is not asked for thousands at once."""
    at_once = most = looked = 0

    async def alive(refresh: bool) -> bool:
        nonlocal at_once, most, looked
        at_once, looked = at_once + 1, looked + 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return True

    class Open:
        async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
            raise AssertionError("its session is there")

    sockets, request = Sockets(), object()
    for number in range(100):
        sockets.bind(request, Open(), f"id {number}", alive, 3600)
    sockets.look_at_all()
    while sockets._closing:
        await asyncio.sleep(0)
    assert (looked, most) == (100, 16)
    sockets.release(request)
