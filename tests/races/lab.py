"""One application whose requests do what a test tells them, step by step.

No interleaving here depends on luck: a request waits at an `asyncio.Event` inside its handler, or
at a gate inside the storage, until the test lets it go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar

from aiohttp import ClientSession, ClientWebSocketResponse, DummyCookieJar, hdrs, web
from aiohttp.test_utils import TestServer

from aiohttp_sess import (
    CookieConfig,
    Lifecycle,
    PersistentSession,
    Session,
    SessionRecord,
    StoredRecord,
    TtlExtensionPolicy,
    get_session,
    setup,
)
from aiohttp_sess.sockets import Binding
from aiohttp_sess.storage import AbstractStorage, ListedRecord, SessionKey

Work = Callable[[Session], Awaitable[object]]


class GatedStorage(AbstractStorage):
    """Passes everything on to another storage, and stops at gates that a test has set."""

    rotates_keys: ClassVar[bool] = True

    def __init__(self, inner: AbstractStorage) -> None:
        self.inner = inner
        self.clock = inner.clock
        self.lists_sessions = inner.lists_sessions  # type: ignore[misc]  # of the class elsewhere
        self.recognises_writes = inner.recognises_writes  # type: ignore[misc]
        self.keys: list[SessionKey] = []
        self.calls: list[str] = []
        self._gates: dict[str, Gate] = {}

    @property
    def counts_logins(self) -> bool:
        return self.inner.counts_logins

    @counts_logins.setter
    def counts_logins(self, counts: bool) -> None:
        self.inner.counts_logins = counts

    def gate(self, call: str, *, failure: Exception | None = None) -> Gate:
        """Stop at the next ``call``, before it does anything; with a ``failure``, raise that."""
        gate = self._gates[call] = Gate(failure)
        return gate

    async def _pass(self, call: str) -> None:
        self.calls.append(call)
        gate = self._gates.pop(call, None)
        if gate is not None:
            gate.reached.set()
            await gate.opened.wait()
            if gate.failure is not None:
                raise gate.failure

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        await self._pass("load")
        return await self.inner.load(key, ttl=ttl)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        await self._pass("save")
        stored = await self.inner.save(record, ttl)
        self.keys.append(stored.key)
        return stored

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        await self._pass("update")
        return await self.inner.update(key, record, ttl, revision=revision)

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        await self._pass("update_ttl")
        return await self.inner.update_ttl(key, ttl)

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        await self._pass("delete")
        return await self.inner.delete(key, revision=revision)

    async def end(self, stored: StoredRecord) -> bool:
        await self._pass("delete")
        return await self.inner.end(stored)

    async def renew(
        self,
        old: StoredRecord,
        record: SessionRecord,
        ttl: timedelta,
        *,
        contested: bool = False,
    ) -> StoredRecord:
        await self._pass("save")
        stored = await self.inner.renew(old, record, ttl, contested=contested)
        self.keys.append(stored.key)
        return stored

    async def sessions_of(self, owner: str, cookie: str) -> list[ListedRecord]:
        return await self.inner.sessions_of(owner, cookie)

    async def end_sessions(
        self,
        owner: str,
        cookie: str,
        *,
        keep: str | None = None,
        ids: Collection[str] | None = None,
    ) -> Collection[str] | None:
        return await self.inner.end_sessions(owner, cookie, keep=keep, ids=ids)

    async def limit_sessions(
        self, new: StoredRecord, limit: int, *, refuse: bool, contested: bool = False
    ) -> Collection[str] | None:
        await self._pass("limit")
        return await self.inner.limit_sessions(new, limit, refuse=refuse, contested=contested)

    async def end_login(self, new: StoredRecord) -> Collection[str]:
        return await self.inner.end_login(new)

    async def rotate(
        self,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        *,
        revision: object,
        grace: timedelta,
    ) -> StoredRecord:
        await self._pass("rotate")
        stored = await self.inner.rotate(key, record, ttl, revision=revision, grace=grace)
        self.keys.append(stored.key)
        return stored

    def includes(self, revision: object, written: object) -> bool:
        return self.inner.includes(revision, written)

    async def live(self) -> list[dict[str, Any]]:
        """The states of all the sessions that were ever saved and can still be loaded."""
        found = [await self.inner.load(key) for key in self.keys]
        return [dict(stored.record.state) for stored in found if stored is not None]


@dataclass
class Gate:
    """A place in a storage where a call waits, or fails."""

    failure: Exception | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Reply:
    """What a request got."""

    status: int
    cookies: list[str]

    @property
    def cookie(self) -> str | None:
        """The value of the session cookie that the response sets; "" where it erases it."""
        values = [line.partition(";")[0].removeprefix("id=") for line in self.cookies]
        assert len(values) <= 1, "at most one session cookie a response"
        return values[0] if values else None


class Slow:
    """A request that stops inside its handler, right after it has loaded its session."""

    def __init__(self, lab: Lab, work: Work, cookie: str, *, stream: bool) -> None:
        self._loaded = asyncio.Event()
        self._go = asyncio.Event()

        async def handler(session: Session) -> None:
            self._loaded.set()
            await self._go.wait()
            await work(session)

        self.task = asyncio.create_task(lab.request(handler, cookie, stream=stream))

    async def loaded(self) -> None:
        """Wait until it has loaded its session."""
        await self._loaded.wait()

    async def go_on(self) -> Reply:
        """Let it do its work, and wait for what it gets."""
        self._go.set()
        return await self.task


class Lab:
    """See the module."""

    def __init__(
        self,
        storage: GatedStorage,
        *,
        every_request: bool = False,
        refresh_after: float = 0.0,
        lifecycle: Lifecycle | None = None,
        **options: Any,
    ) -> None:
        self.storage = storage
        self.app = web.Application()
        policy = TtlExtensionPolicy.ON_EVERY_REQUEST if every_request else None
        self.handle = setup(
            self.app,
            storage,
            cookie=CookieConfig(secure=False),
            lifecycle=PersistentSession(ttl_extension_policy=policy, refresh_after=refresh_after)
            if policy
            else lifecycle,
            **options,
        )
        self.app.router.add_get("/", self._buffered)
        self.app.router.add_get("/stream", self._stream)
        self.app.router.add_get("/socket", self._socket)
        self.bindings: list[Binding] = []
        self.bound = asyncio.Event()
        self._work: dict[str, Work] = {}
        self._numbers = count()
        self._client: ClientSession
        self._server = TestServer(self.app)

    async def _buffered(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        await self._work.pop(request.headers["X-Work"])(session)
        return web.Response()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await self._work.pop(request.headers["X-Work"])(session)
        return response

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        """Bound to its session, looked at every ``?every`` seconds; each message is activity."""
        session = await get_session(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        binding = await session.bind(socket, check_every=float(request.query["every"]))
        self.bindings.append(binding)
        self.bound.set()
        async for _ in socket:
            binding.active()
        return socket

    @asynccontextmanager
    async def socket(self, cookie: str, *, every: float) -> AsyncIterator[ClientWebSocketResponse]:
        """A websocket that is bound to the session under ``cookie``."""
        url = self._server.make_url("/socket").with_query(every=str(every))
        headers = {hdrs.COOKIE: f"id={cookie}"}
        async with self._client.ws_connect(url, headers=headers) as socket:
            await self.bound.wait()
            yield socket

    async def request(self, work: Work, cookie: str = "", *, stream: bool = False) -> Reply:
        """A request whose handler does ``work``."""
        number = str(next(self._numbers))
        self._work[number] = work
        headers = {"X-Work": number}
        if cookie:
            headers[hdrs.COOKIE] = f"id={cookie}"
        url = self._server.make_url("/stream" if stream else "/")
        async with self._client.get(url, headers=headers) as response:
            await response.read()
            return Reply(response.status, response.headers.getall(hdrs.SET_COOKIE, []))

    async def begin(self, **state: Any) -> str:
        """A new session; answers its cookie."""

        async def fill(session: Session) -> None:
            session.update(state)

        cookie = (await self.request(fill)).cookie
        assert cookie
        return cookie

    async def slow(self, work: Work, cookie: str, *, stream: bool = False) -> Slow:
        """A request that has loaded its session and waits inside its handler."""
        slow = Slow(self, work, cookie, stream=stream)
        await slow.loaded()
        return slow

    async def state(self, cookie: str) -> dict[str, Any] | None:
        """The state under a cookie, straight from the storage."""
        stored = await self.storage.inner.load(SessionKey(cookie))
        return None if stored is None else dict(stored.record.state)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Lab]:
        """The application, served on a free loopback port."""
        async with self._server, ClientSession(cookie_jar=DummyCookieJar()) as self._client:
            yield self


async def purge(session: Session) -> None:
    """Log out."""
    session.purge()


async def renew(session: Session) -> None:
    """Log in."""
    session.renew()
    session["user"] = "ferris"
