"""The storage that keeps nothing: the record travels in the session cookie, sealed.

The session key is ``<Unix time in seconds at which it expires>:<the record>``, so a stolen cookie
dies with its TTL, whatever its Max-Age.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

from ..errors import DeserializationError
from ..record import SessionRecord, decode_record, encode_record
from .interface import AbstractStorage, SessionKey, StoredRecord

__all__ = ("CookieStorage",)


class CookieStorage(AbstractStorage):
    """Keeps the whole session in the client's cookie. `setup` needs a secret key with it.

    Limitations, which no seal can lift:

    - It cannot end a session early. `purge` and `renew` give the browser another cookie, but a copy
      of the old one opens until its TTL is over: keep that short.
    - It keeps the last write: of two parallel requests, the response that the browser takes last
      wins, and what the other one changed is lost.
    - Name and value of the sealed cookie together take at most 4096 bytes, about 2900 bytes of
      state; what is larger is a `CookieTooLarge`, and the old cookie stands. (In a session
      header it is 8000 bytes.)

    :param clock: the time now, Unix time in seconds.
    """

    server_side: ClassVar[bool] = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        expires, colon, data = key.value.partition(":")
        if not colon or not _is_time(expires):
            return None
        record = decode_record(data.encode("utf-8", "replace"))
        now = self.clock()
        if int(expires) <= now or (record.deadline is not None and record.deadline <= now):
            return None
        return StoredRecord(key if ttl is None else self._key(record, ttl), record, None)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        return StoredRecord(self._key(record, ttl), record, None)

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        return await self.save(record, ttl)

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        try:
            stored = await self.load(key, ttl=ttl)
        except DeserializationError:
            return None
        return None if stored is None else stored.key

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        """Nothing to delete here: that the browser forgets the cookie is all that can be done."""
        return True

    def _key(self, record: SessionRecord, ttl: timedelta) -> SessionKey:
        # Rounded up: a session never ends before its time.
        expires = math.ceil(self.clock() + ttl.total_seconds())
        return SessionKey(f"{expires}:{encode_record(record).decode()}")


def _is_time(text: str) -> bool:
    return len(text) <= 15 and text.isascii() and text.isdigit()
