"""What this application keeps in a session.

All of it is bounded, so that it fits into the 4096 bytes of a cookie, whatever is typed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aiohttp_sess import Session, StateKey

# Lengths in characters, of which each can take four bytes.
NAME_LENGTH = 30
ITEM_LENGTH = 30
NOTE_LENGTH = 80
CART_ENTRIES = 12
ITEM_COUNT = 99
FLASHES = 3

# Plain keys: any JSON value.
VISITS = "visits"
NOTE_COUNT = "notes"
LAST_NOTE = "last note"


@dataclass
class Item:
    """A thing in the cart, and how many of it."""

    name: str
    count: int = 1


@dataclass
class Cart:
    """What was put into the cart, in that order."""

    items: list[Item] = field(default_factory=list)


@dataclass
class Flash:
    """A message that is shown once, on the next page."""

    kind: Literal["good", "bad"]
    text: str


# Typed keys: `session[CART]` is a Cart, for this program as for a type checker.
CART = StateKey("cart", Cart)
FLASH = StateKey("flash", list[Flash])


def flash(session: Session, text: str, kind: Literal["good", "bad"] = "good") -> None:
    """Show ``text`` on the next page; of several that wait, the last ones are kept."""
    session[FLASH] = [*session.get(FLASH, []), Flash(kind, text)][-FLASHES:]


def take_flashes(session: Session) -> list[Flash]:
    """The messages that wait, each of them once."""
    waiting = session.get(FLASH, [])
    if waiting:
        del session[FLASH]
    return waiting
