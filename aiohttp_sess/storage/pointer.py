"""What stands in the place of a record whose session got another key: the way there, for a while.

=========  =============================================================================
offset     what
=========  =============================================================================
0 to 5     ``moved:``
6 to 27    the salt: 128 random bits as 22 characters of base64url
28 …       ``:`` and the Unix time in seconds until which it leads on
=========  =============================================================================

The new session key is HMAC-SHA256 of the salt under the old one. So whoever has the old key finds
the one successor while the pointer is there, and nobody after that; and as a backend knows of a key
its SHA-256 alone, a leak of all that it holds gives nobody either of them.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from typing import NamedTuple, Self

from .interface import SessionKey

__all__ = ("MOVED", "Pointer")

MOVED = b"moved:"
"""What an entry begins with that is a pointer."""
_FORM = re.compile(rb"moved:([A-Za-z0-9_-]{22}):([0-9]{1,15}\.[0-9]{3})")
_PURPOSE = b"aiohttp_sess rotation "  # nothing else that is derived from a key can be this


class Pointer(NamedTuple):
    """The way from a session key to the one that came after it.

    :param salt: what makes the new key of the old one.
    :param until: when it ceases to lead on, Unix time in seconds.
    """

    salt: bytes
    until: float

    @classmethod
    def new(cls, until: float) -> Self:
        """One that leads to a key which nobody has yet."""
        return cls(secrets.token_urlsafe(16).encode(), until)

    @classmethod
    def read(cls, value: bytes) -> Self | None:
        """The pointer that an entry's value is, if it is one."""
        match = _FORM.fullmatch(value) if value.startswith(MOVED) else None
        return None if match is None else cls(match[1], float(match[2]))

    @property
    def value(self) -> bytes:
        """What the backend keeps."""
        return b"%b%b:%.3f" % (MOVED, self.salt, self.until)

    def successor(self, key: SessionKey) -> SessionKey:
        """The key that came after this one."""
        digest = hmac.digest(key.value.encode(), _PURPOSE + self.salt, "sha256")
        return SessionKey(base64.urlsafe_b64encode(digest).rstrip(b"=").decode())

    def __repr__(self) -> str:
        return "<Pointer>"
