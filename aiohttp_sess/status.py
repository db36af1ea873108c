"""What happened to a session in a request."""

from __future__ import annotations

import enum

__all__ = ("SessionStatus", "stronger")


class SessionStatus(enum.Enum):
    """What happened to a session in this request, from the weakest to the strongest."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    RENEWED = "renewed"
    PURGED = "purged"


_STRENGTH = list(SessionStatus)


def stronger(one: SessionStatus, other: SessionStatus) -> SessionStatus:
    """The one that says more: a session that was renewed and changed is renewed."""
    if one is other or other is SessionStatus.UNCHANGED:
        return one
    return max(one, other, key=_STRENGTH.index)
