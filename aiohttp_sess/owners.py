"""Every session of one owner: list them, end them (ASVS 7.4.2, 7.4.3, 7.4.5, 7.5.2).

Sessions have an owner from ``session.owner = "user-42"`` on, which a login sets. What is listed
cannot be turned into a cookie: a public id says which session is meant, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from .handle import SessionHandle
from .middleware import handles_of
from .session import Session
from .storage.interface import ListedRecord

__all__ = ("OwnedSession", "end_sessions", "sessions_of")


@dataclass(frozen=True, slots=True)
class OwnedSession:
    """One session of an owner, as it is listed.

    :param id: the public id: what `end_sessions` takes in ``ids``.
    :param created: when it began, in UTC.
    :param last_seen: when its idle TTL last started anew, in UTC: with its last change, or with
        ``ON_EVERY_REQUEST`` its last request. None where that is not known, as close to the end of
        its ``max_lifetime``.
    :param expires: when it ends, if nothing happens, in UTC; None where that is not known.
    :param label: what the application called it (`Session.label`).
    :param current: whether it is the one that `sessions_of` was given.
    :param authenticated: when it was last renewed, in UTC: its login, or the last proof since then
        of who is there (`Session.authenticated_within`). None where it never was.
    """

    id: str
    created: datetime
    last_seen: datetime | None
    expires: datetime | None
    label: str | None
    current: bool
    authenticated: datetime | None = None


async def sessions_of(
    app: web.Application,
    owner: str,
    *,
    current: Session | None = None,
    handle: SessionHandle | None = None,
) -> list[OwnedSession]:
    """The sessions of an owner, in the order of their logins.

    ::

        sessions = await sessions_of(request.app, "user-42", current=await get_session(request))

    A session is in it once its login was saved: the current one, in the request that logs in, after
    ``await session.save()``. Those that ended or expired are not.

    :param app: the application that `setup` was called for.
    :param current: the session that is to be marked.
    :param handle: which kind of session, where an application has several; by default its first.
    :raises NotImplementedError: where the storage cannot tell; it names those that can.
    :raises RuntimeError: where `setup` was not called for the application.
    :raises TypeError: for an argument of the wrong type.
    :raises StorageUnavailable: where the storage is.
    """
    handle = _handle(app, handle)
    name = _checked("current", current)
    found = await handle.storage.sessions_of(_owner(owner), handle.name)
    # By id: one that is getting another key, or was when a process died, has two records.
    there = {each.record.id: each for each in found if not handle.terms.is_over(each.record)}
    return [_owned(handle, each, name) for each in there.values()]


async def end_sessions(
    app: web.Application,
    owner: str,
    *,
    keep: Session | None = None,
    ids: Collection[str] | None = None,
    handle: SessionHandle | None = None,
) -> int | None:
    """End the sessions of an owner, everywhere and at once, and answer how many that were.

    ::

        await end_sessions(request.app, "user-42", keep=await get_session(request))

    Requests of theirs that are under way bring none back: what they change is dropped, and their
    responses have no session cookie. Their bound websockets close, at once in this process, and in
    others when these look (`Session.bind`).

    A login that was complete before the call (its response, or its ``await session.save()``) is
    ended, also if its session is being renewed at that moment. One that begins after the call was
    made is not; one that is under way meanwhile may be or not.

    :param app: the application that `setup` was called for.
    :param keep: the session that goes on, also if it is being renewed in this request.
    :param ids: end only those that have these public ids; by default all. One that is another
        owner's is left alone, so a form may send them. A renewal gives a session another id. With
        `CookieStorage`, each costs an entry for 400 days, be there such a session or not: take no
        more of them than a user can have.
    :param handle: which kind of session, where an application has several; by default its first.
    :return: None where the storage ends all, and does not know how many: `MemcachedStorage`,
        `CookieStorage`.
    :raises NotImplementedError: where the storage cannot; it names those that can.
    :raises RuntimeError: where `setup` was not called for the application.
    :raises TypeError: for an argument of the wrong type.
    :raises StorageUnavailable: where the storage is; some may have been ended.
    """
    handle = _handle(app, handle)
    if isinstance(ids, str) or not isinstance(ids, Collection | None):
        raise TypeError(f"ids must be a list of public ids, not {type(ids).__name__}")
    ended = await handle.storage.end_sessions(
        _owner(owner),
        handle.name,
        keep=_checked("keep", keep),
        ids=None if ids is None else frozenset(ids),
    )
    if ended is None:
        handle.sockets.look_at_all()
        return None
    for session_id in ended:
        handle.end(session_id)
    return len(ended)


def _handle(app: web.Application, handle: SessionHandle | None) -> SessionHandle:
    if handle is not None:
        if not isinstance(handle, SessionHandle):
            raise TypeError(f"handle must be what setup() answered, not {type(handle).__name__}")
        return handle
    if not isinstance(app, web.Application):
        raise TypeError(f"app must be an aiohttp.web.Application, not {type(app).__name__}")
    handles = handles_of(app)
    if not handles:
        raise RuntimeError(
            "this application has no sessions: pass the one that aiohttp_sess.setup() was called "
            "for (request.app in a sub-application is another), or handle=, which it returned"
        )
    return handles[0]


def _owner(owner: str) -> str:
    if not isinstance(owner, str) or not owner:
        raise TypeError("owner must be a non-empty str, as in session.owner")
    return owner


def _checked(name: str, session: Session | None) -> str | None:
    """The public id under which a session is listed."""
    if session is None:
        return None
    if not isinstance(session, Session):
        raise TypeError(f"{name} must be a Session, not {type(session).__name__}")
    return session.stored_id


def _owned(handle: SessionHandle, listed: ListedRecord, current: str | None) -> OwnedSession:
    record, expires = listed
    return OwnedSession(
        id=record.id,
        created=_time(record.created),
        last_seen=_last_seen(handle, listed),
        expires=None if expires is None else _time(expires),
        label=record.label,
        current=record.id == current,
        authenticated=None if record.authenticated is None else _time(record.authenticated),
    )


def _last_seen(handle: SessionHandle, listed: ListedRecord) -> datetime | None:
    """A TTL back from where it ends; a TTL that the deadline has cut off says nothing."""
    record, expires = listed
    if expires is None or (record.deadline is not None and expires >= record.deadline - 1):
        return None if record.refreshed is None else _time(record.refreshed)
    began = expires - handle.terms.lifecycle(record.lifetime).ttl.total_seconds()
    return _time(min(max(began, record.created), handle.storage.clock()))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
