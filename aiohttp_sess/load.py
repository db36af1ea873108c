"""Loading: which record the session keys of a request lead to, if any."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from .changes import Changes
from .commit import Commit
from .config import BrowserSession
from .errors import DeserializationError, SessionConflict
from .events import Expired
from .find import fresh_record, unreadable
from .handle import SessionHandle
from .moved import refresh_ttl
from .record import SessionRecord
from .storage.interface import SessionKey, StoredRecord

__all__ = ("open_session",)


async def open_session(handle: SessionHandle, keys: Sequence[SessionKey]) -> Commit:
    """The session of the first of ``keys`` that leads to a record, or else a fresh one.

    A key that the storage does not know is never adopted (OWASP Session Management Cheat Sheet,
    strict session management): the fresh session gets a key of its own.

    :raises StorageUnavailable: where the storage is.
    """
    storage, name, ttl = handle.storage, handle.name, handle.ttl_at_load
    for number, key in enumerate(keys, 1):
        refreshed = ttl is not None
        try:  # as `find_record` does, here without a coroutine more for each request
            stored = await storage.load(key, ttl=ttl)
        except DeserializationError as error:
            stored = unreadable(storage, key, name, error)
        if handle.just_loaded is not None:
            await handle.just_loaded.gather()
        if stored is None or stored.record.cookie != name:
            continue
        if stored.record.lifetime or handle.lifecycle.max_lifetime:
            stored, refreshed = await _within_its_lifetime(handle, stored, refreshed=refreshed)
            if stored is None:
                continue
        commit = _commit(handle, stored.record, stored)
        if refreshed or not (handle.refreshes_always or stored.record.lifetime):
            commit.refreshed = True
        if handle.terms.rotates or stored.record.lifetime:
            commit.rotates = storage.rotates_keys and handle.terms.is_due(stored.record)
        if number < len(keys):
            commit.others = keys[number:]
        if stored.key is not key and stored.key != key:
            commit.rekeyed = True
        return commit
    return _commit(handle, fresh_record(storage, name), None)


def _commit(handle: SessionHandle, record: SessionRecord, stored: StoredRecord | None) -> Commit:
    return Commit(
        handle.storage,
        Changes(record, stored=stored is not None, clock=handle.storage.clock),
        stored,
        terms=handle.terms,
        conflict_timeout=handle.conflict_timeout,
        limit=handle.limit,
    )


async def _within_its_lifetime(
    handle: SessionHandle, stored: StoredRecord, *, refreshed: bool
) -> tuple[StoredRecord | None, bool]:
    """A record that a lifecycle may have ended; and whether its TTL has started anew.

    :param refreshed: whether loading it did that, with the TTL of all sessions.
    """
    storage, own = handle.storage, stored.record.lifetime
    lifecycle = handle.terms.lifecycle(own)
    if handle.terms.is_over(stored.record):
        with suppress(SessionConflict):  # or its own lifecycle became longer just now
            if await storage.delete(stored.key, revision=stored.revision):
                handle.sockets.end(stored.record.id)
                events = handle.events
                events.send_soon(Expired(events.kind, stored.record.id, "max_lifetime"))
        return None, False
    if not refreshed or own is None:
        return stored, refreshed
    # Its own TTL may be longer than the one it was just given, which is all that was known. (An own
    # policy of ON_STATE_CHANGES cannot be kept here: what was left is known to nobody.)
    ttl, moves = handle.terms.ttl_of(stored.record), handle.terms.may_have_moved(stored.record)
    key = await refresh_ttl(storage, stored, ttl, moves=moves)
    if key is None:
        return None, False
    return stored._replace(key=key), isinstance(lifecycle, BrowserSession)
