"""How long a session lives: under its own lifecycle, or the one for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from .config import BrowserSession, Lifecycle
from .find import Unreadable
from .lifecycle import (
    deadline,
    max_age,
    refresh_due,
    refreshes_always,
    spares_refreshes,
    ttl_left,
)
from .lifetime import lifecycle_of
from .operations import Snapshot
from .record import Lifetime, SessionRecord
from .storage.interface import StoredRecord

__all__ = ("Terms",)

_UNDATED = (None, None, None)


class Terms:
    """The terms on which an application keeps sessions.

    :param lifecycle: of all that have none of their own.
    :param clock: the time now, Unix time in seconds.
    """

    def __init__(self, lifecycle: Lifecycle, clock: Callable[[], float]) -> None:
        self._default = lifecycle
        self._clock = clock
        self._refreshes_always = refreshes_always(lifecycle)
        self._ends_with_browser = isinstance(lifecycle, BrowserSession)
        has_no_end = lifecycle.max_lifetime is None
        self._whole_ttl = lifecycle.ttl if has_no_end else None
        self._dates_nothing = has_no_end and not spares_refreshes(lifecycle)
        longest = lifecycle.rotate_every
        self.rotates = longest is not None
        """Whether the keys of sessions that have no lifecycle of their own are rotated."""
        self._longest_key_age = None if longest is None else longest.total_seconds()
        self.rotation_grace = 30.0
        """Seconds for which the old key of a session leads to it, after a rotation."""

    def lifecycle(self, own: Lifetime | None) -> Lifecycle:
        """A session's own lifecycle, or the one for all."""
        return self._default if own is None else lifecycle_of(own)

    def refreshes_always(self, own: Lifetime | None) -> bool:
        """Whether the TTL starts anew at every request."""
        return self._refreshes_always if own is None else refreshes_always(lifecycle_of(own))

    def spares_refreshes(self, own: Lifetime | None) -> bool:
        """Whether it does so only where a share of it has gone."""
        return spares_refreshes(self.lifecycle(own))

    def refresh(self, own: Lifetime | None, stored: StoredRecord | None) -> Lifecycle | None:
        """The lifecycle under which the TTL of what is stored is to start anew, although nothing
        changed; None where it is not.
        """
        if stored is None or not self.refreshes_always(own):
            return None
        lifecycle = self.lifecycle(own)
        if not spares_refreshes(lifecycle):
            return lifecycle
        if isinstance(stored, Unreadable):
            return None  # it would have to be written anew
        due = refresh_due(lifecycle, stored.record.refreshed, self._clock())
        return lifecycle if due else None

    def activity_due(self, own: Lifetime | None, *refreshed: float | None) -> bool:
        """The same for a sign of life that is no request, which counts under either policy.

        :param refreshed: when the TTL started anew, Unix time in seconds; None: it is not known.
        """
        lifecycle, now = self.lifecycle(own), self._clock()
        return all(refresh_due(lifecycle, when, now) for when in refreshed)

    def dated(self, saved: Snapshot, reaches_client: bool) -> Snapshot:
        """``saved`` as it is to be written now: with its deadline, and where that is asked for with
        when its TTL started anew, and from when on its key is rotated.

        :param reaches_client: whether the cookie lasts as long, if it has a Max-Age.
        """
        record = saved.record
        if (record.lifetime, record.deadline, record.refreshed) == _UNDATED and self._dates_nothing:
            return saved  # as most are
        lifecycle, refreshed, end = self.lifecycle(record.lifetime), None, None
        issued = record.issued
        if issued is None and lifecycle.rotate_every and "lifetime" in saved.fields:
            # Who loaded it before does not follow it, and has that long to be done: a purge, say.
            issued = self._clock()
        if spares_refreshes(lifecycle):
            if reaches_client:
                refreshed = self._clock()
            elif "lifetime" not in saved.fields:
                refreshed = record.refreshed
        if lifecycle.max_lifetime is not None:
            end = deadline(lifecycle, record.created)
        if (end, refreshed, issued) == (record.deadline, record.refreshed, record.issued):
            return saved
        record = replace(record, deadline=end, refreshed=refreshed, issued=issued)
        return saved._replace(record=record)

    def deadline(self, own: Lifetime | None, created: float) -> float | None:
        """When a session ends, however active it is; Unix time in seconds."""
        return deadline(self.lifecycle(own), created)

    def is_over(self, record: SessionRecord) -> bool:
        """Whether a session has come to that end. Mostly a storage says so first, but the lifecycle
        may have become shorter since the record was written.
        """
        end = self.deadline(record.lifetime, record.created)
        return end is not None and end <= self._clock()

    def ttl(self, own: Lifetime | None, created: float) -> timedelta:
        """The idle TTL that a session gets now, cut off at its deadline."""
        if own is None and self._whole_ttl is not None:
            return self._whole_ttl
        lifecycle = self.lifecycle(own)
        if lifecycle.max_lifetime is None:
            return lifecycle.ttl
        return ttl_left(lifecycle, deadline(lifecycle, created), self._clock())

    def ttl_of(self, record: SessionRecord) -> timedelta:
        """The idle TTL of a record."""
        if record.lifetime is None and self._whole_ttl is not None:
            return self._whole_ttl
        return self.ttl(record.lifetime, record.created)

    def may_have_moved(self, record: SessionRecord) -> bool:
        """Whether another request may have given the session another key: also one whose own
        lifecycle rotates nothing, as that can be another by now.
        """
        rotates = self.rotates or self._key_age(record.lifetime) is not None
        return rotates or record.issued is not None

    def is_due(self, record: SessionRecord) -> bool:
        """Whether a session's key is older than it may become."""
        longest = self._key_age(record.lifetime)
        if longest is None:
            return False
        # Of one that began before keys were rotated, nobody knows more than when it began.
        issued = record.created if record.issued is None else record.issued
        return issued + longest <= self._clock()

    def with_new_key(self, record: SessionRecord) -> SessionRecord:
        """A record that is about to get a new key."""
        issued = None if self._key_age(record.lifetime) is None else self._clock()
        return record if issued == record.issued else replace(record, issued=issued)

    def grace(self, own: Lifetime | None) -> timedelta:
        """How long the old key of a session leads on; never as long as to be rotated twice."""
        longest = self._key_age(own)
        return timedelta(seconds=min(self.rotation_grace, longest or self.rotation_grace))

    def _key_age(self, own: Lifetime | None) -> float | None:
        return self._longest_key_age if own is None else own.rotate_every

    def max_age(self, own: Lifetime | None, created: float) -> int | None:
        """The Max-Age of a session's cookie, in seconds; None: it ends with the browser."""
        if own is None and self._ends_with_browser:
            return None
        lifecycle = self.lifecycle(own)
        if isinstance(lifecycle, BrowserSession):
            return None
        return max_age(lifecycle, self.ttl(own, created))
