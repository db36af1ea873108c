"""A websocket that is bound to a session is closed with code 1008 when that ends (ASVS 4.4.3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import WSMsgType

from aiohttp_sess import Session, SessionGone, StorageUnavailable, StoredRecord
from aiohttp_sess.storage import SessionKey

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


async def test_there_must_be_a_session_to_bind_to(lab: Lab) -> None:
    async def bind(session: Session) -> None:
        with pytest.raises(SessionGone):
            await session.bind(_NoSocket())

    await lab.request(bind)


class _NoSocket:
    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        raise AssertionError("nothing was bound")
