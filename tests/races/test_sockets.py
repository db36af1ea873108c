"""A websocket that is bound to a session is closed with code 1008 when that ends (ASVS 4.4.3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import WSMsgType, web

from aiohttp_sess import (
    BrowserSession,
    PersistentSession,
    Session,
    SessionGone,
    SessionRecord,
    StorageUnavailable,
    StoredRecord,
)
from aiohttp_sess.events import Expired
from aiohttp_sess.storage import MemoryStorage, SessionKey
from aiohttp_sess.testing import FakeClock

from ..wire import PATIENCE
from .lab import GatedStorage, Lab, Work, purge, renew

NEVER = 3600.0
SOON = 0.01


@pytest.mark.parametrize("ended_by", [purge, renew])
async def test_it_is_closed_at_once_where_the_session_ends_in_this_process(
    lab: Lab, ended_by: Work
) -> None:
    cookie = await lab.begin(n=1)
    other = await lab.begin(n=2)
    async with lab.socket(cookie, every=NEVER) as socket, lab.socket(other, every=NEVER) as stays:
        await lab.request(ended_by, cookie)
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)
        assert lab.bindings[0].ended
        assert not stays.closed
        assert not lab.bindings[1].ended


@pytest.mark.parametrize("ended_by", [purge, renew])
async def test_it_is_closed_soon_where_the_session_ends_in_another(
    storage: GatedStorage, ended_by: Work
) -> None:
    async with Lab(storage).running() as here, Lab(storage).running() as there:
        cookie = await here.begin(n=1)
        async with here.socket(cookie, every=SOON) as socket:
            await there.request(ended_by, cookie)
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)


async def test_it_is_let_go_when_its_request_is_over(lab: Lab) -> None:
    cookie = await lab.begin(n=1)
    async with lab.socket(cookie, every=NEVER):
        assert len(lab.handle.sockets) == 1
    async with asyncio.timeout(5):
        while len(lab.handle.sockets):
            await asyncio.sleep(0)


async def test_a_storage_that_is_down_closes_nothing(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await lab.begin(n=1)
    async with lab.socket(cookie, every=SOON) as socket:
        failing = lab.storage.gate("load", failure=StorageUnavailable("down"))
        failing.opened.set()
        await failing.reached.wait()
        again = lab.storage.gate("load")
        await again.reached.wait()
        assert "could not be looked at" in caplog.text
        assert not lab.bindings[0].ended
        again.opened.set()
        await lab.request(purge, cookie)
        assert (await socket.receive()).data == 1008


async def test_messages_count_as_activity_and_silence_does_not(lab: Lab) -> None:
    given: list[timedelta | None] = []
    looked = asyncio.Event()
    load = lab.storage.inner.load

    async def note(key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        given.append(ttl)
        looked.set()
        return await load(key, ttl=ttl)

    cookie = await lab.begin(n=1)
    async with lab.socket(cookie, every=SOON) as socket:
        lab.storage.inner.load = note  # type: ignore[method-assign]  # to see what is asked
        await looked.wait()
        assert given == [None]
        await socket.send_str("here I am")
        while given[-1] is None:
            looked.clear()
            await looked.wait()
        assert given[-1] == lab.handle.lifecycle.ttl


async def test_activity_gives_the_ttl_of_a_lifecycle_that_another_request_set(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = PersistentSession(session_ttl=timedelta(days=30))
    given: list[timedelta] = []
    refreshed = asyncio.Event()
    update_ttl = lab.storage.inner.update_ttl

    async def note(key: SessionKey, ttl: timedelta) -> SessionKey | None:
        given.append(ttl)
        refreshed.set()
        return await update_ttl(key, ttl)

    async def remember(session: Session) -> None:
        session.lifecycle = month

    cookie = await lab.begin(n=1)
    async with lab.socket(cookie, every=SOON) as socket:
        await lab.request(remember, cookie)
        monkeypatch.setattr(lab.storage.inner, "update_ttl", note)
        await socket.send_str("here I am")
        async with asyncio.timeout(PATIENCE):
            await refreshed.wait()
        assert given == [month.ttl]
        assert not lab.bindings[0].ended


async def test_it_is_closed_also_where_the_session_that_follows_cannot_be_saved(lab: Lab) -> None:
    async def begin_anew(session: Session) -> None:
        session.purge()
        session["fresh"] = True

    cookie = await lab.begin(n=1)
    async with lab.socket(cookie, every=NEVER) as socket:
        lab.storage.gate("save", failure=StorageUnavailable("down")).opened.set()
        assert (await lab.request(begin_anew, cookie)).status == 500
        assert (await socket.receive(timeout=PATIENCE)).data == 1008
        assert await lab.state(cookie) is None


# -- what can be bound, and to what ---------------------------------------------------------------


class _Socket:
    """Notes the codes that it is closed with."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        self.codes.append(code)
        return True


