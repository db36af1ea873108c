"""How long a session lives: under its own lifecycle, or the one for all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from .config import BrowserSession, Lifecycle
from .lifecycle import deadline, max_age, refreshes_always, ttl_left
from .lifetime import lifecycle_of
from .record import Lifetime, SessionRecord

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
