"""A write that had no answer, and what the handler does next."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from aiohttp_sess import Session, StorageUnavailable
from aiohttp_sess.doubts import Doubt
from aiohttp_sess.storage import MemoryStorage, Version

from .races.lab import GatedStorage, Lab


class LosesReplies(MemoryStorage):
    """Does what it is asked, and says that it does not know."""

    lose = 0
    down = False

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        if self.down:
            raise StorageUnavailable("down")
        done = await super().replace(name, value, ttl, version)
        if self.lose:
            self.lose -= 1
            raise StorageUnavailable("no reply")
        return done


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("reloads", [True, False])
async def test_a_write_in_doubt_is_done_once(reloads: bool, others: bool) -> None:
    inner = LosesReplies()
    async with Lab(GatedStorage(inner)).running() as lab:
        cookie = await lab.begin(n=1)

        async def another(session: Session) -> None:
            session["z"] = 1

        async def work(session: Session) -> None:
            inner.lose = 1
            session.update_value("n", lambda n: n + 1)
            session.owner = "user-42"
            with suppress(StorageUnavailable):
                await session.save()
            assert not reloads or await session.reload()
            session["y"] = 1
            if others:
                await lab.request(another, cookie)

        assert (await lab.request(work, cookie)).status == 200
        expected = {"n": 2, "y": 1} | ({"z": 1} if others else {})
        assert await lab.state(cookie) == expected


async def test_writes_in_doubt_one_after_the_other_are_done_once_each() -> None:
    inner = LosesReplies()
    async with Lab(GatedStorage(inner)).running() as lab:
        cookie = await lab.begin(n=1)

        async def work(session: Session) -> None:
            for _ in range(3):
                inner.lose = 1
                session.update_value("n", lambda n: n + 1)
                with suppress(StorageUnavailable):
                    await session.save()

        assert (await lab.request(work, cookie)).status == 200
        assert await lab.state(cookie) == {"n": 4}


class LosesSome(MemoryStorage):
    """Cannot end what comes at these places."""

    fails: frozenset[int] = frozenset()
    removals = 0

    async def remove(self, name: str) -> bool:
        self.removals += 1
        if self.removals in self.fails:
            raise StorageUnavailable("not now")
        return await super().remove(name)


@pytest.mark.parametrize("fails", [1, 2])
async def test_a_purge_that_failed_in_the_middle_is_done_again_whole(fails: int) -> None:
    inner = LosesSome()
    inner.fails = frozenset([fails])
    async with Lab(GatedStorage(inner)).running() as lab:
        one, other = await lab.begin(n=1), await lab.begin(n=2)

        async def work(session: Session) -> None:
            session.purge()
            with suppress(StorageUnavailable):
                await session.save()
            await session.save()

        reply = await lab.request(work, f"{one}; id={other}")
        assert (reply.status, reply.cookie) == (200, "")
        assert [await lab.state(one), await lab.state(other)] == [None, None]


async def test_what_begins_after_a_logout_outlasts_the_logout_of_another() -> None:
    """It was begun while a save of the session was under way that found it ended."""
    async with Lab(GatedStorage(MemoryStorage())).running() as lab:
        cookie = await lab.begin(n=1)

        async def log_out(session: Session) -> None:
            session.purge()

        async def work(session: Session) -> None:
            session["late"] = 1
            gate = lab.storage.gate("update")
            saving = asyncio.ensure_future(session.save())
            await gate.reached.wait()
            session.purge()
            session["fresh"] = 1
            await lab.request(log_out, cookie)
            gate.opened.set()
            await saving

        reply = await lab.request(work, cookie)
        assert reply.status == 200
        assert reply.cookie not in (None, "", cookie)
        assert await lab.state(reply.cookie or "") == {"fresh": 1}


async def test_a_save_that_is_done_leaves_no_doubts() -> None:
    """A websocket that goes on through an outage does not keep what it could not save."""
    storage = LosesReplies()
    async with Lab(GatedStorage(storage)).running() as lab:
        cookie = await lab.begin(n=0)
        left: list[object] = []

        async def write(session: Session) -> None:
            storage.down = True
            for n in range(3):
                session["n"] = n
                with suppress(StorageUnavailable):
                    await session.save()
            storage.down = False
            await session.save()
            left.extend(each for each in gc.get_objects() if isinstance(each, Doubt))

        assert (await lab.request(write, cookie)).status == 200
        assert left == []


async def test_a_save_that_fails_leaves_nothing_to_collect() -> None:
    storage = LosesReplies()
    async with Lab(GatedStorage(storage)).running() as lab:
        cookie = await lab.begin(n=0)
        alive: list[object] = []

        async def write(session: Session) -> None:
            storage.down = True
            session["n"] = 1
            gc.disable()
            try:
                await session.save()
            except StorageUnavailable as error:
                ref = weakref.ref(error)
            finally:
                storage.down = False
                gc.enable()
            alive.append(ref())

        assert (await lab.request(write, cookie)).status == 200
        assert alive == [None]
        assert await lab.state(cookie) == {"n": 1}
