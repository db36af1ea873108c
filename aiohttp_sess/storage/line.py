"""Commands that wait until they leave for a server, and when all are there who are about to come.

The requests that one exchange answers go on in one turn of the event loop, and so do those whose
bytes came meanwhile. If the next exchange left with the first command that they have, it would take
one or two, though most of its cost is the same for many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ("PATIENCE", "Line", "Waiting")

C = TypeVar("C")

PATIENCE = 0.005
"""Seconds for which others are waited for: those who are about to come, and those under way."""
_LONGEST = 128  # commands in a batch

Waiting = tuple[C, asyncio.Future[object], float]
"""A command that has no reply yet, who waits for it, and until when, on the event loop's clock."""


class Line(Generic[C]):
    """Who waits to leave, the first first.

    :param timeout: seconds that a command may take, waiting included.
    """

    __slots__ = ("_seen", "_timeout", "_waiting", "in_company")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._waiting: list[Waiting[C]] = []
        self._seen = 0  # how many there were when it was last asked whether it grows
        self.in_company = False
        """Whether commands come together: those who left last did, or were followed by others."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting[C]]:
        return iter(self._waiting)

    def join(self, command: C, reply: asyncio.Future[object], now: float) -> float:
        """Wait, and be answered by ``reply`` until the time that is returned."""
        deadline = now + self._timeout
        self._waiting.append((command, reply, deadline))
        return deadline

    def is_growing(self, now: float) -> bool:
        """Whether somebody has come since this was last asked, so that the next turn of the event
        loop may bring more: ask once a turn. Never where commands come one by one, nor for long.
        """
        before, self._seen = self._seen, len(self._waiting)
        if not self.in_company or not before < self._seen < _LONGEST:
            return False
        _, _, deadline = self._waiting[0]
        return now < deadline - self._timeout + PATIENCE

    def leave(self) -> list[Waiting[C]]:
        """Those who leave now: as many as fit in a batch, without who has given up."""
        batch, self._waiting = self._waiting[:_LONGEST], self._waiting[_LONGEST:]
        self._seen = 0
        batch = [one for one in batch if not one[1].done()]
        self.in_company = len(batch) > 1
        return batch

    def clear(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()
        self._seen = 0
