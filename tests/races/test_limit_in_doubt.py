"""Logins without a renewal to which the storage did not answer are counted too (ASVS 7.1.2)."""

from __future__ import annotations

from contextlib import suppress

import pytest

from aiohttp_sess import Session, SessionLimitPolicy, StorageUnavailable, TooManySessions

from .lab import Lab
from .limiting import (
    OWNER,
    REFUSE,
    Stopping,
    cookie_of,
    log_in,
    own,
    owners,
    refuses_to_write_from,
    renew,
)
from .test_limit import inner, lab, logged_in

__all__ = ("inner", "lab")  # fixtures

ALL = pytest.mark.parametrize("policy", SessionLimitPolicy)
# Replies to the write of the login, and to what takes it back.
LOST = pytest.mark.parametrize("lost", [(1,), (1, 2)])


@ALL
@LOST
async def test_a_login_that_was_done_is_counted_when_it_is_tried_again(
    lab: Lab, inner: Stopping, policy: SessionLimitPolicy, lost: tuple[int, ...]
) -> None:
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)

    async def twice(session: Session) -> None:
        inner.loses(*lost)
        session["n"] = 2
        session.owner = OWNER
        with pytest.raises(StorageUnavailable):
            await session.save()
        if policy is REFUSE:
            with pytest.raises(TooManySessions):
                await session.save()
            assert session.owner is None
            assert session["n"] == 1

    assert (await lab.request(twice, cookie)).status == 200
    expected = [OWNER, None] if policy is REFUSE else ["over", OWNER]
    assert await owners(lab, first, cookie) == expected
    assert len(await logged_in(lab)) == 1
    assert await lab.state(cookie) == {"n": 1 if policy is REFUSE else 2}


async def test_a_login_that_cannot_be_taken_back_is_counted_when_it_is_tried_again(
    lab: Lab, inner: Stopping
) -> None:
    """It was written, and taken back not at all."""
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)

    async def twice(session: Session) -> None:
        session.owner = OWNER
        with refuses_to_write_from(inner, 2), pytest.raises(StorageUnavailable):
            await session.save()
        assert len(await logged_in(lab)) == 2
        with pytest.raises(TooManySessions):
            await session.save()

    inner.loses(1)
    assert (await lab.request(twice, cookie)).status == 200
    assert await owners(lab, first, cookie) == [OWNER, None]


@pytest.mark.parametrize("ways", [1, 2])
async def test_a_login_that_cannot_be_counted_nor_taken_back(
    lab: Lab, inner: Stopping, ways: int
) -> None:
    """Be it counted at the next attempt, or at the one after that."""
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)

    async def again(session: Session) -> None:
        session.owner = OWNER
        for _ in range(ways):
            gate = lab.storage.gate("limit", failure=StorageUnavailable("down"))
            gate.opened.set()
            with refuses_to_write_from(inner, 2), pytest.raises(StorageUnavailable):
                await session.save()
        with pytest.raises(TooManySessions):
            await session.save()

    assert (await lab.request(again, cookie)).status == 200
    assert await owners(lab, first, cookie) == [OWNER, None]


async def test_a_login_in_doubt_that_a_parallel_request_renewed(lab: Lab, inner: Stopping) -> None:
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    new: list[str] = []

    async def twice(session: Session) -> None:
        session.owner = OWNER
        inner.loses(1)
        with refuses_to_write_from(inner, 2), pytest.raises(StorageUnavailable):
            await session.save()
        new.append(await cookie_of(lab, renew, cookie))
        with pytest.raises(TooManySessions):
            await session.save()

    assert (await lab.request(twice, cookie)).cookie is None
    assert await owners(lab, first, *new) == [OWNER, "over"]


async def test_a_login_that_nobody_tries_again_is_taken_back(lab: Lab, inner: Stopping) -> None:
    """Where the storage answers again."""
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    inner.loses(1)
    assert (await lab.request(own, cookie)).status == 500
    assert await owners(lab, first, cookie) == [OWNER, None]


@LOST
async def test_a_login_in_doubt_and_then_a_renewal(
    lab: Lab, inner: Stopping, lost: tuple[int, ...]
) -> None:
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)

    async def twice(session: Session) -> None:
        inner.loses(*lost)
        session.owner = OWNER
        with suppress(StorageUnavailable):
            await session.save()
        session.renew()

    assert (await lab.request(twice, cookie)).status == 500
    assert await owners(lab, first, cookie) == [OWNER, None]
