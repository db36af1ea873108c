"""Which record is under a session key, if any."""

from __future__ import annotations

import logging

from .errors import DeserializationError
from .record import SessionRecord
from .storage.interface import AbstractStorage, SessionKey, StoredRecord

__all__ = ("Unreadable", "find_record", "fresh_record", "unreadable")

logger = logging.getLogger("aiohttp_sess")


class Unreadable(StoredRecord):
    """An empty record in the place of one that cannot be read. Only who writes to the session may
    replace that: a later release may be able to read it.
    """

    __slots__ = ()


async def find_record(
    storage: AbstractStorage, key: SessionKey, cookie: str
) -> StoredRecord | None:
    """The record under a key, if it belongs to this cookie (or header). One that cannot be read is
    an empty one in its place, with a warning.
    """
    try:
        stored = await storage.load(key)
    except DeserializationError as error:
        stored = unreadable(storage, key, cookie, error)
    return None if stored is None or stored.record.cookie != cookie else stored


def unreadable(
    storage: AbstractStorage, key: SessionKey, cookie: str, error: DeserializationError
) -> Unreadable | None:
    """What stands in the place of a record that cannot be read, if anything can."""
    logger.warning("session of %r: %s; it begins empty", cookie, error)
    if error.revision is None:
        return None
    return Unreadable(key, fresh_record(storage, cookie), error.revision)


def fresh_record(storage: AbstractStorage, cookie: str) -> SessionRecord:
    """An empty record that begins now."""
    return SessionRecord(created=storage.clock(), cookie=cookie)
