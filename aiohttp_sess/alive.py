"""Whether a session is still there, for what lives longer than most requests: websockets, say."""

from __future__ import annotations

from contextlib import suppress

from .commit import Commit
from .errors import DeserializationError, SessionConflict
from .moved import refresh_ttl
from .storage.interface import AbstractStorage

__all__ = ("look_for",)


async def look_for(
    commit: Commit, storage: AbstractStorage, *, refresh: bool, refreshed: float | None
) -> tuple[bool, float | None]:
    """Whether a session is there, and when a sign of life last let its TTL start anew.

    As no cookie goes along with a websocket's signs of life, the record says nothing of them.

    :param refresh: whether there was a sign of life, so that it starts anew now.
    :param refreshed: when one last did that, Unix time in seconds; None: none has yet.
    """
    stored, terms, own = commit.stored, commit.terms, commit.changes.lifetime
    if stored is None:
        return False, refreshed
    at_once = refresh and not terms.spares_refreshes(own)
    try:
        latest = await storage.load(stored.key, ttl=commit.ttl if at_once else None)
    except DeserializationError:
        return True, refreshed  # it cannot be read, but it was not ended
    if latest is None:
        return False, refreshed
    if terms.is_over(latest.record):
        with suppress(SessionConflict):
            await storage.delete(latest.key, revision=latest.revision)
        return False, refreshed
    if commit.stored is stored:  # not by another task of this request meanwhile
        commit.found_under(latest.key)
    if not refresh:
        return True, refreshed
    record = latest.record
    if at_once:
        if record.lifetime == own:
            return True, refreshed
        # Another request has given it another lifecycle.
    elif not terms.activity_due(record.lifetime, record.refreshed, refreshed):
        return True, refreshed
    now, moves = storage.clock(), terms.may_have_moved(record)
    key = await refresh_ttl(storage, latest, terms.ttl_of(record), moves=moves)
    return key is not None, now
