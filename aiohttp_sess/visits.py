"""The visits of a request: one for each kind of session that it asks for.

Most requests of most applications ask for none, so for those there is only how far they have come.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

from .handle import SessionHandle
from .transport import shown
from .visit import Visit, _Phase

__all__ = ("VISITS", "Progress", "Visits", "enter", "no_session", "progress_of")


class Progress(msgspec.Struct, eq=False):
    """How far a request has come with one kind of session.

    :param handle: of that kind.
    :param headers: the request's, as it came.
    :param visit: what it does with the session, since it asked for that.
    :param finished: whether its handler is done.
    :param failed: whether it was by an exception.
    :param sent: whether headers of a response were sent.
    """

    handle: SessionHandle
    headers: CIMultiDictProxy[str]
    visit: Visit | None = None
    finished: bool = False
    failed: bool = False
    sent: bool = False

    def begin(self, kind: type[Visit]) -> Visit:
        """The visit, which begins here."""
        phase = _Phase.SENT if self.sent else _Phase.OPEN
        if self.failed:
            phase = _Phase.ABANDONED
        self.visit = kind(self.handle, self.headers, phase, self.finished)
        return self.visit

    def __repr__(self) -> str:  # without the headers, which hold secrets
        return f"<Progress with {self.handle.name!r}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own has all fields
        return [("handle", self.handle.name)]


Visits = dict[SessionHandle | None, Progress]
"""By their handles; of several, under None the one that get_session() takes by default."""
VISITS = web.RequestKey("aiohttp_sess_visits", Visits)


def progress_of(request: web.Request, handle: SessionHandle | None) -> Progress:
    """How far a request has come with one kind of session; by default, with that which is.

    :raises KeyError: where it has none.
    """
    visits = request[VISITS]
    if handle is None and len(visits) == 1:
        return next(iter(visits.values()))
    return visits[handle]


def enter(visits: Visits, progress: Progress, *, is_first: bool) -> Progress:
    """Another kind of session, of the same application or of one inside of it. What was the default
    until now, and is again afterwards.

    :param is_first: whether its handle is the first of its application.
    :raises RuntimeError: where another kind has the same cookie, or header.
    """
    handle, names = progress.handle, progress.handle.transports.names
    for other in visits:
        if other and other is not handle and not names.isdisjoint(other.transports.names):
            name = shown(min(names & other.transports.names))
            raise RuntimeError(
                f"two nested applications have a session with the {name}: call setup() for the "
                "outer one only, or give the inner one another name"
            )
    outer = visits.get(None) or next(iter(visits.values()))
    visits[handle] = progress
    visits[None] = progress if is_first else outer
    return outer


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
