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


class Terms:
    """The terms on which an application keeps sessions.

    :param lifecycle: of all that have none of their own.
    :param clock: the time now, Unix time in seconds.
    """

    def __init__(self, lifecycle: Lifecycle, clock: Callable[[], float]) -> None:
        self._default = lifecycle
        self._clock = clock
        self._refreshes_always = refreshes_always(lifecycle)

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
        """``saved`` as it is to be written now: with its deadline, and with when its TTL started
        anew, where that is asked for.

        :param reaches_client: whether the cookie lasts as long, if it has a Max-Age.
        """
        record = saved.record
        lifecycle, refreshed, end = self.lifecycle(record.lifetime), None, None
        if spares_refreshes(lifecycle):
            if reaches_client:
                refreshed = self._clock()
            elif "lifetime" not in saved.fields:
                refreshed = record.refreshed
        if lifecycle.max_lifetime is not None:
            end = deadline(lifecycle, record.created)
        if end == record.deadline and refreshed == record.refreshed:
            return saved
        return saved._replace(record=replace(record, deadline=end, refreshed=refreshed))

    def deadline(self, own: Lifetime | None, created: float) -> float | None:
        """When a session ends, however active it is; Unix time in seconds."""
        return deadline(self.lifecycle(own), created)

    def ttl(self, own: Lifetime | None, created: float) -> timedelta:
        """The idle TTL that a session gets now, cut off at its deadline."""
        lifecycle = self.lifecycle(own)
        return ttl_left(lifecycle, deadline(lifecycle, created), self._clock())

    def ttl_of(self, record: SessionRecord) -> timedelta:
        """The idle TTL of a record."""
        return self.ttl(record.lifetime, record.created)

    def max_age(self, own: Lifetime | None, created: float) -> int | None:
        """The Max-Age of a session's cookie, in seconds; None: it ends with the browser."""
        lifecycle = self.lifecycle(own)
        if isinstance(lifecycle, BrowserSession):
            return None
        return max_age(lifecycle, self.ttl(own, created))
