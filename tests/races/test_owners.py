"""All sessions of an owner end at once, whatever their requests are at (ASVS 7.4.2, 7.4.3)."""

from __future__ import annotations

import asyncio

import pytest

from aiohttp_sess import Session, SessionGone, end_sessions, sessions_of
from aiohttp_sess.storage import MemoryStorage, SessionKey

from .lab import GatedStorage, Lab, Work

OWNER = "user-42"


async def log_in(session: Session) -> None:
    session.renew()
    session.owner = OWNER
    session["user"] = "ferris"


async def privilege(session: Session) -> None:
    session.renew()


async def write(session: Session) -> None:
    session["late"] = 1


async def in_place(session: Session) -> None:
    session["cart"].append("late")


async def take_over(session: Session) -> None:
    session.owner = "another"


async def let_go(session: Session) -> None:
    session.owner = None


async def own_again(session: Session) -> None:
    session.owner = None
    await session.save()
    session.owner = OWNER


async def save_now(session: Session) -> None:
    session["late"] = 1
    with pytest.raises(SessionGone):
        await session.save()


async def nothing(session: Session) -> None:
    session.get("n")


async def logged_in(lab: Lab, n: int = 1) -> list[str]:
    """Cookies of logins."""
    cookies = []
    for number in range(n):
        anonymous = await lab.begin(n=number, cart=[])
        cookie = (await lab.request(log_in, anonymous)).cookie
        assert cookie
        cookies.append(cookie)
    return cookies


async def over(lab: Lab, cookie: str) -> bool:
    """Whether a session is, for the storage."""
    return await lab.storage.inner.load(SessionKey(cookie)) is None


@pytest.mark.parametrize("late", [write, in_place, privilege, take_over, let_go, save_now])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_is_under_way_brings_nothing_back(
    lab: Lab, late: Work, stream: bool
) -> None:
    (cookie,) = await logged_in(lab)
    slow = await lab.slow(late, cookie, stream=stream)
    assert await end_sessions(lab.app, OWNER) in (1, None)
    assert await over(lab, cookie)

    reply = await slow.go_on()

    assert reply.cookies == [], "neither a key nor an erasure"
    assert await over(lab, cookie)
    assert await lab.storage.live() == []


async def test_a_late_touch_brings_nothing_back(touching_lab: Lab) -> None:
    (cookie,) = await logged_in(touching_lab)
    slow = await touching_lab.slow(nothing, cookie)
    await end_sessions(touching_lab.app, OWNER)

    assert (await slow.go_on()).cookies == []
    assert await over(touching_lab, cookie)


@pytest.mark.parametrize("call", ["save", "delete"])
async def test_a_renewal_that_is_under_way_does_not_slip_through(lab: Lab, call: str) -> None:
    """Before its new record is there, and after."""
    (cookie,) = await logged_in(lab)
    gate = lab.storage.gate(call)
    renewal = asyncio.create_task(lab.request(privilege, cookie))
    await gate.reached.wait()
    await end_sessions(lab.app, OWNER)
    gate.opened.set()

    assert (await renewal).cookies == []
    assert await lab.storage.live() == []


async def test_a_login_that_is_under_way_may_be_ended_or_not(lab: Lab) -> None:
    """And that is all: one that has a cookie works until it is ended."""
    anonymous = await lab.begin(n=1)
    gate = lab.storage.gate("delete")  # the last step of a login
    login = asyncio.create_task(lab.request(log_in, anonymous))
    await gate.reached.wait()
    await end_sessions(lab.app, OWNER)
    gate.opened.set()
    cookie = (await login).cookie
    assert cookie
    assert await over(lab, cookie)


async def test_a_login_after_the_call_is_a_session(lab: Lab) -> None:
    before = await logged_in(lab, 3)
    await end_sessions(lab.app, OWNER)
    (after,) = await logged_in(lab)
    assert [await over(lab, cookie) for cookie in before] == [True] * 3
    assert await lab.state(after) == {"n": 0, "cart": [], "user": "ferris"}


