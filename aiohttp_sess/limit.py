"""How many sessions an owner may have at once (ASVS 7.1.2)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from .errors import SessionConflict, SessionGone, StorageError, TooManySessions
from .moved import end
from .record import SessionRecord
from .storage.interface import AbstractStorage, StoredRecord

__all__ = ("SessionLimit", "SessionLimitPolicy", "is_login")


class SessionLimitPolicy(enum.Enum):
    """What a login does where its owner has ``max_sessions_per_owner`` sessions already."""

    END_OLDEST = "end-oldest"
    """It ends the one whose login is the longest ago, everywhere and at once."""
    REFUSE = "refuse"
    """It is refused, with `TooManySessions`."""


class SessionLimit:
    """A limit, and what happens to a login that exceeds it.

    :param most: sessions of one owner.
    :param ended: called with the public id of each session that it ends.
    :raises TypeError: for what is no int, or no policy.
    :raises ValueError: for less than one, or a storage that does not know who has which sessions.
    """

    def __init__(
        self,
        storage: AbstractStorage,
        most: int,
        policy: SessionLimitPolicy,
        ended: Callable[[str], None],
    ) -> None:
        if isinstance(most, bool) or not isinstance(most, int):
            raise TypeError(f"max_sessions_per_owner must be an int, not {type(most).__name__}")
        if most < 1:
            raise ValueError(f"max_sessions_per_owner must be at least 1, not {most}")
        if not isinstance(policy, SessionLimitPolicy):
            raise TypeError(
                f"session_limit_policy must be a SessionLimitPolicy, not {type(policy).__name__}"
            )
        if not storage.lists_sessions:
            raise ValueError(
                f"max_sessions_per_owner needs a storage that knows the sessions of an owner: "
                f"RedisStorage or MemoryStorage, not {type(storage).__name__}"
            )
        self._storage = storage
        self._most = most
        self._policy = policy
        self._ended = ended

    async def admit_new(self, new: StoredRecord, old: StoredRecord | None) -> None:
        """Let a record that was just saved stay, if it is a login: that ends the oldest, or is
        refused.

        :param old: the record that it takes the place of.
        :raises TooManySessions: where it is refused; it is not there any more.
        """
        try:
            refused = await self._is_refused(new, old)
        except StorageError:
            with suppress(StorageError):  # nobody has its key, but it counts, and is listed
                await self._storage.delete(new.key)
            raise
        if refused:
            await self._storage.delete(new.key)
            raise TooManySessions(self._most)

    async def admit_update(
        self, new: StoredRecord, old: StoredRecord, ttl: timedelta, patience: float
    ) -> None:
        """The same for one that was updated; where it is refused, the ``old`` one is there again.

        :param ttl: the idle TTL of that.
        :param patience: seconds for which other requests may keep writing it first.
        """
        try:
            refused = await self._is_refused(new, old)
        except StorageError:
            with suppress(StorageError):  # nobody knows how many there are: this is not one more
                await self._take_back(new, old, ttl, patience)
            raise
        if refused:
            await self._take_back(new, old, ttl, patience)
            raise TooManySessions(self._most)

    async def _take_back(
        self, new: StoredRecord, old: StoredRecord, ttl: timedelta, patience: float
    ) -> None:
        try:
            await self._storage.update(new.key, old.record, ttl, revision=new.revision)
        except SessionGone:
            pass
        except SessionConflict:
            # A parallel request took it for logged in, and may have given it another key.
            await end(self._storage, new, patience)

    async def _is_refused(self, new: StoredRecord, old: StoredRecord | None) -> bool:
        if not is_login(new.record, old):
            return False
        refuse = self._policy is SessionLimitPolicy.REFUSE
        ended = await self._storage.limit_sessions(new, self._most, refuse=refuse)
        for session_id in ended or ():
            self._ended(session_id)
        return ended is None


def is_login(record: SessionRecord, old: StoredRecord | None) -> bool:
    """Whether a record has an owner that the ``old`` one did not have."""
    return record.owner is not None and (old is None or old.record.owner != record.owner)
