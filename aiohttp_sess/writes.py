"""The writes of a commit: a record is saved, replaced, or given another key, in spite of others.

Each that replaces one is a compare-and-set. Who loses does its operations again on the latest
record, under whatever key that is by now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .changes import Changes
from .doubts import Doubt, Doubts
from .errors import SessionConflict, SessionGone, StorageUnavailable
from .find import find_record
from .limit import SessionLimit, is_login
from .operations import Snapshot
from .race import once, until_it_wins
from .storage.interface import AbstractStorage, StoredRecord
from .storage.stored import CUT_OFF
from .storing import discard_record, save_record
from .terms import Terms

__all__ = ("Writes", "doubt_of", "gone")

T = TypeVar("T")


class Writes:
    """What a commit writes of one session.

    :param storage: where the record lives.
    :param changes: what the request does to it.
    :param stored: the record as it was loaded; None: there is none yet.
    :param terms: how long sessions live.
    :param conflict_timeout: seconds after which a write that keeps losing gives up.
    :param limit: how many sessions an owner may have.
    """

    # Most requests change none of these, so they begin on the class.
    rekeyed = False
    """Whether the record is under a key that the client may not have yet."""
    ended: str | None = None
    """The public id of the session that the last commit has ended, if it did."""
    fits: Callable[..., object] = staticmethod(lambda key, max_age: None)
    """Raises where the client cannot take a key: a renewal then leaves the old one as it was."""
    conflicts = 0  # how often a commit tried again
    rotated = False  # whether the last commit gave the session another key as it was due
    _doubts: Doubts | None = None
    _begun: Snapshot | None = None  # what is being saved
    _reaches_client = True  # whether the client is told of what is being saved

    def __init__(
        self,
        storage: AbstractStorage,
        changes: Changes,
        stored: StoredRecord | None,
        *,
        terms: Terms,
        conflict_timeout: float,
        limit: SessionLimit | None = None,
    ) -> None:
        self._storage = storage
        self._limit = limit
        self._conflict_timeout = conflict_timeout
        self.changes = changes
        self.terms = terms
        self.stored = stored

    @property
    def max_age(self) -> int | None:
        """The Max-Age of the session cookie, in seconds; None: it ends with the browser."""
        return self.terms.max_age(self.changes.lifetime, self.changes.created)

    @property
    def _loaded(self) -> StoredRecord:
        assert self.stored is not None  # plans for a record are made where there is one
        return self.stored

    async def _save(self, saved: Snapshot, old: StoredRecord | None = None) -> StoredRecord:
        record = self.terms.with_new_key(saved.record)
        ttl = self.terms.ttl_of(record)
        return await save_record(self._storage, record, ttl, old=old, limit=self._limit)

    def _replace(self, stored: StoredRecord, saved: Snapshot) -> Awaitable[StoredRecord]:
        (key, _, revision), ttl = stored, self.terms.ttl_of(saved.record)
        return self._storage.update(key, saved.record, ttl, revision=revision)

    def _update(self, saved: Snapshot) -> Awaitable[StoredRecord]:
        return self._in_doubt(saved, self._replace(self._loaded, saved))

    async def _in_doubt(self, saved: Snapshot, write: Awaitable[StoredRecord]) -> StoredRecord:
        """A write that may have been done where it fails, and may be a login."""
        before, limit = self._loaded, self._limit
        if limit is not None and not is_login(saved.record, before):
            limit = None
        try:
            stored = await write
        except CUT_OFF as error:
            doubt = doubt_of(saved, error, before)
            if doubt is not None and limit is not None:  # nobody may come to count it
                ttl = self.terms.ttl_of(before.record)
                doubt = doubt._replace(undone=await limit.undo(doubt.stored, before, ttl))
            self._add(doubt)
            raise
        if limit is not None:
            await self._count(Doubt(saved, stored.revision, before))
        return stored

    async def _count(self, login: Doubt) -> None:
        """Count a login that was done; while that cannot be, it is in doubt.

        :raises TooManySessions: where it is refused.
        """
        if self._limit is not None:
            ttl = self.terms.ttl_of(login.before.record)
            try:
                await self._limit.admit_update(login.stored, login.before, ttl)
            except StorageUnavailable as error:
                self._add(login._replace(undone=error.revision))
                raise

    def _add(self, doubt: Doubt | None) -> None:
        if doubt is not None:
            self._doubts = self._doubts or Doubts()
            self._doubts.add(doubt)

    async def _refresh(self, saved: Snapshot) -> None:
        key = self._loaded.key
        saved, stored = await once(self._update, self._again, saved)
        self.settle(saved, stored or self._loaded)
        self.rekeyed = self.rekeyed or self._loaded.key != key

    async def _rotate(self, saved: Snapshot, *, changed: bool) -> None:
        """Save under a new key, to which the old one leads for a while.

        :param changed: whether there is something to save.
        """
        before = self._loaded

        async def attempt(saved: Snapshot) -> StoredRecord:
            stored = self._loaded
            # A login that is counted is no time for another key: where it is refused, nobody tells
            # the client.
            is_counted = self._limit is not None and is_login(saved.record, stored)
            if self.terms.is_due(stored.record) and not is_counted:
                record = self.terms.with_new_key(saved.record)
                rotated = await self._in_doubt(
                    saved,
                    self._storage.rotate(
                        stored.key,
                        record,
                        self.terms.ttl_of(record),
                        revision=stored.revision,
                        grace=self.terms.grace(stored.record.lifetime),
                    ),
                )
                self.rotated = True
                return rotated
            # Another request was first, or the next one does it.
            return await self._update(saved) if changed else stored

        try:
            self.settle(*await self._until_it_wins(attempt, saved))
        finally:
            self.rekeyed = self.rekeyed or self._loaded.key != before.key

    async def _renew(self, saved: Snapshot) -> None:
        """Save under a new key, then end the old one; carry over what slipped in between.

        Saved first, so that a failure in between leaves the old session as it was (if the storage
        ends that and its answer is lost twice, neither is there: a new login). And if the old
        one turns out to be ended already, by a logout or by another renewal, the new one goes too.
        """
        new, is_in_it = await self._save(saved, self._loaded), saved

        async def end_old(saved: Snapshot) -> bool:
            nonlocal new, is_in_it
            if saved is not is_in_it:
                if saved.record.owner is None:
                    again = saved._replace(record=self.terms.with_new_key(saved.record))
                    new = await self._replace(new, again)
                else:  # as it is now it may be a login, or continue another
                    await discard_record(self._storage, new.key)
                    new = await self._save(saved, self._loaded)
                is_in_it = saved
            self.fits(new.key, self.max_age)
            return await self._storage.delete(self._loaded.key, revision=self._loaded.revision)

        try:
            saved, ended = await self._until_it_wins(end_old, saved)
        except BaseException:
            await discard_record(self._storage, new.key)
            raise
        if not ended:
            await discard_record(self._storage, new.key)
            raise gone()
        self.ended = self._loaded.record.id
        if self._limit is not None and self._limit.is_contested(new.record, self._loaded):
            await self._limit.count(new)
        self.settle(saved, new)

    def _until_it_wins(
        self,
        attempt: Callable[[Snapshot], Awaitable[T]],
        saved: Snapshot,
        *,
        lost: SessionConflict | None = None,
    ) -> Awaitable[tuple[Snapshot, T]]:
        return until_it_wins(attempt, self._again, saved, self._conflict_timeout, lost=lost)

    async def _again(self, saved: Snapshot) -> Snapshot:
        """Another request was first: the same, on the latest record."""
        self.conflicts += 1
        return await self._on_latest(saved)

    async def _on_latest(self, saved: Snapshot) -> Snapshot:
        latest = await find_record(self._storage, self._loaded.key, self._loaded.record.cookie)
        if latest is None:
            raise gone()
        if self._doubts:
            done = self._doubts.done(self._storage, latest)
            if done is not None:
                await self._count(done)
            saved = self._doubts.resolve(done, self.changes, saved, latest)
        saved = self.changes.rebase(latest.record, saved)
        self.stored = latest
        return self.terms.dated(saved, self._reaches_client)

    def settle(self, saved: Snapshot, stored: StoredRecord) -> None:
        self._begun = None
        self._doubts = None  # what won over the record from before rules out that they were done
        self.stored = stored
        self.changes.settle(saved, stored.record)


def doubt_of(saved: Snapshot, error: BaseException, before: StoredRecord) -> Doubt | None:
    """What is in doubt after a write that failed, or was cut off; None: it was not done."""
    revision = getattr(error, "revision", None)
    return None if revision is None else Doubt(saved, revision, before)


def gone() -> SessionGone:
    """What the write of a session that was ended raises."""
    return SessionGone("the session was ended since it was loaded")
