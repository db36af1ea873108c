"""The session header in requests and responses, for clients without cookies."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy, istr

from ..errors import HeaderTooLarge
from ..header_config import HeaderConfig
from ..secret import SecretKey
from ..storage.interface import SessionKey
from .interface import Transport

__all__ = ("HeaderTransport",)

# Bytes, name + value. aiohttp (server and client) and Apache take 8190, nginx 8 KB for the line.
_LIMIT = 8000


class HeaderTransport(Transport):
    """Session keys in a header of one's own.

    A request may have the header more than once, or several values in one, as proxies may join
    them (RFC 9110 §5.3): each is tried. An empty one asks for the header, and brings no key.

    :param config: name of the header, and seal.
    :param keys: secret keys, newest first; none: the key travels as it is.
    :param vary: the names of the request headers that a response depends on; default: its own.
    :param site_data: what ``Clear-Site-Data`` says where the session is erased, if anything.
    """

    carrier = "session header"

    def __init__(
        self,
        config: HeaderConfig,
        keys: Sequence[SecretKey],
        *,
        vary: Sequence[str] = (),
        site_data: Sequence[str] = (),
    ) -> None:
        # The case of a header's name makes no difference, so it makes none to the seal either.
        super().__init__(
            config.name.lower(),
            config.content_security,
            keys,
            vary=vary or (config.name,),
            site_data=site_data,
        )
        self.header = istr(config.name)
        # With the colon, which no cookie's name has, it is never taken for a cookie.
        self.name = f"{config.name.lower()}:"
        self.erasure = self._line("")

    def is_used(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether the header is there, empty or not."""
        return self.header in headers

    def read(self, headers: CIMultiDictProxy[str]) -> list[SessionKey]:
        values = [
            value
            for line in headers.getall(self.header, ())
            for each in line.split(",")
            if (value := each.strip(" \t"))
        ]
        return self._choose(values) if values else []

    def line(self, key: SessionKey, max_age: int | None) -> str:
        """The header's line for a session key.

        :param max_age: not told to the client.
        :raises HeaderTooLarge: where name and value are over 8000 bytes; servers would refuse it.
        :raises InvalidSessionKey: where the key is not base64url and there is no seal around it.
        """
        value = self._sealed(key)
        size = len(self.header) + len(value)  # both are ASCII
        if size > _LIMIT:
            raise HeaderTooLarge(size, _LIMIT)
        return self._line(value)

    def value(self, line: str) -> str:
        """The header's value in a line."""
        return line.partition(": ")[2]

    def _line(self, value: str) -> str:
        return f"{self.header}: {value}"

    def _add(self, request: web.BaseRequest, headers: CIMultiDict[str], line: str) -> None:
        # In the place of one that a handler may have set, as of two nobody knows which counts.
        headers[self.header] = self.value(line)
