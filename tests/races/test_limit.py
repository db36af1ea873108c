"""An owner has no session too many, whatever happens to one while it logs in (ASVS 7.1.2).

A session that gets its owner without a renewal can be seen by other requests before it is counted.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from aiohttp_sess import SessionLimitPolicy, StorageUnavailable, sessions_of

from ..servers import RedisServer
from .lab import GatedStorage, Lab, Reply, Work
from .limiting import (
    OWNER,
    REFUSE,
    InMemory,
    InRedis,
    Stopping,
    cookie_of,
    log_in,
    out_and_in,
    out_and_in_renewed,
    own,
    owners,
    renew,
    write,
)

ALL = pytest.mark.parametrize("policy", SessionLimitPolicy)


@pytest.fixture(params=["memory", "redis"])
async def inner(
    request: pytest.FixtureRequest, redis_server: RedisServer
) -> AsyncIterator[Stopping]:
    storage: Stopping
    if request.param == "memory":
        storage = InMemory()
    else:
        storage = InRedis.from_url(redis_server.url, key_prefix=f"l-{secrets.token_hex(8)}:")
    storage.meanwhile = {}
    yield storage
    await storage.close()


@pytest.fixture
async def lab(request: pytest.FixtureRequest, inner: Stopping) -> AsyncIterator[Lab]:
    """One session for each owner."""
    policy = request.node.callspec.params.get("policy", REFUSE)
    lab = Lab(GatedStorage(inner), max_sessions_per_owner=1, session_limit_policy=policy)
    async with lab.running():
        yield lab


async def stopped(lab: Lab, call: str, work: Work, cookie: str) -> tuple[asyncio.Event, Task]:
    """A request that is about to make a call; what lets it go on."""
    gate = lab.storage.gate(call)
    task = asyncio.create_task(lab.request(work, cookie))
    await gate.reached.wait()
    return gate.opened, task


Task = asyncio.Task[Reply]


async def logged_in(lab: Lab, owner: str = OWNER) -> list[str]:
    """The public ids of an owner's sessions."""
    return [each.id for each in await sessions_of(lab.app, owner)]


@ALL
@pytest.mark.parametrize("times", [1, 2])
async def test_a_login_that_is_renewed_before_it_is_counted(
    lab: Lab, policy: SessionLimitPolicy, times: int
) -> None:
    """It is recognised under whatever key and public id."""
    first = await cookie_of(lab, log_in, "")
    cookie = new = await lab.begin(n=1)
    go_on, login = await stopped(lab, "limit", own, cookie)
    for _ in range(times):
        new = await cookie_of(lab, renew, new)
    go_on.set()
    reply = await login
    refused = policy is REFUSE
    assert (reply.status, len(reply.cookies)) == ((500, 0) if refused else (200, 1))
    expected = [OWNER, "over"] if refused else ["over", OWNER]
    assert await owners(lab, first, new) == expected
    assert len(await logged_in(lab)) == 1


@ALL
async def test_a_login_that_is_renewed_before_it_has_a_number(
    lab: Lab, inner: Stopping, policy: SessionLimitPolicy
) -> None:
    """It is written, and the index knows of it as announced."""
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    new: list[str] = []

    async def meanwhile() -> None:
        new.append(await cookie_of(lab, renew, cookie))

    inner.meanwhile["log_in"] = meanwhile
    reply = await lab.request(own, cookie)
    assert reply.status == (500 if policy is REFUSE else 200)
    expected = [OWNER, "over"] if policy is REFUSE else ["over", OWNER]
    assert await owners(lab, first, *new) == expected
    assert len(await logged_in(lab)) == 1


async def test_a_login_that_has_no_number_yet_does_not_count(lab: Lab, inner: Stopping) -> None:
    """Or both were refused: of two, the one with the later number is."""
    cookie, other = await lab.begin(n=1), await lab.begin(n=2)

    async def meanwhile() -> None:
        assert (await lab.request(own, other)).status == 200

    inner.meanwhile["log_in"] = meanwhile
    assert (await lab.request(own, cookie)).status == 500
    assert await owners(lab, cookie, other) == [None, OWNER]


async def test_a_renewal_that_a_refusal_overtakes_is_of_the_session_before(lab: Lab) -> None:
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    go_on, login = await stopped(lab, "limit", own, cookie)
    end_old, renewal = await stopped(lab, "delete", renew, cookie)
    go_on.set()
    assert (await login).status == 500
    end_old.set()
    new = (await renewal).cookie
    assert new
    assert await owners(lab, first, cookie, new) == [OWNER, "over", None]
    assert await lab.state(new) == {"n": 1}


