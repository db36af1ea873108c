"""What other requests do between any two steps of a rotation."""

from __future__ import annotations

import asyncio

import pytest

from aiohttp_sess import BrowserSession, Session, TtlExtensionPolicy

from ..races.lab import GatedStorage, Reply, Work, purge, renew
from . import AGE
from .rotating import RotatingLab, read, write
from .stepped import Stepped

# Before the successor is saved; before the pointer takes the old place; before anybody knows.
STOPS = [("add", False), ("replace", False), ("replace", True)]
AT_EACH = pytest.mark.parametrize(("step", "after"), STOPS)
BY_EACH = pytest.mark.parametrize("work", [read, write])
# Whether the other request loaded the session when its key was young: it rotates nothing then.
LOADED_BEFORE = pytest.mark.parametrize("before", [True, False])
DONE: dict[Work, dict[str, int]] = {read: {"n": 1}, write: {"n": 2, "late": 1}}


async def change(session: Session) -> None:
    session["other"] = 1


async def reload(session: Session) -> None:
    assert await session.reload()
    assert session["n"] >= 1


async def reload_and_change(session: Session) -> None:
    await reload(session)
    session["other"] = 1


async def meanwhile(
    lab: RotatingLab, work: Work, step: str, after: bool, deed: Work, before: bool
) -> tuple[str, Reply, Reply]:
    """The old cookie, and what the rotating request and the other one got."""
    cookie = await lab.begin(n=1)
    slow = await lab.slow(deed, cookie) if before else None
    lab.clock.advance(AGE.total_seconds())
    gate = lab.inner.hold(step, after=after)
    rotating = asyncio.create_task(lab.request(work, cookie))
    await gate.reached.wait()
    other = await (lab.request(deed, cookie) if slow is None else slow.go_on())
    gate.opened.set()
    reply = await rotating
    assert (reply.status, other.status) == (200, 200)
    return cookie, reply, other


@AT_EACH
@BY_EACH
@LOADED_BEFORE
@pytest.mark.parametrize("deed", [change, read, reload, reload_and_change])
async def test_nothing_is_lost_and_there_is_one_successor(
    lab: RotatingLab, step: str, after: bool, work: Work, deed: Work, before: bool
) -> None:
    cookie, reply, other = await meanwhile(lab, work, step, after, deed, before)

    (new,) = await lab.live_keys()
    assert await lab.records() == 1, "nothing is left over"
    assert reply.cookie == new != cookie
    if not before:
        assert other.cookie == new
    else:
        # It may have had nothing to say, or have been first: its key leads to the session.
        assert other.cookie in (None, cookie, new)
    expected = DONE[work] | ({"other": 1} if "change" in deed.__name__ else {})
    assert await lab.state(new) == await lab.state(cookie) == expected


@AT_EACH
@BY_EACH
@LOADED_BEFORE
async def test_a_purge_leaves_nothing(
    lab: RotatingLab, step: str, after: bool, work: Work, before: bool
) -> None:
    cookie, reply, other = await meanwhile(lab, work, step, after, purge, before)
    assert await lab.records() == 0
    assert await lab.state(cookie) is None
    assert other.cookie == "", "it has ended it"
    if not after:
        assert reply.cookie is None
    # Whatever the response said that was on its way already: it leads to nothing.
    assert reply.cookie is None or await lab.state(reply.cookie) is None


@AT_EACH
@BY_EACH
@LOADED_BEFORE
async def test_a_renewal_leaves_its_own_key_alone(
    lab: RotatingLab, step: str, after: bool, work: Work, before: bool
) -> None:
    cookie, reply, other = await meanwhile(lab, work, step, after, renew, before)
    assert other.cookie not in (None, "", cookie)
    assert await lab.live_keys() == {other.cookie}
    assert await lab.records() == 1
    assert await lab.state(cookie) is None
    done = DONE[work] if after else {"n": 1}
    assert await lab.state(other.cookie or "") == {**done, "user": "ferris"}
    assert reply.cookie is None or (after and await lab.state(reply.cookie) is None)


@AT_EACH
@BY_EACH
async def test_a_refresh_is_of_the_session_under_its_new_key(
    touching_lab: RotatingLab, step: str, after: bool, work: Work
) -> None:
    lab = touching_lab
    cookie = await lab.begin_old(n=1)
    gate = lab.inner.hold(step, after=after)
    rotating = asyncio.create_task(lab.request(work, cookie))
    await gate.reached.wait()
    other = await lab.request_nothing(cookie)
    gate.opened.set()
    reply = await rotating
    (new,) = await lab.live_keys()
    assert (reply.status, other.status, reply.cookie) == (200, 200, new)
    assert other.cookie in ((new,) if after else (None, cookie))
    assert await lab.state(cookie) == DONE[work]


