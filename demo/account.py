"""Login, logout, and "remember me"."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from aiohttp_sess import PersistentSession, get_session

from .forms import FORM, FieldError, renew_csrf_token, text_field
from .state import NAME_LENGTH, flash

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
