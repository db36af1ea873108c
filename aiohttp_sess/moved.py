"""Sessions that may have got another key since they were loaded, as another request rotated it.

The old key leads to the record as long as its grace lasts: see `AbstractStorage.rotate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from .errors import SessionConflict
from .find import find_record
from .race import until_it_wins
from .storage.interface import AbstractStorage, SessionKey, StoredRecord

__all__ = ("end", "end_others", "refresh_ttl")


async def end(storage: AbstractStorage, stored: StoredRecord, patience: float) -> bool:
    """End a session, whatever key it has by now; False where it was ended already.

    Only the very record that was loaded is ended, so that a rotation either finds it ended, or has
    moved it where the next attempt finds it.

    :param patience: seconds for which other requests may keep writing it first.
    """
    first: StoredRecord | None = stored

    async def attempt(latest: StoredRecord | None) -> bool:
        nonlocal stored
        if latest is None:
            return False
        stored = latest
        return await storage.end(latest)

    async def again(_: StoredRecord | None) -> StoredRecord | None:
        return await find_record(storage, stored.key, stored.record.cookie)

    try:
        _, ended = await until_it_wins(attempt, again, first, patience)
    except SessionConflict:
        # Writes cannot stop it. Who was first may have rotated the key; and a key that has just
        # been rotated, or is not due for it, is not rotated before it is deleted.
        latest = await again(stored)
        return latest is not None and await storage.delete(latest.key)
    return ended


async def end_others(
    storage: AbstractStorage, keys: Sequence[SessionKey], stored: StoredRecord, patience: float
) -> int:
    """End the sessions under these keys, whatever keys they have by now; how many there were.

    :param stored: the one that is ended next, which some of the keys may lead to as well: a browser
        keeps a cookie for each path and each domain that it got one for.
    """
    ended = 0
    for key in keys:
        other = None if key == stored.key else await find_record(storage, key, stored.record.cookie)
        if other is not None and other.record.id != stored.record.id:
            ended += bool(await end(storage, other, patience))
    return ended


async def refresh_ttl(
    storage: AbstractStorage, stored: StoredRecord, ttl: timedelta, *, moves: bool
) -> SessionKey | None:
    """Let the TTL of a session start anew, and answer the key that it has by now; None where it was
    ended.

    :param moves: whether it may have another than it was loaded from.
    :raises DeserializationError: where it has, and what is under that cannot be read.
    """
    key = await storage.update_ttl(stored.key, ttl)
    if key is None and moves:
        latest = await storage.load(stored.key, ttl=ttl)
        return None if latest is None else latest.key
    return key
