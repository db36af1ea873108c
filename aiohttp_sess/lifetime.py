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
    kind = PersistentSession if lifetime.persistent else BrowserSession
    return kind(
        ttl,
        policy,
        _span(lifetime.max_lifetime),
        refresh_after=lifetime.refresh_after,
        rotate_every=_span(lifetime.rotate_every),
    )


def lifetime_of(lifecycle: Lifecycle) -> Lifetime:
    """What a record keeps of a lifecycle."""
    return Lifetime(
        persistent=isinstance(lifecycle, PersistentSession),
        ttl=lifecycle.ttl.total_seconds(),
        every_request=lifecycle.ttl_extension_policy is TtlExtensionPolicy.ON_EVERY_REQUEST,
        max_lifetime=_seconds(lifecycle.max_lifetime),
        rotate_every=_seconds(lifecycle.rotate_every),
        refresh_after=float(lifecycle.refresh_after),
    )


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