@pytest.mark.parametrize("way", [out_and_in_renewed, out_and_in])
async def test_a_second_login_that_found_the_first_is_counted_when_that_is_refused(
    lab: Lab, way: Work
) -> None:
    """It was none, as long as the session was the owner's."""
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    go_on, login = await stopped(lab, "limit", own, cookie)
    call = "delete" if way is out_and_in_renewed else "update"
    second_goes_on, second = await stopped(lab, call, way, cookie)
    go_on.set()
    assert (await login).status == 500
    second_goes_on.set()
    assert (await second).status == 500
    assert await owners(lab, first, cookie) == [OWNER, None]
    assert len(await lab.storage.live()) == 2


async def test_a_renewal_that_finds_a_login_carries_it_on(lab: Lab) -> None:
    """It began before that, and ends the old record before that is counted."""
    first = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    end_old, renewal = await stopped(lab, "delete", renew, cookie)
    go_on, login = await stopped(lab, "limit", own, cookie)
    end_old.set()
    new = (await renewal).cookie
    assert new
    go_on.set()
    assert (await login).status == 500
    assert await owners(lab, first, cookie, new) == [OWNER, "over", "over"]


async def test_what_writes_all_the_while_does_not_save_a_refused_login(lab: Lab) -> None:
    await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    go_on, login = await stopped(lab, "limit", own, cookie)
    await lab.request(write, cookie)
    new = await cookie_of(lab, renew, cookie)
    await lab.request(write, new)
    go_on.set()
    assert (await login).status == 500
    assert await owners(lab, cookie, new) == ["over", "over"]


@ALL
async def test_logins_at_once_without_a_renewal(lab: Lab, policy: SessionLimitPolicy) -> None:
    """One is admitted; of those that end the oldest, the last stays."""
    cookies = [await lab.begin(n=n) for n in range(20)]
    replies = await asyncio.gather(*(lab.request(own, cookie) for cookie in cookies))
    assert len(await logged_in(lab)) == 1
    assert (await owners(lab, *cookies)).count(OWNER) == 1
    assert [reply.status for reply in replies].count(200) == (1 if policy is REFUSE else 20)


@pytest.mark.parametrize("policy", [SessionLimitPolicy.END_OLDEST])
async def test_a_renewal_that_is_too_late_ends_nobody(lab: Lab, policy: SessionLimitPolicy) -> None:
    """The other one, say of a double click, saved its record before, and so is the older login."""
    cookie = await lab.begin(n=1)
    go_on, first = await stopped(lab, "delete", log_in, cookie)
    second_goes_on, second = await stopped(lab, "delete", log_in, cookie)
    go_on.set()
    new = (await first).cookie
    assert new
    second_goes_on.set()
    assert not (await second).cookie
    assert await owners(lab, cookie, new) == ["over", OWNER]
    assert len(await logged_in(lab)) == 1


async def test_parallel_renewals_of_one_session_are_one_login(inner: Stopping) -> None:
    policy = SessionLimitPolicy.END_OLDEST
    lab = Lab(GatedStorage(inner), max_sessions_per_owner=3, session_limit_policy=policy)
    async with lab.running():
        others = [await cookie_of(lab, log_in, "") for _ in range(2)]
        cookie = await lab.begin(n=1)
        logins = [await stopped(lab, "delete", log_in, cookie) for _ in range(4)]
        for go_on, _ in logins:
            go_on.set()
        (new,) = [reply.cookie for _, login in logins if (reply := await login).cookie]
        assert await owners(lab, *others, new) == [OWNER] * 3
        assert len(await logged_in(lab)) == 3


@pytest.mark.parametrize("policy", [SessionLimitPolicy.END_OLDEST])
async def test_a_renewal_that_comes_after_the_one_that_won_ends_nobody(
    lab: Lab, policy: SessionLimitPolicy
) -> None:
    cookie = await lab.begin(n=1)
    go_on, too_late = await stopped(lab, "limit", log_in, cookie)
    new = await cookie_of(lab, log_in, cookie)
    go_on.set()
    assert not (await too_late).cookie
    assert await owners(lab, cookie, new) == ["over", OWNER]


@pytest.mark.parametrize("policy", [SessionLimitPolicy.END_OLDEST])
async def test_a_renewal_that_won_stands_where_it_cannot_be_counted(
    lab: Lab, policy: SessionLimitPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    old = await cookie_of(lab, log_in, "")
    cookie = await lab.begin(n=1)
    go_on, login = await stopped(lab, "delete", log_in, cookie)
    lab.storage.gate("limit", failure=StorageUnavailable("down")).opened.set()
    go_on.set()
    new = (await login).cookie
    assert new
    assert "its login is not counted yet" in caplog.text
    assert await owners(lab, old, new) == [OWNER, OWNER]
