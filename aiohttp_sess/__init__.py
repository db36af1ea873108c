"""Sessions for aiohttp. The road that the data takes::

    Cookie header → transport (find, unseal) → session key → storage.load → record → Session
    → handler → what changed → storage.save / update / update_ttl / delete → session key
    → transport (seal) → Set-Cookie

::

    aiohttp_sess.setup(app, MemoryStorage())

    async def handler(request):
        session = await aiohttp_sess.get_session(request)
        session["visits"] = session.get("visits", 0) + 1
"""

from .config import (
    BrowserSession,
    CookieConfig,
    CookieContentSecurity,
    Lifecycle,
    PersistentSession,
    TtlExtensionPolicy,
)
from .errors import (
    CookieTooLarge,
    DeserializationError,
    HeaderTooLarge,
    InvalidSessionKey,
    SerializationError,
    SessionConflict,
    SessionError,
    SessionGone,
    SessionValueError,
    StorageError,
    StorageUnavailable,
    TooManySessions,
)
from .handle import SessionHandle
from .header_config import HeaderConfig
from .limit import SessionLimitPolicy
from .middleware import get_session, new_session, setup
from .owners import OwnedSession, end_sessions, sessions_of
from .record import SessionRecord
from .secret import SecretKey
from .session import Session, SessionStatus, StateKey
from .sockets import Binding
from .storage.interface import StoredRecord

__version__ = "0.1.0"

__all__ = (
    "Binding",
    "BrowserSession",
    "CookieConfig",
    "CookieContentSecurity",
    "CookieTooLarge",
    "DeserializationError",
    "HeaderConfig",
    "HeaderTooLarge",
    "InvalidSessionKey",
    "Lifecycle",
    "OwnedSession",
    "PersistentSession",
    "SecretKey",
    "SerializationError",
    "Session",
    "SessionConflict",
    "SessionError",
    "SessionGone",
    "SessionHandle",
    "SessionLimitPolicy",
    "SessionRecord",
    "SessionStatus",
    "SessionValueError",
    "StateKey",
    "StorageError",
    "StorageUnavailable",
    "StoredRecord",
    "TooManySessions",
    "TtlExtensionPolicy",
    "end_sessions",
    "get_session",
    "new_session",
    "sessions_of",
    "setup",
)
