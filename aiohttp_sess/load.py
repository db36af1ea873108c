"""Loading: which record the session keys of a request lead to, if any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .changes import Changes
from .commit import Commit, find_record, fresh_record
from .config import BrowserSession
from .handle import SessionHandle
from .lifecycle import deadline, refreshes_always, ttl_left
from .lifetime import lifecycle_of
from .storage.interface import SessionKey, StoredRecord

__all__ = ("Opened", "open_session")


class Opened(NamedTuple):
    """A session that a request works on.

    ``refreshed``: whether its TTL started anew by loading it.
    """

    changes: Changes
    commit: Commit
    refreshed: bool


class _Found(NamedTuple):
    stored: StoredRecord
    refreshed: bool
    rekeyed: bool


async def open_session(handle: SessionHandle, keys: Iterable[SessionKey]) -> Opened:
    """The session of the first of ``keys`` that leads to a record, or else a fresh one.

    A key that the storage does not know is never adopted (OWASP Session Management Cheat Sheet,
    strict session management): the fresh session gets a key of its own.

    :raises StorageUnavailable: where the storage is.
    """
    found = None
    for key in keys:
        found = await _find(handle, key)
        if found is not None:
            break
    stored = None if found is None else found.stored
    record = fresh_record(handle.storage, handle.cookie.name) if stored is None else stored.record
    changes = Changes(record, stored=stored is not None, clock=handle.storage.clock)
    commit = Commit(
        handle.storage,
        changes,
        stored,
        lifecycle=handle.lifecycle,
        conflict_timeout=handle.conflict_timeout,
        gave_up=handle.count_conflict,
    )
    commit.rekeyed = found is not None and found.rekeyed
    return Opened(changes, commit, found is not None and found.refreshed)


async def _find(handle: SessionHandle, key: SessionKey) -> _Found | None:
    storage, lifecycle = handle.storage, handle.lifecycle
    # A cookie with a Max-Age must not promise more than the storage keeps, so the TTL of a
    # persistent session starts anew at the end of the request, not here.
    here = refreshes_always(lifecycle) and isinstance(lifecycle, BrowserSession)
    ttl = lifecycle.ttl if here else None
    stored = await find_record(storage, key, handle.cookie.name, ttl=ttl)
    if stored is None:
        return None
    own = stored.record.lifetime
    if own is not None:
        lifecycle = lifecycle_of(own)
    end, now = deadline(lifecycle, stored.record.created), storage.clock()
    if end is not None and end <= now:
        # The lifecycle may have become shorter since the record was written.
        await storage.delete(stored.key)
        return None
    refreshed = here
    if here and own is not None:
        # Its own TTL may be longer than the one it was just given, which is all that was known. (An
        # own policy of ON_STATE_CHANGES cannot be kept here: what was left is known to nobody.)
        given = await storage.update_ttl(stored.key, ttl_left(lifecycle, end, now))
        if given is None:
            return None
        stored = stored._replace(key=given)
        refreshed = isinstance(lifecycle, BrowserSession)
    return _Found(stored, refreshed, stored.key is not key and stored.key != key)
