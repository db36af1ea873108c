"""What one request does to its session, or learns of it, while something is still under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from aiohttp_sess import Session, SessionGone
from aiohttp_sess.storage import KeyedStorage, SessionKey

from .lab import Gate, Lab, Work, purge, renew


async def change(session: Session) -> None:
    session["n"] = 2


async def begin_anew(session: Session) -> None:
    session.purge()
    session["fresh"] = True


async def be_another(session: Session) -> None:
    session["other"] = 1


# A save that is under way, and what it waits for.
UnderWay = tuple[asyncio.Task[None], Gate]
When = Callable[[Lab, Session, str, str], Awaitable[UnderWay]]


async def begun(lab: Lab, session: Session, cookie: str, call: str) -> UnderWay:
    saving = asyncio.create_task(session.save())
    await asyncio.sleep(0)
    return saving, Gate()


async def storing(lab: Lab, session: Session, cookie: str, call: str) -> UnderWay:
    gate = lab.storage.gate(call)
    saving = asyncio.create_task(session.save())
    await gate.reached.wait()
    return saving, gate


async def lost(lab: Lab, session: Session, cookie: str, call: str) -> UnderWay:
    """Another request was first, and the latest record is about to be loaded."""
    saving, gate = await storing(lab, session, cookie, call)
    await lab.request(be_another, cookie)
    loading = lab.storage.gate("load")
    gate.opened.set()
    await loading.reached.wait()
    return saving, loading


Saving = tuple[Work, str]  # what is saved, and the call in which another can overtake it
ACTS: list[tuple[Work, dict[str, object] | None]] = [
    (purge, None),
    (begin_anew, {"fresh": True}),
    (renew, {"n": 2, "user": "ferris"}),
]


@pytest.mark.parametrize("when", [begun, storing, lost])
@pytest.mark.parametrize("saved", [(change, "update"), (renew, "delete")])
@pytest.mark.parametrize(("act", "left"), ACTS)
@pytest.mark.parametrize("explicit", [True, False])
async def test_an_end_that_comes_during_a_save_is_done_next(
    lab: Lab, when: When, saved: Saving, act: Work, left: dict[str, object] | None, explicit: bool
) -> None:
    async def work(session: Session) -> None:
        session["n"] = 2
        await saved[0](session)
        saving, waits_for = await when(lab, session, cookie, saved[1])
        await act(session)
        waits_for.opened.set()
        await saving
        if explicit:
            await session.save()

    cookie = await lab.begin(n=1)
    reply = await lab.request(work, cookie)
    if when is lost and act is renew:
        left = {"other": 1, **(left or {})}

    assert (reply.status, await lab.state(cookie)) == (200, None)
    assert await lab.storage.live() == ([] if left is None else [left])
    assert reply.cookie is not None
    assert await lab.state(reply.cookie or "none") == left


async def test_what_follows_a_save_that_was_given_up_on_is_not_saved_with_it(lab: Lab) -> None:
    """It goes on behind the handler, on the latest record."""
    limit = asyncio.timeout(None)

    async def lose_patience_and_fail(session: Session) -> None:
        session["n"] = 2
        with pytest.raises(TimeoutError):
            async with limit:
                await session.save()
        session["admin"] = True
        session.owner = "admin"
        raise ZeroDivisionError

    cookie = await lab.begin(n=1)
    storing = lab.storage.gate("update")
    request = asyncio.create_task(lab.request(lose_patience_and_fail, cookie))
    await storing.reached.wait()
    await lab.request(be_another, cookie)
    loading = lab.storage.gate("load")
    storing.opened.set()
    await loading.reached.wait()
    limit.reschedule(asyncio.get_running_loop().time())
    reply = await request
    loading.opened.set()
    await lab.handle.commits.drain()

    assert (reply.status, reply.cookie) == (500, None)
    stored = await lab.storage.inner.load(SessionKey(cookie))
    assert stored is not None
    assert (dict(stored.record.state), stored.record.owner) == ({"n": 2, "other": 1}, None)


async def test_a_purge_outdoes_a_reload_that_is_under_way(lab: Lab) -> None:
    async def purge_while_it_loads(session: Session) -> None:
        loading = lab.storage.gate("load")
        reloading = asyncio.create_task(session.reload())
        await loading.reached.wait()
        session.purge()
        loading.opened.set()
        assert not await reloading
        assert session.empty

    cookie = await lab.begin(n=1)
    reply = await lab.request(purge_while_it_loads, cookie)
    assert (reply.status, reply.cookie) == (200, "")
    assert await lab.storage.live() == []


async def learn_by_reload(session: Session) -> None:
    assert not await session.reload()


async def learn_by_save(session: Session) -> None:
    session["late"] = 1
    with pytest.raises(SessionGone):
        await session.save()


@pytest.mark.parametrize("ended_by", [purge, renew])
@pytest.mark.parametrize("learn", [learn_by_reload, learn_by_save])
async def test_what_is_left_of_an_ended_session_is_empty_and_its_changes_are_told_once(
    lab: Lab, learn: Work, ended_by: Work, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiohttp_sess")
    ids: list[str] = []

    async def log_in(session: Session) -> None:
        session["n"], session.owner = 1, "ferris"

    async def go_on(session: Session) -> None:
        assert session.owner == "ferris"
        ids.append(session.id)
        await learn(session)
        assert session.new and session.empty and session.owner is None
        session["later"] = 1

    cookie = (await lab.request(log_in)).cookie
    assert cookie
    slow = await lab.slow(go_on, cookie)
    await lab.request(ended_by, cookie)
    survivors = await lab.storage.live()
    caplog.clear()

    reply = await slow.go_on()

    assert (reply.status, reply.cookie) == (200, None)
    assert await lab.storage.live() == survivors
    (line,) = [record for record in caplog.records if record.name == "aiohttp_sess"]
    assert line.levelno == logging.INFO
    assert "are dropped" in line.getMessage()
    assert ids[0] in line.getMessage()


async def test_a_reader_of_an_ended_session_has_no_changes_to_drop(
    touching_lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """Although its TTL was to start anew."""
    caplog.set_level(logging.INFO, "aiohttp_sess")

    async def read(session: Session) -> None:
        assert session["n"] == [1]  # it is watched for changes

    cookie = await touching_lab.begin(n=[1])
    slow = await touching_lab.slow(read, cookie)
    await touching_lab.request(purge, cookie)
    caplog.clear()
    reply = await slow.go_on()
    assert (reply.status, reply.cookie) == (200, None)
    assert [record for record in caplog.records if record.name == "aiohttp_sess"] == []


async def test_a_refresh_finds_nothing_where_a_renewal_has_left_its_mark(
    touching_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old session is over as soon as the mark is in its place, before that is removed."""
    lab, inner = touching_lab, touching_lab.storage.inner
    assert isinstance(inner, KeyedStorage)
    gate, remove = Gate(), inner.remove

    async def remove_at_the_gate(name: str) -> bool:
        gate.reached.set()
        await gate.opened.wait()
        return await remove(name)

    async def read(session: Session) -> None:
        assert session["n"] == 1

    cookie = await lab.begin(n=1)
    slow = await lab.slow(read, cookie)
    monkeypatch.setattr(inner, "remove", remove_at_the_gate)
    renewal = asyncio.create_task(lab.request(renew, cookie))
    await gate.reached.wait()

    assert await inner.update_ttl(SessionKey(cookie), timedelta(hours=1)) is None
    reply = await slow.go_on()
    assert (reply.status, reply.cookie) == (200, None)

    gate.opened.set()
    new = (await renewal).cookie
    assert new
    assert await lab.state(new) == {"n": 1, "user": "ferris"}
    assert await lab.state(cookie) is None


async def test_a_reload_forgets_no_renewal(lab: Lab) -> None:
    async def work(session: Session) -> None:
        session.renew()
        session["forgotten"] = 1
        assert await session.reload()

    cookie = await lab.begin(n=1)
    reply = await lab.request(work, cookie)
    assert reply.cookie not in (None, cookie)
    assert await lab.state(cookie) is None
    assert await lab.state(reply.cookie or "") == {"n": 1}
