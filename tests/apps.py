"""Small applications for the tests, and a storage that counts, waits and fails as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiohttp_sess import (
    SessionHandle,
    SessionRecord,
    StorageUnavailable,
    StoredRecord,
    get_session,
    setup,
)
from aiohttp_sess.storage import (
    AbstractStorage,
    CookieStorage,
    MemoryStorage,
    SessionKey,
)
from aiohttp_sess.testing import FakeClock

SECRET = "a secret key for tests, of more than 32 bytes"
OTHER_SECRET = "another secret key, which is not the first one"
HANDLE = web.AppKey("handle", SessionHandle)


class Gate:
    """A place in a storage call where it waits: the test sees it arrive, and lets it pass."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.left = asyncio.Event()

    async def pass_through(self) -> None:
        """Wait here until the gate is opened, or the call cancelled."""
        self.reached.set()
        try:
            await self.opened.wait()
        finally:
            self.left.set()


class Recorded(AbstractStorage):
    """Counts the calls of another storage; holds them at gates, and fails where it is told to.

    ``calls`` are the names of the methods in their order, ``done`` in that of their ends, ``keys``
    all session keys it has seen, ``down`` the methods that fail, ``ending`` those that find their
    session ended by then.

    :param inner: the storage that does the work.
    :param clock: its clock.
    """

    clock: FakeClock
    rotates_keys: bool  # type: ignore[misc]  # that of the storage inside

    def __init__(self, inner: AbstractStorage, clock: FakeClock) -> None:
        self.inner = inner
        self.rotates_keys = inner.rotates_keys
        self.clock = clock
        self.calls: list[str] = []
        self.done: list[str] = []
        self.keys: set[str] = set()
        self.gates: dict[str, Gate] = {}
        self.down: set[str] = set()
        self.ending: set[str] = set()
        self._over = asyncio.Event()

    def forget(self) -> None:
        """Start counting anew."""
        self.calls.clear()
        self.done.clear()

    def hold(self, name: str) -> Gate:
        """Hold the calls of a method from now on, until the gate is opened."""
        gate = self.gates[name] = Gate()
        return gate

    async def next_call(self) -> None:
        """Wait until another call comes to its end, or fails."""
        self._over.clear()
        await self._over.wait()

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        async with self._call("load", key):
            stored = await self.inner.load(key, ttl=ttl)
            if stored is not None:
                self.keys.add(stored.key.value)
            return stored

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        async with self._call("save"):
            stored = await self.inner.save(record, ttl)
            self.keys.add(stored.key.value)
            return stored

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        async with self._call("update", key):
            stored = await self.inner.update(key, record, ttl, revision=revision)
            self.keys.add(stored.key.value)
            return stored

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        async with self._call("update_ttl", key):
            return await self.inner.update_ttl(key, ttl)

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        async with self._call("delete", key):
            return await self.inner.delete(key, revision=revision)

    async def rotate(
        self,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        *,
        revision: object,
        grace: timedelta,
    ) -> StoredRecord:
        async with self._call("rotate", key):
            stored = await self.inner.rotate(key, record, ttl, revision=revision, grace=grace)
            self.keys.add(stored.key.value)
            return stored

    async def end(self, stored: StoredRecord) -> bool:
        async with self._call("delete", stored.key):
            return await self.inner.end(stored)

    def includes(self, revision: object, written: object) -> bool:
        return self.inner.includes(revision, written)

    async def close(self) -> None:
        async with self._call("close"):
            await self.inner.close()

    @asynccontextmanager
    async def _call(self, name: str, key: SessionKey | None = None) -> AsyncIterator[None]:
        self.calls.append(name)
        if key is not None:
            self.keys.add(key.value)
        if name in self.gates:
            await self.gates[name].pass_through()
        if key is not None and name in self.ending:
            await self.inner.delete(key)
        self._over.set()
        if name in self.down:
            raise StorageUnavailable(f"the backend did not answer to {name}") from (
                ConnectionRefusedError("the cause")
            )
        yield
        self.done.append(name)


class RecordedCookie(Recorded):
    """The same around a storage that keeps everything in the cookie."""

    server_side: ClassVar[bool] = False


def memory() -> Recorded:
    """A recorded `MemoryStorage`."""
    clock = FakeClock()
    return Recorded(MemoryStorage(clock=clock), clock)


def cookie() -> Recorded:
    """A recorded `CookieStorage`."""
    clock = FakeClock()
    return RecordedCookie(CookieStorage(clock=clock), clock)


def records(storage: Recorded) -> int:
    """How many records a recorded `MemoryStorage` holds."""
    assert isinstance(storage.inner, MemoryStorage)
    return len(storage.inner)


async def states(storage: Recorded) -> list[object]:
    """The states of all sessions that were ever in a storage and can still be loaded."""
    found = [await storage.inner.load(SessionKey(key)) for key in sorted(storage.keys)]
    return [dict(stored.record.state) for stored in found if stored is not None]


async def untouched(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def read(request: web.Request) -> web.Response:
    session = await get_session(request)
    return web.json_response(dict(session))


async def write(request: web.Request) -> web.Response:
    """Count in ``n``, and set whatever the query says."""
    session = await get_session(request)
    session["n"] = session.get("n", 0) + 1
    session.update(request.query)
    return web.json_response(dict(session))


async def renew(request: web.Request) -> web.Response:
    (await get_session(request)).renew()
    return web.Response()


async def purge(request: web.Request) -> web.Response:
    (await get_session(request)).purge()
    return web.Response()


async def crash(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["n"] = "never saved"
    raise ZeroDivisionError


def application(
    storage: AbstractStorage,
    routes: Mapping[str, Handler] | None = None,
    *,
    outer: Sequence[Middleware] = (),
    **options: Any,
) -> web.Application:
    """An application with a session, and a handler for each thing that can be done to it.

    :param routes: handlers by path, besides those.
    :param outer: middlewares around the session's.
    :param options: for `setup`; a storage in the cookie gets a secret key.
    """
    app = web.Application(middlewares=outer)
    if not storage.server_side:
        options.setdefault("secret_key", SECRET)
    app[HANDLE] = setup(app, storage, **options)
    every = {
        "/": untouched,
        "/read": read,
        "/write": write,
        "/renew": renew,
        "/purge": purge,
        "/crash": crash,
        **(routes or {}),
    }
    for path, handler in every.items():
        app.router.add_route("*", path, handler)
    return app
