"""Losing a race, and trying again.

Of two requests that write one session at once, the storage lets one win (compare-and-set on the
revision). The other takes the latest record, does its own operations again on that, and tries
again. No lock is held anywhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import SessionConflict

__all__ = ("once", "until_it_wins")

S = TypeVar("S")
T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1  # seconds


async def once(
    attempt: Callable[[S], Awaitable[T]],
    again: Callable[[S], Awaitable[S]],
    saved: S,
) -> tuple[S, T | None]:
    """The same for a TTL that is to start anew, as it does with any write: where another request
    was first, there is nothing left to be written. None is answered then.

    See `until_it_wins` for the parameters.
    """
    try:
        return saved, await attempt(saved)
    except SessionConflict:
        return await again(saved), None


async def until_it_wins(
    attempt: Callable[[S], Awaitable[T]],
    again: Callable[[S], Awaitable[S]],
    saved: S,
    patience: float,
    *,
    lost: SessionConflict | None = None,
) -> tuple[S, T]:
    """What was saved in the end, and what the attempt that did it answered.

    :param attempt: saves it, or raises SessionConflict.
    :param again: what it is on the latest record.
    :param saved: what is to be saved, or ended.
    :param patience: seconds from the first conflict on.
    :param lost: the one that the first attempt met with, where that was before the call.
    :raises SessionConflict: where others were first for so long.
    """
    give_up, pause = None, _FIRST_PAUSE
    try:
        while True:
            if lost is None:
                try:
                    return saved, await attempt(saved)
                except SessionConflict as conflict:
                    lost = conflict
            now = asyncio.get_running_loop().time()
            give_up = now + patience if give_up is None else give_up
            if now >= give_up:
                raise SessionConflict(
                    f"other requests kept writing the session for {patience} seconds, so nothing "
                    "was saved: write it less often, or raise conflict_timeout of what setup() "
                    "returned"
                ) from lost
            lost = None
            # Random, so that those who collided do not meet again.
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, _LONGEST_PAUSE)
            saved = await again(saved)
    finally:
        lost = None  # its traceback has this frame
