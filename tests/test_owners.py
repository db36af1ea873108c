"""Every session of a user: listed, ended, labelled, limited (ASVS 7.1.2, 7.4.2, 7.4.3, 7.5.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    CookieConfig,
    OwnedSession,
    PersistentSession,
    SecretKey,
    Session,
    SessionGone,
    StorageUnavailable,
    end_sessions,
    sessions_of,
    setup,
)
from aiohttp_sess.storage import CookieStorage, MemoryStorage, Version
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.testing import FakeClock
from demo.sqlite_storage import SqliteStorage

from .races.lab import GatedStorage, Lab

OWNER = "user-42"
NOW = 1_700_000_000.0


def lab_of(clock: FakeClock | None = None, **options: Any) -> Lab:
    return Lab(GatedStorage(MemoryStorage(clock=clock or FakeClock(NOW))), **options)


async def log_in(session: Session) -> None:
    session.renew()
    session.owner = OWNER


async def own(session: Session) -> None:
    session.owner = OWNER


async def write(session: Session) -> None:
    session["n"] = 2


async def read(session: Session) -> None:
    session.get("n")


def time(after: float) -> datetime:
    return datetime.fromtimestamp(NOW + after, UTC)


async def new_login(lab: Lab) -> str:
    cookie = (await lab.request(log_in, await lab.begin(n=1))).cookie
    assert cookie
    return cookie


# -- listing --------------------------------------------------------------------------------------


async def test_what_is_listed() -> None:
    """ASVS 7.5.2."""
    clock = FakeClock(NOW)
    async with lab_of(clock).running() as lab:
        first = await new_login(lab)
        clock.advance(60)

        async def named(session: Session) -> None:
            await log_in(session)
            session.label = "Firefox on Linux"
            session["n"] = 1

        second = (await lab.request(named)).cookie or ""
        clock.advance(60)
        await lab.request(write, first)
        clock.advance(60)
        listed = []

        async def look(session: Session) -> None:
            listed.extend(await sessions_of(lab.app, OWNER, current=session))

        await lab.request(look, second)

    day = 24 * 3600
    one, two = listed
    assert one == OwnedSession(one.id, time(0), time(120), time(120 + day), None, False, time(0))
    assert two == OwnedSession(
        two.id, time(60), time(60), time(60 + day), "Firefox on Linux", True, time(60)
    )
    for cookie in (first, second):
        assert cookie not in repr(listed)


async def test_when_a_session_was_last_renewed() -> None:
    """ASVS 7.5.2: it may have begun long before the login."""
    clock = FakeClock(NOW)
    async with lab_of(clock).running() as lab:
        cookie = (await lab.request(own)).cookie or ""
        (only,) = await sessions_of(lab.app, OWNER)
        assert (only.created, only.authenticated) == (time(0), None)
        for moment in (60, 121):
            clock.advance(60)
            cookie = (await lab.request(log_in, cookie)).cookie or ""
            clock.advance(1)
            await lab.request(write, cookie)
            (only,) = await sessions_of(lab.app, OWNER)
            assert (only.created, only.authenticated) == (time(0), time(moment))


async def test_the_current_one_while_it_is_renewed() -> None:
    async with lab_of().running() as lab:
        cookie = await new_login(lab)

        async def look(session: Session) -> None:
            session.renew()
            (only,) = await sessions_of(lab.app, OWNER, current=session)
            assert only.current and only.id != session.id
            await session.save()
            (only,) = await sessions_of(lab.app, OWNER, current=session)
            assert only.current and only.id == session.id

        assert (await lab.request(look, cookie)).status == 200


async def test_a_lifetime_that_ends_is_what_is_told() -> None:
    """Of a TTL that is cut off at the end nobody knows when it began."""
    clock = FakeClock(NOW)
    async with lab_of(clock).running() as lab:

        async def short(session: Session) -> None:
            session.lifecycle = PersistentSession(
                timedelta(hours=2), max_lifetime=timedelta(hours=3)
            )
            await log_in(session)

        cookie = (await lab.request(short)).cookie or ""
        (only,) = await sessions_of(lab.app, OWNER)
        assert (only.last_seen, only.expires) == (time(0), time(7200))
        clock.advance(7000)
        await lab.request(write, cookie)
        (only,) = await sessions_of(lab.app, OWNER)
        assert (only.last_seen, only.expires) == (None, time(10800))


async def test_a_lifetime_that_became_shorter() -> None:
    """ASVS 7.3.2: the next request of such a session will find that it is over."""
    clock = FakeClock(NOW)
    storage = MemoryStorage(clock=clock)
    async with Lab(GatedStorage(storage)).running() as lab:
        await new_login(lab)
    clock.advance(3600)
    app = web.Application()
    setup(app, storage, lifecycle=BrowserSession(max_lifetime=timedelta(hours=1)))
    assert await sessions_of(app, OWNER) == []


async def test_each_kind_of_session_has_its_own() -> None:
    app, storage = web.Application(), MemoryStorage()
    visitors = setup(app, storage)
    staff = setup(app, storage, cookie=CookieConfig("staff"))

    async with Lab(GatedStorage(storage)).running() as lab:
        await lab.request(own)  # a session under the name "id", like the visitors'
        assert len(await sessions_of(app, OWNER)) == 1
        assert await sessions_of(app, OWNER, handle=staff) == []
        assert await end_sessions(app, OWNER, handle=staff) == 0
        # In a sub-application, request.app is another: the handle says where.
        assert await end_sessions(web.Application(), OWNER, handle=visitors) == 1


# -- ending ---------------------------------------------------------------------------------------


async def test_single_sessions_end(caplog: pytest.LogCaptureFixture) -> None:
    """ASVS 7.5.2; and what a form sends as an id of another user's ends nothing."""
    async with lab_of().running() as lab:
        first, second = await new_login(lab), await new_login(lab)

        async def log_in_another(session: Session) -> None:
            session.owner = "another"

        another = (await lab.request(log_in_another)).cookie or ""
        one, _ = await sessions_of(lab.app, OWNER)
        (theirs,) = await sessions_of(lab.app, "another")
        assert await end_sessions(lab.app, OWNER, ids=[one.id, theirs.id]) == 1
        assert await lab.state(first) is None
        assert await lab.state(second) == {"n": 1}
        assert await lab.state(another) == {}
    for cookie in (first, second, another):
        assert cookie not in caplog.text


