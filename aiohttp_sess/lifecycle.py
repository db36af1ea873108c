"""The rules, pure: what a status and a lifecycle mean for the storage and for the cookie."""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import NamedTuple

from .config import Lifecycle, PersistentSession, TtlExtensionPolicy
from .status import SessionStatus

__all__ = (
    "NOTHING",
    "UPDATE",
    "CookieStep",
    "Plan",
    "StorageStep",
    "and_rotate",
    "check_rotation",
    "deadline",
    "max_age",
    "only_refreshes",
    "only_rotates",
    "plan",
    "plan_after_headers",
    "refresh_due",
    "refreshes_always",
    "spares_refreshes",
    "ttl_left",
)


class StorageStep(enum.Enum):
    """One thing for the storage to do."""

    SAVE = "save"
    UPDATE = "update"
    UPDATE_TTL = "update_ttl"
    REFRESH = "update, with nothing changed but when the TTL started anew"
    RENEW = "save under a new key, then delete the old"
    ROTATE = "save under a new key, to which the old one leads for a while"
    DELETE = "delete"


class CookieStep(enum.Enum):
    """What the response says of the session cookie."""

    KEEP = "nothing"
    SET = "set"
    ERASE = "erase"


class Plan(NamedTuple):
    """What is to be done at a commit: storage steps in their order, then the cookie."""

    storage: tuple[StorageStep, ...]
    cookie: CookieStep


NOTHING = Plan((), CookieStep.KEEP)
_BEGIN = Plan((StorageStep.SAVE,), CookieStep.SET)
UPDATE = Plan((StorageStep.UPDATE,), CookieStep.SET)
"""Replace the record under its key, as most commits do."""
_RENEW = Plan((StorageStep.RENEW,), CookieStep.SET)
# With nothing to save, the cookie is set if the session got a key that the client does not have.
_ROTATIONS = {
    (): Plan((StorageStep.ROTATE,), CookieStep.KEEP),
    (StorageStep.UPDATE_TTL,): Plan((StorageStep.ROTATE,), CookieStep.KEEP),
    (StorageStep.REFRESH,): Plan((StorageStep.ROTATE,), CookieStep.KEEP),
    (StorageStep.UPDATE,): Plan((StorageStep.ROTATE,), CookieStep.SET),
}


def plan(
    status: SessionStatus, *, stored: bool, worth_saving: bool, refresh: Lifecycle | None
) -> Plan:
    """What a commit does.

    :param status: what there is to be saved.
    :param stored: whether the storage has a record.
    :param worth_saving: whether there is anything in the session.
    :param refresh: the session's lifecycle, if its TTL is to start anew although nothing changed.
    """
    if not stored:
        return _BEGIN if worth_saving else NOTHING
    if status is SessionStatus.PURGED:
        if worth_saving:
            return Plan((StorageStep.DELETE, StorageStep.SAVE), CookieStep.SET)
        return Plan((StorageStep.DELETE,), CookieStep.ERASE)
    if status is SessionStatus.UNCHANGED and refresh is not None:
        step = StorageStep.REFRESH if spares_refreshes(refresh) else StorageStep.UPDATE_TTL
        persistent = isinstance(refresh, PersistentSession)
        return Plan((step,), CookieStep.SET if persistent else CookieStep.KEEP)
    if status is SessionStatus.CHANGED:
        return UPDATE
    return _RENEW if status is SessionStatus.RENEWED else NOTHING


def and_rotate(todo: Plan) -> Plan:
    """A plan for a session whose key is due for rotation: what saves it, or lets its TTL start
    anew, does so under the new key. One that ends the key does that.
    """
    return _ROTATIONS.get(todo.storage, todo)


def only_refreshes(todo: Plan) -> bool:
    """Whether a plan saves nothing, ends nothing: at most, a TTL starts anew."""
    return todo.storage in ((), (StorageStep.UPDATE_TTL,), (StorageStep.REFRESH,))


