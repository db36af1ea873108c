"""Ending a session only if it is still the version that was loaded.

A renewal puts an end of its own in the place of the old one first. Where that was sent again after
a lost reply, the end says that it was us, and not a logout, who ended the session. A purge does
with one step, and where that was sent again, it finds the session ended as by another request: the
response erases no cookie, which leads nowhere any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from ..errors import SessionConflict, StorageUnavailable
from .entry import END_TTL, Entry, Version, leading, new_end

__all__ = ("Backend", "end_version", "end_version_at_once")

logger = logging.getLogger("aiohttp_sess")


class Backend(Protocol):
    """What is asked of a storage: see `aiohttp_sess.storage.KeyedStorage`."""

    key_prefix: str
    clock: Callable[[], float]

    async def read(self, name: str, ttl: float | None) -> Entry | None: ...

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool: ...

    async def remove(self, name: str) -> bool: ...

    async def remove_version(self, name: str, version: Version) -> bool: ...


async def end_version(backend: Backend, name: str, version: Version) -> bool:
    """Remove this version of an entry, and know of it again; False where it is gone.

    :raises SessionConflict: where it is another by now.
    """
    end = new_end()
    if not await backend.replace(name, end, END_TTL, version):
        entry = await _gone(backend, name)
        if entry is None or entry.value != end:
            return False
    try:
        await backend.remove(name)
    except StorageUnavailable as error:
        logger.warning("the end of a session stays until its TTL is over: %s", error)
    return True


async def end_version_at_once(backend: Backend, name: str, version: Version) -> bool:
    """The same in one step. Where that was sent again after a lost reply, it answers False."""
    if await backend.remove_version(name, version):
        return True
    await _gone(backend, name)
    return False


async def _gone(backend: Backend, name: str) -> Entry | None:
    """What is there instead of a version that is gone: no other one of it."""
    entry = await backend.read(name, None)
    if leading(entry, backend.clock()) is not None:
        raise SessionConflict("another request has written this session's record, or moved it")
    return entry
