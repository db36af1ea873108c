"""The turns of one request: one at a time, in the order in which they were asked for."""

from __future__ import annotations

import asyncio

from aiohttp_sess.turns import Commits, Turns


class Line:
    """Tasks that wait for their turns."""

    def __init__(self) -> None:
        self.turns = Turns(Commits())
        self.had: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def wait(self, number: int) -> None:
        await self.turns.take()
        self.had.append(number)
        await asyncio.sleep(0)
        self.turns.leave()

    async def up(self, count: int) -> None:
        """All of them wait, as somebody else's turn it is."""
        assert self.turns.take_at_once()
        self.tasks = [asyncio.ensure_future(self.wait(number)) for number in range(count)]
        await asyncio.sleep(0)
        assert not self.turns.take_at_once()


async def test_each_has_its_turn_in_order() -> None:
    line = Line()
    await line.up(4)
    line.turns.leave()
    assert not line.turns.take_at_once(), "nobody comes in between"
    await asyncio.wait(line.tasks)
    assert line.had == [0, 1, 2, 3]
    assert line.turns.take_at_once()


async def test_who_is_cancelled_while_waiting_is_passed_over() -> None:
    line = Line()
    await line.up(4)
    for number in (0, 2):
        line.tasks[number].cancel()
    line.turns.leave()
    await asyncio.wait(line.tasks)
    assert line.had == [1, 3]
    assert line.turns.take_at_once()


async def test_who_is_cancelled_when_it_was_handed_over_hands_it_on() -> None:
    line = Line()
    await line.up(3)
    line.turns.leave()
    line.tasks[0].cancel()
    await asyncio.wait(line.tasks)
    assert line.had == [1, 2]
    assert line.turns.take_at_once()


async def test_what_goes_on_behind_a_request_has_its_turn_first() -> None:
    line, may_end = Line(), asyncio.Event()

    async def commit() -> None:
        await may_end.wait()

    assert line.turns.take_at_once()
    line.turns.go_on(commit())
    line.turns.leave()
    assert not line.turns.take_at_once()
    task = asyncio.ensure_future(line.wait(0))
    for _ in range(9):
        await asyncio.sleep(0)
    assert line.had == []
    may_end.set()
    await task
    assert line.had == [0]
