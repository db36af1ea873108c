"""Everything that can go wrong, in one tree.

::

    SessionError
    ├── StorageError
    │   ├── StorageUnavailable      the backend is down, too slow, or refuses to work
    │   ├── SessionConflict         the record changed since it was loaded
    │   ├── SessionGone             the session was ended since it was loaded
    │   ├── DeserializationError    a stored record that cannot be read
    │   └── SerializationError      a record that the backend cannot take
    ├── TooManySessions             the owner has as many sessions as `setup` allows
    ├── SessionValueError           (also TypeError) a value that is no JSON, or not its key's type
    ├── CookieTooLarge              the sealed cookie is over what browsers keep
    │   └── HeaderTooLarge          the sealed header is over what servers take
    └── InvalidSessionKey           (also ValueError) a session key that no client can carry

An unknown, expired, forged or malformed session key is none of these: it is no session, and the
visitor gets a fresh one. Wrong configuration is a ValueError or TypeError where it is written.
No message holds a session key, a cookie's value, a secret key or a value of the session state.
"""

from __future__ import annotations

__all__ = (
    "CookieTooLarge",
    "DeserializationError",
    "HeaderTooLarge",
    "InvalidSessionKey",
    "SerializationError",
    "SessionConflict",
    "SessionError",
    "SessionGone",
    "SessionValueError",
    "StorageError",
    "StorageUnavailable",
    "TooManySessions",
)


class SessionError(Exception):
    """The root of the tree: catch this to catch every failure of a session."""


class StorageError(SessionError):
    """A storage could not do what it was asked."""


class StorageUnavailable(StorageError):
    """The backend did not answer, or not in time; ``__cause__`` is its client's own exception.

    ``revision`` is that of a write which may have been done all the same; None where there is none.
    """

    revision: object = None


class SessionConflict(StorageError):
    """The record is no longer the one that was loaded: another request has written it."""


class SessionGone(StorageError):
    """There is no record any more: the session was ended, or has expired, since it was loaded."""


class DeserializationError(StorageError):
    """A stored record is garbage, of a newer version, or belongs to another session key.

    ``revision`` is what the storage needs to replace that very record; None where it has none.
    """

    def __init__(self, message: str, *, revision: object = None) -> None:
        super().__init__(message)
        self.revision = revision


class SerializationError(StorageError):
    """The backend cannot take this record; nothing was written, the old record stands."""


class TooManySessions(SessionError):
    """A login was refused: the owner has ``limit`` sessions already (ASVS 7.1.2).

    Nothing of it was saved, and what the session had before is in it again. Answer it where it is
    raised: ``await session.save()`` in the handler of the login.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the owner of the session has {limit} others, which is all that "
            "max_sessions_per_owner allows: end one of them (end_sessions) or let the user choose"
        )
        self.limit = limit


class SessionValueError(SessionError, TypeError):
    """A value that is not JSON, or not of the type that its `StateKey` names."""


class CookieTooLarge(SessionError):
    """The session cookie would be over 4096 bytes, which browsers drop without a word.

    ``size`` and ``limit`` are in bytes, name and value together (RFC 6265 §6.1).
    """

    _carrier = "session cookie"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the {self._carrier} takes {size} bytes of at most {limit} (name + value): "
            "keep less in the session, or use a storage that keeps the state on the server"
        )
        self.size = size
        self.limit = limit


class HeaderTooLarge(CookieTooLarge):
    """The session header would be over 8000 bytes, and servers would refuse what has it: aiohttp
    takes 8190. The same to who makes room for a cookie.
    """

    _carrier = "session header"


class InvalidSessionKey(SessionError, ValueError):
    """A storage answered a session key that no client can carry as it is."""
