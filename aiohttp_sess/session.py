"""The session as a handler sees it. Pure: it knows neither HTTP nor storages."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

from .changes import Changes
from .committer import Committer
from .config import BrowserSession, Lifecycle, PersistentSession
from .errors import SessionValueError
from .label import check_label
from .lifecycle import check_rotation
from .lifetime import lifecycle_of, lifetime_of
from .mapping import TypedMapping
from .record import SessionRecord
from .sockets import Binding, Socket
from .status import SessionStatus
from .values import StateKey

__all__ = ("Session", "SessionStatus", "StateKey")


class Session(TypedMapping):
    """The data of one session, and what is to become of it.

    A mutable mapping of names to JSON values. A value that is not JSON is refused where it is
    assigned (`SessionValueError`); a list or dict that is changed in place is noticed and saved.
    With a `StateKey` as key, values have a type. ``Session()`` stands alone, for tests.

    Parallel requests of one session: each applies its own operations to the latest state, so
    different names never collide; of two assignments to one name the later save wins (and the
    in-place change of a nested value is an assignment to its top-level name). Use `update_value`
    where the new value depends on the old one. `owner`, `label` and `lifecycle`: the later save
    wins, of those that set another than was loaded. `renew` and `purge` end the old key, so a
    change that is saved after them is dropped, and the `status` that others see is their own. Of
    two renewals at once, one is done; of two purges, too.
    """

    __slots__ = ("__weakref__", "_committer", "_default", "_rotates_keys")

    def __init__(
        self,
        changes: Changes | None = None,
        *,
        lifecycle: Lifecycle | None = None,
        committer: Committer | None = None,
        rotates_keys: bool = True,
    ) -> None:
        if changes is None:
            changes = Changes(SessionRecord(), stored=False, clock=time.time)
        elif not isinstance(changes, Changes):
            raise TypeError("Session() begins empty: fill it with session.update(...)")
        self._changes = changes
        self._default = lifecycle or BrowserSession()
        self._committer = committer
        self._rotates_keys = rotates_keys

    # -- what it is -----------------------------------------------------------------------------

    @property
    def status(self) -> SessionStatus:
        """What happened to the session in this request."""
        return self._changes.status

    @property
    def new(self) -> bool:
        """Whether no storage holds it yet."""
        return not self._changes.stored or self._changes.purging

    @property
    def empty(self) -> bool:
        """Whether it holds no values."""
        return not len(self._changes)

    @property
    def created(self) -> datetime:
        """When the session began, in UTC. Renewal does not move it."""
        return datetime.fromtimestamp(self._changes.created, UTC)

    @property
    def id(self) -> str:
        """The public id: random, unrelated to the session key, safe to log and to show."""
        return self._changes.id

    @property
    def owner(self) -> str | None:
        """The user that the session belongs to; set it at login."""
        return self._changes.owner

    @owner.setter
    def owner(self, owner: str | None) -> None:
        if owner is not None and not (isinstance(owner, str) and owner):
            raise TypeError("session.owner must be a non-empty str or None")
        if owner is not None:
            try:
                owner.encode()
            except UnicodeEncodeError:  # without its text: it is a user's name
                raise SessionValueError("session.owner holds half a surrogate pair") from None
        if owner != self._changes.owner:
            self._changes.set_field("owner", owner)

    @property
    def label(self) -> str | None:
        """What the session is called where `sessions_of` lists it, such as "Firefox on Linux"; at
        most 100 characters.

        :raises TypeError: for what is no str.
        :raises ValueError: for what is longer, or not text that JSON can carry.
        """
        return self._changes.label

    @label.setter
    def label(self, label: str | None) -> None:
        if label is not None:
            check_label(label)
        if label != self._changes.label:
            self._changes.set_field("label", label)

    @property
    def lifecycle(self) -> Lifecycle:
        """How long this session lives; set it to override what `setup` says ("remember me").

        Limitations: what a session's own policy is, is known when it is loaded. So a request whose
        handler never asks for the session extends it only under the policy of `setup`, and where
        that is ``ON_EVERY_REQUEST`` for a `BrowserSession`, it extends every session that it loads.
        """
        lifetime = self._changes.lifetime
        return self._default if lifetime is None else lifecycle_of(lifetime)

    @lifecycle.setter
    def lifecycle(self, lifecycle: Lifecycle) -> None:
        if not isinstance(lifecycle, BrowserSession | PersistentSession):
            raise TypeError(
                "session.lifecycle must be a BrowserSession or a PersistentSession, not "
                + type(lifecycle).__name__
            )
        check_rotation(lifecycle, rotates_keys=self._rotates_keys)
        lifetime = lifetime_of(lifecycle)
        if lifetime != self._changes.lifetime:
            self._changes.set_field("lifetime", lifetime)

    @property
    def stored_id(self) -> str:
        """The public id under which `sessions_of` lists it: while it is being renewed, the old."""
        return self._changes.stored_id

    def authenticated_within(self, period: timedelta) -> bool:
        """Whether the last `renew` was at most ``period`` ago; False where there was none.

        Ask before a sensitive action, and for the password again where it says False: "step up"
        (ASVS 7.5.1, 7.5.3). That login calls `renew` like any other. Neither requests nor writes
        move it; `purge` forgets it.

        :raises TypeError: for what is no timedelta.
        :raises ValueError: for a negative one.
        """
        if not isinstance(period, timedelta):
            raise TypeError(f"period must be a timedelta, not {type(period).__name__}")
        if period < timedelta(0):
            raise ValueError(f"period must not be negative, as {period} is")
        when, now = self._changes.authenticated, self._changes.clock()
        # What is in the future was done by a server whose clock is ahead: it counts as now.
        return when is not None and now - when <= period.total_seconds()

    # -- what is to become of it ----------------------------------------------------------------

    def renew(self) -> None:
        """Give the session a new key and end the old one; state and `created` stay.

        Call it at login and at every change of privilege (ASVS 7.2.4): whoever knew the key before
        does not know it after.
        """
        self._changes.renew()

    def purge(self) -> None:
        """End the session, here and in the storage: call it at logout (ASVS 7.4.1).

        What is written afterwards begins a fresh session under a new key. It is carried out when
        the handler is done, and not where that fails: ``await session.save()`` does it now. Where
        another request renewed the session meanwhile, it goes on under the key that this gave it.
        """
        self._changes.purge()

    def invalidate(self) -> None:
        """The same as `purge`."""
        self._changes.purge()

    def changed(self) -> None:
        """Count as changed, so that it is saved. Needed by nobody: see the class."""
        self._changes.force()

    async def save(self) -> None:
        """Commit now what was done so far: for websockets, long streams and background work.

        If another request has saved in between, read lists and dicts again afterwards: the ones
        that were handed out before may be no longer part of the session. It goes on when the one
        who waits for it is cancelled: a handler that has less patience with a renewal than the
        storage's timeouts may answer before there is a cookie.

        :raises SessionGone: where the session was ended meanwhile, which is found out where there
            is something to save. The changes are dropped: it is empty.
        :raises SessionConflict: where others kept writing it (``conflict_timeout`` of the handle).
        :raises CookieTooLarge: where the cookie is, or the session header; nothing is saved.
        :raises SessionError: where the client can no longer be told of it, as the headers are gone.
        :raises StorageUnavailable: where the storage is.
        :raises Exception: whatever a function given to `update_value` raises.
        """
        await self._bound().save()

    async def reload(self) -> bool:
        """Take the latest state from the storage; False where it was ended, or never saved.

        What was not saved is forgotten, but for `renew` and `purge`; a session that was ended is
        empty. Read values again afterwards: a list or dict that was handed out before is no longer
        part of the session.
        """
        return await self._bound().reload()

    async def bind(self, socket: Socket, *, check_every: float = 10.0) -> Binding:
        """Close a prepared websocket with code 1008 when the session is purged, renewed or expires.

        At once where it is ended in this process, within ``check_every`` seconds where it is in
        another, or expires. Until the request is over. One in a cookie without revocations expires.

        :raises SessionGone: where there is none to bind to, or it was ended since it was loaded.
        :raises RuntimeError: where the websocket is not prepared, or the request is over.
        """
        if not 0 < check_every < math.inf:
            raise ValueError(f"check_every must be a positive number of seconds, not {check_every}")
        return await self._bound().bind(socket, check_every)

    def _bound(self) -> Committer:
        if self._committer is None:
            raise RuntimeError("this session stands alone: it belongs to no request")
        return self._committer

    def __repr__(self) -> str:
        try:
            status = self.status
        except SessionValueError:  # what is wrong is said where it is saved, not where it is shown
            status = SessionStatus.CHANGED
        return f"<Session {self.id} {status.value} {sorted(self._changes)}>"
