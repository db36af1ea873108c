"""A lifecycle as a record keeps it, and back."""

from __future__ import annotations

from datetime import timedelta

from .config import BrowserSession, Lifecycle, PersistentSession, TtlExtensionPolicy
from .record import Lifetime

__all__ = ("lifecycle_of", "lifetime_of")


def lifecycle_of(lifetime: Lifetime) -> Lifecycle:
    """The lifecycle that a record keeps."""
    ttl = timedelta(seconds=lifetime.ttl)
    policy = (
        TtlExtensionPolicy.ON_EVERY_REQUEST
        if lifetime.every_request
        else TtlExtensionPolicy.ON_STATE_CHANGES
    )
    longest = lifetime.max_lifetime
    max_lifetime = None if longest is None else timedelta(seconds=longest)
    kind = PersistentSession if lifetime.persistent else BrowserSession
    return kind(ttl, policy, max_lifetime, refresh_after=lifetime.refresh_after)


def lifetime_of(lifecycle: Lifecycle) -> Lifetime:
    """What a record keeps of a lifecycle."""
    longest = lifecycle.max_lifetime
    return Lifetime(
        persistent=isinstance(lifecycle, PersistentSession),
        ttl=lifecycle.ttl.total_seconds(),
        every_request=lifecycle.ttl_extension_policy is TtlExtensionPolicy.ON_EVERY_REQUEST,
        max_lifetime=None if longest is None else longest.total_seconds(),
        refresh_after=float(lifecycle.refresh_after),
    )
