"""A storage that fails at any step of a rotation, before it is done or after."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest

from aiohttp_sess import PersistentSession, Session, SessionConflict, StorageUnavailable
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.storage.entry import HEAD_LENGTH, version_of

from ..races.lab import purge
from . import AGE
from .rotating import RotatingLab, read, write

STEPS = pytest.mark.parametrize(
    ("step", "after"), [("add", False), ("add", True), ("replace", False), ("replace", True)]
)


@STEPS
async def test_a_reader_is_answered_and_the_next_request_rotates(
    lab: RotatingLab, step: str, after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await lab.begin_old(n=1)
    lab.inner.fail(step, after=after)
    reply = await lab.request(read, cookie)
    assert (reply.status, reply.cookies) == (200, [])
    assert "keeps its key for now" in caplog.text
    assert cookie not in caplog.text
    new = (await lab.request(read, cookie)).cookie
    assert new not in (None, cookie)
    assert await lab.state(cookie) == await lab.state(new or "") == {"n": 1}
    # What is left over of the first attempt belongs to nobody: its key was never told.
    assert await lab.records() == (1 if (step, after) in [("add", False), ("replace", True)] else 2)


@STEPS
async def test_a_writer_is_told(lab: RotatingLab, step: str, after: bool) -> None:
    cookie = await lab.begin_old(n=1)
    lab.inner.fail(step, after=after)
    reply = await lab.request(write, cookie)
    assert (reply.status, reply.cookies) == (500, [])
    done = (step, after) == ("replace", True)
    assert await lab.state(cookie) == ({"n": 2, "late": 1} if done else {"n": 1})
    assert (await lab.request(write, cookie)).status == 200
    assert await lab.state(cookie) == {"n": 3 if done else 2, "late": 1}


@STEPS
async def test_a_writer_who_goes_on_has_written_once(
    lab: RotatingLab, step: str, after: bool
) -> None:
    async def insist(session: Session) -> None:
        session.update_value("n", lambda n: n + 1)
        with suppress(StorageUnavailable):
            await session.save()

    cookie = await lab.begin_old(n=1)
    lab.inner.fail(step, after=after)
    reply = await lab.request(insist, cookie)
    assert reply.status == 200
    assert reply.cookie not in (None, cookie)
    assert await lab.state(cookie) == await lab.state(reply.cookie or "") == {"n": 2}


async def test_a_reader_does_not_fail_where_its_successor_cannot_be_read(
    touching_lab: RotatingLab, caplog: pytest.LogCaptureFixture
) -> None:
    """Written by a later release, say. Nor does it tell the client of the key that it came with."""
    lab, backend = touching_lab, touching_lab.inner.inner
    cookie = await lab.begin(n=1)
    slow = await lab.slow(read, cookie)
    lab.clock.advance(AGE.total_seconds())
    new = (await lab.request(read, cookie)).cookie
    name = backend.name_of(SessionKey(new or ""))
    entry = await backend.read(name or "", None)
    assert name and entry is not None
    garbage = entry.value[:HEAD_LENGTH] + b"garbage"
    assert await backend.replace(name, garbage, 60, version_of(entry))
    reply = await slow.go_on()
    assert (reply.status, reply.cookies) == (200, [])
    persistent = isinstance(lab.handle.lifecycle, PersistentSession)
    assert ("its TTL does not start anew" in caplog.text) == persistent


@pytest.mark.parametrize("ending", [True, False])
async def test_what_cannot_be_cleared_away_is_left_to_nobody(
    lab: RotatingLab, ending: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await lab.begin_old(n=1)
    gate = lab.inner.hold("replace")
    rotating = asyncio.create_task(lab.request(write, cookie))
    await gate.reached.wait()
    other = await lab.request(purge if ending else write, cookie)
    lab.inner.fail("remove")
    gate.opened.set()
    reply = await rotating
    assert reply.status == 200
    assert "left over" in caplog.text
    assert reply.cookie == (None if ending else other.cookie)
    assert await lab.state(cookie) == (None if ending else {"n": 3, "late": 1})
    assert len(await lab.live_keys()) == (0 if ending else 1)


async def test_a_step_that_is_sent_again_recognises_itself(lab: RotatingLab) -> None:
    """As redis-py and others do after a dropped connection: done, and then refused."""
    inner, cookie = lab.inner, await lab.begin_old(n=1)
    add, replace = inner.inner.add, inner.inner.replace

    async def add_twice(*args: object) -> bool:
        await add(*args)  # type: ignore[arg-type]
        return await add(*args)  # type: ignore[arg-type]

    async def replace_twice(*args: object) -> bool:
        await replace(*args)  # type: ignore[arg-type]
        return await replace(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inner.inner, "add", add_twice)
        patch.setattr(inner.inner, "replace", replace_twice)
        reply = await lab.request(write, cookie)
    assert reply.cookie not in (None, cookie)
    assert await lab.state(reply.cookie or "") == {"n": 2, "late": 1}
    assert await lab.records() == 1


async def test_a_purge_is_stopped_by_no_writer(
    lab: RotatingLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up its caution, not the logout."""
    cookie = await lab.begin_old(n=1)
    delete = lab.storage.delete

    async def always_late(key: object, *, revision: object = None) -> bool:
        if revision is not None:
            raise SessionConflict("another was first")
        return await delete(key)  # type: ignore[arg-type]

    monkeypatch.setattr(lab.storage, "delete", always_late)
    lab.handle.conflict_timeout = 0.0
    reply = await lab.request(purge, cookie)
    assert (reply.status, reply.cookie) == (200, "")
    assert await lab.records() == 0


async def test_a_reader_does_not_mind_to_lose(
    lab: RotatingLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await lab.begin_old(n=1)

    async def always_late(*args: object, **options: object) -> None:
        raise SessionConflict("another was first")

    monkeypatch.setattr(lab.storage, "rotate", always_late)
    lab.handle.conflict_timeout = 0.0
    caplog.set_level(logging.WARNING, "aiohttp_sess")
    assert (await lab.request(read, cookie)).cookies == []
    assert (await lab.request(write, cookie)).status == 500
    assert lab.handle.conflicts == 1


@STEPS
async def test_cancelled_at_any_step(lab: RotatingLab, step: str, after: bool) -> None:
    """As at the end of the application: the session is there, under its old key or its new one."""
    cookie = await lab.begin_old(n=1)
    gate = lab.inner.hold(step, after=after)
    request = asyncio.create_task(lab.request(write, cookie))
    await gate.reached.wait()
    for task in tuple(lab.handle.commits._tasks):
        task.cancel()
    assert (await request).status == 500
    done = (step, after) == ("replace", True)
    assert await lab.state(cookie) == ({"n": 2, "late": 1} if done else {"n": 1})
    assert (await lab.request(write, cookie)).status == 200
    assert await lab.state(cookie) == {"n": 3 if done else 2, "late": 1}
