"""An owner has no session too many where sessions change their owners (ASVS 7.1.2)."""

from __future__ import annotations

import pytest

from aiohttp_sess import Session, SessionLimitPolicy, TooManySessions

from .lab import Lab
from .limiting import (
    OTHER,
    OWNER,
    REFUSE,
    cookie_of,
    disown,
    log_in,
    out_and_in_renewed,
    own,
    own_other,
    owners,
    write,
)
from .test_limit import ALL, inner, lab, logged_in, stopped

__all__ = ("inner", "lab")  # fixtures


@ALL
async def test_who_logs_out_and_in_again_in_one_request_is_the_latest(
    lab: Lab, policy: SessionLimitPolicy
) -> None:
    """Another login came in between, and did not count it."""
    others: list[str] = []

    async def out_in_between(session: Session) -> None:
        for owner in (OWNER, None):
            session.owner = owner
            await session.save()
        others.append(await cookie_of(lab, log_in, ""))
        session.owner = OWNER
        if policy is REFUSE:
            with pytest.raises(TooManySessions):
                await session.save()

    cookie = await lab.begin(n=1)
    assert (await lab.request(out_in_between, cookie)).status == 200
    expected = [None, OWNER] if policy is REFUSE else [OWNER, "over"]
    assert await owners(lab, cookie, *others) == expected


async def test_a_login_that_is_redone_after_a_logout_is_counted(lab: Lab) -> None:
    """The session was the owner's when it was loaded, so it was no login then."""
    cookie = await cookie_of(lab, own, await lab.begin(n=1))
    go_on, again = await stopped(lab, "save", out_and_in_renewed, cookie)
    await lab.request(disown, cookie)
    other = await cookie_of(lab, log_in, "")
    go_on.set()
    assert (await again).status == 500
    assert await owners(lab, cookie, other) == [None, OWNER]


async def test_two_owners_at_once_of_whom_the_later_is_refused(lab: Lab) -> None:
    """What is there again was not counted while it was another's."""
    first, other = await cookie_of(lab, log_in, ""), await cookie_of(lab, own_other, "")
    cookie = await lab.begin(n=1)
    go_on, login = await stopped(lab, "limit", own, cookie)
    go_on_too, later = await stopped(lab, "limit", own_other, cookie)
    go_on.set()
    assert (await login).status == 200, "it is not its owner's any more"
    go_on_too.set()
    assert (await later).status == 500
    assert await owners(lab, first, other, cookie) == [OWNER, OTHER, "over"]
    assert len(await logged_in(lab)) == len(await logged_in(lab, OTHER)) == 1


async def test_a_login_as_another_that_is_refused_leaves_the_owner(lab: Lab) -> None:
    other = await cookie_of(lab, own_other, "")
    cookie = await cookie_of(lab, own, await lab.begin(n=1))
    assert (await lab.request(own_other, cookie)).status == 500
    assert await owners(lab, other, cookie) == [OTHER, OWNER]


async def test_a_login_as_another_that_conflicts_leaves_the_owner_in_the_index(lab: Lab) -> None:
    """It was announced there, and not written: the session is still found, and counted."""
    cookie = await cookie_of(lab, own, await lab.begin(n=1))
    go_on, late = await stopped(lab, "update", own_other, cookie)
    await lab.request(write, cookie)
    load = lab.storage.gate("load")  # for another attempt
    go_on.set()
    await load.reached.wait()
    assert len(await logged_in(lab)) == 1
    assert (await lab.request(own, await lab.begin(n=2))).status == 500
    load.opened.set()
    assert (await late).status == 200
    assert await owners(lab, cookie) == [OTHER]
    assert await logged_in(lab) == []


async def test_a_logout_before_it_is_counted(lab: Lab) -> None:
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    go_on, login = await stopped(lab, "limit", own, cookie)
    await lab.request(disown, cookie)
    go_on.set()
    assert (await login).status == 200
    assert await owners(lab, first, cookie) == [OWNER, None]
