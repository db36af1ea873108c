"""When a batch leaves: with all who are about to come, and at once where nobody is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from aiohttp_sess.storage.batches import Batches
from aiohttp_sess.storage.line import PATIENCE, Line


class Noting(Batches[int]):
    """Echoes numbers, and notes which left together; those below zero, which left alone."""

    def __init__(self) -> None:
        super().__init__(timeout=30.0, exchanges=4)
        self.left: list[list[int]] = []

    async def exchange_one(self, command: int) -> int:
        self.left.append([-command])
        for _ in range(3):
            await asyncio.sleep(0)
        return command

    async def exchange(self, commands: Sequence[int]) -> list[int]:
        self.left.append(sorted(commands))
        await asyncio.sleep(0)
        return list(commands)

    async def later(self, turns: int, command: int) -> Any:
        """Ask after so many turns of the event loop."""
        for _ in range(turns):
            await asyncio.sleep(0)
        return await self.ask(command)


@pytest.fixture
async def company() -> Noting:
    """Commands that have just come in company."""
    noting = Noting()
    await asyncio.gather(*(noting.ask(n) for n in (1, 2, 3)))
    assert noting.left == [[-1], [2, 3]]
    noting.left.clear()
    return noting


async def test_where_commands_come_in_company_the_first_waits_for_the_others(
    company: Noting,
) -> None:
    assert await asyncio.gather(*(company.ask(n) for n in range(5))) == [0, 1, 2, 3, 4]
    assert company.left == [[0, 1, 2, 3, 4]]


async def test_they_wait_as_long_as_each_turn_brings_more(company: Noting) -> None:
    await asyncio.gather(*(company.later(n, n) for n in range(6)))
    assert company.left == [[0, 1, 2, 3, 4, 5]]
    company.left.clear()
    await asyncio.gather(*(company.later(n, n) for n in (0, 1, 9, 10)))
    assert company.left == [[0, 1], [9, 10]]


async def test_who_comes_by_himself_again_leaves_alone(company: Noting) -> None:
    for number in (1, 2, 3):
        assert await company.ask(number) == number
    assert company.left == [[1], [-2], [-3]]


async def test_who_followed_one_alone_waits_for_others_too(company: Noting) -> None:
    assert await company.ask(1) == 1
    await asyncio.gather(*(company.later(n, n) for n in (0, 1, 4, 5)))
    assert company.left == [[1], [0], [1, 4, 5]]


async def test_who_gave_up_is_no_company(company: Noting) -> None:
    staying, *leaving = (asyncio.ensure_future(company.ask(n)) for n in (1, 2, 3))
    await asyncio.sleep(0)
    for each in leaving:
        each.cancel()
    assert await staying == 1
    assert await company.ask(4) == 4
    assert company.left == [[1], [-4]]


async def test_who_waits_for_company_is_told_that_it_is_closed(company: Noting) -> None:
    asked = asyncio.ensure_future(company.ask(1))
    await asyncio.sleep(0)  # the end of the turn, when it would have left alone
    await company.close()
    with pytest.raises(ConnectionAbortedError):
        await asked
    assert await company.ask(2) == 2
    assert company.left == [[2]]


def in_line(line: Line[int], count: int, now: float = 100.0) -> None:
    loop = asyncio.get_running_loop()
    for number in range(count):
        assert line.join(number, loop.create_future(), now) == now + 30.0


async def test_it_grows_when_somebody_came_since_it_was_asked_last() -> None:
    line = Line[int](30.0)
    in_line(line, 2)
    assert not line.is_growing(100.0)  # they come one by one
    assert len(line.leave()) == 2
    in_line(line, 1)
    assert [line.is_growing(100.0) for _ in range(3)] == [True, False, False]
    in_line(line, 1)
    assert [line.is_growing(100.0) for _ in range(2)] == [True, False]
    assert len(line.leave()) == 2
    in_line(line, 1)
    assert line.is_growing(100.0)


async def test_nobody_waits_for_long() -> None:
    line = Line[int](30.0)
    in_line(line, 2)
    line.leave()
    in_line(line, 1, now=100.0)
    assert line.is_growing(100.0)
    in_line(line, 1, now=100.0 + PATIENCE / 2)
    assert line.is_growing(100.0 + PATIENCE / 2)
    in_line(line, 1, now=100.0 + PATIENCE)
    assert not line.is_growing(100.0 + PATIENCE)


async def test_a_batch_that_is_full_waits_for_nobody() -> None:
    line = Line[int](30.0)
    in_line(line, 300)
    assert len(line.leave()) == 128
    assert len(line) == 172
    assert not line.is_growing(100.0)
    assert len(line.leave()) == 128
    assert line.is_growing(100.0)
    assert len(line.leave()) == 44
    assert line.leave() == []
    assert not line.in_company
