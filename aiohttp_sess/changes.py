"""What one request does to a session: the working copy of its record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from .edits import Edits
from .encoded import EncodedState
from .errors import SessionValueError
from .operations import Snapshot, with_state
from .record import Lifetime, SessionRecord, new_id
from .status import SessionStatus, stronger
from .watched import WatchedState

__all__ = ("Changes",)

_NO_FIELDS: Mapping[str, Any] = {}


class Changes(Edits):
    """The working copy of a session's record, and what was done to it.

    :param record: the record that was loaded, or an empty one for a new session.
    :param stored: whether a storage holds that record.
    :param clock: the time now, Unix time in seconds.
    """

    # Most requests change none of these, so they begin on the class.
    renewing = False
    purging = False
    _forced = False
    # Fields of the record that this request set; replaced, never changed in place.
    _fields: Mapping[str, Any]
    _outcome = SessionStatus.UNCHANGED  # of what was saved already in this request
    # How often each was asked for, to tell what was saved from what was asked for since.
    _forces = _renewals = _purges = 0

    def __init__(self, record: SessionRecord, *, stored: bool, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._take(record, stored=stored)

    def _take(self, record: SessionRecord, *, stored: bool) -> None:
        self.stored = stored
        self._record = record
        self._begin(EncodedState.of(record.state).raw)
        self._fields = _NO_FIELDS

    def _start_over(self, record: SessionRecord, *, stored: bool, purging: bool = False) -> None:
        self._take(record, stored=stored)
        self._forced = self.renewing = False
        self.purging = purging

    # -- the session ----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The public id."""
        return self._record.id

    @property
    def stored_id(self) -> str:
        """The public id that the storage has: of a session that is being renewed, the old one."""
        return self._id_before if self.renewing else self._record.id

    @property
    def created(self) -> float:
        """When the session began, Unix time in seconds."""
        return self._record.created

    @property
    def owner(self) -> str | None:
        """The user that the session belongs to."""
        owner: str | None = self._fields.get("owner", self._record.owner)
        return owner

    @property
    def authenticated(self) -> float | None:
        """When the session was last renewed, Unix time in seconds; None: never."""
        when: float | None = self._fields.get("authenticated", self._record.authenticated)
        return when

    @property
    def label(self) -> str | None:
        """What the application calls the session."""
        label: str | None = self._fields.get("label", self._record.label)
        return label

    @property
    def lifetime(self) -> Lifetime | None:
        """The lifecycle that was set for this session alone."""
        lifetime: Lifetime | None = self._fields.get("lifetime", self._record.lifetime)
        return lifetime

    @property
    def new_lifetime(self) -> bool:
        """Whether this request set it, and has not saved that yet."""
        return "lifetime" in self._fields

    @property
    def worth_saving(self) -> bool:
        """Whether a session that no storage holds yet has anything in it."""
        return bool(self._state.raw) or self.owner is not None

    @property
    def untouched(self) -> bool:
        """Whether nothing can be due: nothing was done, nor handed out that can be changed."""
        return not (self._touched or self._state.handed_out)

    @property
    def due(self) -> SessionStatus:
        """What is to be saved now.

        :raises SessionValueError: where something that is not JSON was put into a value.
        """
        if self._state.handed_out:
            self.notice()
        return self._asked

    @property
    def _asked(self) -> SessionStatus:
        """What is to be saved of what was noticed."""
        if not self._touched:
            return SessionStatus.UNCHANGED
        if self.purging:
            return SessionStatus.PURGED
        if self.renewing:
            return SessionStatus.RENEWED
        if self._operations or self._fields or self._forced:
            return SessionStatus.CHANGED
        return SessionStatus.UNCHANGED

    @property
    def unsaved(self) -> bool:
        """Whether something is due, be it what cannot be saved."""
        try:
            return self.due is not SessionStatus.UNCHANGED
        except SessionValueError:
            return True

    @property
    def status(self) -> SessionStatus:
        """The strongest of what happened in this request, saved already or not."""
        return stronger(self.due, self._outcome)

    def force(self) -> None:
        """Count as changed, whatever was done."""
        self._forced = True
        self._forces += 1
        self._touch()

    def set_field(self, name: str, value: Any) -> None:
        """Set the ``owner``, the ``label`` or the ``lifetime``."""
        self._fields = {**self._fields, name: value}
        self._touch()

    def renew(self, *, authenticated: float | None = None) -> None:
        """Ask for a new session key.

        :param authenticated: when that was first asked for, Unix time in seconds; None: now.
        """
        when = self.clock() if authenticated is None else authenticated
        self._fields = {**self._fields, "authenticated": when}
        if not self.renewing:
            self._id_before = self._record.id
        self.renewing = True
        self._renewals += 1
        self._record = dataclasses.replace(self._record, id=new_id())
        self._touch()

    def cancel_renewal(self) -> None:
        """It cannot be: the session goes on as it was."""
        if self.renewing:
            self.renewing = False
            self._fields = {n: v for n, v in self._fields.items() if n != "authenticated"}
            self._record = dataclasses.replace(self._record, id=self._id_before)

    def purge(self) -> None:
        """End the session; what is done from here on is done to a fresh one."""
        fresh = SessionRecord(created=self.clock(), cookie=self._record.cookie)
        self._start_over(fresh, stored=self.stored, purging=True)
        self._purges += 1
        self._touch()

    # -- saved, or to be done again -------------------------------------------------------------

    def snapshot(self, deadline: float | None = None) -> Snapshot:
        """The record as this request would have it, and what it did to get there.

        :param deadline: the record's, Unix time in seconds.
        """
        if self._state.handed_out:
            self.notice()
        fields, self._keeps_operations = self._fields, True
        record = with_state(self._record, EncodedState(self._state.share()), deadline)
        if fields:
            record = dataclasses.replace(record, **fields)
        done = self._operations, fields, self.renewing
        return Snapshot(record, *done, self._forces, self._renewals, self._purges)

    def settle(self, saved: Snapshot, record: SessionRecord) -> None:
        """The storage has ``record`` now, which is what ``saved`` asked for.

        What was done while it was being saved is still to be saved; values that were handed out
        stay watched.
        """
        self._outcome = stronger(self._asked, self._outcome)
        self.stored = True
        if self._purges != saved.purges:
            return  # purged since: nothing of what was saved concerns the fresh session
        self.purging = False
        self.renewing = self.renewing and self._renewals != saved.renewals
        self._id_before = record.id
        self._record = dataclasses.replace(record, id=self._record.id) if self.renewing else record
        self._forced = self._forced and self._forces != saved.forces
        self._operations, self._keeps_operations = self._operations.without(saved.operations), True
        if saved.fields:
            done = saved.fields.items()
            self._fields = dict(each for each in self._fields.items() if each not in done)
        self._touched = bool(self._operations or self._fields or self._forced or self.renewing)

    def ended(self) -> None:
        """The storage has let go of what `purge` ended; nothing of the fresh session is saved."""
        self._outcome = SessionStatus.PURGED
        self.purging = self.stored = False

    def reset(self, record: SessionRecord, *, stored: bool = True) -> None:
        """Start over from ``record``: what was not saved is forgotten.

        :param stored: whether a storage holds it.
        """
        self._start_over(record, stored=stored)

    def rebase(self, latest: SessionRecord, saved: Snapshot | None = None) -> Snapshot:
        """Do this request's own operations again, on the ``latest`` record: what it set, deleted or
        computed, and nothing that it only read.

        :param saved: what of that is being saved; None: all that there is.
        :return: ``saved``, on the latest record.
        :raises Exception: whatever a function given to `update` raises; nothing is changed then.
        """
        self.notice()
        saved = (self.snapshot() if saved is None else saved).again_on(latest)
        if self._purges == saved.purges:  # else it concerns a session that is over
            later = WatchedState(EncodedState.of(saved.record.state).raw)
            self._operations.without(saved.operations).apply(later)
            self._record = dataclasses.replace(latest, id=self.id) if self.renewing else latest
            self._state.take_over(later)
        return saved
