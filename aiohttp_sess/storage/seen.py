"""What this process knows of indexes: which records are in them, so that it need not ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ("LOOK_EVERY", "Seen")

LOOK_EVERY = 300.0
"""Seconds after which a record is entered again when its TTL starts anew. An index that was lost
has it then, and one that is there lives as long as its records and these seconds."""
_MOST = 10_000  # records that are remembered; who is forgotten is entered once more


class _Entered(NamedTuple):
    index_name: str
    ttl: float  # seconds, when it was entered
    until: float  # Unix time in seconds


class Seen:
    """The records of owners' sessions that this process has seen, the latest last.

    :param clock: the time now, Unix time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: dict[str, _Entered] = {}

    def index_of(self, digest: str) -> str | None:
        """The index that a record belongs to, if that is known."""
        seen = self._records.get(digest)
        return None if seen is None else seen.index_name

    def loaded(self, digest: str, index: str) -> None:
        """A record was loaded that belongs to this index, be it in there or not."""
        if self.index_of(digest) != index:
            self._put(digest, _Entered(index, 0.0, 0.0))

    def entered(self, digest: str, index: str, ttl: float) -> None:
        """A record is in its index now."""
        self._put(digest, _Entered(index, ttl, self._clock() + LOOK_EVERY))

    def is_due(self, digest: str, ttl: float) -> bool:
        """Whether a record has to be entered again, as its TTL starts anew with this."""
        seen = self._records.get(digest)
        return seen is None or seen.until <= self._clock() or seen.ttl < ttl

    def forget(self, digest: str) -> None:
        """It is gone, or nobody knows whether it is in its index."""
        self._records.pop(digest, None)

    def _put(self, digest: str, entered: _Entered) -> None:
        self._records.pop(digest, None)
        self._records[digest] = entered
        if len(self._records) > _MOST:
            del self._records[next(iter(self._records))]
