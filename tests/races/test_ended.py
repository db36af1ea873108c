"""What was ended stays ended (ASVS 7.4.1): whatever finishes late brings nothing back."""

from __future__ import annotations

import asyncio
import logging

import pytest

from aiohttp_sess import Session, SessionGone, StorageUnavailable

from .lab import GatedStorage, Lab, Work, purge, renew


async def write(session: Session) -> None:
    session["late"] = 1


async def write_in_place(session: Session) -> None:
    session["cart"].append("late")


async def compute(session: Session) -> None:
    session.update_value("n", lambda n: n + 1, default=1)


async def late_renew(session: Session) -> None:
    session.renew()
    session["late"] = 1


async def clear(session: Session) -> None:
    session.clear()


async def own(session: Session) -> None:
    session.owner = "late"


async def save_now(session: Session) -> None:
    session["late"] = 1
    with pytest.raises(SessionGone):
        await session.save()


async def save_in_vain_again(session: Session) -> None:
    await save_now(session)
    await save_now(session)


LATE: list[Work] = [
    write, write_in_place, compute, late_renew, clear, own, save_now, save_in_vain_again,
]  # fmt: skip


@pytest.mark.parametrize("ended_by", [purge, renew])
@pytest.mark.parametrize("late", LATE)
async def test_a_late_write_revives_nothing(
    lab: Lab, ended_by: Work, late: Work, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiohttp_sess")
    cookie = await lab.begin(n=1, cart=[])
    slow = await lab.slow(late, cookie)
    ended = await lab.request(ended_by, cookie)
    survivors = await lab.storage.live()
    caplog.clear()

    reply = await slow.go_on()

    assert reply.status == 200
    assert reply.cookie is None, "neither the old key nor an erasure"
    assert await lab.state(cookie) is None
    assert await lab.storage.live() == survivors
    assert len(survivors) == (1 if ended.cookie else 0)
    notes = [record for record in caplog.records if record.levelno == logging.INFO]
    assert len(notes) == 1
    assert "dropped" in notes[0].getMessage()
    assert cookie not in caplog.text


@pytest.mark.parametrize("ended_by", [purge, renew])
async def test_a_late_touch_revives_nothing(touching_lab: Lab, ended_by: Work) -> None:
    async def read(session: Session) -> None:
        session.get("n")

    cookie = await touching_lab.begin(n=1)
    slow = await touching_lab.slow(read, cookie)
    await touching_lab.request(ended_by, cookie)

    reply = await slow.go_on()

    assert reply.cookie is None
    assert await touching_lab.state(cookie) is None


@pytest.mark.parametrize("ended_by", [purge, renew])
@pytest.mark.parametrize("late", [write, save_now])
async def test_a_late_write_of_a_stream_revives_nothing(
    lab: Lab, ended_by: Work, late: Work
) -> None:
    cookie = await lab.begin(n=1)
    slow = await lab.slow(late, cookie, stream=True)
    await lab.request(ended_by, cookie)
    survivors = await lab.storage.live()

    await slow.go_on()

    assert await lab.state(cookie) is None
    assert await lab.storage.live() == survivors


async def test_a_handler_that_asks_learns_that_its_session_was_ended(lab: Lab) -> None:
    async def ask(session: Session) -> None:
        assert not await session.reload()
        session["late"] = 1
        with pytest.raises(SessionGone):
            await session.save()

    cookie = await lab.begin(n=1)
    slow = await lab.slow(ask, cookie)
    await lab.request(purge, cookie)
    assert (await slow.go_on()).status == 200
    assert await lab.storage.live() == []


@pytest.mark.parametrize("ended_by", [purge, renew])
async def test_a_late_purge_succeeds_and_sends_no_cookie(lab: Lab, ended_by: Work) -> None:
    """An erasure might take the cookie of the session that came next."""
    cookie = await lab.begin(n=1)
    slow = await lab.slow(purge, cookie)
    ended = await lab.request(ended_by, cookie)
    survivors = await lab.storage.live()
    reply = await slow.go_on()
    assert (reply.status, reply.cookies) == (200, [])
    assert await lab.storage.live() == survivors
    assert len(survivors) == (1 if ended.cookie else 0)


@pytest.mark.parametrize("explicit", [True, False])
async def test_a_purge_ends_every_session_that_the_request_brought(
    lab: Lab, explicit: bool
) -> None:
    async def log_out(session: Session) -> None:
        assert session["n"] == 1
        session.purge()
        if explicit:
            await session.save()

    first, second = await lab.begin(n=1), await lab.begin(n=2)
    assert (await lab.request(log_out, f"{first}; id={second}")).cookie == ""
    assert await lab.storage.live() == []


@pytest.mark.parametrize("call", ["save", "delete"])
async def test_of_two_renewals_at_once_one_survives(lab: Lab, call: str) -> None:
    """Never two, never none: at whichever step the first is overtaken by the second."""
    cookie = await lab.begin(n=1)
    gate = lab.storage.gate(call)
    first = asyncio.create_task(lab.request(renew, cookie))
    await gate.reached.wait()
    second = await lab.request(renew, cookie)
    gate.opened.set()

    replies = [await first, second]

    winners = [reply.cookie for reply in replies if reply.cookie]
    assert len(winners) == 1
    assert await lab.state(winners[0]) == {"n": 1, "user": "ferris"}
    assert await lab.state(cookie) is None
    assert len(await lab.storage.live()) == 1


async def test_a_purge_in_the_middle_of_a_renewal_ends_both(lab: Lab) -> None:
    cookie = await lab.begin(n=1)
    gate = lab.storage.gate("delete")
    renewal = asyncio.create_task(lab.request(renew, cookie))
    await gate.reached.wait()
    purged = await lab.request(purge, cookie)
    gate.opened.set()

    reply = await renewal

    assert purged.cookie == ""
    assert reply.cookie is None
    assert await lab.storage.live() == []


async def test_a_write_in_the_middle_of_a_renewal_is_carried_over(lab: Lab) -> None:
    cookie = await lab.begin(n=1)
    gate = lab.storage.gate("delete")
    renewal = asyncio.create_task(lab.request(renew, cookie))
    await gate.reached.wait()
    await lab.request(write, cookie)
    gate.opened.set()

    new = (await renewal).cookie

    assert new
    assert await lab.state(new) == {"n": 1, "user": "ferris", "late": 1}
    assert await lab.state(cookie) is None
    assert len(await lab.storage.live()) == 1


@pytest.mark.parametrize("call", ["save", "delete"])
async def test_a_storage_that_fails_in_a_renewal_leaves_the_old_session_unprivileged(
    lab: Lab, call: str
) -> None:
    """ASVS 7.2.4, also when the storage fails."""
    cookie = await lab.begin(n=1)
    lab.storage.gate(call, failure=StorageUnavailable("down")).opened.set()

    reply = await lab.request(renew, cookie)

    assert reply.status == 500
    assert reply.cookie is None
    assert await lab.state(cookie) == {"n": 1}
    assert await lab.storage.live() == [{"n": 1}]


async def test_a_record_left_over_by_a_crash_in_a_renewal_belongs_to_nobody(
    storage: GatedStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """The process dies between save and delete: the old session is intact, no cookie sent."""
    async with Lab(storage).running() as lab:
        cookie = await lab.begin(n=1)
        gate = storage.gate("delete", failure=StorageUnavailable("down"))
        renewal = asyncio.create_task(lab.request(renew, cookie))
        await gate.reached.wait()
        discard = storage.gate("delete", failure=StorageUnavailable("still down"))
        discard.opened.set()
        gate.opened.set()

        assert (await renewal).cookie is None
        assert await lab.state(cookie) == {"n": 1}
        assert "left over" in caplog.text


async def test_a_purge_that_comes_too_late_takes_back_the_key_of_an_earlier_save(lab: Lab) -> None:
    cookie = await lab.begin(n=1)

    async def work(session: Session) -> None:
        session["n"] = 2
        await session.save()
        await lab.request(purge, cookie)
        session.purge()

    assert (await lab.request(work, cookie)).cookies == []
