"""The session cookie in requests and responses.

Our own value is base64url, so reading is a strict scan of every ``Cookie`` header for our own name.
`request.cookies` would see the first header only and, of two cookies with one name, the less
specific, and takes ten times as long. The ``Set-Cookie`` line is put together here and added to the
headers as they are sent: aiohttp's own cookie jar is emptied before that, lets attributes of an
earlier cookie stick, and drops flags on removal.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from ..config import CookieConfig
from ..errors import CookieTooLarge
from ..secret import SecretKey
from ..storage.interface import SessionKey
from .interface import Transport

__all__ = ("CookieTransport",)

logger = logging.getLogger("aiohttp_sess")

_LIMIT = 4096  # bytes, name + value: RFC 6265 §6.1, and what browsers do
_LOOPBACK = re.compile(r"((.+\.)?localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)


class CookieTransport(Transport):
    """Session keys in a cookie.

    :param config: name and attributes of the cookie.
    :param keys: secret keys, newest first; none: the key travels as it is.
    :param vary: the names of the request headers that a response depends on.
    :param site_data: what ``Clear-Site-Data`` says where the session is erased, if anything.
    """

    carrier = "session cookie"

    def __init__(
        self,
        config: CookieConfig,
        keys: Sequence[SecretKey],
        *,
        vary: Sequence[str] = (hdrs.COOKIE,),
        site_data: Sequence[str] = (),
    ) -> None:
        super().__init__(config.name, config.content_security, keys, vary=vary, site_data=site_data)
        self._may_be_dropped = config.secure
        attributes = [f"Path={config.path}"]
        if config.domain is not None:
            attributes.append(f"Domain={config.domain}")
        if config.httponly:
            attributes.append("HttpOnly")
        if config.secure:
            attributes.append("Secure")
        attributes.append(f"SameSite={config.samesite}")
        if config.partitioned:
            attributes.append("Partitioned")
        self._attributes = "; ".join(attributes)
        self.erasure = f"{self._name}=; Max-Age=0; {self._attributes}"

    def is_used(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether there is a cookie of our name."""
        return bool(self._values(headers))

    def read(self, headers: CIMultiDictProxy[str]) -> list[SessionKey]:
        values = self._values(headers)
        if len(values) == 1 and (key := self._open(values[0])) is not None:
            return [key]
        return self._choose(values) if values else []

    def _values(self, headers: CIMultiDictProxy[str]) -> list[str]:
        values, name = [], self._name
        for line in headers.getall(hdrs.COOKIE, ()):
            # There may be other cookies, too: only pairs with the name in them are looked at.
            start = line.find(name)
            while start >= 0:
                end = line.find(";", start)
                pair = line[line.rfind(";", 0, start) + 1 : end if end >= 0 else len(line)]
                its_name, equals, value = pair.partition("=")
                if equals and its_name.strip(" \t") == name:
                    values.append(value.strip(" \t"))
                start = line.find(name, end) if end >= 0 else -1
        return values

    def line(self, key: SessionKey, max_age: int | None) -> str:
        """The Set-Cookie line for a session key.

        :param max_age: in seconds; None: the cookie ends with the browser.
        :raises CookieTooLarge: where name and value are over 4096 bytes; browsers would drop it.
        :raises InvalidSessionKey: where the key is not base64url and there is no seal around it.
        """
        value = self._sealed(key)
        size = len(self._name) + len(value)  # both are ASCII
        if size > _LIMIT:
            raise CookieTooLarge(size, _LIMIT)
        age = "" if max_age is None else f"Max-Age={max_age}; "
        return f"{self._name}={value}; {age}{self._attributes}"

    def _add(self, request: web.BaseRequest, headers: CIMultiDict[str], line: str) -> None:
        headers.add(hdrs.SET_COOKIE, line)
        if self._may_be_dropped and not _is_secure(request):
            self._may_be_dropped = False  # said once
            logger.warning(
                "session cookie %r is Secure, but this request came over plain HTTP, so the "
                "browser will not keep it. Let a proxy that ends TLS send X-Forwarded-Proto; "
                "for development over plain HTTP, take CookieConfig(secure=False)",
                self._name,
            )


def _is_secure(request: web.BaseRequest) -> bool:
    """Whether a browser that sent ``request`` keeps a Secure cookie, as far as can be seen here."""
    headers = request.headers
    return (
        _is_loopback(headers.get(hdrs.HOST, ""))  # browsers trust their own machine
        or hdrs.X_FORWARDED_PROTO in headers
        or hdrs.FORWARDED in headers
        or request.secure
    )


@functools.lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    return _LOOPBACK.fullmatch(host) is not None
