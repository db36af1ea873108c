"""Saves that are cut off before their writes, or on storages that cannot tell what was done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aiohttp_sess import SessionHandle, SessionRecord, get_session, setup
from aiohttp_sess.storage import KeyedStorage, MemoryStorage, StoredRecord

from .cutting import MINUTE, Counter, Slow, cut_off_everywhere
from .lab import GatedStorage


async def test_only_what_can_be_recognised_goes_without_a_task() -> None:
    class Overrides(Slow):
        async def update(self, *args: Any, **named: Any) -> StoredRecord:
            stored = await super().update(*args, **named)
            await asyncio.sleep(0)  # and here nobody can say that it was done
            return stored

    assert MemoryStorage.recognises_writes
    assert not Overrides.recognises_writes
    counter = Counter(Overrides())
    await counter.begin(None)
    async for before, after in cut_off_everywhere(counter):
        assert after in (before, before + 1)


async def test_an_update_of_a_mixin_is_seen() -> None:
    class Audited:
        async def update(self, *args: Any, **named: Any) -> StoredRecord:
            stored: StoredRecord = await super().update(*args, **named)  # type: ignore[misc]
            await asyncio.sleep(0)
            return stored

    class Storage(Audited, Slow):
        pass

    class Further(Storage):
        pass

    class Metered(KeyedStorage):
        update = Audited.update

    class Mixed(Slow, Metered):
        pass

    assert not Storage.recognises_writes
    assert not Further.recognises_writes
    assert not Mixed.recognises_writes  # whose `update` that is, depends on all of them
    counter = Counter(Further())
    await counter.begin(None)
    async for before, after in cut_off_everywhere(counter):
        assert after in (before, before + 1)


async def test_what_a_class_says_of_itself_holds_for_those_below_it() -> None:
    class Says(Slow):
        recognises_writes = False

    class Below(Says):
        pass

    class SaysOtherwise(Below):
        recognises_writes = True

        async def update(self, *args: Any, **named: Any) -> StoredRecord:
            return await super().update(*args, **named)

    assert not Below.recognises_writes
    assert SaysOtherwise.recognises_writes


@pytest.mark.parametrize("purges", [True, False])
async def test_a_save_goes_on_that_was_cut_off_while_it_waited_for_its_turn(
    inner: KeyedStorage, purges: bool
) -> None:
    storage = GatedStorage(inner)
    handle: SessionHandle = setup(app := web.Application(), storage)
    (middleware,) = app.middlewares
    stored = await storage.save(SessionRecord({"n": 0}, cookie=handle.name), MINUTE)
    gate = storage.gate("update")
    waits = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["first"] = 1
        first = asyncio.ensure_future(session.save())
        await gate.reached.wait()
        if purges:
            session.purge()
        else:
            session.update_value("n", lambda n: n + 1)
        asyncio.get_running_loop().call_soon(waits.set)
        try:
            await session.save()
        finally:
            await first
        return web.Response()

    cookie = f"{handle.name}={stored.key.value}"
    request = make_mocked_request("GET", "/", headers={"Cookie": cookie})
    task = asyncio.ensure_future(middleware(request, handler))
    await waits.wait()
    task.cancel()
    gate.opened.set()
    await asyncio.wait([task])
    assert task.cancelled()
    await handle.commits.drain()
    found = await storage.load(stored.key)
    assert (found and found.record.state) == (None if purges else {"n": 1, "first": 1})
