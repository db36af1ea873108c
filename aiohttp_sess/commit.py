"""Carrying out a plan on a storage. What was ended meanwhile stays ended: that is `SessionGone`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from .changes import Changes
from .doubts import Doubts
from .errors import SessionGone, StorageUnavailable
from .find import find_record
from .lifecycle import CookieStep, Plan, StorageStep, plan
from .limit import SessionLimit
from .operations import Snapshot
from .race import once, until_it_wins
from .record import SessionRecord
from .storage.interface import AbstractStorage, SessionKey, StoredRecord
from .storing import discard_record, save_record
from .terms import Terms

__all__ = ("Commit",)

T = TypeVar("T")


class Commit:
    """The storage's side of one session in one request.

    :param storage: where the record lives.
    :param changes: what the request does to it.
    :param stored: the record as it was loaded; None: there is none yet.
    :param terms: how long sessions live.
    :param conflict_timeout: seconds after which a write that keeps losing gives up.
    :param limit: how many sessions an owner may have.
    """

    # Most requests change none of these, so they begin on the class.
    refreshed = False
    """Whether the TTL has started anew in this request."""
    rekeyed = False  # whether a refresh gave the record a key that the client does not have yet
    others: Sequence[SessionKey] = ()  # further ones of the request; a purge ends those, too
    others_ended = conflicts = 0  # how many a purge ended; how often a commit tried again
    ended: str | None = None
    """The public id of the session that the last `carry_out` has ended, if it did."""
    ended_it = False  # whether a purge found something to end
    fits: Callable[..., object] = staticmethod(lambda key, max_age: None)
    """Raises where the client cannot take a key: a renewal then leaves the old one as it was."""
    _doubts: Doubts | None = None
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
        self._conflict_timeout = conflict_timeout
        self._limit = limit
        self.changes = changes
        self.terms = terms
        self.stored = stored

    @property
    def public_id(self) -> str:
        """The public id of the session as it is stored; of a new one, what it will be."""
        return self.changes.id if self.stored is None else self.stored.record.id

    @property
    def ttl(self) -> timedelta:
        """The idle TTL that the record gets now."""
        return self.terms.ttl(self.changes.lifetime, self.changes.created)

    @property
    def max_age(self) -> int | None:
        """The Max-Age of the session cookie, in seconds; None: it ends with the browser."""
        return self.terms.max_age(self.changes.lifetime, self.changes.created)

    def plan(self) -> Plan:
        """What there is to do."""
        own = self.changes.lifetime
        return plan(
            self.changes.due,
            stored=self.stored is not None,
            worth_saving=self.changes.worth_saving,
            refresh=None if self.refreshed else self.terms.refresh(own, self.stored),
        )

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do, and nobody has anything that could be changed in place.

        While a commit is under way, there is something to do.
        """
        return (
            self.changes.untouched
            and not self.rekeyed
            and (self.refreshed or not self.terms.refresh(self.changes.lifetime, self.stored))
        )

    def start_over(self, record: SessionRecord, stored: StoredRecord | None) -> None:
        """Take the record as it is ``stored``, or not; what was not saved is forgotten."""
        self._doubts = None
        self.stored = stored
        self.changes.reset(record, stored=stored is not None)

    def carry_out(self, plan: Plan) -> Coroutine[Any, Any, None]:
        """Do the storage's steps of ``plan``; `stored` is the record as it is afterwards.

        What is saved is what was done until now, at the call: whatever is done to the session while
        the storage is at it, a logout too, is for the next commit.

        :raises SessionGone: where the session was ended since it was loaded; nothing is written.
        :raises SessionConflict: where others kept writing it for ``conflict_timeout``.
        :raises Exception: whatever a function given to `Session.update_value` raises.
        :raises StorageUnavailable: where the storage is.
        """
        saves = plan.storage[-1] not in (StorageStep.UPDATE_TTL, StorageStep.DELETE)
        self._reaches_client = plan.cookie is CookieStep.SET or StorageStep.REFRESH in plan.storage
        return self._carry_out(plan, self._snapshot() if saves else None)

    async def _carry_out(self, plan: Plan, saved: Snapshot | None) -> None:
        self.ended, self.ended_it = None, False
        for step in plan.storage:
            if step is StorageStep.UPDATE_TTL:
                await self._update_ttl()
            elif step is StorageStep.DELETE:
                await self._delete()
                if saved is None:
                    self.changes.ended()
            elif saved is not None:
                if step is StorageStep.SAVE:
                    self._settle(saved, await self._save(saved))
                elif step is StorageStep.UPDATE:
                    self._settle(*await self._until_it_wins(self._update, saved))
                elif step is StorageStep.REFRESH:
                    await self._refresh(saved)
                else:
                    await self._renew(saved)

    @property
    def _loaded(self) -> StoredRecord:
        assert self.stored is not None  # plans for a record are made where there is one
        return self.stored

    async def _delete(self) -> None:
        # First, so that all is still to be done where one fails. Who is left logs nobody out.
        for other in self.others:
            self.others_ended += bool(await self._storage.delete(other))
        key, record, _ = self._loaded
        # Where there is none, it was ended already: to be logged out is what was asked for.
        self.ended_it = await self._storage.delete(key)
        self.ended = record.id
        self.stored = None

    async def _save(self, saved: Snapshot, old: StoredRecord | None = None) -> StoredRecord:
        ttl = self.terms.ttl_of(saved.record)
        return await save_record(self._storage, saved.record, ttl, old=old, limit=self._limit)

    async def _replace(self, stored: StoredRecord, saved: Snapshot) -> StoredRecord:
        (key, _, revision), ttl = stored, self.terms.ttl_of(saved.record)
        return await self._storage.update(key, saved.record, ttl, revision=revision)

    async def _update(self, saved: Snapshot) -> StoredRecord:
        try:
            stored = await self._replace(self._loaded, saved)
        except StorageUnavailable as error:
            if error.revision is not None:
                self._doubts = self._doubts or Doubts()
                self._doubts.add(saved, error.revision)
            raise
        if self._limit is not None:
            before = self._loaded
            await self._limit.admit_update(stored, before, self.terms.ttl_of(before.record))
        return stored

    async def _update_ttl(self) -> None:
        key = await self._storage.update_ttl(self._loaded.key, self.ttl)
        if key is None:
            raise _gone()
        self.rekeyed = self.rekeyed or key != self._loaded.key
        self.stored = self._loaded._replace(key=key)

    async def _refresh(self, saved: Snapshot) -> None:
        key = self._loaded.key
        saved, stored = await once(self._update, self._again, saved)
        self._settle(saved, stored or self._loaded)
        self.rekeyed = self.rekeyed or self._loaded.key != key

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
                new, is_in_it = await self._replace(new, saved), saved
            self.fits(new.key, self.max_age)
            return await self._storage.delete(self._loaded.key, revision=self._loaded.revision)

        try:
            saved, ended = await self._until_it_wins(end_old, saved)
        except BaseException:
            await discard_record(self._storage, new.key)
            raise
        if not ended:
            await discard_record(self._storage, new.key)
            raise _gone()
        self.ended = self._loaded.record.id
        self._settle(saved, new)

    def _until_it_wins(
        self, attempt: Callable[[Snapshot], Awaitable[T]], saved: Snapshot
    ) -> Awaitable[tuple[Snapshot, T]]:
        return until_it_wins(attempt, self._again, saved, self._conflict_timeout)

    async def _again(self, saved: Snapshot) -> Snapshot:
        """Another request was first: the same, on the latest record."""
        self.conflicts += 1
        latest = await find_record(self._storage, self._loaded.key, self._loaded.record.cookie)
        if latest is None:
            raise _gone()
        if self._doubts is not None:
            saved = self._doubts.resolve(self._storage, self.changes, saved, latest)
        saved = self.changes.rebase(latest.record, saved)
        self.stored = latest
        return self.terms.dated(saved, self._reaches_client)

    def _settle(self, saved: Snapshot, stored: StoredRecord) -> None:
        self.stored = stored
        self.changes.settle(saved, stored.record)

    def _snapshot(self) -> Snapshot:
        changes = self.changes
        saved = changes.snapshot(self.terms.deadline(changes.lifetime, changes.created))
        return self.terms.dated(saved, self._reaches_client)


def _gone() -> SessionGone:
    return SessionGone("the session was ended since it was loaded")
