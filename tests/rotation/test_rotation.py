"""One request after the other: a key grows old, and its session gets another."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiohttp_sess import BrowserSession, PersistentSession, Session
from aiohttp_sess.storage import SessionKey

from ..races.lab import GatedStorage, Lab, Work, purge, renew
from . import AGE
from .rotating import RotatingLab, read, write
from .stepped import Stepped


async def test_a_young_key_is_kept_and_costs_nothing(lab: RotatingLab) -> None:
    cookie = await lab.begin(n=1)
    lab.clock.advance(AGE.total_seconds() - 1)
    lab.storage.calls.clear()
    assert (await lab.request(read, cookie)).cookies == []
    assert lab.storage.calls == ["load"]
    assert (await lab.request(write, cookie)).cookie == cookie
    assert lab.storage.calls == ["load", "load", "update"]


@pytest.mark.parametrize("work", [read, write])
async def test_an_old_key_gets_a_successor(lab: RotatingLab, work: Work) -> None:
    async def log_in(session: Session) -> None:
        session["n"], session.owner = 1, "ferris"

    cookie = (await lab.request(log_in)).cookie or ""
    before = await lab.stored(cookie)
    lab.clock.advance(AGE.total_seconds())
    now = lab.clock()
    lab.storage.calls.clear()

    new = (await lab.request(work, cookie)).cookie

    assert lab.storage.calls == ["load", "rotate"]
    assert new not in (None, "", cookie)
    after = await lab.stored(new or "")
    assert before is not None and after is not None
    for name in ("id", "created", "owner", "cookie", "deadline"):
        assert getattr(after.record, name) == getattr(before.record, name)
    assert (before.record.issued, after.record.issued) == (before.record.created, now)
    assert dict(after.record.state) == ({"n": 1} if work is read else {"n": 2, "late": 1})
    assert await lab.records() == 1
    # From here on it is young.
    assert (await lab.request(read, new or "")).cookies == []


@pytest.mark.parametrize("work", [read, write])
async def test_an_old_key_leads_to_the_session_until_the_grace_is_over(
    lab: RotatingLab, work: Work
) -> None:
    cookie = await lab.begin_old(n=1)
    new = (await lab.request(read, cookie)).cookie or ""
    for _ in range(2):
        assert (await lab.request(work, cookie)).cookie == new
    lab.clock.advance(lab.handle.rotation_grace - 0.01)
    assert (await lab.request(work, cookie)).cookie == new
    lab.clock.advance(0.02)

    async def find_nothing(session: Session) -> None:
        assert session.new and session.empty

    assert (await lab.request(find_nothing, cookie)).cookies == []
    fresh = (await lab.request(write, cookie)).cookie
    assert fresh not in (None, cookie, new)
    assert (await lab.state(new) or {})["n"] == (4 if work is write else 1)


async def test_the_grace_is_a_setting(lab: RotatingLab) -> None:
    assert lab.handle.rotation_grace == 30
    lab.handle.rotation_grace = 2.5
    cookie = await lab.begin_old(n=1)
    new = (await lab.request(read, cookie)).cookie
    lab.clock.advance(2.4)
    assert (await lab.request(read, cookie)).cookie == new
    lab.clock.advance(0.2)
    assert (await lab.request(read, cookie)).cookie is None
    for wrong in (0, 0.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="rotation_grace must be at least one second"):
            lab.handle.rotation_grace = wrong
    for nothing in (None, True, "30", timedelta(seconds=30)):
        with pytest.raises(TypeError, match="rotation_grace must be seconds"):
            lab.handle.rotation_grace = nothing  # type: ignore[assignment]


async def test_keys_follow_each_other(lab: RotatingLab) -> None:
    """As fast as they may: then a grace is over when the next begins."""
    lab.handle.rotation_grace = 10 * AGE.total_seconds()
    cookies = [await lab.begin(n=1)]
    for _ in range(5):
        lab.clock.advance(AGE.total_seconds())
        cookies.append((await lab.request(read, cookies[-1])).cookie or "")
    assert len(set(cookies)) == 6
    assert [await lab.state(cookie) for cookie in cookies] == [None] * 4 + [{"n": 1}] * 2


@pytest.mark.parametrize("ends", [purge, renew])
@pytest.mark.parametrize("by", ["old", "new"])
async def test_what_ends_the_session_ends_both_keys(lab: RotatingLab, ends: Work, by: str) -> None:
    cookie = await lab.begin_old(n=1)
    new = (await lab.request(read, cookie)).cookie or ""
    reply = await lab.request(ends, cookie if by == "old" else new)
    assert [await lab.state(key) for key in (cookie, new)] == [None, None]
    if ends is purge:
        assert reply.cookie == ""
        assert await lab.records() == 0
    else:
        assert reply.cookie not in (None, "", cookie, new)
        assert await lab.live_keys() == {reply.cookie}


@pytest.mark.parametrize("ends", [purge, renew])
async def test_a_request_that_ends_an_old_key_rotates_nothing(lab: RotatingLab, ends: Work) -> None:
    """A login leaves no grace at all."""
    cookie = await lab.begin_old(n=1)
    reply = await lab.request(ends, cookie)
    assert "rotate" not in lab.storage.calls
    assert await lab.state(cookie) is None
    assert await lab.records() == (1 if ends is renew else 0)
    if ends is renew:
        assert reply.cookie
        stored = await lab.stored(reply.cookie)
        assert stored is not None and stored.record.issued == lab.clock()
        assert (await lab.request(read, reply.cookie)).cookies == []


async def test_a_purge_ends_the_other_sessions_under_whatever_key(lab: RotatingLab) -> None:
    one, other = await lab.begin(n=1), await lab.begin(n=2)
    lab.clock.advance(AGE.total_seconds())
    for cookie in (one, other):
        await lab.request(read, cookie)
    await lab.request(purge, f"{one}; id={other}")
    assert await lab.records() == 0


async def test_a_purge_of_one_that_is_not_rotated_ends_others_that_are(lab: RotatingLab) -> None:
    async def keep_the_key(session: Session) -> None:
        session["n"], session.lifecycle = 1, BrowserSession()

    mine = (await lab.request(keep_the_key)).cookie or ""
    other = await lab.begin_old(n=2)
    new = (await lab.request(read, other)).cookie or ""
    assert new not in ("", other)
    await lab.request(purge, f"{mine}; id={other}")
    assert [await lab.state(cookie) for cookie in (mine, other, new)] == [None] * 3


async def test_a_session_may_rotate_on_its_own(lab: RotatingLab) -> None:
    hours = PersistentSession(timedelta(days=9), rotate_every=timedelta(hours=2))

    async def remember(session: Session) -> None:
        session["n"], session.lifecycle = 1, hours

    async def look(session: Session) -> None:
        assert session.lifecycle == hours

    async def stay(session: Session) -> None:
        session.lifecycle = BrowserSession()

    cookie = (await lab.request(remember)).cookie or ""
    lab.clock.advance(2 * 60 * 60 - 1)
    assert (await lab.request(look, cookie)).cookies == []
    lab.clock.advance(1)
    reply = await lab.request(look, cookie)
    assert reply.cookie not in (None, cookie)
    assert "Max-Age=777600" in reply.cookies[0]
    await lab.request(stay, reply.cookie or "")
    lab.clock.advance(2 * 60 * 60)
    assert (await lab.request(read, reply.cookie or "")).cookies == []


async def test_sessions_that_are_older_than_the_setting_are_rotated(lab: RotatingLab) -> None:
    """Nobody knows when their keys were issued, but when they began."""
    cookie = await lab.begin(n=1)
    stored = await lab.stored(cookie)
    assert stored is not None
    record = stored.record.__class__(
        stored.record.state, stored.record.created, cookie=stored.record.cookie
    )
    await lab.inner.update(stored.key, record, timedelta(days=1), revision=stored.revision)
    assert (await lab.request(read, cookie)).cookies == []
    lab.clock.advance(AGE.total_seconds())
    assert (await lab.request(read, cookie)).cookie not in (None, cookie)


async def test_after_the_headers_nothing_is_rotated(lab: RotatingLab) -> None:
    cookie = await lab.begin(n=1)
    slow = await lab.slow(write, cookie, stream=True)
    lab.clock.advance(AGE.total_seconds())
    assert (await slow.go_on()).cookies == []
    assert "rotate" not in lab.storage.calls
    assert await lab.state(cookie) == {"n": 2, "late": 1}
    assert (await lab.request_nothing(cookie, "/late")).cookies == []
    assert "rotate" not in lab.storage.calls
    assert await lab.state(cookie) == {"n": 3, "late": 1}
    # Before them, it is.
    assert (await lab.request(write, cookie, stream=True)).cookie not in (None, cookie)
    assert "rotate" in lab.storage.calls


async def test_a_request_that_does_not_ask_rotates_nothing(touching_lab: RotatingLab) -> None:
    lab = touching_lab
    cookie = await lab.begin_old(n=1)
    lab.storage.calls.clear()
    reply = await lab.request_nothing(cookie)
    assert reply.cookie in (None, cookie)
    assert "rotate" not in lab.storage.calls
    new = (await lab.request(read, cookie)).cookie or ""
    assert new not in ("", cookie)
    # But it tells of the new key.
    assert (await lab.request_nothing(cookie)).cookie == new


async def test_a_rotation_lets_the_ttl_start_anew(touching_lab: RotatingLab) -> None:
    lab = touching_lab
    cookie = await lab.begin_old(n=1)
    lab.storage.calls.clear()
    await lab.request(read, cookie)
    assert lab.storage.calls == ["load", "rotate"]
    # The old key is worth no more than its grace, also where it is read with a longer TTL.
    await lab.request(read, cookie)
    lab.clock.advance(lab.handle.rotation_grace)
    assert await lab.state(cookie) is None


async def test_a_refresh_finds_the_new_key(touching_lab: RotatingLab) -> None:
    lab = touching_lab
    cookie = await lab.begin(n=1)
    slow = await lab.slow(read, cookie)
    lab.clock.advance(AGE.total_seconds())
    new = (await lab.request(read, cookie)).cookie
    persistent = isinstance(lab.handle.lifecycle, PersistentSession)
    assert (await slow.go_on()).cookie == (new if persistent else None)


async def test_without_rotation_nothing_is_different(inner: Stepped) -> None:
    async with Lab(GatedStorage(inner)).running() as lab:
        cookie = await lab.begin(n=1)
        stored = await inner.load(SessionKey(cookie))
        assert stored is not None and stored.record.issued is None
        inner.steps.clear()
        assert (await lab.request(read, cookie)).cookies == []
        assert inner.steps == ["read"]
        assert (await lab.request(purge, cookie)).cookie == ""
        assert inner.steps == ["read", "read", "replace"], "a step each"


async def test_what_the_backend_holds_gives_nobody_a_key(lab: RotatingLab) -> None:
    cookie = await lab.begin_old(n=1)
    new = (await lab.request(write, cookie)).cookie or ""
    leak = b"".join(name.encode() + value for name, value in (await lab.inner.everything()).items())
    assert b"moved:" in leak
    for secret in (cookie, new):
        assert secret.encode() not in leak
    # And the salt alone is of no use to whoever has another key.
    assert await lab.state(SessionKey.generate().value) is None


async def test_a_lifecycle_of_its_own_rotates_from_when_it_was_set(inner: Stepped) -> None:
    """Who loaded the session before does not know of it, and has that long to be done."""

    async def rotate_from_now_on(session: Session) -> None:
        session.lifecycle = BrowserSession(rotate_every=AGE)

    async with RotatingLab(GatedStorage(inner), lifecycle=BrowserSession()).running() as lab:
        assert isinstance(lab, RotatingLab)
        cookie = await lab.begin(n=1)
        lab.clock.advance(2 * AGE.total_seconds())
        slow = await lab.slow(purge, cookie)
        await lab.request(rotate_from_now_on, cookie)
        lab.clock.advance(AGE.total_seconds() - 1)
        assert (await lab.request(write, cookie)).cookie == cookie
        assert (await slow.go_on()).cookie == ""
        assert await lab.records() == 0

        cookie = await lab.begin(n=1)
        await lab.request(rotate_from_now_on, cookie)
        lab.clock.advance(AGE.total_seconds())
        assert (await lab.request(read, cookie)).cookie not in (None, "", cookie)