@pytest.mark.parametrize("ends", [purge, renew])
@pytest.mark.parametrize("step", ["delete", "save"])
async def test_a_rotation_in_the_middle_of_an_end(lab: RotatingLab, ends: Work, step: str) -> None:
    """The other way round: it is the purge or the renewal that is overtaken."""
    if (ends, step) == (purge, "save"):
        return
    cookie = await lab.begin_old(n=1)
    gate = lab.storage.gate(step)
    ending = asyncio.create_task(lab.request(ends, cookie))
    await gate.reached.wait()
    rotated = (await lab.request(write, cookie)).cookie or ""
    assert rotated not in ("", cookie)
    gate.opened.set()
    reply = await ending
    assert [await lab.state(key) for key in (cookie, rotated)] == [None, None]
    if ends is purge:
        assert (reply.cookie, await lab.records()) == ("", 0)
    else:
        assert await lab.live_keys() == {reply.cookie}
        assert await lab.state(reply.cookie or "") == {"n": 2, "late": 1, "user": "ferris"}
        assert await lab.records() == 1


async def test_a_renewed_key_is_young_also_where_it_was_overtaken(lab: RotatingLab) -> None:
    cookie = await lab.begin(n=1)
    slow = await lab.slow(change, cookie)
    lab.clock.advance(AGE.total_seconds())
    gate = lab.storage.gate("delete")
    renewing = asyncio.create_task(lab.request(renew, cookie))
    await gate.reached.wait()
    await slow.go_on()
    gate.opened.set()
    stored = await lab.stored((await renewing).cookie or "")
    assert stored is not None
    assert stored.record.state == {"n": 1, "other": 1, "user": "ferris"}
    assert stored.record.issued == lab.clock()


async def test_a_refresh_at_the_load_goes_by_the_sessions_own_lifecycle(inner: Stepped) -> None:
    """Which is known a moment later, when it may have another key already."""
    always = TtlExtensionPolicy.ON_EVERY_REQUEST
    lifecycle = BrowserSession(ttl_extension_policy=always, rotate_every=AGE)

    async def remember(session: Session) -> None:
        session["n"], session.lifecycle = 1, lifecycle

    default = BrowserSession(ttl_extension_policy=always)
    async with RotatingLab(GatedStorage(inner), lifecycle=default).running() as lab:
        cookie = (await lab.request(remember)).cookie or ""
        gate = lab.storage.gate("update_ttl")
        reading = asyncio.create_task(lab.request(write, cookie))
        await gate.reached.wait()
        assert isinstance(lab, RotatingLab)
        lab.clock.advance(AGE.total_seconds())
        new = (await lab.request(read, cookie)).cookie
        assert new not in (None, cookie)
        gate.opened.set()
        assert (await reading).cookie == new
        assert await lab.state(cookie) == {"n": 2, "late": 1}


@pytest.mark.parametrize("deed", [purge, renew, read])
async def test_the_way_may_end_while_one_follows_it(lab: RotatingLab, deed: Work) -> None:
    """Between the pointer and the record that it leads to."""
    lab.handle.rotation_grace = AGE.total_seconds()
    cookie = await lab.begin_old(n=1)
    new = (await lab.request(read, cookie)).cookie or ""
    lab.clock.advance(AGE.total_seconds() - 1)
    gate = lab.inner.hold("read", skip=1)
    following = asyncio.create_task(lab.request(write, cookie))
    await gate.reached.wait()
    lab.clock.advance(0 if deed is not read else 1)  # the next rotation is due by then
    other = await lab.request(deed, new)
    gate.opened.set()
    reply = await following
    assert reply.status == 200
    if deed is read:
        assert reply.cookie == other.cookie not in (cookie, new)
        assert await lab.state(other.cookie or "") == {"n": 2, "late": 1}
    else:
        assert reply.cookie not in (None, cookie, new, other.cookie)
        assert await lab.state(reply.cookie or "") == {"n": 1, "late": 1}


async def test_many_at_once(lab: RotatingLab) -> None:
    cookie = await lab.begin_old(n=0)

    async def count(session: Session) -> None:
        session.update_value("n", lambda n: n + 1)

    replies = await asyncio.gather(*(lab.request(count, cookie) for _ in range(16)))
    assert [reply.status for reply in replies] == [200] * 16
    (new,) = {reply.cookie for reply in replies}
    assert await lab.live_keys() == {new}
    assert await lab.records() == 1
    assert await lab.state(cookie) == {"n": 16}
