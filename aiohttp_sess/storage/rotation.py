"""Rotation: a session moves to a new key, and its old key leads there for a while.

The record is saved under the new key first; then a pointer takes the place of the version that was
loaded (compare-and-set). A crash in between leaves the old session as it was, and a record that
nobody has the key of.
"""

from __future__ import annotations

import logging
from typing import Protocol

from ..errors import SessionConflict, SessionGone, StorageUnavailable
from ..record import SessionRecord
from .ending import Backend
from .entry import (
    END_TTL,
    Entry,
    Version,
    digest_of,
    encode_entry,
    is_in,
    leading,
    live,
    version_of,
)
from .interface import SessionKey, StoredRecord
from .pointer import Pointer

__all__ = ("follow", "rotated")

logger = logging.getLogger("aiohttp_sess")

_MOVES = 4  # pointers in a row: rotations follow each other more slowly than pointers go


class MovingBackend(Backend, Protocol):
    """What is asked of a storage: see `aiohttp_sess.storage.KeyedStorage`."""

    async def add(self, name: str, value: bytes, ttl: float) -> bool: ...

    async def moving(self, record: SessionRecord, old: str, new: str, ttl: float) -> None: ...


async def rotated(
    backend: MovingBackend,
    key: SessionKey,
    record: SessionRecord,
    ttl: float,
    before: Version,
    grace: float,
) -> StoredRecord:
    """See `AbstractStorage.rotate`; ``before`` is the version that moves, times are seconds."""
    digest = digest_of(key)
    if digest is None:
        raise SessionGone("there is no record under this session key")
    pointer = Pointer.new(backend.clock() + grace)
    new = pointer.successor(key)
    name = backend.key_prefix + new.digest
    version, value = encode_entry(record, new.digest, before)
    if not await backend.add(name, value, ttl):
        entry = await backend.read(name, None)
        if entry is None or not is_in(version_of(entry), version):
            raise StorageUnavailable("the backend refused a random key as taken: it is not working")
    try:
        await backend.moving(record, digest, new.digest, ttl)
    except StorageUnavailable:
        await _discard(backend, name)
        raise
    try:
        await _point(backend, backend.key_prefix + digest, pointer, before)
    except StorageUnavailable as error:
        error.revision = version  # it may have been done: then that record is the session
        raise
    except (SessionConflict, SessionGone):
        await _discard(backend, name)
        raise
    return StoredRecord(new, record, version)


async def follow(
    backend: Backend, key: SessionKey, entry: Entry | None, ttl: float | None
) -> tuple[SessionKey, Entry | None]:
    """The record to which an entry leads that is none itself, and the key that this is under.

    :param ttl: seconds that the entry was given when it was read; the record gets them too.
    """
    for _ in range(_MOVES):
        now = backend.clock()
        pointer = None if entry is None else Pointer.read(entry.value)
        if pointer is None:
            break
        if ttl is not None:  # a pointer is to have less
            await backend.read(backend.key_prefix + key.digest, _stays(pointer, now))
        if pointer.until <= now:
            break
        key = pointer.successor(key)
        entry = await backend.read(backend.key_prefix + key.digest, ttl)
        if live(entry) is not None:
            return key, entry
    return key, None


async def _point(backend: Backend, name: str, pointer: Pointer, before: Version) -> None:
    """Put a pointer in the place of a version of an entry."""
    value = pointer.value
    if await backend.replace(name, value, _stays(pointer, backend.clock()), before):
        return
    entry = await backend.read(name, None)
    if entry is not None and entry.value == value:
        return  # it was sent again after a lost reply
    if leading(entry, backend.clock()) is None:
        raise SessionGone("the session was ended since it was loaded")
    raise SessionConflict("another request has written this session's record, or moved it")


def _stays(pointer: Pointer, now: float) -> float:
    """Seconds for which a pointer stays; it leads on no longer than it says."""
    return max(pointer.until - now, END_TTL)


async def _discard(backend: Backend, name: str) -> None:
    try:
        await backend.remove(name)
    except StorageUnavailable as error:
        logger.warning(
            "a record that was saved for a rotation is left over: %s. Nobody has its key, and it "
            "goes with its TTL",
            error,
        )
