"""The end of an application: saves and receivers come to their end, then storages are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from .handle import SessionHandle
from .storage.interface import AbstractStorage

__all__ = ("run_until_cleanup",)

# The storages of each running application: nested ones may share one, and the last one closes it.
# It is no key of a dict: a user's own may be equal to another, or have no hash.
_RUNNING: list[list[AbstractStorage]] = []


async def run_until_cleanup(handles: Sequence[SessionHandle]) -> AsyncIterator[None]:
    """For ``cleanup_ctx`` of the application that has these handles."""
    storages: list[AbstractStorage] = []
    for handle in handles:
        if not _is_in(storages, handle.storage):
            storages.append(handle.storage)
    _RUNNING.append(storages)
    for handle in handles:
        handle.events.freeze()
    yield
    under_way = [each for handle in handles for each in (handle.commits, handle.events)]
    try:
        await asyncio.gather(*(each.drain() for each in under_way))
    finally:
        _RUNNING[:] = [each for each in _RUNNING if each is not storages]
    async with AsyncExitStack() as closing:  # all of them, also where one of them fails
        for storage in storages:
            if not any(_is_in(others, storage) for others in _RUNNING):
                closing.push_async_callback(storage.close)


def _is_in(storages: Sequence[AbstractStorage], storage: AbstractStorage) -> bool:
    return any(each is storage for each in storages)
