"""What happens to sessions, told to whoever listens: the signals of ``handle.events``.

::

    handle = setup(app, storage)

    @handle.events.renewed
    async def note(event: events.Renewed) -> None:
        audit.info("%s: %s is %s now", event.kind, event.old_id, event.id)

Receivers are coroutine functions, added before the application starts: then the signals are frozen
with it, and to append is a RuntimeError.

An event is sent when the storage has done what it tells of. The request waits for its receivers,
one after the other, but no commit, no other request and no lock does; they run in its context, so
a `contextvars.ContextVar` that a middleware of yours set is there. What no request waits for has a
task of its own, which the application's cleanup waits for: `Expired`, most of `LateChange`, what a
websocket's watcher finds, and what a commit did whose request was cancelled meanwhile. What a
receiver raises is logged, and changes nothing: neither the response nor what other receivers get.

No event has a session key, a value of the session state or a secret.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from aiosignal import Signal

from .errors import StorageUnavailable
from .turns import Background

__all__ = (
    "Conflict",
    "Created",
    "Event",
    "Events",
    "Expired",
    "LateChange",
    "Loaded",
    "Operation",
    "Purged",
    "Rejected",
    "Renewed",
    "Rotated",
    "StorageFailure",
)

logger = logging.getLogger("aiohttp_sess")

Operation = Literal["load", "save", "refresh", "reload", "check"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a session, or to a request that wanted one.

    ``kind`` tells the sessions of an application apart: the name of the session cookie, or where
    there is none, of the header and a colon. ``id``, if there is one, is the public `Session.id`.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Created(Event):
    """A new session was saved for the first time."""

    id: str


@dataclass(frozen=True, slots=True)
class Loaded(Event):
    """A request brought a session that there is: told once for each request that loads it."""

    id: str


@dataclass(frozen=True, slots=True)
class Renewed(Event):
    """A session has a new key, and the old one is dead. ``old_id`` was its public id until now."""

    id: str
    old_id: str


@dataclass(frozen=True, slots=True)
class Rotated(Event):
    """A session whose key was older than ``rotate_every`` has another, under the same public id."""

    id: str


@dataclass(frozen=True, slots=True)
class Purged(Event):
    """A purge ended a session that there was; one that came too late, or was sent again after a
    lost reply, is not told. (`CookieStorage` without revocations always says that there was one.)
    `aiohttp_sess.end_sessions`, and a login that exceeds a limit, send it too, for each session
    that they end and the storage can name.

    ``id`` is None for a further session, that the same request had brought the key of: it was ended
    unseen.
    """

    id: str | None


@dataclass(frozen=True, slots=True)
class Expired(Event):
    """A session was found to be over, as far as that can be known.

    ``cause`` is ``"max_lifetime"`` where a load found it past a max_lifetime that was longer when
    it was last saved (each load of it, with a `CookieStorage` without revocations, which cannot end
    it). It is ``"vanished"`` where a websocket was bound to it that does not find it any more: told
    once for each session in a process, be it expired, evicted, ended by another process, or with
    all of its owner's where the storage does not say which those are. A record that the backend, or
    the storage, dropped by its own TTL or deadline is like one that never was: nobody knows of it,
    so nothing is told.
    """

    id: str
    cause: Literal["max_lifetime", "vanished"]


@dataclass(frozen=True, slots=True)
class Rejected(Event):
    """A session cookie, or session header, did not unseal: damaged, forged, or sealed by a key that
    is not known. Told once a request, however many there were (ASVS 16.3.3).
    """


@dataclass(frozen=True, slots=True)
class Conflict(Event):
    """A commit lost a compare-and-set: another request had written the session first.

    ``attempt`` counts those of this commit from 1; each is told, when the commit is over.
    ``given_up``: it failed with `SessionConflict`. If not, it did its operations once more.
    """

    id: str
    attempt: int
    given_up: bool


@dataclass(frozen=True, slots=True)
class LateChange(Event):
    """Something that was done to a session came too late, and is lost.

    ``cause``: ``"ended"``, another request ended the session first (told once a request);
    ``"sent"``, the response, or its headers, had been sent, and it could not be saved, or not
    whole; ``"failed"``, the handler of a stream or websocket failed before it was saved.
    """

    id: str
    cause: Literal["ended", "sent", "failed"]


@dataclass(frozen=True, slots=True)
class StorageFailure(Event):
    """The storage could not do what a request needed.

    ``operation`` is what for: ``"load"``, ``"save"`` (any commit but the next), ``"refresh"`` (the
    TTL was to start anew, and nothing else), ``"reload"``, or ``"check"`` whether the session is
    still there, for a websocket or before a cookie is sent. ``id`` is None where it was not loaded.
    """

    id: str | None
    operation: Operation
    error: StorageUnavailable


class Events:
    """The signals of one kind of session: see the module, and the class that each one sends.

    :param kind: see `Event`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.created: Signal[Created] = Signal(self)
        self.loaded: Signal[Loaded] = Signal(self)
        self.renewed: Signal[Renewed] = Signal(self)
        self.rotated: Signal[Rotated] = Signal(self)
        self.purged: Signal[Purged] = Signal(self)
        self.expired: Signal[Expired] = Signal(self)
        self.rejected: Signal[Rejected] = Signal(self)
        self.conflict: Signal[Conflict] = Signal(self)
        self.late_change: Signal[LateChange] = Signal(self)
        self.storage_failure: Signal[StorageFailure] = Signal(self)
        self._signals: dict[type[Event], Signal[Any]] = {
            Created: self.created,
            Loaded: self.loaded,
            Renewed: self.renewed,
            Rotated: self.rotated,
            Purged: self.purged,
            Expired: self.expired,
            Rejected: self.rejected,
            Conflict: self.conflict,
            LateChange: self.late_change,
            StorageFailure: self.storage_failure,
        }
        self.heard = False
        """Whether anybody listens; known from the start of the application on."""
        self._background = Background("events of a session were not told yet")

    def __repr__(self) -> str:
        return f"<Events of {self.kind!r}>"

    @property
    def frozen(self) -> bool:
        """Whether it is too late to listen: the application has started."""
        return self.created.frozen

    def freeze(self) -> None:
        """The application starts: who listens is settled."""
        for signal in self._signals.values():
            signal.freeze()
        self.heard = any(self._signals.values())

    async def send(self, events: Iterable[Event]) -> None:
        """Send events, one after the other, and wait for their receivers."""
        for event in events:
            for receiver in self._signals[type(event)]:
                try:
                    await receiver(event)
                except Exception:
                    name = getattr(receiver, "__qualname__", type(receiver).__name__)
                    logger.exception("%s failed to take a %s event", name, type(event).__name__)

    def send_soon(self, event: Event) -> None:
        """Send an event from where nobody can wait, if anybody listens to that."""
        if not (self.heard and self._signals[type(event)]):
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # in a thread: nowhere to run a receiver
            return
        self._background.begin(self.send([event]))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let ``work`` go on behind a request that is over."""
        self._background.begin(work)

    async def drain(self) -> None:
        """Wait for receivers that no request waits for, for at most 10 seconds."""
        await self._background.drain()
