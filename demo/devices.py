"""The devices page: where its visitor is logged in, and how to end that."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from aiohttp_sess import OwnedSession, Session, end_sessions, get_session, sessions_of

from .forms import FORM, csrf_token
from .pages import page
from .state import NAME_LENGTH, flash, take_flashes
from .storages import STORAGE
from .words import counted, in_words

# How many sessions a visitor may have, where the storage can tell: a login ends the oldest.
MOST_SESSIONS = 5

# To end sessions takes a login, or a confirmation, that is no older. Longer in real life.
_FRESH = timedelta(minutes=2)

routes = web.RouteTableDef()


@routes.get("/devices")
async def devices(request: web.Request) -> web.StreamResponse:
    """List the sessions of who is logged in."""
    session, name = await _visitor(request)
    listed = await _listed(request.app, session, name)
    return page(
        "devices.html",
        name=name,
        listed=listed,
        others=listed is None or any(not each.current for each in listed),
        confirmed=session.authenticated_within(_FRESH),
        csrf=csrf_token(session),
        flashes=take_flashes(session),
        storage=request.app[STORAGE],
        limits={"name": NAME_LENGTH, "sessions": MOST_SESSIONS, "fresh": in_words(_FRESH)},
    )


@routes.post("/devices/end")
async def end(request: web.Request) -> web.StreamResponse:
    """End one session. Its id comes from a form, but one of somebody else's is left alone."""
    session, name = await _confirmed(request)
    ids = [request[FORM].get("id", "")]
    try:
        ended = await end_sessions(request.app, name, keep=session, ids=ids)
    except NotImplementedError:  # no page of ours has that form then
        raise web.HTTPBadRequest from None
    if ended == 0:
        flash(session, "There was nothing to end: that session is over.", "bad")
    else:
        flash(session, "That session is ended, and its open pages say so.")
    raise web.HTTPSeeOther("/devices")


@routes.post("/devices/end-others")
async def end_others(request: web.Request) -> web.StreamResponse:
    """Log out everywhere else."""
    session, name = await _confirmed(request)
    ended = await end_sessions(request.app, name, keep=session)
    if ended is None:  # this storage need not know which there were to end them
        flash(session, "You are logged out everywhere else.")
    else:
        flash(
            session, f"You are logged out everywhere else: that ended {counted(ended, 'session')}."
        )
    raise web.HTTPSeeOther("/devices")


async def _listed(app: web.Application, session: Session, name: str) -> list[OwnedSession] | None:
    """The sessions of a visitor, this one first; None where the storage cannot tell."""
    try:
        listed = await sessions_of(app, name, current=session)
    except NotImplementedError:
        return None
    return sorted(listed, key=lambda each: not each.current)


async def _visitor(request: web.Request) -> tuple[Session, str]:
    """:raises web.HTTPSeeOther: for who is not logged in."""
    session = await get_session(request)
    if session.owner is None:
        flash(session, "Please log in first.", "bad")
        raise web.HTTPSeeOther("/")
    return session, session.owner


async def _confirmed(request: web.Request) -> tuple[Session, str]:
    """:raises web.HTTPSeeOther: for who is not logged in, or has been for a while."""
    session, name = await _visitor(request)
    if not session.authenticated_within(_FRESH):
        flash(session, "Nothing is ended yet: please confirm that it is you.", "bad")
        raise web.HTTPSeeOther("/devices")
    return session, name
