"""All sessions of an owner end while somebody logs in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp_sess import end_sessions
from aiohttp_sess.storage import MemoryStorage

from .lab import GatedStorage, Lab
from .limiting import OWNER, cookie_of, log_in, owners


class Paused(MemoryStorage):
    """Waits before it removes, and before a login gets its number."""

    def __init__(self) -> None:
        super().__init__()
        self.removes, self.may_remove = asyncio.Event(), asyncio.Event()
        self.logs_in, self.may_log_in = asyncio.Event(), asyncio.Event()
        self.may_log_in.set()

    async def remove_all(self, names: Sequence[str]) -> Sequence[bool]:
        self.removes.set()
        await self.may_remove.wait()
        return await super().remove_all(names)

    async def log_in(self, index: str, digest: str, announced: float | None) -> float:
        self.logs_in.set()
        await self.may_log_in.wait()
        return await super().log_in(index, digest, announced)


async def test_a_login_that_begins_after_the_call_goes_on() -> None:
    """It is announced while those from before are ended, and looked for again."""
    storage = Paused()
    lab = Lab(GatedStorage(storage), max_sessions_per_owner=5)
    async with lab.running():
        old = await cookie_of(lab, log_in, "")
        cookie = await lab.begin(n=1)
        ending = asyncio.create_task(end_sessions(lab.app, OWNER))
        await storage.removes.wait()
        storage.logs_in.clear()
        storage.may_log_in.clear()
        login = asyncio.create_task(lab.request(log_in, cookie))
        await storage.logs_in.wait()
        storage.may_remove.set()
        await ending
        storage.may_log_in.set()
        new = (await login).cookie
        assert new
        assert await owners(lab, old, new) == ["over", OWNER]
