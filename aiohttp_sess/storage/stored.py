"""What crosses the boundary between the middleware and a storage: keys, records under them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import NamedTuple

from ..errors import InvalidSessionKey, StorageUnavailable
from ..record import SessionRecord

__all__ = ("CUT_OFF", "ListedRecord", "SessionKey", "StoredRecord", "say_which")


CUT_OFF = (StorageUnavailable, asyncio.CancelledError)
"""What an `update` raises that may have been done: it has a ``revision`` then, for `includes`."""


def say_which(error: BaseException, revision: object) -> None:
    """Say with an error of `CUT_OFF` which write it was that may have been done."""
    error.revision = revision  # type: ignore[attr-defined]  # a CancelledError takes any attribute


class SessionKey:
    """What ties a client to its record: whoever has it has the session. Its repr masks it.

    :param value: the key as text, not empty.
    :raises InvalidSessionKey: for anything else.
    """

    __slots__ = ("_digest", "value")

    def __init__(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise InvalidSessionKey("a session key is a non-empty str")
        self.value = value
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        """Its SHA-256 in hex digits: all that a storage should keep of it."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.value.encode(errors="surrogatepass")).hexdigest()
        return self._digest

    @classmethod
    def generate(cls) -> SessionKey:
        """256 random bits as 43 characters of base64url (ASVS 7.2.3 asks for 128)."""
        return cls(secrets.token_urlsafe(32))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionKey):
            return NotImplemented
        mine, its = (key.value.encode(errors="surrogatepass") for key in (self, other))
        return hmac.compare_digest(mine, its)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return "SessionKey(***)"


class StoredRecord(NamedTuple):
    """A record, the key it is under, and which writing of it this is.

    ``revision`` is the storage's own: it is only ever handed back to it.
    """

    key: SessionKey
    record: SessionRecord
    revision: object


class ListedRecord(NamedTuple):
    """A record in the list of its owner's, without its state and without its key.

    ``expires`` is when its idle TTL is over, Unix time in seconds; None where that is not known.
    """

    record: SessionRecord
    expires: float | None
