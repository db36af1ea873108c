"""A response whose session was saved early says nothing of it where it was ended since."""

from __future__ import annotations

import pytest

from aiohttp_sess import Session, StorageUnavailable

from .lab import Lab, Work, purge, renew


async def save(session: Session) -> None:
    session["n"] = 2
    await session.save()


async def save_and_fail(session: Session) -> None:
    await save(session)
    raise ZeroDivisionError


@pytest.mark.parametrize("ended_by", [purge, renew])
@pytest.mark.parametrize("work", [save, save_and_fail])
async def test_a_late_reply_carries_no_session_cookie(lab: Lab, work: Work, ended_by: Work) -> None:
    """It could take the cookie of the session that came next, that of a login say."""

    async def be_overtaken(session: Session) -> None:
        try:
            await work(session)
        finally:
            await lab.request(ended_by, cookie)
            survivors.extend(await lab.storage.live())

    survivors: list[object] = []
    cookie = await lab.begin(n=1)
    reply = await lab.request(be_overtaken, cookie)
    assert (reply.status, reply.cookies) == (500 if work is save_and_fail else 200, [])
    assert await lab.storage.live() == survivors


async def test_a_session_that_goes_on_keeps_the_cookie_of_an_early_save(lab: Lab) -> None:
    """Also where another request writes it, or nobody can say whether it goes on."""

    async def be_overtaken(session: Session) -> None:
        await save(session)
        await lab.request(save, cookie)

    async def lose_the_storage(session: Session) -> None:
        await save(session)
        lab.storage.gate("load", failure=StorageUnavailable("down")).opened.set()

    cookie = await lab.begin(n=1)
    assert (await lab.request(be_overtaken, cookie)).cookie == cookie
    assert (await lab.request(lose_the_storage, cookie)).cookie == cookie


async def test_only_an_early_save_is_looked_at_again(lab: Lab) -> None:
    async def write(session: Session) -> None:
        session["n"] = 2

    async def write_on(session: Session) -> None:
        await save(session)
        session["n"] = 3

    cookie = await lab.begin(n=1)
    lab.storage.calls.clear()
    await lab.request(write, cookie)
    assert lab.storage.calls == ["load", "update"]
    await lab.request(write_on, cookie)
    assert lab.storage.calls[2:] == ["load", "update", "update"]
    await lab.request(save, cookie)
    assert lab.storage.calls[5:] == ["load", "update", "load"]


async def test_nobody_else_can_end_a_session_whose_key_nobody_has_yet(lab: Lab) -> None:
    assert (await lab.request(save)).cookie
    assert lab.storage.calls == ["save"]
