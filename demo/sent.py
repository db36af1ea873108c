"""How the last session cookie was sent, for the page to show.

A real application never does this: a page that shows the session key undoes ``HttpOnly``.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

from aiohttp import web

_REMEMBERED = 1000


class SentLine(NamedTuple):
    """A Set-Cookie line, with the middle of its value left out and as it was."""

    masked: str
    whole: str


class SentCookies:
    """Remembers the attributes that came with each of the last cookies, by their values' digests.

    The values themselves are not kept: a visitor's own comes back with the visitor's request, so
    nobody can be shown another's.

    :param name: the session cookie's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._attributes: OrderedDict[bytes, str] = OrderedDict()

    async def remember(self, request: web.Request, response: web.StreamResponse) -> None:
        """An ``on_response_prepare`` signal, to be added after the session's own."""
        for line in response.headers.getall("Set-Cookie", ()):
            pair, _, attributes = line.partition("; ")
            name, _, value = pair.partition("=")
            if name == self._name and value:
                self._attributes[_digest(value)] = attributes
                if len(self._attributes) > _REMEMBERED:
                    self._attributes.popitem(last=False)

    def line(self, request: web.Request) -> SentLine | None:
        """The line that gave this visitor the cookie of this request, if it is still known."""
        value = request.cookies.get(self._name, "")
        attributes = self._attributes.get(_digest(value))
        if attributes is None:
            return None
        masked = f"{self._name}={value[:6]}…{value[-4:]}; {attributes}"
        return SentLine(masked, f"{self._name}={value}; {attributes}")


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode(errors="surrogateescape")).digest()
