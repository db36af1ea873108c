"""Whether a session is still there, for what lives longer than most requests: websockets, say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from .commit import Commit
from .errors import DeserializationError, SessionConflict, SessionGone
from .moved import refresh_ttl
from .sockets import Binding, Socket, Sockets
from .storage.interface import AbstractStorage

__all__ = ("bind_session", "look_for")


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


async def bind_session(
    commit: Commit,
    sockets: Sockets,
    request: object,
    socket: Socket,
    check_every: float,
    alive: Callable[[bool], Awaitable[bool]],
) -> Binding:
    """See `aiohttp_sess.Session.bind`; it is bound until ``request`` is released.

    :param alive: whether the session is still there; with True, its TTL starts anew.
    """
    if not getattr(socket, "prepared", True):
        raise RuntimeError("bind a websocket that is prepared: await socket.prepare(request)")
    if commit.stored is not None:
        session_id = commit.public_id
        if commit.moves:  # else its key may be no way to it any more at the next check
            check_every = min(check_every, commit.grace / 2)
        binding = sockets.bind(request, socket, session_id, alive, check_every)
        # It may have ended since it was loaded, and from here on nothing of it is missed.
        try:
            if binding.ended or await alive(False):
                return binding
        except BaseException:
            sockets.release(request, binding)
            raise
        sockets.end(session_id)
    raise SessionGone("there is no session to bind to: none was saved, or it was ended")
