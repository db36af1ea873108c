"""The end of an application: saves and receivers come to their end, then storages are closed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from .handle import SessionHandle

__all__ = ("run_until_cleanup",)

# How many running applications use a storage: nested ones may share it, and the last one closes it.
_RUNNING: Counter[int] = Counter()  # by their id()


async def run_until_cleanup(handles: Sequence[SessionHandle]) -> AsyncIterator[None]:
    """For ``cleanup_ctx`` of the application that has these handles."""
    storages = {id(handle.storage): handle.storage for handle in handles}.values()
    for storage in storages:
        _RUNNING[id(storage)] += 1
    for handle in handles:
        handle.events.freeze()
    yield
    under_way = [each for handle in handles for each in (handle.commits, handle.events)]
    await asyncio.gather(*(each.drain() for each in under_way))
    async with AsyncExitStack() as closing:  # all of them, also where one of them fails
        for storage in storages:
            _RUNNING[id(storage)] -= 1
            if not _RUNNING[id(storage)]:
                del _RUNNING[id(storage)]
                closing.push_async_callback(storage.close)
