"""How many sessions an owner may have at once (ASVS 7.1.2)."""

from __future__ import annotations

import enum
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from .errors import (
    SessionConflict,
    SessionGone,
    StorageError,
    StorageUnavailable,
    TooManySessions,
)
from .record import SessionRecord
from .storage.interface import AbstractStorage, StoredRecord

__all__ = ("SessionLimit", "SessionLimitPolicy", "is_login")

logger = logging.getLogger("aiohttp_sess")


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
        storage.counts_logins = True
        self._most = most
        self._policy = policy
        self._ended = ended

    def is_contested(self, record: SessionRecord, old: StoredRecord | None) -> bool:
        """Whether a record is a login that ends others, but not before it has ended the ``old``
        one: another renewal of that may be first, and this one too late.
        """
        ends_others = self._policy is SessionLimitPolicy.END_OLDEST
        return ends_others and old is not None and is_login(record, old)

    async def admit_new(
        self, new: StoredRecord, old: StoredRecord | None, *, contested: bool = False
    ) -> None:
        """Let a record that was just saved stay, if it is a login: that ends the oldest, or is
        refused.

        :param old: the record that it takes the place of.
        :param contested: only see whether it could be counted; it is to `count` later.
        :raises TooManySessions: where it is refused; it is not there any more.
        """
        try:
            refused = await self._is_refused(new, old, contested=contested)
        except StorageError:
            with suppress(StorageError):  # nobody has its key, but it counts, and is listed
                await self._storage.delete(new.key)
            raise
        if refused:
            await self._storage.delete(new.key)
            raise TooManySessions(self._most)

    async def count(self, new: StoredRecord) -> None:
        """Count a login that was contested, and has won. Should that fail, there may be a session
        too many, until the next login that is a minute later.
        """
        try:
            await self._is_refused(new, None)
        except StorageError as error:
            logger.warning("session %s: its login is not counted yet: %s", new.record.id, error)

    async def admit_update(self, new: StoredRecord, old: StoredRecord, ttl: timedelta) -> None:
        """The same for one that was updated. Where it is refused, the ``old`` one is there again;
        or the session is over, if a parallel request took it for logged in meanwhile.

        :param ttl: the idle TTL of the old one.
        :raises StorageUnavailable: where it cannot be counted, and was taken back if that could be;
            the ``revision`` says what that wrote.
        """
        try:
            refused = await self._is_refused(new, old)
        except StorageUnavailable as error:
            # Nobody knows how many there are: this is not one more.
            error.revision = await _revision(self._take_back(new, old, ttl))
            raise
        if refused:
            await self._take_back(new, old, ttl)
            raise TooManySessions(self._most)

    async def undo(self, new: StoredRecord, old: StoredRecord, ttl: timedelta) -> object:
        """Take a login back that had no answer, if it was done and still is there; the revision of
        what that wrote.
        """
        with suppress(SessionConflict, SessionGone):
            return await _revision(self._restore(new, old, ttl))
        return None

    async def _take_back(self, new: StoredRecord, old: StoredRecord, ttl: timedelta) -> object:
        try:
            return await self._restore(new, old, ttl)
        except (SessionConflict, SessionGone):
            # A parallel request took it for logged in, and may have given it another key.
            await self._end(new)
            return None

    async def _restore(self, new: StoredRecord, old: StoredRecord, ttl: timedelta) -> object:
        again = await self._storage.update(new.key, old.record, ttl, revision=new.revision)
        if old.record.owner is not None:
            # That one had a session less for a while, and may have as many without it by now.
            with suppress(StorageUnavailable):
                if await self._is_refused(again, None):
                    await self._end(again)
        return again.revision

    async def _end(self, new: StoredRecord) -> None:
        for session_id in await self._storage.end_login(new):
            self._ended(session_id)

    async def _is_refused(
        self, new: StoredRecord, old: StoredRecord | None, *, contested: bool = False
    ) -> bool:
        if not is_login(new.record, old):
            return False
        refuse = self._policy is SessionLimitPolicy.REFUSE
        ended = await self._storage.limit_sessions(
            new, self._most, refuse=refuse, contested=contested
        )
        for session_id in ended or ():
            self._ended(session_id)
        return ended is None


def is_login(record: SessionRecord, old: StoredRecord | None) -> bool:
    """Whether a record has an owner that the ``old`` one did not have."""
    return record.owner is not None and (old is None or old.record.owner != record.owner)


async def _revision(write: Awaitable[object]) -> object:
    """The revision of what was written, or may have been."""
    try:
        return await write
    except StorageUnavailable as error:
        return error.revision
