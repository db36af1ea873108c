"""The page itself."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from aiohttp_sess import BrowserSession, PersistentSession, get_session

from .cart import cart_of
from .forms import csrf_token
from .pages import page
from .sent import SentCookies
from .state import (
    CART_ENTRIES,
    ITEM_LENGTH,
    NAME_LENGTH,
    NOTE_LENGTH,
    VISITS,
    take_flashes,
)
from .storages import STORAGE
from .words import in_words

SENT = web.AppKey("sent", SentCookies)

_LIMITS = {
    "name": NAME_LENGTH,
    "item": ITEM_LENGTH,
    "note": NOTE_LENGTH,
    "entries": CART_ENTRIES,
}

routes = web.RouteTableDef()


@routes.get("/")
async def home(request: web.Request) -> web.StreamResponse:
    """Count the visit, and show the session."""
    session = await get_session(request)
    # Not `session[VISITS] += 1`: of two pages loaded at once, that would count one.
    visits = session.update_value(VISITS, lambda count: count + 1, default=1)
    return page(
        "home.html",
        session=session,
        visits=visits,
        name=session.owner,
        cart=cart_of(session),
        csrf=csrf_token(session),
        flashes=take_flashes(session),
        age=in_words(datetime.now(UTC) - session.created),
        lifecycle=_lifecycle_in_words(session.lifecycle),
        storage=request.app[STORAGE],
        sent=request.app[SENT].line(request),
        limits=_LIMITS,
    )


def _lifecycle_in_words(lifecycle: BrowserSession | PersistentSession) -> str:
    idle = in_words(lifecycle.ttl)
    if isinstance(lifecycle, PersistentSession):
        return f"PersistentSession: outlives the browser, ends {idle} after the last change"
    return f"BrowserSession: ends with the browser, or {idle} after the last change"