@pytest.mark.parametrize("keep", [False, True])
async def test_a_session_that_ends_itself_with_the_others(keep: bool) -> None:
    async with lab_of().running() as lab:
        cookie = await new_login(lab)
        await new_login(lab)

        async def end(session: Session) -> None:
            session["n"] = 3
            assert await end_sessions(lab.app, OWNER, keep=session if keep else None) == 2 - keep
            if not keep:
                with pytest.raises(SessionGone):
                    await session.save()

        reply = await lab.request(end, cookie)
        assert (reply.status, reply.cookie) == (200, cookie if keep else None)
        assert await lab.state(cookie) == ({"n": 3} if keep else None)


# -- what cannot be -------------------------------------------------------------------------------


async def test_storages_that_cannot_name_those_that_can(tmp_path: Any) -> None:
    app = web.Application()
    setup(app, CookieStorage(), secret_key=SecretKey.generate())
    sqlite, memcached = SqliteStorage(tmp_path / "s"), MemcachedStorage.connect("localhost")
    handles = [
        setup(app, sqlite, cookie=CookieConfig("sqlite")),
        setup(app, memcached, cookie=CookieConfig("memcached")),
    ]
    for handle in (None, *handles):
        with pytest.raises(NotImplementedError, match=r"RedisStorage or MemoryStorage"):
            await sessions_of(app, OWNER, handle=handle)
    with pytest.raises(NotImplementedError, match=r"RedisStorage.*MemoryStorage"):
        await end_sessions(app, OWNER, handle=handles[0])
    with pytest.raises(NotImplementedError, match="MemcachedStorage ends all"):
        await end_sessions(app, OWNER, handle=handles[1], ids=["x"])
    with pytest.raises(ValueError, match="RedisStorage or MemoryStorage, not CookieStorage"):
        setup(
            app, CookieStorage(), secret_key=SecretKey.generate(),
            cookie=CookieConfig("c"), max_sessions_per_owner=1,
        )  # fmt: skip
    await sqlite.close()
    await memcached.close()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"owner": ""}, TypeError, "owner"),
        ({"owner": 42}, TypeError, "owner"),
        ({"app": "app"}, TypeError, "app"),
        ({"app": web.Application()}, RuntimeError, "setup"),
        ({"handle": "id"}, TypeError, "handle"),
        ({"keep": "id"}, TypeError, "keep must be a Session"),
        ({"ids": "id"}, TypeError, "ids"),
        ({"ids": 3}, TypeError, "ids"),
        ({"current": "id"}, TypeError, "current must be a Session"),
    ],
)
async def test_arguments_that_are_none(
    options: dict[str, Any], error: type[Exception], match: str
) -> None:
    app = web.Application()
    setup(app, MemoryStorage())
    given: dict[str, Any] = {"app": app, "owner": OWNER, **options}
    works: list[Callable[..., Any]] = [end_sessions, sessions_of]
    if {"keep", "ids"} & set(options):
        works.remove(sessions_of)
    if "current" in options:
        works.remove(end_sessions)
    for work in works:
        with pytest.raises(error, match=match):
            await work(given["app"], given["owner"], **{
                name: value for name, value in given.items() if name not in ("app", "owner")
            })  # fmt: skip


async def test_a_session_whose_rotation_broke_off_is_listed_once() -> None:
    class Breaks(MemoryStorage):
        async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
            raise StorageUnavailable("no answer")

    clock = FakeClock(NOW)
    storage = Breaks(clock=clock)
    lifecycle = BrowserSession(rotate_every=timedelta(hours=1))
    async with Lab(GatedStorage(storage), lifecycle=lifecycle).running() as lab:
        cookie = (await lab.request(log_in)).cookie
        assert cookie
        clock.advance(3600)
        assert (await lab.request(read, cookie)).status == 200
        assert len(storage) == 2
        assert len(await sessions_of(lab.app, OWNER)) == 1
