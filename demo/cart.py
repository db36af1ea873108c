"""The cart: a typed value of the session that is changed in place."""

from __future__ import annotations

from aiohttp import web

from aiohttp_sess import Session, SessionValueError, get_session

from .forms import FORM, FieldError, text_field
from .state import CART, CART_ENTRIES, ITEM_COUNT, ITEM_LENGTH, Cart, Item, flash

routes = web.RouteTableDef()


def cart_of(session: Session) -> Cart:
    """The session's cart; changing it changes the session."""
    try:
        cart = session.get(CART)
    except SessionValueError:
        cart = None  # written by another release, with other fields: better empty than no page
    if cart is None:
        cart = session[CART] = Cart()
    return cart


@routes.post("/cart/add")
async def add(request: web.Request) -> web.StreamResponse:
    """Put one more of a thing into the cart."""
    session = await get_session(request)
    try:
        _put(cart_of(session), text_field(request[FORM], "item", ITEM_LENGTH))
    except FieldError as error:
        flash(session, str(error), "bad")
    raise web.HTTPSeeOther("/")


@routes.post("/cart/remove")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take one of a thing out; one that is not there is gone already."""
    session = await get_session(request)
    cart = cart_of(session)
    for item in cart.items:
        if item.name == request[FORM].get("item"):
            item.count -= 1
    cart.items[:] = [item for item in cart.items if item.count > 0]
    raise web.HTTPSeeOther("/")


def _put(cart: Cart, name: str) -> None:
    known = next((item for item in cart.items if item.name == name), None)
    if known is None:
        if len(cart.items) >= CART_ENTRIES:
            raise FieldError(f"The cart is full: it holds {CART_ENTRIES} different things.")
        cart.items.append(Item(name))
    elif known.count >= ITEM_COUNT:
        raise FieldError(f"The cart takes {ITEM_COUNT} of a thing, and no more.")
    else:
        known.count += 1
