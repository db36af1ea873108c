"""The contract between the middleware and a storage: records in, records out, nothing of HTTP.

What is *not* an error: an unknown, expired, ended, malformed or hostile session key. `load` and
`update_ttl` answer None to it, `delete` False. Exceptions are for a backend that is down
(`StorageUnavailable`, chaining the client's own), for a record that changed or went meanwhile
(`SessionConflict`, `SessionGone`) and for one that cannot be read or written.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar, NamedTuple

from ..errors import InvalidSessionKey
from ..record import SessionRecord

__all__ = ("AbstractStorage", "SessionKey", "StoredRecord", "checked_timeout")


class SessionKey:
    """What ties a client to its record: whoever has it has the session. Its repr masks it.

    :param value: the key as text, not empty.
    :raises InvalidSessionKey: for anything else.
    """

    __slots__ = ("_digest", "value")

    def __init__(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise InvalidSessionKey("a session key is a non-empty str")
        self.value = value
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        """Its SHA-256 in hex digits: all that a storage should keep of it."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.value.encode(errors="surrogatepass")).hexdigest()
        return self._digest

    @classmethod
    def generate(cls) -> SessionKey:
        """256 random bits as 43 characters of base64url (ASVS 7.2.3 asks for 128)."""
        return cls(secrets.token_urlsafe(32))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionKey):
            return NotImplemented
        mine, its = (key.value.encode(errors="surrogatepass") for key in (self, other))
        return hmac.compare_digest(mine, its)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return "SessionKey(***)"


class StoredRecord(NamedTuple):
    """A record, the key it is under, and which writing of it this is.

    ``revision`` is the storage's own: it is only ever handed back to it.
    """

    key: SessionKey
    record: SessionRecord
    revision: object


class AbstractStorage(ABC):
    """Where session records live. Subclass `KeyedStorage` instead where keys map to bytes.

    Two promises that every implementation keeps: `save` never overwrites and the other methods
    never bring back a record that is gone; and a call that is cancelled leaves no connection behind
    whose next reply belongs to another call.
    """

    server_side: ClassVar[bool] = True
    """Whether records live on the server, so that a session can be ended and its key stays the same
    from save to save. False: the session key is the record itself, and must be sealed."""

    @property
    def ends_sessions_early(self) -> bool:
        """Whether a session can be ended before its TTL is over. Where not, the storage's methods
        must not wait for anything, since they are not protected from cancellation.
        """
        return self.server_side

    rotates_keys: ClassVar[bool] = False
    """Whether it has `rotate`, which a lifecycle with ``rotate_every`` asks for."""

    clock: Callable[[], float] = staticmethod(time.time)
    """The time now, Unix time in seconds. Tests set it to a fake clock."""

    @abstractmethod
    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        """The record under ``key``, or None where there is none.

        :param ttl: let its idle lifetime start anew with this, in the same round trip if the
            backend can. A storage that keeps that time in the key answers a new key.
        :raises DeserializationError: for a record that cannot be read; its ``revision`` is what
            `update` takes to replace it.
        """

    @abstractmethod
    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        """Keep a new record, under a new key that nobody else has. Never overwrites.

        :raises SerializationError: for a record that the backend cannot take.
        """

    @abstractmethod
    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        """Replace the record under ``key``, if it is still the one that ``revision`` names.

        :raises SessionConflict: where it was replaced meanwhile.
        :raises SessionGone: where it is gone; it is not brought back.
        :raises SerializationError: for a record that the backend cannot take.
        """

    @abstractmethod
    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        """Let the idle lifetime start anew, and answer the key the record is under from now on.

        None where there is no record; it is not brought back.
        """

    @abstractmethod
    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        """End the session under ``key``; False where there was none. A storage that keeps nothing
        answers True.

        :param revision: end it only if it is still this one.
        :raises SessionConflict: where it was replaced meanwhile.
        """

    async def rotate(
        self,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        *,
        revision: object,
        grace: timedelta,
    ) -> StoredRecord:
        """Give the session under ``key`` a new key and this record, if the one that it has is still
        the one that ``revision`` names. Of several calls at once, one is done.

        For as long as ``grace``, the old key leads on: `load` answers what is under the new one,
        and the new key with it; `update`, `rotate`, and `delete` with a revision raise
        SessionConflict, so that the caller loads it again. To all else it is a key with nothing
        under it, and so it is to `load` where the record under the new key was ended.

        :raises SessionConflict: where the record was replaced, or moved, meanwhile.
        :raises SessionGone: where it is gone; it is not brought back.
        :raises SerializationError: for a record that the backend cannot take.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot give a session another key")

    def includes(self, revision: object, written: object) -> bool:
        """Whether a record of this ``revision`` holds what was ``written``: what the storage put
        into the ``revision`` of the `StorageUnavailable` with which an `update` or `rotate` failed.

        With that, a change whose write failed without a reply counts once, be it done or not.
        """
        return False

    async def close(self) -> None:
        """Let go of what the storage opened itself; a client that it was given stays open."""
        return


def checked_timeout(seconds: float) -> float:
    """How long an operation may take, if it is that.

    :raises TypeError: for what is no number.
    :raises ValueError: for what is not positive and finite.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"timeout must be seconds, not {type(seconds).__name__}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"timeout must be a positive number of seconds, not {seconds}")
    return seconds
