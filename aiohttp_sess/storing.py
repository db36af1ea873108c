"""Records under new keys: kept, and discarded again where they were kept in vain."""

from __future__ import annotations

import logging
from datetime import timedelta

from .errors import StorageError
from .limit import SessionLimit
from .record import SessionRecord
from .storage.interface import AbstractStorage, SessionKey, StoredRecord

__all__ = ("discard_record", "save_record")

logger = logging.getLogger("aiohttp_sess")


async def save_record(
    storage: AbstractStorage,
    record: SessionRecord,
    ttl: timedelta,
    *,
    old: StoredRecord | None,
    limit: SessionLimit | None,
) -> StoredRecord:
    """Keep a record under a new key.

    :param old: the record that it takes the place of, which is deleted next.
    :raises TooManySessions: where it is a login that is refused.
    """
    contested = limit is not None and limit.is_contested(record, old)
    if old is None:
        new = await storage.save(record, ttl)
    else:
        new = await storage.renew(old, record, ttl, contested=contested)
    if limit is not None:
        await limit.admit_new(new, old, contested=contested)
    return new


async def discard_record(storage: AbstractStorage, key: SessionKey) -> None:
    """Delete a record whose key no client has, if the storage can now."""
    try:
        await storage.delete(key)
    except StorageError as error:
        # Nobody has its key.
        logger.warning("what a renewal saved is left over until its TTL is over: %s", error)
