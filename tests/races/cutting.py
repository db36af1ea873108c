"""Requests that are cut off: storages that wait in their steps, and an application that counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import count

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aiohttp_sess import Session, SessionHandle, SessionRecord, get_session, setup
from aiohttp_sess.storage import AbstractStorage, Entry, MemoryStorage, StoredRecord, Version
from aiohttp_sess.storage.epoch import EpochStorage

MINUTE = timedelta(minutes=1)


class Slow(MemoryStorage):
    """Waits before each of its steps, and after it."""

    answers_at_once = False
    replacements = 0

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        await asyncio.sleep(0)
        entry = await super().read(name, ttl)
        await asyncio.sleep(0)
        return entry

    async def stay(self, index: str, digest: str, ttl: float) -> None:
        await asyncio.sleep(0)
        await super().stay(index, digest, ttl)

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        self.replacements += 1
        await asyncio.sleep(0)
        done = await super().replace(name, value, ttl, version)
        await asyncio.sleep(0)
        return done


class SlowByGenerations(EpochStorage):
    """The same where an owner's sessions end by a generation, which is asked after each write."""

    replacements = 0

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, bytes] = {}

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        await asyncio.sleep(0)
        value = self._entries.get(name)
        await asyncio.sleep(0)
        return None if value is None else Entry(value)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return self._entries.setdefault(name, value) is value

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        self.replacements += 1
        await asyncio.sleep(0)
        done = self._entries.get(name, b"").startswith(version.stamp)
        if done:
            self._entries[name] = value
        await asyncio.sleep(0)
        return done

    async def remove(self, name: str) -> bool:
        return self._entries.pop(name, None) is not None


class Counter:
    """An application whose requests each add one to a session's counter.

    :param deed: what else they do.
    """

    def __init__(self, storage: AbstractStorage, deed: Callable[[Session], object] = bool) -> None:
        app = web.Application()
        self.storage = storage
        self.handle: SessionHandle = setup(app, storage)
        (self._middleware,) = app.middlewares
        self._deed = deed
        self.stored: StoredRecord

    async def begin(self, owner: str | None) -> None:
        record = SessionRecord({"n": 0}, cookie=self.handle.name, owner=owner)
        self.stored = await self.storage.save(record, MINUTE)

    async def add_one(self) -> web.StreamResponse:
        cookie = f"{self.handle.name}={self.stored.key.value}"
        request = make_mocked_request("GET", "/", headers={"Cookie": cookie})
        return await self._middleware(request, self._handler)

    async def _handler(self, request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        session.update_value("n", lambda n: n + 1)
        self._deed(session)
        return web.Response()

    async def value(self) -> int:
        await self.handle.commits.drain()
        stored = await self.storage.load(self.stored.key)
        assert stored is not None
        n: int = stored.record.state["n"]
        return n


async def cut_off_everywhere(counter: Counter) -> AsyncIterator[tuple[int, int]]:
    """The counter before and after, where the request is cancelled after each turn of the event
    loop in turn; once it is done before that, this ends.
    """
    for turns in count():
        before = await counter.value()
        task = asyncio.ensure_future(counter.add_one())
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            await task
            assert await counter.value() == before + 1
            return
        await asyncio.wait([task])
        assert task.cancelled()
        yield before, await counter.value()
