"""Losing a race again and again: how long it is tried, and what is waited in between."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref

import pytest

from aiohttp_sess import SessionConflict
from aiohttp_sess.changes import Changes
from aiohttp_sess.operations import Snapshot
from aiohttp_sess.race import until_it_wins
from aiohttp_sess.record import SessionRecord

SAVED = Changes(SessionRecord(), stored=True, clock=lambda: 0.0).snapshot()


class Rivals:
    """Others who are first the first ``wins`` times."""

    def __init__(self, wins: float) -> None:
        self.wins = wins
        self.attempts = 0

    async def attempt(self, saved: Snapshot) -> int:
        self.attempts += 1
        if self.attempts <= self.wins:
            raise SessionConflict("another was first")
        return self.attempts

    async def again(self, saved: Snapshot) -> Snapshot:
        return saved._replace(forces=saved.forces + 1)


async def test_pauses_are_random_and_their_bound_doubles_up_to_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounds: list[tuple[float, float]] = []
    pauses: list[float] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high / 2

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(random, "uniform", uniform)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    rivals = Rivals(wins=8)
    saved, answer = await until_it_wins(rivals.attempt, rivals.again, SAVED, 60)
    highest = [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1]
    assert bounds == [(0, bound) for bound in highest]
    assert pauses == [bound / 2 for bound in highest]
    assert (saved.forces, answer) == (8, 9)


async def test_who_wins_at_once_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        raise AssertionError("nothing was lost")

    monkeypatch.setattr(asyncio, "sleep", sleep)
    rivals = Rivals(wins=0)
    assert await until_it_wins(rivals.attempt, rivals.again, SAVED, 0) == (SAVED, 1)


async def test_patience_comes_to_an_end_that_says_how_to_have_more() -> None:
    rivals, now = Rivals(wins=float("inf")), asyncio.get_running_loop().time
    begun = now()
    with pytest.raises(SessionConflict, match=r"0\.02 seconds.*conflict_timeout") as gave_up:
        await until_it_wins(rivals.attempt, rivals.again, SAVED, 0.02)
    assert now() - begun >= 0.02
    assert rivals.attempts > 1
    assert isinstance(gave_up.value.__cause__, SessionConflict)


async def test_who_gives_up_leaves_nothing_to_collect() -> None:
    rivals = Rivals(wins=float("inf"))
    gc.collect()
    gc.disable()
    try:
        try:
            await until_it_wins(rivals.attempt, rivals.again, SAVED, 0)
        except SessionConflict as error:
            lost = weakref.ref(error.__cause__ or error)
        assert lost() is None
    finally:
        gc.enable()
