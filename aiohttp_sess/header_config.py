"""What an application decides about its session header: a frozen value, checked when built."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .config import CookieContentSecurity

__all__ = ("HeaderConfig",)

# Narrower than a token (RFC 9110 §5.6.2), as §16.3.2.1 advises for new names: with an underscore or
# any other sign in it, nginx and Apache drop the header without a word.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
# Names that mean something to browsers, caches, proxies or aiohttp itself. Authorization is one of
# them: it has a syntax of its own (RFC 9110 §11.6.2), and no response can have it.
_RESERVED = frozenset(
    (
        *("age", "allow", "alt-svc", "authentication-info", "authorization", "cache-control"),
        *("clear-site-data", "connection", "cookie", "date", "early-data", "etag", "expect"),
        *("expires", "forwarded", "from", "host", "keep-alive", "last-event-id", "last-modified"),
        *("link", "location", "max-forwards", "origin", "pragma", "priority", "range", "referer"),
        *("referrer-policy", "refresh", "retry-after", "server", "server-timing", "set-cookie"),
        *("strict-transport-security", "te", "trailer", "transfer-encoding", "upgrade"),
        *("user-agent", "vary", "via", "warning", "www-authenticate", "x-content-type-options"),
        *("x-frame-options", "x-real-ip", "x-request-id", "x-requested-with"),
    )
)
_RESERVED_STARTS = (
    *("accept", "access-control-", "content-", "cross-origin-", "if-", "proxy-", "sec-"),
    "x-forwarded-",
)


@dataclass(frozen=True, slots=True)
class HeaderConfig:
    """The header that carries the session key of clients without cookies.

    A request that has the header, be it empty, is answered by it. What the response has there is
    for the client to keep and to send back: a new value, or an empty one where the session was
    ended. A client is not told how long a session lives.

    A script can read the value, and so can whoever gets a script into the page: for browsers, the
    cookie is better. Have it left out where headers are logged.

    :param name: letters, digits and ``-``; none that HTTP has a meaning for, so neither ``Cookie``
        nor ``Authorization``. Upper and lower case are the same.
    :param content_security: how the session key is sealed; None is ``PRIVATE`` where `setup` gets
        a secret key, and an unsealed random key where it gets none.
    :raises ValueError: for a name that cannot be used.
    """

    name: str = "X-Session-Key"
    content_security: CookieContentSecurity | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"header name must be a str, not {type(self.name).__name__}")
        security = self.content_security
        if security is not None and not isinstance(security, CookieContentSecurity):
            raise TypeError(
                "content_security must be a CookieContentSecurity, not " + type(security).__name__
            )
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"header name {self.name!r} is not usable: take letters, digits and '-' between "
                "them, as in 'X-Session-Key' (proxies drop headers with other signs)"
            )
        name = self.name.lower()
        if name in _RESERVED or name.startswith(_RESERVED_STARTS):
            raise ValueError(
                f"header name {self.name!r} has a meaning in HTTP: take one of your own, as "
                "'X-Session-Key'"
            )
