"""The transports of one kind of session, and which of them a request uses."""

from __future__ import annotations

from collections.abc import Sequence

from multidict import CIMultiDictProxy

from .cookie import CookieTransport
from .interface import Transport

__all__ = ("Transports", "shown")


class Transports:
    """The transports of one kind of session, in their order.

    A request uses the first of them that it has anything of; one that has nothing of any is a
    browser's, so it uses the cookie if there is one, else the first. It is that transport alone
    that is read and that the response gets: a session that came by cookie is never answered by a
    header, where a script could read its key.

    :param transports: at least one, and one cookie at most.
    """

    def __init__(self, transports: Sequence[Transport]) -> None:
        cookies = [each for each in transports if isinstance(each, CookieTransport)]
        self.default: Transport = (cookies or transports)[0]
        # Where the default comes last, it need not be looked for: it is what is left.
        last = transports[-1] is self.default
        self._looked_for = transports[:-1] if last else transports
        self.several = len(transports) > 1
        self.names = frozenset(transport.name for transport in transports)
        """What no other kind of session may have."""
        self.name = self.default.name
        """What the records are bound to, however they travel: an application that adds a header to
        its cookie keeps its sessions."""

    def of(self, headers: CIMultiDictProxy[str]) -> Transport:
        """The one that the request with these headers uses."""
        for transport in self._looked_for:
            if transport.is_used(headers):
                return transport
        return self.default


def shown(name: str) -> str:
    """One of `Transports.names` in a message."""
    return f"header {name[:-1]!r}" if name.endswith(":") else f"cookie {name!r}"
