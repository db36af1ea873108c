"""The session cookie in requests and responses: the only module that touches headers.

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
from collections.abc import Iterable, Sequence
from itertools import islice

from aiohttp import hdrs, web
from aiohttp.http import StreamWriter
from multidict import CIMultiDictProxy

from .config import CookieConfig, CookieContentSecurity
from .errors import CookieTooLarge, InvalidSessionKey
from .secret import BASE64URL, PrivateSeal, Seal, SecretKey, SignedSeal
from .storage.interface import SessionKey

__all__ = ("CookieTransport",)

logger = logging.getLogger("aiohttp_sess")

_LIMIT = 4096  # bytes, name + value: RFC 6265 §6.1, and what browsers do
_MAX_VALUES = 64  # that are unsealed: no browser has as many cookies of one name
_MAX_KEYS = 8  # each may cost a storage round trip, and a client can send hundreds
_LOOPBACK = re.compile(r"((.+\.)?localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)
_PURPOSE = "session cookie"


class CookieTransport:
    """Finds and unseals session keys in requests; seals them into responses.

    :param config: name and attributes of the cookie.
    :param keys: secret keys, newest first; none: the key travels as it is.
    """

    def __init__(self, config: CookieConfig, keys: Sequence[SecretKey]) -> None:
        self._name = config.name
        self._seal = _make_seal(config, keys)
        self._may_be_dropped = config.secure
        # Begins with the name itself, which makes it ten times faster to look for.
        name = re.escape(config.name)
        self._pair = re.compile(rf"{name}(?<![^; \t]{name})[ \t]*=([^;]*)")
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

    def read(self, headers: CIMultiDictProxy[str]) -> list[SessionKey]:
        """The session keys in a request's headers, in their order: those that open."""
        values = []
        for line in headers.getall(hdrs.COOKIE, ()):
            for pair in self._pair.finditer(line):
                start = pair.start()
                # Nothing but blanks may stand between it and the start or the ";" before it.
                if line[line.rfind(";", 0, start) + 1 : start].strip(" \t"):
                    continue
                values.append(pair[1].strip(" \t"))
        if len(values) == 1 and (key := self._open(values[0])) is not None:
            return [key]
        return self._choose(dict.fromkeys(values)) if values else []

    def _choose(self, values: Iterable[str]) -> list[SessionKey]:
        """The session keys of those that open, with a warning if one does not."""
        keys = []
        refused = False
        for value in islice(values, _MAX_VALUES):
            key = self._open(value)
            if key is None:
                refused = True
            else:
                keys.append(key)
        if refused:
            # ASVS 16.3.3: an attempt to get by is logged, without what was tried.
            logger.warning(
                "session cookie %r: a value was refused, as it is damaged or was not made with "
                "one of the secret keys",
                self._name,
            )
        if len(keys) > _MAX_KEYS:
            logger.warning("session cookie %r: only the first %d are tried", self._name, _MAX_KEYS)
            del keys[_MAX_KEYS:]
        return keys

    def line(self, key: SessionKey, max_age: int | None) -> str:
        """The Set-Cookie line for a session key.

        :param max_age: in seconds; None: the cookie ends with the browser.
        :raises CookieTooLarge: where name and value are over 4096 bytes; browsers would drop it.
        :raises InvalidSessionKey: where the key is not base64url and there is no seal around it.
        """
        if self._seal is not None:
            value = self._seal.seal(key.value.encode())
        elif BASE64URL.fullmatch(key.value):
            value = key.value
        else:
            raise InvalidSessionKey(
                "the storage answered a session key that is not base64url: pass a secret_key to "
                "setup(), or let the storage use SessionKey.generate()"
            )
        size = len(self._name) + len(value)  # both are ASCII
        if size > _LIMIT:
            raise CookieTooLarge(size, _LIMIT)
        age = "" if max_age is None else f"Max-Age={max_age}; "
        return f"{self._name}={value}; {age}{self._attributes}"

    def mark(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        line: str | None,
        *,
        read: bool,
    ) -> None:
        """Add what a response says of the session to its headers.

        :param line: the Set-Cookie line, if there is one.
        :param read: whether the session had a part in the response.
        """
        headers = response.headers
        if line is not None:
            headers.add(hdrs.SET_COOKIE, line)
            # ASVS 14.3.2: a shared cache must not hand one visitor's cookie to another.
            headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
            if self._may_be_dropped and not _is_secure(request):
                self._may_be_dropped = False  # said once
                logger.warning(
                    "session cookie %r is Secure, but this request came over plain HTTP, so the "
                    "browser will not keep it. Let a proxy that ends TLS send X-Forwarded-Proto; "
                    "for development over plain HTTP, take CookieConfig(secure=False)",
                    self._name,
                )
        if read or line is not None:
            # Merged here, since FileResponse sets its own shortly before it is sent.
            if hdrs.VARY not in headers:
                headers[hdrs.VARY] = "Cookie"
                return
            vary = ", ".join(headers.getall(hdrs.VARY, ()))
            names = {name.strip().lower() for name in vary.split(",")}
            if not names & {"*", "cookie"}:
                headers[hdrs.VARY] = f"{vary}, Cookie"

    def unframe(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Take back what preparing ``response`` has done to the connection, before another is sent.

        aiohttp decides on chunks before the signal in which we fail: the error page would be sent
        with a Content-Length and a chunked body.
        """
        writer = request.writer
        if response.compression and request.transport is not None:
            # A compressor cannot be taken back: no answer is better than one nobody can read.
            request.transport.close()
        elif isinstance(writer, StreamWriter):
            writer.chunked = False
            writer.length = None

    def _open(self, value: str) -> SessionKey | None:
        if self._seal is None:
            return SessionKey(value) if BASE64URL.fullmatch(value) else None
        payload = self._seal.unseal(value)
        try:
            return SessionKey(payload.decode()) if payload else None
        except UnicodeDecodeError:
            return None


def _is_secure(request: web.BaseRequest) -> bool:
    """Whether a browser that sent ``request`` keeps a Secure cookie, as far as can be seen here."""
    headers = request.headers
    return (
        hdrs.X_FORWARDED_PROTO in headers
        or hdrs.FORWARDED in headers
        or request.secure
        # Browsers trust their own machine.
        or _is_loopback(request.host)
    )


@functools.lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    return _LOOPBACK.fullmatch(host) is not None


def _make_seal(config: CookieConfig, keys: Sequence[SecretKey]) -> Seal | None:
    if not keys:
        return None
    security = config.content_security or CookieContentSecurity.PRIVATE
    # Bound to the cookie's name and to the seal: a value of one never opens as another's.
    derived = [key.derive(_PURPOSE, security.value, config.name) for key in keys]
    if security is CookieContentSecurity.SIGNED:
        return SignedSeal(derived)
    return PrivateSeal(derived)
