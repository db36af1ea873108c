"""A lab whose session keys grow old."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web

from aiohttp_sess import Lifecycle, Session, StoredRecord, get_session
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.testing import FakeClock

from ..races.lab import GatedStorage, Lab, Reply
from . import AGE
from .stepped import Stepped


class RotatingLab(Lab):
    """See the module."""

    def __init__(self, storage: GatedStorage, *, lifecycle: Lifecycle) -> None:
        super().__init__(storage, lifecycle=lifecycle)
        self.app.router.add_get("/nothing", self._nothing)
        self.app.router.add_get("/late", self._late)

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _late(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await write(await get_session(request))
        return response

    async def request_nothing(self, cookie: str, path: str = "/nothing") -> Reply:
        """A request that never asks for its session, or at ``/late`` when the headers are gone."""
        url = self._server.make_url(path)
        async with self._client.get(url, headers={hdrs.COOKIE: f"id={cookie}"}) as response:
            await response.read()
            return Reply(response.status, response.headers.getall(hdrs.SET_COOKIE, []))

    @property
    def inner(self) -> Stepped:
        """The storage without its gates, but with its steps."""
        assert isinstance(self.storage.inner, Stepped)
        return self.storage.inner

    @property
    def clock(self) -> FakeClock:
        """The storage's."""
        clock = self.inner.clock
        assert isinstance(clock, FakeClock)
        return clock

    async def begin_old(self, **state: Any) -> str:
        """A session whose key is due for rotation; its cookie."""
        cookie = await self.begin(**state)
        self.clock.advance(AGE.total_seconds())
        return cookie

    async def stored(self, cookie: str) -> StoredRecord | None:
        """What is under a cookie, straight from the storage."""
        return await self.inner.load(SessionKey(cookie))

    async def live_keys(self) -> set[str]:
        """The keys with a record of their own: pointers lead to those."""
        keys = {key.value: key for key in self.storage.keys}
        found = {value: await self.inner.load(key) for value, key in keys.items()}
        return {stored.key.value for stored in found.values() if stored is not None}

    async def records(self) -> int:
        """How many records the backend has, whoever has their keys."""
        values = (await self.inner.everything()).values()
        return sum(not value.startswith((b"moved:", b"ended:")) for value in values)


async def read(session: Session) -> None:
    """Only look."""
    session.get("n")


async def write(session: Session) -> None:
    """Add to what is there."""
    session["late"] = 1
    session.update_value("n", lambda n: n + 1, default=1)
