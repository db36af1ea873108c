"""The contract between the middleware and a storage: records in, records out, nothing of HTTP.

What is *not* an error: an unknown, expired, ended, malformed or hostile session key. `load` and
`update_ttl` answer None to it, `delete` False. Exceptions are for a backend that is down
(`StorageUnavailable`, chaining the client's own), for a record that changed or went meanwhile
(`SessionConflict`, `SessionGone`) and for one that cannot be read or written.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import ClassVar

from ..record import SessionRecord
from .stored import ListedRecord, SessionKey, StoredRecord

__all__ = ("AbstractStorage", "ListedRecord", "SessionKey", "StoredRecord", "checked_timeout")


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
        must not wait for anything, since they are not protected from cancellation. `update` is
        not, either, where the storage `recognises_writes`.
        """
        return self.server_side

    answers_at_once = False
    """Whether its methods never wait for anything, so that a request does not, either. A subclass
    whose methods wait says False."""
    counts_logins = False
    """Whether logins are counted, by a limit that `setup` was given. One that wraps another storage
    passes it on."""
    lists_sessions: ClassVar[bool] = False
    """Whether it knows which sessions an owner has: it implements `sessions_of`, `limit_sessions`
    and all of `end_sessions`."""

    rotates_keys: ClassVar[bool] = False
    """Whether it has `rotate`, which a lifecycle with ``rotate_every`` asks for."""

    recognises_writes: ClassVar[bool] = False
    """Whether the CancelledError of an `update` that was cut off, and may have been done, has a
    ``revision`` for `includes`, too. Where not, updates get a task each, so as not to be cut off.
    """

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

    async def end(self, stored: StoredRecord) -> bool:
        """End the session of a record as it was loaded or written: what a purge does. False where
        there is none any more.

        By default it is `delete`: with the revision where keys are rotated, so that none of them is
        taken for another. Override it where the backend can do that faster, as `KeyedStorage` does.

        :raises SessionConflict: where it was replaced, or moved, meanwhile: it is loaded again.
        """
        revision = stored.revision if self.rotates_keys else None
        return await self.delete(stored.key, revision=revision)

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
        and the new key with it; `update`, `rotate`, `end`, and `delete` with a revision raise
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

        With that, a change whose write failed without a reply counts once, be it done or not. Where
        it was done, `update` takes that as the revision of the record, and `limit_sessions` and
        `end_login` in a StoredRecord.
        """
        return False

    # -- the sessions of one owner: what not every storage can -----------------------------------

    async def renew(
        self,
        old: StoredRecord,
        record: SessionRecord,
        ttl: timedelta,
        *,
        contested: bool = False,
    ) -> StoredRecord:
        """Keep a record that takes the place of an ``old`` one, under a new key: as `save`. The old
        one is still there, and is deleted next.

        A storage that lists sessions counts both as one login where they have the same owner.

        :param contested: another renewal may delete the old one first, in which case this one goes
            again. As a login it counts from when `limit_sessions` is called after that.
        """
        return await self.save(record, ttl)

    async def sessions_of(self, owner: str, cookie: str) -> list[ListedRecord]:
        """The sessions whose records have this owner and this cookie's name, in the order of their
        logins. What has ended or expired is not among them.

        :raises NotImplementedError: where the storage cannot tell.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot list the sessions of an owner: take RedisStorage or "
            "MemoryStorage"
        )

    async def end_sessions(
        self,
        owner: str,
        cookie: str,
        *,
        keep: str | None = None,
        ids: Collection[str] | None = None,
    ) -> Collection[str] | None:
        """End the sessions of an owner, and answer their public ids; None where the storage knows
        that they are over, but not which there were.

        Every login that was complete before the call is ended, renewed meanwhile or not. One that
        begins after the call is not, and one at the same moment may be or not.

        :param keep: the public id of the one that goes on.
        :param ids: end only those that have these public ids; of other owners' nothing happens.
        :raises NotImplementedError: where the storage cannot.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot end the sessions of an owner: take RedisStorage, "
            "MemoryStorage, MemcachedStorage or CookieStorage(revocations=...)"
        )

    async def limit_sessions(
        self, new: StoredRecord, limit: int, *, refuse: bool, contested: bool = False
    ) -> Collection[str] | None:
        """The session that was just saved, and those its owner had before, are at most ``limit``.

        :param refuse: answer None where there were as many before, and end nothing. Otherwise, the
            oldest are ended, by their login; the answer is their public ids.
        :param contested: it does not count yet, as `renew` was told: end nothing, and raise what
            comes of counting.
        :raises NotImplementedError: where the storage cannot tell.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot count the sessions of an owner: take RedisStorage or "
            "MemoryStorage"
        )

    async def end_login(self, new: StoredRecord) -> Collection[str]:
        """End the session of a login that `limit_sessions` refused, or could not count, under
        whatever keys it is by now; the public ids of what was ended.

        A storage that lists sessions overrides it: a parallel request may have renewed the session.
        """
        latest = await self.load(new.key)
        ended = latest is not None and await self.delete(latest.key)
        return {new.record.id} if ended else ()

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
