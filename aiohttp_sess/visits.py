"""The visits of a request: one for each kind of session that it asks for."""

from __future__ import annotations

from aiohttp import web

from .handle import SessionHandle
from .transport import shown
from .unasked import Unasked
from .visit import Visit

__all__ = ("VISITS", "Visits", "default_handle", "enter", "leave", "no_session")

Visits = dict[SessionHandle, Visit | Unasked]
VISITS = web.RequestKey("aiohttp_sess_visits", Visits)
# Of several handles, the one that get_session() takes by default.
_DEFAULT = web.RequestKey("aiohttp_sess_default", SessionHandle)


def default_handle(request: web.Request, visits: Visits) -> SessionHandle:
    """The handle that get_session() takes by default."""
    return next(iter(visits)) if len(visits) == 1 else request[_DEFAULT]


def enter(
    request: web.Request, visits: Visits, handle: SessionHandle, *, is_first: bool
) -> SessionHandle:
    """Before a visit inside of others, of the same application or of one around it. The default
    until now, to `leave` to.

    :param is_first: whether the handle is the first of its application.
    :raises RuntimeError: where one of the others has the same cookie, or header.
    """
    names, outer = handle.transports.names, default_handle(request, visits)
    for other in visits:
        if other is not handle and not names.isdisjoint(other.transports.names):
            name = shown(min(names & other.transports.names))
            raise RuntimeError(
                f"two nested applications have a session with the {name}: call setup() for the "
                "outer one only, or give the inner one another name"
            )
    request[_DEFAULT] = handle if is_first else outer
    return outer


def leave(request: web.Request, outer: SessionHandle) -> None:
    """After it."""
    request[_DEFAULT] = outer


def no_session(request: web.Request, handle: SessionHandle | None) -> Exception:
    """Why a request has no such session."""
    if not isinstance(request, web.BaseRequest):
        return TypeError(f"request must be an aiohttp request, not {type(request).__name__}")
    if handle is not None and not isinstance(handle, SessionHandle):
        return TypeError(f"handle must be what setup() answered, not {type(handle).__name__}")
    if VISITS in request:
        return RuntimeError("the handle is another application's: this request has no such session")
    return RuntimeError(
        "this request has no session: call aiohttp_sess.setup(app, storage) when the application "
        "is built, before it gets any middleware that uses the session (those of "
        "web.Application(middlewares=...) are outside)"
    )
