"""Commands that wait until they leave for a server, and when all are there who are about to come.

The requests that one exchange answers go on in one turn of the event loop, and so do those whose
bytes came meanwhile. If the next exchange left with the first command that they have, it would take
one or two, though most of its cost is the same for many.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

__all__ = ("PATIENCE", "Line", "Waiting")

C = TypeVar("C")

PATIENCE = 0.005
"""Seconds for which others are waited for: those who are about to come, and those under way."""
_LONGEST = 128  # commands in a batch

Waiting = tuple[C, asyncio.Future[object], float]
"""A command that has no reply yet, who waits for it, and until when, on the event loop's clock."""


class Line(list[Waiting[C]]):
    """Who waits to leave, the first first: a list, as each command asks how long it is.

    :param timeout: seconds that a command may take, waiting included.
    """

    __slots__ = ("_seen", "_timeout", "in_company")

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout
        self._seen = 0  # how many there were when it was last asked whether it grows
        self.in_company = False
        """Whether commands come together: those who left last did, or were followed by others."""

    def join(self, command: C, reply: asyncio.Future[object], now: float) -> float:
        """Wait, and be answered by ``reply`` until the time that is returned."""
        deadline = now + self._timeout
        self.append((command, reply, deadline))
        return deadline

    def is_growing(self, now: float) -> bool:
        """Whether somebody has come since this was last asked, so that the next turn of the event
        loop may bring more: ask once a turn. Never where commands come one by one, nor for long.
        """
        before, self._seen = self._seen, len(self)
        if not self.in_company or not before < self._seen < _LONGEST:
            return False
        _, _, deadline = self[0]
        return now < deadline - self._timeout + PATIENCE

    def leave(self) -> list[Waiting[C]]:
        """Those who leave now: as many as fit in a batch, without who has given up."""
        batch = [one for one in self[:_LONGEST] if not one[1].done()]
        del self[:_LONGEST]
        self._seen = 0
        self.in_company = len(batch) > 1
        return batch

    def clear(self) -> None:
        """Nobody waits any more."""
        super().clear()
        self._seen = 0
