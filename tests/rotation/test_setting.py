"""Which storages can rotate keys, and what those do that cannot."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    Lifecycle,
    PersistentSession,
    Session,
    SessionRecord,
    TtlExtensionPolicy,
    get_session,
    setup,
)
from aiohttp_sess.lifetime import lifecycle_of, lifetime_of
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage, SessionKey

from ..apps import SECRET, Recorded, application, memory
from ..browser import serve
from . import AGE

ROTATES: list[Lifecycle] = [BrowserSession(rotate_every=AGE), PersistentSession(rotate_every=AGE)]
EVERY_REQUEST = TtlExtensionPolicy.ON_EVERY_REQUEST
MESSAGE = "rotate_every asks for a storage .* MemoryStorage, RedisStorage, MemcachedStorage"


def without() -> Recorded:
    """A storage of somebody's own, who never heard of it."""
    storage = memory()
    storage.rotates_keys = AbstractStorage.rotates_keys
    return storage


def revocable() -> CookieStorage:
    """It ends sessions, but keeps no records that could move."""
    return CookieStorage(revocations=MemoryStorage())


@pytest.mark.parametrize("lifecycle", ROTATES)
@pytest.mark.parametrize("make", [CookieStorage, revocable, without])
def test_setup_refuses_a_storage_that_cannot(lifecycle: Lifecycle, make: type) -> None:
    app = web.Application()
    with pytest.raises(ValueError, match=MESSAGE):
        setup(app, make(), secret_key=SECRET, lifecycle=lifecycle)
    assert not app.middlewares
    setup(app, make(), secret_key=SECRET)


@pytest.mark.parametrize("lifecycle", ROTATES)
def test_setup_takes_one_that_can(lifecycle: Lifecycle) -> None:
    setup(web.Application(), MemoryStorage(), lifecycle=lifecycle)


@pytest.mark.parametrize("lifecycle", ROTATES)
async def test_a_session_refuses_a_lifecycle_that_its_storage_cannot_keep(
    lifecycle: Lifecycle,
) -> None:
    async def remember(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = 1
        with pytest.raises(ValueError, match=MESSAGE):
            session.lifecycle = lifecycle
        session.lifecycle = BrowserSession()
        return web.Response()

    async with serve(application(without(), {"/remember": remember})) as server:
        assert (await server.get("/remember")).status == 200
    session = Session()
    session.lifecycle = lifecycle
    assert session.lifecycle == lifecycle


@pytest.mark.parametrize("lifecycle", [*ROTATES, BrowserSession(), PersistentSession()])
def test_a_record_keeps_it(lifecycle: Lifecycle) -> None:
    assert lifecycle_of(lifetime_of(lifecycle)) == lifecycle


async def test_a_storage_that_cannot_says_so() -> None:
    storage = CookieStorage()
    stored = await storage.save(SessionRecord(), AGE)
    with pytest.raises(NotImplementedError, match="CookieStorage cannot give a session another"):
        await storage.rotate(
            stored.key, stored.record, AGE, revision=None, grace=timedelta(seconds=30)
        )


async def test_a_storage_that_cannot_is_not_asked_to() -> None:
    """Also where a record says so, which another application wrote."""
    storage = without()
    record = SessionRecord({"n": 1}, storage.clock(), lifetime=lifetime_of(ROTATES[0]), cookie="id")
    stored = await storage.inner.save(record, timedelta(days=1))
    storage.clock.advance(AGE.total_seconds())
    async with serve(application(storage)) as server:
        answer = await server.get("/write", cookies={"id": stored.key.value})
        assert (answer.json, answer.cookie.value) == ({"n": 2}, stored.key.value)
        assert storage.calls == ["load", "update"]


async def test_records_of_a_time_when_keys_were_rotated_go_on_without() -> None:
    """The setting was taken back: its pointers still lead on, and a purge follows them."""
    storage = memory()
    async with serve(application(storage)) as server:
        await server.get("/write")
        old = SessionKey(server.cookies["id"])
        stored = await storage.inner.load(old)
        assert stored is not None
        record = SessionRecord({"n": 1}, storage.clock(), cookie="id", issued=storage.clock())
        new = await storage.inner.rotate(
            old, record, timedelta(days=1), revision=stored.revision, grace=AGE
        )
        answer = await server.get("/read", cookies={"id": old.value})
        assert (answer.json, answer.cookie.value) == ({"n": 1}, new.key.value)
        gate = storage.hold("delete")
        async with server.wire() as wire:
            wire.send("/purge", f"Cookie: id={new.key.value}")
            await gate.reached.wait()
            loaded = await storage.inner.load(new.key)
            assert loaded is not None
            last = await storage.inner.rotate(
                new.key, record, timedelta(days=1), revision=loaded.revision, grace=AGE
            )
            gate.opened.set()
            await wire.answer()
        for key in (old, new.key, last.key):
            assert await storage.inner.load(key) is None


@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
async def test_a_refresh_that_is_due_as_well_goes_along(kind: type[Lifecycle]) -> None:
    """With ``refresh_after``: one write, under the new key, that says when the TTL began."""
    lifecycle = kind(timedelta(days=1), EVERY_REQUEST, refresh_after=1 / 96, rotate_every=2 * AGE)
    storage = memory()
    async with serve(application(storage, lifecycle=lifecycle)) as server:
        first = (await server.get("/write")).cookie.value
        for due, calls in ((False, ["load", "update"]), (True, ["load", "rotate"])):
            storage.clock.advance(AGE.total_seconds())
            storage.forget()
            answer = await server.get("/read")
            assert storage.calls == calls
            assert (server.cookies["id"] != first) == due
        stored = await storage.inner.load(SessionKey(answer.cookie.value))
        assert stored is not None
        assert stored.record.issued == stored.record.refreshed == storage.clock()
