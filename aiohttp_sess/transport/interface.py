"""What all transports have in common: how session keys travel between client and application."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import islice
from typing import ClassVar

from aiohttp import hdrs, web
from aiohttp.http import StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy

from ..config import CookieContentSecurity
from ..errors import InvalidSessionKey
from ..secret import PrivateSeal, Seal, SecretKey, SignedSeal, is_base64url
from ..storage.interface import SessionKey

__all__ = ("Transport",)

logger = logging.getLogger("aiohttp_sess")

_MAX_VALUES = 64  # that are unsealed: no browser has as many cookies of one name
_MAX_KEYS = 8  # each may cost a storage round trip, and a client can send hundreds


class Transport(ABC):
    """Finds and unseals session keys in requests; seals them into responses.

    :param name: what carries them is called so, in the log and under the seal.
    :param security: how they are sealed; None: ``PRIVATE``, if there is a key.
    :param keys: secret keys, newest first; none: session keys travel as they are.
    :param vary: the names of the request headers that a response depends on.
    :param site_data: what ``Clear-Site-Data`` says where the session is erased, if anything.
    """

    carrier: ClassVar[str]
    """What carries them: "session cookie", "session header"."""
    name: str
    """What tells it from all others, and its sessions from theirs."""
    erasure: str
    """The line that makes a client forget its session key."""

    def __init__(
        self,
        name: str,
        security: CookieContentSecurity | None,
        keys: Sequence[SecretKey],
        *,
        vary: Sequence[str],
        site_data: Sequence[str],
    ) -> None:
        self.name = self._name = name
        self._seal = _make_seal(self.carrier, name, security, keys)
        self._vary = tuple(vary)
        self._vary_line = ", ".join(vary)
        self._site_data = tuple(f'"{directive}"' for directive in site_data)
        self.refusals = 0
        """How many `read` have found a value that does not open."""

    @abstractmethod
    def is_used(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether the request with these headers has anything of this transport, be it no key."""

    @abstractmethod
    def read(self, headers: CIMultiDictProxy[str]) -> list[SessionKey]:
        """The session keys in a request's headers, in their order: those that open."""

    @abstractmethod
    def line(self, key: SessionKey, max_age: int | None) -> str:
        """What a response says of a session key, for `mark`.

        :param max_age: in seconds; None: the session ends with the browser.
        :raises CookieTooLarge: where it is longer than clients or servers take.
        :raises InvalidSessionKey: where the key is not base64url and there is no seal around it.
        """

    @abstractmethod
    def _add(self, request: web.BaseRequest, headers: CIMultiDict[str], line: str) -> None:
        """Add a line to the headers of the response to ``request``."""

    def mark(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        line: str | None,
        *,
        read: bool,
    ) -> None:
        """Add what a response says of the session to its headers.

        :param line: what `line` answered, or the `erasure`, if there is either.
        :param read: whether the session had a part in the response.
        """
        headers = response.headers
        if line is not None:
            self._add(request, headers, line)
            # ASVS 14.3.2: a shared cache must not hand one visitor's session key to another.
            headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
            if self._site_data and line == self.erasure:
                # ASVS 14.3.1. Browsers compare directives as they are (W3C Clear Site Data §3.1).
                _merge(headers, hdrs.CLEAR_SITE_DATA, self._site_data, '"*"', str)
        if read or line is not None:
            # Merged here, since FileResponse sets its own shortly before it is sent.
            if hdrs.VARY not in headers:
                headers[hdrs.VARY] = self._vary_line
            else:
                _merge(headers, hdrs.VARY, self._vary, "*", str.lower)

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

    def _choose(self, values: Sequence[str]) -> list[SessionKey]:
        """The session keys of those that open, with a warning if one does not."""
        keys = []
        refused = False
        for value in islice(dict.fromkeys(values), _MAX_VALUES):
            key = self._open(value)
            if key is None:
                refused = True
            else:
                keys.append(key)
        if refused:
            self.refusals += 1
            # ASVS 16.3.3: an attempt to get by is logged, without what was tried.
            logger.warning(
                "%s %r: a value was refused, as it is damaged or was not made with one of the "
                "secret keys",
                self.carrier,
                self._name,
            )
        if len(keys) > _MAX_KEYS:
            logger.warning(
                "%s %r: only the first %d are tried", self.carrier, self._name, _MAX_KEYS
            )
            del keys[_MAX_KEYS:]
        return keys

    def _open(self, value: str) -> SessionKey | None:
        if self._seal is None:
            return SessionKey(value) if is_base64url(value) else None
        payload = self._seal.unseal(value)
        try:
            return SessionKey(payload.decode()) if payload else None
        except UnicodeDecodeError:
            return None

    def _sealed(self, key: SessionKey) -> str:
        """A session key as the client gets it: base64url."""
        if self._seal is not None:
            return self._seal.seal(key.value.encode())
        if not is_base64url(key.value):
            raise InvalidSessionKey(
                "the storage answered a session key that is not base64url: pass a secret_key to "
                "setup(), or let the storage use SessionKey.generate()"
            )
        return key.value


def _make_seal(
    carrier: str, name: str, security: CookieContentSecurity | None, keys: Sequence[SecretKey]
) -> Seal | None:
    if not keys:
        return None
    security = security or CookieContentSecurity.PRIVATE
    # Bound to what carries it, to that one's name and to the seal: a value of one never opens as
    # another's.
    derived = [key.derive(carrier, security.value, name) for key in keys]
    return (SignedSeal if security is CookieContentSecurity.SIGNED else PrivateSeal)(derived)


def _merge(
    headers: CIMultiDict[str],
    name: str,
    members: Sequence[str],
    everything: str,
    fold: Callable[[str], str],
) -> None:
    """Add to a header that is a list what it does not have yet, unless it has ``everything``."""
    there = ", ".join(headers.getall(name, ()))
    known = {fold(member.strip()) for member in there.split(",")}
    missing = [member for member in members if fold(member) not in known]
    if missing and everything not in known:
        headers[name] = ", ".join([there, *missing] if there else missing)