async def test_all_others(lab: Lab) -> None:
    """ASVS 7.4.3: after a new password, the session that set it goes on, renewed at once."""
    mine, *others = await logged_in(lab, 3)

    async def new_password(session: Session) -> None:
        session.renew()
        session["password"] = "new"
        assert await end_sessions(lab.app, OWNER, keep=session) in (2, None)

    cookie = (await lab.request(new_password, mine)).cookie
    assert cookie
    assert [await over(lab, other) for other in (mine, *others)] == [True] * 3
    state = await lab.state(cookie)
    assert state is not None and state["password"] == "new"
    assert (await lab.request(write, cookie)).cookie


async def test_nobody_else(lab: Lab) -> None:
    async def log_in_another(session: Session) -> None:
        session.renew()
        session.owner = "user-43"

    anonymous = await lab.begin(n=1)
    another = (await lab.request(log_in_another, await lab.begin(n=2))).cookie
    assert another
    await logged_in(lab, 2)
    await end_sessions(lab.app, OWNER)
    assert not await over(lab, anonymous)
    assert not await over(lab, another)


async def test_bound_websockets_close_at_once(lab: Lab) -> None:
    cookie, other = (await logged_in(lab))[0], await lab.begin(n=1)
    async with lab.socket(other, every=3600) as free:
        lab.bound.clear()
        async with lab.socket(cookie, every=3600) as socket, asyncio.timeout(10):
            await end_sessions(lab.app, OWNER)
            await socket.receive()
            assert socket.close_code == 1008
        assert not free.closed
    assert [binding.ended for binding in lab.bindings] == [False, True]


async def test_an_owner_that_is_set_without_a_renewal(lab: Lab) -> None:
    async def own(session: Session) -> None:
        session.owner = OWNER

    cookie = await lab.begin(n=1)
    await lab.request(own, cookie)
    slow = await lab.slow(write, cookie)
    await end_sessions(lab.app, OWNER)
    assert (await slow.go_on()).cookies == []
    assert await over(lab, cookie)


async def test_renewals_all_the_while(lab: Lab) -> None:
    """Ten sessions that are renewed again and again, until they are over."""
    at_it = asyncio.Barrier(10 + 1)

    async def run(cookie: str) -> None:
        waits = True
        while True:
            renewed = (await lab.request(privilege, cookie)).cookie
            if renewed is None:
                return
            cookie = renewed
            if waits:
                await at_it.wait()
                waits = False

    cookies = await logged_in(lab, 10)
    running = [asyncio.create_task(run(cookie)) for cookie in cookies]
    async with asyncio.timeout(30):
        await at_it.wait()  # until each was renewed once
    assert not any(task.done() for task in running)
    async with asyncio.timeout(30):
        await end_sessions(lab.app, OWNER)
        await asyncio.gather(*running)
    assert await lab.storage.live() == []
    if lab.storage.lists_sessions:
        assert await sessions_of(lab.app, OWNER) == []


async def test_logins_go_on_while_others_end() -> None:
    """The call ends what was there before it, and comes to its end all the same."""
    async with Lab(GatedStorage(MemoryStorage())).running() as lab:
        before = await logged_in(lab, 3)
        ending = asyncio.create_task(end_sessions(lab.app, OWNER))
        await asyncio.sleep(0)  # it has read the index
        after = await lab.storage.inner.save(
            (await lab.storage.inner.sessions_of(OWNER, "id"))[0].record, lab.handle.lifecycle.ttl
        )
        assert await ending == 3
        assert [await over(lab, cookie) for cookie in before] == [True] * 3
        assert await lab.storage.inner.load(after.key) is not None


@pytest.mark.parametrize("renews", [True, False])
async def test_a_login_that_was_saved_early_and_ended_is_not_told(lab: Lab, renews: bool) -> None:
    """Or its cookie would overwrite that of the login after the one that ended all others."""
    cookie = await lab.begin(n=1) if renews else ""

    async def log_in_early(session: Session) -> None:
        if renews:
            session.renew()
        session.owner = OWNER
        await session.save()
        await end_sessions(lab.app, OWNER)  # by another request: the password was changed

    reply = await lab.request(log_in_early, cookie)
    assert (reply.status, reply.cookies) == (200, [])
