"""What one `setup` decided, shared by all its visits."""

from __future__ import annotations

import math

from .cohort import Cohort
from .config import BrowserSession, CookieConfig, Lifecycle
from .events import Events, Expired, Purged
from .limit import SessionLimit
from .sockets import Sockets
from .storage.interface import AbstractStorage
from .terms import Terms
from .transport import Transport, Transports
from .turns import Commits

__all__ = ("SessionHandle",)


class SessionHandle:
    """One kind of session of an application: `setup` returns it, `get_session` takes it.

    :param storage: where the records live.
    :param transport: how session keys travel; of several, by default.
    :param cookie: the session cookie's name and attributes; None: there is none.
    :param lifecycle: how long sessions live that have no lifecycle of their own.
    :param transports: all that there are; None: ``transport`` is the only one.

    What an application may read, or set before it starts:

    - ``storage``, ``cookie``, ``lifecycle``: as above, read only.
    - ``name``: what records are bound to: the name of the cookie, or of the header and a colon.
    - ``events``: signals of what happens to its sessions (`aiohttp_sess.events.Events`).
    - ``conflict_timeout``: seconds for which a write does its operations again where other requests
      of the same session keep writing first, default 5.0; after that, `SessionConflict` is raised.
    - ``conflicts``: how many writes gave up so, since the start of the process.
    - ``rotation_grace``: seconds for which an old key leads to its session after a rotation,
      default 30; never longer than ``rotate_every``.
    """

    def __init__(
        self,
        storage: AbstractStorage,
        transport: Transport,
        *,
        cookie: CookieConfig | None,
        lifecycle: Lifecycle,
        transports: Transports | None = None,
    ) -> None:
        self.storage = storage
        self.transport = transport
        self.cookie = cookie
        self.transports = transports or Transports([transport])
        self.choice = self.transports if self.transports.several else None
        """Which transport a request uses, where that is a question."""
        self.name = self.transports.name
        """What records are bound to, so that no other kind of session takes them for its own."""
        self.lifecycle = lifecycle
        self.terms = Terms(lifecycle, storage.clock)
        self.refreshes_always = self.terms.refreshes_always(None)
        """Whether there is something to do at every request, asked or not."""
        # A cookie with a Max-Age must not promise more than the storage keeps, so the TTL of a
        # persistent session starts anew at the end of the request.
        at_load = self.refreshes_always and isinstance(lifecycle, BrowserSession)
        # And what is done sparingly is done when the record says so.
        at_load = at_load and not lifecycle.refresh_after
        self.ttl_at_load = lifecycle.ttl if at_load else None
        """The TTL that starts anew when a session is loaded, if it does."""
        self.conflict_timeout = 5.0
        """Seconds for which a write does its operations again when other requests of the same
        session keep writing first; after that, the `SessionConflict` is raised."""
        self.conflicts = 0
        """How many writes gave up so."""
        self.events = Events(self.name)
        """Signals of what happens to its sessions: see `aiohttp_sess.events`."""
        self.sockets = Sockets(self._vanished)
        self.commits = Commits()
        self.takes_turns = storage.ends_sessions_early
        """Whether the commits of a request go one after the other. Where a storage can end no
        session, nothing waits, and nobody comes in between."""
        together = storage.answers_at_once
        self.just_loaded = Cohort() if together else None
        """Requests that have just loaded their sessions; None where they come back together."""
        self.about_to_save = Cohort() if together else None
        """Requests that are about to save them."""
        self.about_to_answer = Cohort() if together else None
        """Requests that have saved them, and are about to be answered. One that saved in its
        handler is not among them: it may be answered before others that were saved earlier."""
        self.limit: SessionLimit | None = None
        """How many sessions an owner may have."""

    def end(self, session_id: str) -> None:
        """A session was ended with others of its owner: close its sockets, and tell who listens."""
        self.sockets.end(session_id)
        self.events.send_soon(Purged(self.events.kind, session_id))

    def _vanished(self, session_id: str) -> None:
        self.events.send_soon(Expired(self.events.kind, session_id, "vanished"))

    @property
    def rotation_grace(self) -> float:
        """Seconds for which an old session key leads to its session, after a rotation
        (``rotate_every`` of the lifecycle), so that requests which were sent with it are not logged
        out: at least 1, default 30, and never more than ``rotate_every``. Make it longer than your
        handlers take, and responses to arrive.
        """
        return self.terms.rotation_grace

    @rotation_grace.setter
    def rotation_grace(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"rotation_grace must be seconds, not {type(seconds).__name__}")
        if not 1 <= seconds < math.inf:
            raise ValueError(f"rotation_grace must be at least one second, not {seconds}")
        self.terms.rotation_grace = seconds

    def __repr__(self) -> str:
        return f"<SessionHandle {self.name!r} in {type(self.storage).__name__}>"
