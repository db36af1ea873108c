"""Parallel requests of one session lose nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from aiohttp_sess import BrowserSession, PersistentSession, Session

from .lab import Lab, Work, renew


def setting(name: str, value: object) -> Work:
    async def work(session: Session) -> None:
        session[name] = value

    return work


async def count(session: Session) -> None:
    session.update_value("n", lambda n: n + 1, default=1)


async def test_64_requests_set_64_names(lab: Lab) -> None:
    cookie = await lab.begin(start=True)
    slow = [await lab.slow(setting(f"name{i}", i), cookie) for i in range(64)]
    replies = await asyncio.gather(*(one.go_on() for one in slow))
    assert {reply.status for reply in replies} == {200}
    assert await lab.state(cookie) == {"start": True} | {f"name{i}": i for i in range(64)}


async def test_64_requests_count_to_64(lab: Lab) -> None:
    cookie = await lab.begin(start=True)
    slow = [await lab.slow(count, cookie) for _ in range(64)]
    replies = await asyncio.gather(*(one.go_on() for one in slow))
    assert {reply.status for reply in replies} == {200}
    assert await lab.state(cookie) == {"start": True, "n": 64}


async def overtaken(lab: Lab, first: Work, then: Work, **state: object) -> dict[str, object] | None:
    """The state after ``first`` loaded, ``then`` ran to its end, and ``first`` went on."""
    cookie = await lab.begin(**state)
    slow = await lab.slow(first, cookie)
    assert (await lab.request(then, cookie)).status == 200
    assert (await slow.go_on()).status == 200
    return await lab.state(cookie)


async def test_a_value_that_was_only_read_is_not_written_back(lab: Lab) -> None:
    async def read_one_write_another(session: Session) -> None:
        session["copy"] = session["cart"]["items"]

    async def fill(session: Session) -> None:
        session["cart"]["items"].append("pear")

    state = await overtaken(lab, read_one_write_another, fill, cart={"items": []})
    assert state == {"cart": {"items": ["pear"]}, "copy": []}


async def test_deletes_and_sets_of_different_names_both_count(lab: Lab) -> None:
    async def delete(session: Session) -> None:
        del session["a"]

    assert await overtaken(lab, delete, setting("b", 2), a=1) == {"b": 2}
    assert await overtaken(lab, setting("b", 2), delete, a=1) == {"b": 2}


async def test_a_clear_that_saves_later_clears_what_came_before(lab: Lab) -> None:
    async def clear(session: Session) -> None:
        session.clear()
        session["mine"] = 1

    assert await overtaken(lab, clear, setting("b", 2), a=1) == {"mine": 1}
    assert await overtaken(lab, setting("b", 2), clear, a=1) == {"mine": 1, "b": 2}


async def test_of_two_sets_of_one_name_the_later_save_wins(lab: Lab) -> None:
    assert await overtaken(lab, setting("a", "slow"), setting("a", "fast"), a=1) == {"a": "slow"}


async def test_a_change_in_place_is_a_set_of_its_name(lab: Lab) -> None:
    async def append(session: Session) -> None:
        session["cart"].append("slow")

    async def fill(session: Session) -> None:
        session["cart"].append("fast")
        session["other"] = 1

    assert await overtaken(lab, append, fill, cart=[]) == {"cart": ["slow"], "other": 1}


async def test_of_two_owners_and_lifecycles_the_later_save_wins(lab: Lab) -> None:
    long = PersistentSession(session_ttl=timedelta(days=30))
    seen: list[tuple[str | None, object]] = []

    async def be_slow(session: Session) -> None:
        session.owner = "slow"

    async def be_fast(session: Session) -> None:
        session.owner, session.lifecycle = "fast", long

    async def look(session: Session) -> None:
        seen.append((session.owner, session.lifecycle))

    cookie = await lab.begin(a=1)
    slow = await lab.slow(be_slow, cookie)
    await lab.request(be_fast, cookie)
    await slow.go_on()
    await lab.request(look, cookie)
    assert seen == [("slow", long)], "only what a request set itself is applied"
    assert seen[0][1] != BrowserSession()


async def test_a_renewal_does_its_operations_again_too(lab: Lab) -> None:
    cookie = await lab.begin(n=1)
    slow = await lab.slow(renew, cookie)
    await lab.request(count, cookie)
    new = (await slow.go_on()).cookie
    assert new
    assert await lab.state(new) == {"n": 2, "user": "ferris"}


async def test_a_renewal_carries_over_what_python_takes_for_equal(lab: Lab) -> None:
    cookie = await lab.begin(n=1)
    gate = lab.storage.gate("delete")
    renewal = asyncio.create_task(lab.request(renew, cookie))
    await gate.reached.wait()
    await lab.request(setting("n", True), cookie)
    gate.opened.set()
    new = (await renewal).cookie
    assert new
    state = await lab.state(new)
    assert state is not None and state["n"] is True


async def test_a_socket_that_saves_keeps_what_others_saved(lab: Lab) -> None:
    async def save_twice(session: Session) -> None:
        session.update_value("n", lambda n: n + 1)
        await session.save()
        session["late"] = session["n"]
        await session.save()

    cookie = await lab.begin(n=1)
    slow = await lab.slow(save_twice, cookie, stream=True)
    await lab.request(count, cookie)
    await slow.go_on()
    assert await lab.state(cookie) == {"n": 3, "late": 3}


async def test_a_request_that_never_wins_gives_up_in_time(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """The conflict is raised, logged and counted; nothing of the request is written."""
    lab.handle.conflict_timeout = 0.0
    cookie = await lab.begin(n=1)
    slow = await lab.slow(setting("lost", 1), cookie)
    await lab.request(count, cookie)
    reply = await slow.go_on()
    assert (reply.status, reply.cookie) == (500, None)
    assert await lab.state(cookie) == {"n": 2}
    assert lab.handle.conflicts == 1
    assert "others keep writing it" in caplog.text


async def test_without_a_race_a_read_is_one_call_and_a_change_two(lab: Lab) -> None:
    async def read(session: Session) -> None:
        session.get("n")

    cookie = await lab.begin(n=1)
    lab.storage.calls.clear()
    await lab.request(read, cookie)
    assert lab.storage.calls == ["load"]
    await lab.request(count, cookie)
    assert lab.storage.calls == ["load", "load", "update"]
