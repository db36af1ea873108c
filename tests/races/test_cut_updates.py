"""Updates that are cut off, as their requests are cancelled: done once all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aiohttp_sess import Session, SessionHandle, SessionRecord, get_session, setup
from aiohttp_sess.storage import (
    AbstractStorage,
    Entry,
    KeyedStorage,
    MemoryStorage,
    StoredRecord,
    Version,
)
from aiohttp_sess.storage.epoch import EpochStorage

from .lab import GatedStorage

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


@pytest.mark.parametrize("owner", [None, "ferris"])
async def test_it_is_done_once_or_not_at_all(inner: KeyedStorage, owner: str | None) -> None:
    counter = Counter(inner)
    await counter.begin(owner)
    async for before, after in cut_off_everywhere(counter):
        assert after in (before, before + 1)


@pytest.mark.parametrize("owner", [None, "ferris"])
@pytest.mark.parametrize("kind", [Slow, SlowByGenerations])
async def test_it_has_begun_with_the_first_write(
    kind: type[Slow | SlowByGenerations], owner: str | None
) -> None:
    storage = kind()
    counter = Counter(storage)
    await counter.begin(owner)
    async for before, after in cut_off_everywhere(counter):
        assert after == before + (storage.replacements > 0)
        storage.replacements = 0


async def test_what_others_write_meanwhile_is_kept() -> None:
    storage = Slow()
    counter = Counter(storage)
    await counter.begin(None)
    for turns in range(12):
        before = await counter.value()
        tasks = [asyncio.ensure_future(counter.add_one()) for _ in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        storage.replacements = 0
        cancelled = tasks[0].cancel()
        await asyncio.wait(tasks)
        done = await counter.value() - before
        assert done in ((3, 4) if cancelled else (4,)), turns


@pytest.mark.parametrize("more", [0, 1])
async def test_one_that_had_lost_a_race_overwrites_nobody(inner: KeyedStorage, more: int) -> None:
    storage = GatedStorage(inner)
    counter = Counter(storage)
    await counter.begin(None)
    first = storage.gate("update")
    task = asyncio.ensure_future(counter.add_one())
    await first.reached.wait()
    await counter.add_one()
    second = storage.gate("update")
    first.opened.set()
    await second.reached.wait()
    for _ in range(more):  # of which it knows nothing
        await counter.add_one()
    task.cancel()
    await asyncio.wait([task])
    assert await counter.value() == 2 + more


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

    assert not Storage.recognises_writes
    assert not Further.recognises_writes
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


class CutShort(Slow):
    """Its first write goes on after its request was cancelled.

    :param late: it lands only when the next one is about to; otherwise at once.
    """

    def __init__(self, *, late: bool) -> None:
        super().__init__()
        self.under_way = asyncio.Event()
        self._lands = asyncio.Event()
        self._late = late
        self._first: asyncio.Task[bool] | None = None

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        self.replacements += 1
        if self._first is not None:
            self._lands.set()
            await self._first
            return await MemoryStorage.replace(self, name, value, ttl, version)
        self._first = asyncio.create_task(self._land(name, value, ttl, version))
        if not self._late:
            self._lands.set()
            await asyncio.wait([self._first])
        self.under_way.set()
        return await asyncio.Event().wait()  # for an answer that never comes

    async def _land(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        await self._lands.wait()
        return await MemoryStorage.replace(self, name, value, ttl, version)


@pytest.mark.parametrize("late", [True, False])
async def test_one_that_lands_after_it_was_cut_off_is_done_once(late: bool) -> None:
    storage = CutShort(late=late)
    counter = Counter(storage)
    await counter.begin(None)
    task = asyncio.ensure_future(counter.add_one())
    await storage.under_way.wait()
    task.cancel()
    await asyncio.wait([task])
    assert await counter.value() == 1
    assert late or storage.replacements == 1  # it was seen to be done: nothing is written again


def log_in(session: Session) -> None:
    session.owner = "ferris"


@pytest.mark.parametrize(("deed", "task"), [(bool, False), (Session.renew, True), (log_in, True)])
async def test_a_task_is_only_for_what_needs_one(
    deed: Callable[[Session], object], task: bool
) -> None:
    counter = Counter(Slow(), deed)
    await counter.begin(None)
    request = asyncio.ensure_future(counter.add_one())
    most = 0
    while not request.done():
        await asyncio.sleep(0)
        most = max(most, len(counter.handle.commits._tasks))
    assert most == task
