"""What every backend that maps keys to bytes has in common.

A record is stored under ``key_prefix`` + SHA-256 of its session key, so a leak of the backend's
content gives nobody a session. The bytes are

=========  =============================================================================
offset     what
=========  =============================================================================
0 to 15    the stamp: 16 random characters, chosen by whoever wrote this version
16 to 79   the stamps of the four versions before it, the latest first; "-" where there are fewer
80 …       the record (see `aiohttp_sess.record`), bound to the first half of that SHA-256
=========  =============================================================================

The stamp is what makes a compare-and-set: a write names the stamp that it read. And as the writer
chose it, a write that was sent again after a lost reply recognises itself, also where up to four
others came in between.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from ..errors import DeserializationError, SessionConflict, SessionGone, StorageUnavailable
from ..record import SessionRecord, decode_record, encode_record
from .interface import AbstractStorage, SessionKey, StoredRecord

__all__ = ("HEAD_LENGTH", "STAMP_LENGTH", "Entry", "KeyedStorage", "Version")

STAMP_LENGTH = 16
HEAD_LENGTH = 5 * STAMP_LENGTH
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
# A name has 64 more characters, and memcached takes 250 without spaces.
_PREFIX = re.compile(r"[\x21-\x7e]{0,128}")
_ATTEMPTS = 3  # a random key is never taken: a backend that says so thrice is broken


class Version(NamedTuple):
    """Which writing of an entry is meant: its stamp, the backend's own token if it has one, and the
    stamps of those before it.
    """

    stamp: bytes
    token: Any = None
    before: bytes = b""


class Entry(NamedTuple):
    """What a backend holds under a name: the bytes, and its own token for compare-and-set."""

    value: bytes
    token: Any = None

    def __repr__(self) -> str:  # the value is a user's
        return f"<Entry of {len(self.value)} bytes>"


class KeyedStorage(AbstractStorage):
    """A storage over five operations on bytes: implement them, and the contract is kept.

    Names are ASCII text, values bytes, TTLs seconds (> 0, a float). An entry vanishes by itself
    when its TTL is over. Raise `StorageUnavailable`, ``from`` the client's own exception, where the
    backend is down. `add` and `replace` may be sent again after a dropped connection: what they
    write is recognised by its stamp.

    :param key_prefix: what names begin with, at most 128 printable ASCII characters.
    :param clock: the time now, Unix time in seconds.
    """

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
    async def touch(self, name: str, ttl: float) -> bool:
        """Let the entry's lifetime start anew; False where there is none."""

    @abstractmethod
    async def remove(self, name: str, version: Version | None) -> bool:
        """Remove the entry, if it is still this version where one is given; False otherwise."""

    def name_of(self, key: SessionKey) -> str | None:
        """The name under which the record of a session key is kept; None for no such key."""
        digest = _digest(key)
        return None if digest is None else self.key_prefix + digest

    # -- the contract ---------------------------------------------------------------------------

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        digest = _digest(key)
        if digest is None:
            return None
        seconds = None if ttl is None else _seconds(ttl)
        entry = await self.read(self.key_prefix + digest, seconds)
        if entry is None or not entry.value:
            return None
        version = _version(entry)
        try:
            record = decode_record(entry.value[HEAD_LENGTH:], _tag(digest))
        except DeserializationError as error:
            error.revision = version
            raise
        if record.deadline is not None and record.deadline <= self.clock():
            return None
        return StoredRecord(key, record, version)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        for _ in range(_ATTEMPTS):
            key = SessionKey.generate()
            digest = _digest(key)
            assert digest is not None  # it was just generated
            name = self.key_prefix + digest
            version, value = _encode(record, digest)
            added = await self.add(name, value, self._until(record, ttl))
            if added or _is_in(await self.read(name, None), version):
                return StoredRecord(key, record, version)
        raise StorageUnavailable(
            f"the backend refused {_ATTEMPTS} random keys as taken: it is not working"
        )

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        digest = _digest(key)
        if digest is None:
            raise SessionGone("there is no record under this session key")
        name = self.key_prefix + digest
        before = _given(revision)
        version, value = _encode(record, digest, before)
        if not await self.replace(name, value, self._until(record, ttl), before):
            entry = await self.read(name, None)
            if entry is None:
                raise SessionGone("the session was ended since it was loaded")
            if not _is_in(entry, version):
                raise SessionConflict("another request has written this session's record")
        return StoredRecord(key, record, version)

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        digest = _digest(key)
        if digest is None or not await self.touch(self.key_prefix + digest, _seconds(ttl)):
            return None
        return key

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        digest = _digest(key)
        if digest is None:
            return False
        name = self.key_prefix + digest
        if revision is None:
            return await self.remove(name, None)
        if await self.remove(name, _given(revision)):
            return True
        if await self.read(name, None) is not None:
            raise SessionConflict("another request has written this session's record")
        return False

    # -- inside ---------------------------------------------------------------------------------

    def _until(self, record: SessionRecord, ttl: timedelta) -> float:
        """The TTL in seconds, cut off at the record's own deadline."""
        seconds = _seconds(ttl)
        if record.deadline is None:
            return seconds
        # A backend takes no TTL of nothing; the deadline is checked again when it is loaded.
        return max(min(seconds, record.deadline - self.clock()), 0.001)


def _digest(key: SessionKey) -> str | None:
    """SHA-256 of the key, or None for what `SessionKey.generate` cannot have made."""
    if not _KEY.fullmatch(key.value):
        return None
    return hashlib.sha256(key.value.encode()).hexdigest()


def _tag(digest: str) -> str:
    return digest[:32]


def _encode(
    record: SessionRecord, digest: str, before: Version | None = None
) -> tuple[Version, bytes]:
    stamp = secrets.token_urlsafe(12).encode()
    stamps = b"" if before is None else before.stamp.ljust(STAMP_LENGTH, b"-") + before.before
    head = (stamp + stamps).ljust(HEAD_LENGTH, b"-")[:HEAD_LENGTH]
    return _version(Entry(head)), head + encode_record(record, _tag(digest))


def _version(entry: Entry) -> Version:
    # Whatever garbage there is has a first part too, which is enough to replace that very garbage.
    head = entry.value[:HEAD_LENGTH]
    return Version(head[:STAMP_LENGTH], entry.token, head[STAMP_LENGTH:])


def _is_in(entry: Entry | None, version: Version) -> bool:
    """Whether an entry is this version, or came after it."""
    head = b"" if entry is None else entry.value[:HEAD_LENGTH]
    return version.stamp in {
        head[at : at + STAMP_LENGTH] for at in range(0, HEAD_LENGTH, STAMP_LENGTH)
    }


def _given(revision: object) -> Version:
    if not isinstance(revision, Version):
        raise TypeError("revision must be what this storage answered in a StoredRecord")
    return revision


def _seconds(ttl: timedelta) -> float:
    seconds = ttl.total_seconds()
    if seconds <= 0:
        raise ValueError(f"a TTL must be positive, not {ttl}")
    return seconds
