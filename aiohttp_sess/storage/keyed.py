"""What every backend that maps keys to bytes has in common: session keys, deadlines, revisions.

What the bytes are is said in `aiohttp_sess.storage.entry`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ClassVar

from ..errors import DeserializationError, SessionConflict, SessionGone, StorageUnavailable
from ..record import SessionRecord, decode_record
from .ending import end_version, end_version_at_once
from .entry import (
    HEAD_LENGTH,
    Entry,
    Version,
    digest_of,
    encode_entry,
    given,
    is_in,
    leading,
    live,
    new_end,
    tag_of,
    version_of,
)
from .interface import AbstractStorage, SessionKey, StoredRecord
from .rotation import follow, rotated
from .stored import CUT_OFF, say_which

__all__ = ("KeyedStorage",)

logger = logging.getLogger("aiohttp_sess")

# A name has at most 72 more characters, and memcached takes 250 without spaces.
_PREFIX = re.compile(r"[\x21-\x7e]{0,128}")
_ATTEMPTS = 3  # a random key is never taken: a backend that says so thrice is broken


class KeyedStorage(AbstractStorage):
    """A storage over four operations on bytes: implement `read`, `add`, `replace`, `remove`, each
    one step of the backend for all processes that share it, and the contract is kept.

    Names are ASCII text, values bytes, TTLs seconds (> 0, a float). An entry vanishes by itself
    when its TTL is over. Raise `StorageUnavailable`, ``from`` the client's own exception, where the
    backend is down. `add` and `replace` may be sent again after a dropped connection, or after
    they were cancelled: what they write is recognised by its stamp.

    :param key_prefix: what names begin with, at most 128 printable ASCII characters.
    :param clock: the time now, Unix time in seconds.
    """

    rotates_keys: ClassVar[bool] = True
    recognises_writes: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Who brings an `update` of its own, a mixin too, says so itself, if it is so.
        own, bases = cls.__dict__, cls.__bases__
        known = all(getattr(b, "recognises_writes", not hasattr(b, "update")) for b in bases)
        cls.recognises_writes = own.get("recognises_writes", known and "update" not in own)

    def __init__(
        self,
        *,
        key_prefix: str = "session:",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(key_prefix, str):
            raise TypeError(f"key_prefix must be a str, not {type(key_prefix).__name__}")
        if not _PREFIX.fullmatch(key_prefix):
            raise ValueError(
                f"key_prefix {key_prefix!r} must be at most 128 printable ASCII characters "
                "without spaces"
            )
        if not callable(clock):
            raise TypeError(f"clock must be callable, not {type(clock).__name__}")
        self.key_prefix = key_prefix
        self.clock = clock

    # -- what a backend implements --------------------------------------------------------------

    @abstractmethod
    async def read(self, name: str, ttl: float | None) -> Entry | None:
        """The entry under ``name``; with a ``ttl``, its lifetime starts anew with that."""

    @abstractmethod
    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        """Write a new entry; False, and nothing written, where there is one already."""

    @abstractmethod
    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        """Replace the entry if it is still this version: its value begins with ``version.stamp``,
        or the backend's token is ``version.token``. False, and nothing written, where it is not,
        or there is none.
        """

    @abstractmethod
    async def remove(self, name: str) -> bool:
        """Remove the entry; False where there is none."""

    async def remove_version(self, name: str, version: Version) -> bool:
        """Remove the entry if it is still this version: see `replace`. Override it where a backend
        can; by default, something that is no record takes its place for a second.
        """
        return await self.replace(name, new_end(), 1.0, version)

    async def touch(self, name: str, ttl: float) -> bool:
        """Let the entry's lifetime start anew; False where it is no record."""
        return live(await self.read(name, ttl)) is not None

    async def together(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        """The answers to several calls of the methods above at once. Override it where the backend
        can take them in one exchange.
        """
        return await asyncio.gather(*calls)

    def loaded(self, record: SessionRecord, digest: str, ttl: timedelta | None) -> None:
        """A record that has an owner was loaded; ``ttl`` is what it lives for from now on, if its
        lifetime started anew.
        """
        return

    async def moving(self, record: SessionRecord, old: str, new: str, ttl: float) -> None:
        """A record is saved under another digest, and its session about to move there from the
        ``old`` one: for a storage that keeps an index of them.
        """
        return

    def name_of(self, key: SessionKey) -> str | None:
        """The name under which the record of a session key is kept; None for no such key."""
        digest = digest_of(key)
        return None if digest is None else self.key_prefix + digest

    # -- the contract ---------------------------------------------------------------------------

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        digest = digest_of(key)
        if digest is None:
            return None
        asked, seconds = key, None if ttl is None else _seconds(ttl)
        entry = await self.read(self.key_prefix + digest, seconds)
        if entry is not None and live(entry) is None:
            key, entry = await follow(self, key, entry, seconds)
            digest = key.digest
        if entry is None:
            return None
        try:
            record = decode_record(entry.value[HEAD_LENGTH:], tag_of(digest))
        except DeserializationError as error:
            # Its place is not the one that was asked for, where a pointer led to it.
            error.revision = entry if key is asked else None
            raise
        if record.deadline is not None and record.deadline <= self.clock():
            return None
        if record.owner is not None:
            self.loaded(record, digest, ttl)
        return StoredRecord(key, record, entry)  # which version it is, is seen when it is asked

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        for _ in range(_ATTEMPTS):
            key = SessionKey.generate()
            digest = digest_of(key)
            assert digest is not None  # it was just generated
            name = self.key_prefix + digest
            version, value = encode_entry(record, digest)
            if await self.add(name, value, self._until(record, ttl)):
                return StoredRecord(key, record, version)
            entry = await self.read(name, None)
            if entry is not None and is_in(version_of(entry), version):
                return StoredRecord(key, record, version)
        raise StorageUnavailable(f"the backend is not working: {_ATTEMPTS} random keys were taken")

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        digest = digest_of(key)
        if digest is None:
            raise SessionGone("there is no record under this session key")
        name = self.key_prefix + digest
        before = given(revision)
        version, value = encode_entry(record, digest, before)
        try:
            if not await self.replace(name, value, self._until(record, ttl), before):
                entry = leading(await self.read(name, None), self.clock())
                if entry is None:
                    raise SessionGone("the session was ended since it was loaded")
                if not is_in(version_of(entry), version):
                    raise SessionConflict("another request has written this session's record")
        except CUT_OFF as error:
            say_which(error, version)
            raise
        return StoredRecord(key, record, version)

    async def rotate(
        self,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        *,
        revision: object,
        grace: timedelta,
    ) -> StoredRecord:
        end = self._until(record, ttl)
        return await rotated(self, key, record, end, given(revision), _seconds(grace))

    def includes(self, revision: object, written: object) -> bool:
        return is_in(given(revision), given(written))

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        digest = digest_of(key)
        if digest is None or not await self.touch(self.key_prefix + digest, _seconds(ttl)):
            return None
        return key

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        name = self.name_of(key)
        if name is None:
            return False
        return await (
            self.remove(name) if revision is None else end_version(self, name, given(revision))
        )

    async def end(self, stored: StoredRecord) -> bool:
        name = self.key_prefix + stored.key.digest
        return await end_version_at_once(self, name, given(stored.revision))

    # -- inside ---------------------------------------------------------------------------------

    def _until(self, record: SessionRecord, ttl: timedelta) -> float:
        """The TTL in seconds, cut off at the record's own deadline."""
        seconds = _seconds(ttl)
        if record.deadline is None:
            return seconds
        # A backend takes no TTL of nothing; the deadline is checked again when it is loaded.
        return max(min(seconds, record.deadline - self.clock()), 0.001)


def _seconds(ttl: timedelta) -> float:
    seconds = ttl.total_seconds()
    if seconds <= 0:
        raise ValueError(f"a TTL must be positive, not {ttl}")
    return seconds