def only_rotates(todo: Plan) -> bool:
    """Whether a plan saves nothing that was done to the session: it gets another key."""
    return todo.storage == (StorageStep.ROTATE,) and todo.cookie is CookieStep.KEEP


def plan_after_headers(
    todo: Plan, *, server_side: bool, new_lifetime: bool, ends_early: bool = False
) -> tuple[Plan, str | None]:
    """What of a plan can be done without a cookie, and why the rest cannot.

    :param server_side: whether the storage keeps records on the server.
    :param new_lifetime: whether the session was given a lifecycle of its own.
    :param ends_early: whether a session can be ended, also where its record is in the cookie.
    """
    steps = todo.storage
    if only_refreshes(todo):
        return NOTHING, None
    if not server_side and not (ends_early and StorageStep.DELETE in steps):
        return NOTHING, (
            "it changed after the headers were sent, and its storage keeps everything in the "
            "cookie; change it before the response is prepared, or use a storage on the server"
        )
    if StorageStep.SAVE in steps:
        rest = tuple(step for step in steps if step is StorageStep.DELETE)
        return Plan(rest, CookieStep.KEEP), (
            "it began after the headers were sent, so the client cannot get its key; write to it "
            "before the response is prepared"
        )
    if StorageStep.RENEW in steps:
        return Plan((StorageStep.UPDATE,), CookieStep.KEEP), (
            "it was renewed after the headers were sent, so the client cannot get the new key, and "
            "the old one goes on; call renew() before the response is prepared"
        )
    return Plan(steps, CookieStep.KEEP), (
        "its lifecycle was set after the headers were sent, so the cookie keeps its age until the "
        "state changes again; set it before the response is prepared"
        if new_lifetime and StorageStep.UPDATE in steps
        else None
    )


def check_rotation(lifecycle: Lifecycle, *, rotates_keys: bool) -> None:
    """Whether the storage can do what a lifecycle asks for.

    :raises ValueError: where it cannot.
    """
    if lifecycle.rotate_every is not None and not rotates_keys:
        raise ValueError(
            "rotate_every asks for a storage that can give a session another key and end the old "
            "one: MemoryStorage, RedisStorage, MemcachedStorage or another KeyedStorage"
        )


def refreshes_always(lifecycle: Lifecycle) -> bool:
    """Whether the TTL starts anew at every request."""
    return lifecycle.ttl_extension_policy is TtlExtensionPolicy.ON_EVERY_REQUEST


def spares_refreshes(lifecycle: Lifecycle) -> bool:
    """Whether it does so only where a share of it has gone, which the record then has to know."""
    return lifecycle.refresh_after > 0 and refreshes_always(lifecycle)


def refresh_due(lifecycle: Lifecycle, refreshed: float | None, now: float) -> bool:
    """Whether so much of the TTL has gone that it is to start anew.

    :param refreshed: when it last did, Unix time in seconds; None: it is not known.
    """
    # What was done in the future was done by another clock, or before this one was set back.
    if not spares_refreshes(lifecycle) or refreshed is None or refreshed > now:
        return True
    return now >= refreshed + lifecycle.refresh_after * lifecycle.ttl.total_seconds()


def deadline(lifecycle: Lifecycle, created: float) -> float | None:
    """When a session ends, however active it is (ASVS 7.3.2); Unix time in seconds."""
    longest = lifecycle.max_lifetime
    return None if longest is None else created + longest.total_seconds()


def ttl_left(lifecycle: Lifecycle, end: float | None, now: float) -> timedelta:
    """The idle TTL, cut off at the deadline."""
    if end is None:
        return lifecycle.ttl
    return min(lifecycle.ttl, timedelta(seconds=max(end - now, 0.001)))


def max_age(lifecycle: Lifecycle, ttl: timedelta) -> int | None:
    """The cookie's Max-Age in seconds; None: it ends with the browser."""
    # Never 0, which would erase the cookie.
    return max(int(ttl.total_seconds()), 1) if isinstance(lifecycle, PersistentSession) else None
