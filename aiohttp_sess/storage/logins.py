"""When a record is entered into the index of its owner's.

A record is saved first, then entered into the index; and where it takes another's place, that is
deleted last. So a session is in its index whenever its client has its key, and a process that dies
in between leaves a record whose key nobody has.

A record that is there and gets an owner is entered first, then written. Other requests see that
before its login is counted, and may give the session another key. So where there is a limit, it is
only announced first, which puts it into the index under a number that does not count, and can be
handed on; then written; then whatever has that number by now gets the next login. Of two logins,
the one with the later number finds the other's record.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

from ..errors import StorageUnavailable
from ..record import SessionRecord
from .interface import SessionKey, StoredRecord
from .keyed import KeyedStorage
from .members import Listed, index_name, owner_is_new
from .stored import CUT_OFF, say_which

__all__ = ("Logins",)


class Logins(KeyedStorage):
    """A `KeyedStorage` that keeps an index of each owner's records, over five more operations."""

    recognises_writes = True

    # -- what a backend implements, beside that of KeyedStorage -----------------------------------

    @abstractmethod
    async def enter(
        self, index: str, digest: str, ttl: float, *, instead_of: str | None = None
    ) -> float:
        """Enter a record into an index, as a new login; nothing happens where it is there already.
        Its login.

        :param ttl: seconds that the record lives from now on. The index lives longer.
        :param instead_of: the digest of a record whose login it continues, if that is there.
        """

    @abstractmethod
    async def announce(self, index: str, digest: str, ttl: float) -> float:
        """Enter a record that is about to become the owner's, under a number below zero of its own;
        the number that it has, which is another where it is there already.
        """

    @abstractmethod
    async def log_in(self, index: str, digest: str, announced: float | None) -> float:
        """Give the next login to all that have the number which was ``announced``; or where that is
        None or nobody's, to the record and all that have the same as that has. The number; 0 where
        none of them is there.
        """

    @abstractmethod
    async def stay(self, index: str, digest: str, ttl: float) -> None:
        """A record was written again: `enter` it where it may be missing."""

    @abstractmethod
    async def leave(self, index: str, digests: Collection[str]) -> None:
        """Take records out of an index: they are gone, or about to be entered as a new login."""

    # -- the contract -----------------------------------------------------------------------------

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        return await self._save(record, ttl)

    async def renew(
        self,
        old: StoredRecord,
        record: SessionRecord,
        ttl: timedelta,
        *,
        contested: bool = False,
    ) -> StoredRecord:
        if old.record.owner == record.owner:
            return await self._save(record, ttl, instead_of=old.key.digest)
        return await self._save(record, ttl, announced=contested)

    def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> Coroutine[Any, Any, StoredRecord]:
        if record.owner is None:
            return super().update(key, record, ttl, revision=revision)
        return self._update(record.owner, key, record, ttl, revision)

    async def _update(
        self,
        owner: str,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        revision: object,
    ) -> StoredRecord:
        index, seconds = self.index_of(owner, record.cookie), ttl.total_seconds()
        login = announced = written = None
        is_login = owner_is_new(owner, index, key.digest, revision)
        if is_login and not self.counts_logins:
            login = await self._enter_last(index, key.digest, seconds)
        elif is_login:
            announced = await self.announce(index, key.digest, seconds)
        try:
            stored = await super().update(key, record, ttl, revision=revision)
            written = stored.revision
            if announced is not None:
                login = await self.log_in(index, key.digest, announced)
                login = login or await self.enter(index, key.digest, seconds)  # it was evicted
            elif not is_login:
                await self.stay(index, key.digest, seconds)
        except CUT_OFF as error:
            written = written or getattr(error, "revision", None)
            if written is not None:  # it counts once, should it be done again
                say_which(error, Listed.of(written, index, announced=announced))
            raise
        return stored._replace(revision=Listed.of(written, index, login))

    async def rotate(
        self,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        *,
        revision: object,
        grace: timedelta,
    ) -> StoredRecord:
        stored = await super().rotate(key, record, ttl, revision=revision, grace=grace)
        if record.owner is None:
            return stored
        index = self.index_of(record.owner, record.cookie)
        return stored._replace(revision=Listed.of(stored.revision, index))

    async def moving(self, record: SessionRecord, old: str, new: str, ttl: float) -> None:
        if record.owner is not None:
            index = self.index_of(record.owner, record.cookie)
            await self.enter(index, new, ttl, instead_of=old)

    def index_of(self, owner: str, cookie: str) -> str:
        """The name of an index."""
        return index_name(self.key_prefix, owner, cookie)

    async def login_of(self, new: StoredRecord) -> float:
        """The number of a login; one that has none yet gets it."""
        revision, owner = new.revision, new.record.owner
        assert owner is not None
        listed = revision if isinstance(revision, Listed) else None
        if listed is not None and listed.login is not None:
            return listed.login
        index = self.index_of(owner, new.record.cookie)
        announced = None if listed is None else listed.announced
        login = await self.log_in(index, new.key.digest, announced)
        if listed is not None:
            listed.login = login
        return login

    # -- inside -----------------------------------------------------------------------------------

    async def _enter_last(self, index: str, digest: str, ttl: float) -> float:
        """Enter a record as the latest login, also where it is there from one before."""
        log_in, enter = self.log_in(index, digest, None), self.enter(index, digest, ttl)
        last: float = (await self.together(log_in, enter))[-1]
        return last

    async def _save(
        self,
        record: SessionRecord,
        ttl: timedelta,
        *,
        instead_of: str | None = None,
        announced: bool = False,
    ) -> StoredRecord:
        stored = await super().save(record, ttl)
        if record.owner is not None:
            index, digest = self.index_of(record.owner, record.cookie), stored.key.digest
            seconds, number, login = ttl.total_seconds(), None, None
            try:
                if announced:
                    number = await self.announce(index, digest, seconds)
                else:
                    login = await self.enter(index, digest, seconds, instead_of=instead_of)
            except StorageUnavailable:
                with suppress(StorageUnavailable):  # nobody has its key
                    await self.remove(self.key_prefix + digest)
                raise
            listed = Listed.of(stored.revision, index, login, announced=number)
            stored = stored._replace(revision=listed)
        return stored
