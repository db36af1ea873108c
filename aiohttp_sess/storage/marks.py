"""What a list of ended sessions says, and what follows from it. Pure: it knows no storage.

The list has marks, by the SHA-256 of what they are about, so a leak of it names nobody:

- of one session (the name of its session cookie, and its public id): whether it was ended; or was,
  if it is certain owners'; or got a longer TTL than its older cookies know of.
- of all sessions of one owner (the name of their session cookie, and the owner): those that began
  before a certain time do not load, but for one that was kept.

Times alone cannot tell a login right after the end of all sessions from one right before: clocks
differ, and a write takes a while. So the time of an end lies a little in the future, and who is let
in after it, having looked at the mark, is dated by that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import msgspec

from ..record import SessionRecord

__all__ = (
    "LONGEST",
    "MARGIN",
    "Findings",
    "Mark",
    "OwnerMark",
    "SessionMark",
    "digest_of_owner",
    "digest_of_session",
    "owner_digest",
    "session_digest",
)

LONGEST = timedelta(days=400).total_seconds()
"""Seconds that a cookie can live: browsers keep none for longer (RFC 6265bis, section 5.5)."""

MARGIN = 10.0
"""Seconds that two clocks may differ, or a write take."""


class SessionMark(msgspec.Struct, array_like=True, frozen=True):
    """What there is about one session.

    ``ttl`` is how long a cookie of it can live, in seconds; ``owners`` are the digests of those for
    whom it was ended.
    """

    ttl: float
    ended: bool = False
    owners: tuple[str, ...] = ()

    def ends(self, owner: str | None) -> bool:
        """Whether it was ended, if it is this owner's."""
        return self.ended or owner in self.owners


class OwnerMark(msgspec.Struct, array_like=True, frozen=True):
    """What there is about the sessions of one owner.

    ``not_before`` is when those began that load, at the earliest, Unix time in seconds; ``kept`` is
    the digest of one for which it is ``kept_not_before``.
    """

    not_before: float
    kept: str | None = None
    kept_not_before: float = 0.0
    ttl: ClassVar[float] = LONGEST

    def limit(self, session: str | None) -> float:
        """When a session began that loads, at the earliest, Unix time in seconds."""
        kept = session is not None and session == self.kept
        return self.kept_not_before if kept else self.not_before


Mark = SessionMark | OwnerMark


class Findings:
    """What the list said, at one time.

    :param marks: by their digests.
    """

    def __init__(self, marks: Mapping[str, Mark]) -> None:
        self._marks = marks

    def ended(self, record: SessionRecord) -> bool:
        """Whether a session was ended."""
        mark = self._marks.get(digest_of_session(record))
        if isinstance(mark, SessionMark) and mark.ends(digest_of_owner(record)):
            return True
        return _began(record) < self._limit(record)

    def longest(self, record: SessionRecord) -> float:
        """The longest TTL of a session that the list knows of, in seconds."""
        mark = self._marks.get(digest_of_session(record))
        return mark.ttl if isinstance(mark, SessionMark) else 0.0

    def admitted(self, record: SessionRecord) -> SessionRecord:
        """A record that begins, or goes on, after whatever was ended of its owner's sessions."""
        limit = self._limit(record)
        return replace(record, issued=limit) if _began(record) < limit else record

    def _limit(self, record: SessionRecord) -> float:
        owner = digest_of_owner(record)
        mark = None if owner is None else self._marks.get(owner)
        return mark.limit(digest_of_session(record)) if isinstance(mark, OwnerMark) else 0.0


def session_digest(cookie: str, session_id: str) -> str:
    """What a session is known by to the list."""
    return _digest("session", cookie, session_id)


def owner_digest(cookie: str, owner: str) -> str:
    """What an owner is known by to the list."""
    return _digest("owner", cookie, owner)


def digest_of_session(record: SessionRecord) -> str:
    """What the session of a record is known by."""
    return session_digest(record.cookie, record.id)


def digest_of_owner(record: SessionRecord) -> str | None:
    """What the owner of a record is known by; None where it has none."""
    return None if record.owner is None else owner_digest(record.cookie, record.owner)


def _digest(*parts: str) -> str:
    # Neither a kind nor the name of a cookie has a NUL in it, so no two texts are the same.
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _began(record: SessionRecord) -> float:
    return max(record.created, record.authenticated or 0.0, record.issued or 0.0)
