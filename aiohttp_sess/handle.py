"""What one `setup` decided, shared by all its visits."""

from __future__ import annotations

from .config import BrowserSession, CookieConfig, Lifecycle
from .sockets import Sockets
from .storage.interface import AbstractStorage
from .terms import Terms
from .transport import CookieTransport
from .turns import Commits

__all__ = ("SessionHandle",)


class SessionHandle:
    """One kind of session of an application: `setup` returns it, `get_session` takes it.

    :param storage: where the records live.
    :param transport: how session keys travel.
    :param cookie: the session cookie's name and attributes.
    :param lifecycle: how long sessions live that have no lifecycle of their own.
    """

    def __init__(
        self,
        storage: AbstractStorage,
        transport: CookieTransport,
        *,
        cookie: CookieConfig,
        lifecycle: Lifecycle,
    ) -> None:
        self.storage = storage
        self.transport = transport
        self.cookie = cookie
        self.lifecycle = lifecycle
        self.terms = Terms(lifecycle, storage.clock)
        self.refreshes_always = self.terms.refreshes_always(None)
        """Whether there is something to do at every request, asked or not."""
        # A cookie with a Max-Age must not promise more than the storage keeps, so the TTL of a
        # persistent session starts anew at the end of the request.
        at_load = self.refreshes_always and isinstance(lifecycle, BrowserSession)
        self.ttl_at_load = lifecycle.ttl if at_load else None
        """The TTL that starts anew when a session is loaded, if it does."""
        self.conflict_timeout = 5.0
        """Seconds for which a write does its operations again when other requests of the same
        session keep writing first; after that, the `SessionConflict` is raised."""
        self.conflicts = 0
        """How many writes gave up so."""
        self.sockets = Sockets()
        self.commits = Commits()

    def __repr__(self) -> str:
        return f"<SessionHandle {self.cookie.name!r} in {type(self.storage).__name__}>"
