"""Login, logout, "remember me", and asking once more who is there."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from aiohttp_sess import PersistentSession, get_session

from .forms import FORM, FieldError, renew_csrf_token, text_field
from .state import NAME_LENGTH, flash
from .words import device_in_words

_REMEMBERED = PersistentSession(session_ttl=timedelta(days=30))

routes = web.RouteTableDef()


@routes.post("/login")
async def login(request: web.Request) -> web.StreamResponse:
    """Give the session an owner. A real application asks for a proof of identity first."""
    session = await get_session(request)
    form = request[FORM]
    try:
        name = text_field(form, "name", NAME_LENGTH)
    except FieldError as error:
        flash(session, str(error), "bad")
        raise web.HTTPSeeOther("/") from None
    # Whoever knew the session key before the login must not know the one after it.
    session.renew()
    renew_csrf_token(session)
    session.owner = name
    session.label = device_in_words(request.headers.get("User-Agent", ""))
    if form.get("remember"):
        session.lifecycle = _REMEMBERED
    flash(session, f"You are logged in, and the session has a new key: {session.status.name}.")
    raise web.HTTPSeeOther("/")


@routes.post("/logout")
async def logout(request: web.Request) -> web.StreamResponse:
    """End the session. What is written after that, here the message, begins a fresh one."""
    session = await get_session(request)
    session.purge()
    flash(session, "You are logged out, and a fresh session has begun.")
    raise web.HTTPSeeOther("/")


@routes.post("/confirm")
async def confirm(request: web.Request) -> web.StreamResponse:
    """Log in once more, before what matters. A real application asks for the password."""
    session = await get_session(request)
    try:
        name = text_field(request[FORM], "name", NAME_LENGTH)
    except FieldError as error:
        flash(session, str(error), "bad")
    else:
        if name == session.owner:
            session.renew()
            renew_csrf_token(session)
            flash(session, "Thank you. The session has a new key, as after any login.")
        else:
            flash(session, "That is not the name you are logged in with.", "bad")
    raise web.HTTPSeeOther("/devices")