async def test_there_must_be_a_session_to_bind_to(lab: Lab) -> None:
    async def bind(session: Session) -> None:
        with pytest.raises(SessionGone):
            await session.bind(_Socket())

    assert (await lab.request(bind)).status == 200


@pytest.mark.parametrize("ended_by", [purge, renew])
async def test_a_session_that_ended_since_it_was_loaded_is_none_to_bind_to(
    lab: Lab, ended_by: Work
) -> None:
    """Nobody closes its sockets any more: nothing is bound, and what was is closed."""
    socket = _Socket()

    async def bind(session: Session) -> None:
        with pytest.raises(SessionGone):
            await session.bind(socket, check_every=NEVER)

    cookie = await lab.begin(n=1)
    slow = await lab.slow(bind, cookie)
    await lab.request(ended_by, cookie)
    assert (await slow.go_on()).status == 200
    assert socket.codes == [1008]
    assert len(lab.handle.sockets) == 0


async def test_a_session_that_ends_while_it_is_bound_to_closes_the_socket_once(lab: Lab) -> None:
    socket = _Socket()

    async def bind(session: Session) -> None:
        looking = lab.storage.gate("load")
        binding = asyncio.create_task(session.bind(socket, check_every=NEVER))
        await looking.reached.wait()
        await lab.request(purge, cookie)
        looking.opened.set()
        with pytest.raises(SessionGone):
            await binding

    cookie = await lab.begin(n=1)
    assert (await lab.request(bind, cookie)).status == 200
    assert socket.codes == [1008]


async def test_a_websocket_must_be_prepared_to_be_bound(lab: Lab) -> None:
    async def bind(session: Session) -> None:
        with pytest.raises(RuntimeError, match="prepare"):
            await session.bind(web.WebSocketResponse())
        assert len(lab.handle.sockets) == 0

    assert (await lab.request(bind, await lab.begin(n=1))).status == 200


async def test_nothing_can_be_bound_once_the_handler_is_done(lab: Lab) -> None:
    """Nobody would let go of it."""
    kept: list[Session] = []

    async def keep(session: Session) -> None:
        kept.append(session)

    await lab.request(keep, await lab.begin(n=1))
    with pytest.raises(RuntimeError, match="request is over"):
        await kept[0].bind(_Socket())
    assert len(lab.handle.sockets) == 0


@pytest.mark.parametrize("found_by", ["its watcher", "a request"])
async def test_it_is_closed_where_a_max_lifetime_that_was_longer_is_over(found_by: str) -> None:
    """And that the session expired is told once, whoever finds it."""
    clock = FakeClock()
    storage = GatedStorage(MemoryStorage(clock=clock))
    lab = Lab(storage, lifecycle=BrowserSession(max_lifetime=timedelta(hours=1)))
    expired: list[Expired] = []

    async def look(session: Session) -> None:
        assert session.new

    async def note(event: Expired) -> None:
        expired.append(event)

    lab.handle.events.expired.append(note)
    every = SOON if found_by == "its watcher" else NEVER
    async with lab.running():
        record = SessionRecord(created=clock(), cookie="id")
        stored = await storage.save(record, timedelta(days=1))
        async with lab.socket(stored.key.value, every=every) as socket, asyncio.timeout(10):
            clock.advance(3601)
            if found_by == "a request":
                await lab.request(look, stored.key.value)
            await socket.receive()
            assert socket.close_code == 1008
        assert await storage.load(stored.key) is None
    assert [event.id for event in expired] == [record.id]
