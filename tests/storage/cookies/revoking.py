"""A cookie storage with a list of ended sessions that notes what is asked of it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from aiohttp_sess import SessionRecord, StoredRecord
from aiohttp_sess.storage import (
    CookieStorage,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MARGIN = 10.0  # seconds


def record(storage: CookieStorage, **fields: Any) -> SessionRecord:
    return SessionRecord({"n": 1}, created=storage.clock(), cookie="id", **fields)


async def again(
    storage: CookieStorage, stored: StoredRecord, ttl: timedelta, **fields: Any
) -> StoredRecord:
    """Another cookie of a session."""
    changed = dataclasses.replace(stored.record, **fields)
    return await storage.update(stored.key, changed, ttl, revision=stored.revision)
