"""The cart: a typed value of the session, changed by functions of it."""

from __future__ import annotations

from aiohttp import web

from aiohttp_sess import Session, SessionValueError, get_session

from .forms import FORM, FieldError, text_field
from .state import CART, CART_ENTRIES, ITEM_COUNT, ITEM_LENGTH, Cart, Item, flash

routes = web.RouteTableDef()


def cart_of(session: Session) -> Cart:
    """The session's cart, an empty one if there is none."""
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
        name = text_field(request[FORM], "item", ITEM_LENGTH)
        _check(cart_of(session), name)
    except FieldError as error:
        flash(session, str(error), "bad")
    else:
        # Done again on the latest cart where another request was faster: no thing gets lost.
        session.update_value(CART, lambda cart: _with(cart, name))
    raise web.HTTPSeeOther("/")


@routes.post("/cart/remove")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take one of a thing out; one that is not there is gone already."""
    session = await get_session(request)
    cart_of(session)
    name = request[FORM].get("item")
    session.update_value(CART, lambda cart: _without(cart, name))
    raise web.HTTPSeeOther("/")


def _check(cart: Cart, name: str) -> None:
    known = _find(cart, name)
    if known is None and len(cart.items) >= CART_ENTRIES:
        raise FieldError(f"The cart is full: it holds {CART_ENTRIES} different things.")
    if known is not None and known.count >= ITEM_COUNT:
        raise FieldError(f"The cart takes {ITEM_COUNT} of a thing, and no more.")


def _find(cart: Cart, name: object) -> Item | None:
    return next((item for item in cart.items if item.name == name), None)


def _with(cart: Cart, name: str) -> Cart:
    known = _find(cart, name)
    if known is not None:
        known.count = min(known.count + 1, ITEM_COUNT)
    elif len(cart.items) < CART_ENTRIES:
        cart.items.append(Item(name))
    return cart


def _without(cart: Cart, name: object) -> Cart:
    for item in cart.items:
        if item.name == name:
            item.count -= 1
    cart.items[:] = [item for item in cart.items if item.count > 0]
    return cart
