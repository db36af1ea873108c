"""What a list of ended sessions says, and what follows from it. Pure: it knows no storage.

The list has marks, by the SHA-256 of what they are about, so a leak of it names nobody:

- of one session (the name of its session cookie, and its public id): whether it was ended; or was,
  if it is certain owners'; or got a longer TTL than its older cookies know of.
- of all sessions of one owner (the name of their session cookie, and the owner): their generation,
  a number. A cookie brings along the one that was the owner's when it was made, and those of
  another were ended, but for one that was kept. So it matters to none of this what time it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
"""Seconds that two clocks may differ."""


class SessionMark(msgspec.Struct, array_like=True, frozen=True):
    """What there is about one session.

    ``ttl`` is how long a cookie of it can live, in seconds; ``owners`` are the digests of those for
    whom it was ended.
    """

    most_owners: ClassVar[int] = 32

    ttl: float
    ended: bool = False
    owners: tuple[str, ...] = ()

    def ends(self, owner: str | None) -> bool:
        """Whether it was ended, if it is this owner's."""
        return self.ended or owner in self.owners

    def ended_for(self, owner: str, ttl: float) -> SessionMark:
        """The mark of one that was ended, if it is this owner's, too. After 32 of them it was ended
        whoever's it is: a mark is to stay small, and none of them may be forgotten, or the session
        would be there again.
        """
        if self.ends(owner):
            return self
        if len(self.owners) >= self.most_owners:
            return SessionMark(ttl, ended=True)
        return SessionMark(ttl, self.ended, (*self.owners, owner))


class OwnerMark(msgspec.Struct, array_like=True, frozen=True):
    """What there is about the sessions of one owner.

    ``kept`` is the digest of one that goes on although it is of an earlier generation, from
    ``since`` on.
    """

    generation: int
    kept: str | None = None
    since: int = 0
    ttl: ClassVar[float] = LONGEST

    @classmethod
    def after(cls, before: OwnerMark | None, now: float, kept: str | None) -> OwnerMark:
        """The mark of the next generation.

        :param before: the one that there is. Numbers only grow while there is one, and by the time
            they go on when it was forgotten.
        :param kept: the digest of a session that goes on, unless it was ended before.
        """
        number = int(now * 1000)
        if before is None:
            return cls(number, kept)
        same = kept is not None and kept == before.kept
        since = before.since if same else before.generation
        return cls(max(number, before.generation + 1), kept, since)

    def ends(self, session: str, generation: int) -> bool:
        """Whether a session was ended of which there is a cookie of this ``generation``."""
        if generation == self.generation:
            return False
        return session != self.kept or generation < self.since


Mark = SessionMark | OwnerMark


class Findings:
    """What the list said, at one time.

    :param marks: by their digests.
    """

    def __init__(self, marks: Mapping[str, Mark]) -> None:
        self._marks = marks

    def ended(self, record: SessionRecord, generation: int) -> bool:
        """Whether a session was ended, of which there is a cookie of this ``generation``."""
        mark = self._marks.get(digest_of_session(record))
        if isinstance(mark, SessionMark) and mark.ends(digest_of_owner(record)):
            return True
        owner = self._owner(record)
        return owner is not None and owner.ends(digest_of_session(record), generation)

    def longest(self, record: SessionRecord) -> float:
        """The longest TTL of a session that the list knows of, in seconds."""
        mark = self._marks.get(digest_of_session(record))
        return mark.ttl if isinstance(mark, SessionMark) else 0.0

    def generation(self, record: SessionRecord) -> int:
        """The generation of a session that begins, or goes on, now."""
        owner = self._owner(record)
        return 0 if owner is None else owner.generation

    def _owner(self, record: SessionRecord) -> OwnerMark | None:
        digest = digest_of_owner(record)
        mark = None if digest is None else self._marks.get(digest)
        return mark if isinstance(mark, OwnerMark) else None


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
