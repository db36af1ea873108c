"""Carrying out a plan on a storage. What was ended meanwhile stays ended: that is `SessionGone`."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

from .errors import SessionConflict, SessionGone
from .lifecycle import (
    UPDATE,
    CookieStep,
    Plan,
    StorageStep,
    and_rotate,
    plan,
    plan_after_headers,
)
from .moved import end, end_others, refresh_ttl
from .operations import Snapshot
from .record import SessionRecord
from .status import SessionStatus
from .storage.interface import SessionKey, StoredRecord
from .storage.stored import CUT_OFF
from .writes import Writes, doubt_of, gone

__all__ = ("Commit",)

_ENDING = (StorageStep.UPDATE_TTL, StorageStep.DELETE)  # as the last step: nothing is saved
_TELLING = (StorageStep.REFRESH, StorageStep.ROTATE)  # the client gets the cookie where it must


class Commit(Writes):
    """The storage's side of one session in one request: see `Writes`."""

    # Most requests change none of these, so they begin on the class.
    refreshed = False
    """Whether the TTL has started anew in this request, or is not to, unless something changes."""
    rotates = False
    """Whether the key was due for rotation when the record was loaded, and still is."""
    others: Sequence[SessionKey] = ()  # further ones of the request; a purge ends those, too
    others_ended = 0  # how many a purge ended
    ended_it = False  # whether a purge found something to end
    _before: StoredRecord | None = None  # what was stored when it began, and not deleted since

    @property
    def public_id(self) -> str:
        """The public id of the session as it is stored; of a new one, what it will be."""
        return self.changes.id if self.stored is None else self.stored.record.id

    @property
    def ttl(self) -> timedelta:
        """The idle TTL that the record gets now."""
        return self.terms.ttl(self.changes.lifetime, self.changes.created)

    def plan(self, *, sent: bool = False) -> Plan:
        """What there is to do.

        :param sent: whether the headers are gone, so that the client cannot be told of a new key.
        """
        changes, due = self.changes, self.changes.due
        rotates = self.rotates and self.stored is not None and not sent
        if due is SessionStatus.CHANGED and self.stored is not None and not rotates:
            return UPDATE  # as most do
        refresh = None
        if due is SessionStatus.UNCHANGED and not self.refreshed:
            refresh = self.terms.refresh(changes.lifetime, self.stored)
        stored = self.stored is not None
        todo = plan(due, stored=stored, worth_saving=changes.worth_saving, refresh=refresh)
        return and_rotate(todo) if rotates else todo

    def plan_after_headers(self) -> tuple[Plan, str | None]:
        """What there is to do once the headers are gone, and why the rest cannot be done."""
        changes = self.changes
        todo, impossible = plan_after_headers(
            self.plan(sent=True),
            server_side=self._storage.server_side,
            new_lifetime=changes.new_lifetime,
            ends_early=self._storage.ends_sessions_early,
        )
        if changes.renewing and impossible:
            changes.cancel_renewal()
        return todo, impossible

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do, and nobody has anything that could be changed in place.

        While a commit is under way, there is something to do.
        """
        return (
            self.changes.untouched
            and not self.rekeyed
            and not self.rotates
            and (self.refreshed or not self.terms.refresh(self.changes.lifetime, self.stored))
        )

    @property
    def moves(self) -> bool:
        """Whether another request may have given the session another key."""
        return self.stored is not None and self.terms.may_have_moved(self.stored.record)

    @property
    def rekeyed_earlier(self) -> bool:
        """Whether there is a key to tell that another request, or the load, gave a while ago."""
        return self.rekeyed and (self.moves or not self._storage.server_side)

    @property
    def grace(self) -> float:
        """Seconds for which an old key leads to the session, where its key is rotated."""
        return self.terms.grace(self._loaded.record.lifetime).total_seconds()

    def others_may_end(self, before: StoredRecord | None) -> bool:
        """Whether another request may end what is stored now. Where its client is only about to be
        told of it, that is one which ends all sessions of its owner.

        :param before: what was stored before.
        """
        if self.stored is None:
            return False
        record = self.stored.record
        return record.owner is not None or (before is not None and before.record.id == record.id)

    def found_under(self, key: SessionKey) -> None:
        """The record is under this key, which may be another than the one it was loaded from."""
        if key is not self._loaded.key and key != self._loaded.key:
            self.rekeyed = True
            self.stored = self._loaded._replace(key=key)

    def start_over(self, record: SessionRecord, stored: StoredRecord | None) -> None:
        """Take the record as it is ``stored``, or not; what was not saved is forgotten."""
        self._doubts = None
        if stored is not None and self.stored is not None:
            self.found_under(stored.key)
            if stored.record.lifetime != self.stored.record.lifetime:  # another request has set it
                self.refreshed = False
        self.stored = stored
        self.changes.reset(record, stored=stored is not None)

    def carry_out(self, plan: Plan) -> Coroutine[Any, Any, None]:
        """Both `begin` and `complete`."""
        self.begin(plan)
        return self.complete(plan)

    def begin(self, plan: Plan) -> Snapshot | None:
        """Take what ``plan`` is to save, if anything. Whatever is done to the session from here on,
        while the storage is at it, a logout too, is for the next commit.
        """
        saves = plan.storage[-1] not in _ENDING
        self._reaches_client = plan.cookie is CookieStep.SET or plan.storage[-1] in _TELLING
        self.ended, self.ended_it, self.rotated = None, False, False
        self._before = self.stored
        saved = self.changes.snapshot() if saves else None
        self._begun = None if saved is None else self.terms.dated(saved, self._reaches_client)
        return self._begun

    async def complete(self, plan: Plan) -> None:
        """Do the storage's steps of ``plan``; `stored` is the record as it is afterwards.

        :raises SessionGone: where the session was ended since it was loaded; nothing is written.
        :raises SessionConflict: where others kept writing it for ``conflict_timeout``.
        :raises Exception: whatever a function given to `Session.update_value` raises.
        :raises StorageUnavailable: where the storage is.
        """
        saved = self._begun
        try:
            for step in plan.storage:
                if step is StorageStep.UPDATE_TTL:
                    await self._update_ttl()
                elif step is StorageStep.DELETE:
                    await self._delete()
                    if saved is None:
                        self.changes.ended()
                elif saved is not None:
                    if step is StorageStep.UPDATE:
                        self.settle(*await self._until_it_wins(self._update, saved))
                    elif step is StorageStep.SAVE:
                        self.settle(saved, await self._save(saved))
                    elif step is StorageStep.REFRESH:
                        await self._refresh(saved)
                    elif step is StorageStep.ROTATE:
                        await self._rotate(saved, changed=plan.cookie is CookieStep.SET)
                    else:
                        await self._renew(saved)
        except SessionGone:
            if self._doubts:  # of a login, which a parallel request may have given another key
                await self._count(self._doubts.last)
            raise
        self._begun, self.rotates = None, False

    def takes_one_step(self, plan: Plan) -> bool:
        """Whether `write` is all that ``plan`` asks for: an update in which nobody logs in."""
        saved = self._begun
        if saved is None or plan.storage != UPDATE.storage:
            return False
        return self._limit is None or not saved.fields

    def write(self, saved: Snapshot) -> Awaitable[StoredRecord]:
        """See `takes_one_step`: then `settle` it, or `recover` from its failure."""
        return self._replace(self._loaded, saved)

    async def recover(self, saved: Snapshot, error: BaseException) -> None:
        """Go on with an update after the ``error`` of `write`, if that is a `SessionConflict`."""
        try:
            if isinstance(error, CUT_OFF) and self._before is not None:
                self._add(doubt_of(saved, error, self._before))
            if not isinstance(error, SessionConflict):
                raise error
            self.settle(*await self._until_it_wins(self._update, saved, lost=error))
        finally:
            del error  # whose traceback has this frame

    def unsent(self) -> None:
        """The client cannot be given the key of what was just saved, so it is not saved."""
        self.changes.force()
        if not self._storage.server_side:  # there the record is the key
            self.stored = self._before
            self.changes.stored = self.stored is not None

    def can_go_on(self, plan: Plan) -> bool:
        """Whether `go_on` sees ``plan`` through, should it be cut off: it only writes values under
        the key that there is, and the storage tells whether that was done.
        """
        saved = self._begun
        if saved is None or plan.storage != UPDATE.storage or saved.fields:
            return False
        return self._storage.recognises_writes

    async def go_on(self) -> None:
        """See an update through that was cut off, and may have been done or not."""
        assert self._begun is not None  # see can_go_on
        saved = await self._on_latest(self._begun)
        if self.changes.unsaved:  # it was not done, or not all of it
            self.settle(*await self._until_it_wins(self._update, saved))

    async def _delete(self) -> None:
        # First, so that all is still to be done where one fails. Who is left logs nobody out.
        storage, patience = self._storage, self._conflict_timeout
        self.others_ended += await end_others(storage, self.others, self._loaded, patience)
        # Where there is none, it was ended already: to be logged out is what was asked for.
        self.ended_it = await end(storage, self._loaded, patience)
        self.ended = self._loaded.record.id
        self.stored = self._before = None

    async def _update_ttl(self) -> None:
        key = await refresh_ttl(self._storage, self._loaded, self.ttl, moves=self.moves)
        if key is None:
            raise gone()
        self.found_under(key)
