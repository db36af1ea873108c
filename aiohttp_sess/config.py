"""What an application decides about its sessions: frozen values, checked when they are built.

The defaults are the safe choice: ``Secure``, ``HttpOnly`` and ``SameSite=Lax`` (OWASP ASVS 5.0,
3.3.1, 3.3.2, 3.3.4), a cookie that ends with the browser, a state that ends after an idle day.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

__all__ = (
    "BrowserSession",
    "CookieConfig",
    "CookieContentSecurity",
    "Lifecycle",
    "PersistentSession",
    "TtlExtensionPolicy",
)

# RFC 6265 §4.1.1: a name is a token (RFC 9110 §5.6.2), a path is any printable ASCII but ";".
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN = re.compile(r"\.?[0-9A-Za-z]([0-9A-Za-z\-.]*[0-9A-Za-z])?")
# http.cookies refuses to read a cookie of these names, so other parts of a stack would lose it.
_RESERVED = frozenset(
    (
        "comment",
        "domain",
        "expires",
        "httponly",
        "max-age",
        "partitioned",
        "path",
        "samesite",
        "secure",
        "version",
    )
)


class CookieContentSecurity(enum.Enum):
    """How the session key is sealed while it is in the client's hands."""

    PRIVATE = "private"
    """Encrypted and authenticated (AES-256-GCM-SIV, RFC 8452): the client cannot read it."""
    SIGNED = "signed"
    """Authenticated only (HMAC-SHA256): the client can read it, but not change it."""


class TtlExtensionPolicy(enum.Enum):
    """When the idle lifetime of a session starts anew."""

    ON_STATE_CHANGES = "on-state-changes"
    """When the state changes. Reading costs nothing extra."""
    ON_EVERY_REQUEST = "on-every-request"
    """At every request that carries the session cookie, whether the handler asks for it or not.

    With a lifecycle's ``refresh_after``, sparingly: while less than that share of the TTL has gone,
    a request that changes nothing reads the record, but neither writes it nor sets a cookie. A
    session lives for at least (1 - ``refresh_after``) times the TTL after its last request, unless
    its ``max_lifetime`` ends it.

    Limitations of that: a response that is lost on its way to the client has set its cookie all the
    same, so keep the share of a `PersistentSession` well below a half. And where a deployment makes
    the TTL longer, a session has the old one until it is refreshed under the new one: let the share
    of the new one be less than the old one.
    """


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A session that ends with the browser: its cookie has no ``Max-Age``.

    Browsers that restore their windows keep such cookies for long, so the state has a lifetime of
    its own.

    :param state_ttl: how long an unused state lives in the storage (default: one day).
    :param ttl_extension_policy: when that time starts anew.
    :param max_lifetime: the end of a session, however active, counted from its creation
        (ASVS 7.3.2); None: there is none.
    :param refresh_after: how much of the TTL goes by before a request lets it start anew, as a
        share: at least 0 (each request does) and less than 1. It is about ``ON_EVERY_REQUEST``, and
        a session lives for at least (1 - ``refresh_after``) times the TTL after its last request:
        see there.
    :param rotate_every: how old a session key may become: a request that finds it older gives the
        session a new one (OWASP Session Management Cheat Sheet, "Renewal Timeout"); None: any age.
        See ``rotation_grace`` of what `setup` returns.
    """

    state_ttl: timedelta = timedelta(days=1)
    ttl_extension_policy: TtlExtensionPolicy = TtlExtensionPolicy.ON_STATE_CHANGES
    max_lifetime: timedelta | None = None
    refresh_after: float = 0.0
    rotate_every: timedelta | None = None

    def __post_init__(self) -> None:
        _check_lifetimes("state_ttl", self)

    @property
    def ttl(self) -> timedelta:
        """The idle lifetime, under one name for both lifecycles."""
        return self.state_ttl


@dataclass(frozen=True, slots=True)
class PersistentSession:
    """A session that outlives the browser: its cookie's ``Max-Age`` is the session's TTL.

    :param session_ttl: how long an unused session lives, cookie and state alike (default: one day).
    :param ttl_extension_policy: when that time starts anew.
    :param max_lifetime: the end of a session, however active, counted from its creation
        (ASVS 7.3.2); None: there is none.
    :param refresh_after: how much of the TTL goes by before a request lets it start anew, as a
        share: at least 0 (each request does) and less than 1. It is about ``ON_EVERY_REQUEST``, and
        a session lives for at least (1 - ``refresh_after``) times the TTL after its last request:
        see there.
    :param rotate_every: how old a session key may become: see `BrowserSession`.
    """

    session_ttl: timedelta = timedelta(days=1)
    ttl_extension_policy: TtlExtensionPolicy = TtlExtensionPolicy.ON_STATE_CHANGES
    max_lifetime: timedelta | None = None
    refresh_after: float = 0.0
    rotate_every: timedelta | None = None

    def __post_init__(self) -> None:
        _check_lifetimes("session_ttl", self)

    @property
    def ttl(self) -> timedelta:
        """The idle lifetime, under one name for both lifecycles."""
        return self.session_ttl


Lifecycle = BrowserSession | PersistentSession


def _check_lifetimes(ttl_name: str, lifecycle: Lifecycle) -> None:
    policy = lifecycle.ttl_extension_policy
    if not isinstance(policy, TtlExtensionPolicy):
        raise TypeError(
            f"ttl_extension_policy must be a TtlExtensionPolicy, not {type(policy).__name__}"
        )
    for name, value in (
        (ttl_name, lifecycle.ttl),
        ("max_lifetime", lifecycle.max_lifetime),
        ("rotate_every", lifecycle.rotate_every),
    ):
        if value is None and name != ttl_name:
            continue
        if not isinstance(value, timedelta):
            raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
        # Max-Age and memcached count whole seconds: less than one would be "at once" there.
        if value < timedelta(seconds=1):
            raise ValueError(f"{name} must be at least one second, not {value}")
    share = lifecycle.refresh_after
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise TypeError(f"refresh_after must be a number, not {type(share).__name__}")
    if not 0 <= share < 1:
        raise ValueError(
            f"refresh_after must be a share of the TTL, at least 0 and less than 1, not {share}"
        )


@dataclass(frozen=True, slots=True)
class CookieConfig:
    """The session cookie's name and attributes.

    :param name: a cookie name (RFC 6265 token). ``__Host-`` and ``__Secure-`` prefixes are held to
        their rules (RFC 6265bis §4.1.3).
    :param domain: None (the default) keeps the cookie to the host that set it.
    :param path: the path prefix that gets the cookie.
    :param secure: send it over HTTPS only. False is for development over plain HTTP.
    :param httponly: keep it from scripts.
    :param samesite: ``"Lax"`` (the default: not sent with cross-site POSTs, but with links that
        lead here), ``"Strict"`` or ``"None"``.
    :param partitioned: a jar for each top-level site (CHIPS).
    :param content_security: how the session key is sealed; None is ``PRIVATE`` where `setup` gets
        a secret key, and an unsealed random key where it gets none.
    :raises ValueError: for a combination that browsers refuse or that could break a header.
    """

    name: str = "id"
    domain: str | None = None
    path: str = "/"
    secure: bool = True
    httponly: bool = True
    samesite: Literal["Lax", "Strict", "None"] = "Lax"
    partitioned: bool = False
    content_security: CookieContentSecurity | None = None

    def __post_init__(self) -> None:
        self._check_types()
        if not _NAME.fullmatch(self.name) or self.name.lower() in _RESERVED:
            raise ValueError(
                f"cookie name {self.name!r} is not usable: take letters, digits, '-' and '_', "
                "and none of the names of cookie attributes"
            )
        if not _PATH.fullmatch(self.path):
            raise ValueError(
                f"cookie path {self.path!r} must start with '/' and be printable ASCII without ';'"
            )
        if self.domain is not None and not _DOMAIN.fullmatch(self.domain):
            raise ValueError(f"cookie domain {self.domain!r} is not a host name")
        if self.samesite not in ("Lax", "Strict", "None"):
            raise ValueError(
                f"samesite must be 'Lax', 'Strict' or 'None' (a string), not {self.samesite!r}"
            )
        # Browsers compare the prefixes without regard to case (RFC 6265bis §5.7).
        prefix = self.name.lower()
        if prefix.startswith("__host-") and (
            not self.secure or self.path != "/" or self.domain is not None
        ):
            raise ValueError(
                f"cookie {self.name!r}: the __Host- prefix needs secure=True, path='/' and no "
                "domain, or browsers drop the cookie"
            )
        if prefix.startswith("__secure-") and not self.secure:
            raise ValueError(f"cookie {self.name!r}: the __Secure- prefix needs secure=True")
        if self.samesite == "None" and not self.secure:
            raise ValueError("samesite='None' needs secure=True, or browsers drop the cookie")
        if self.partitioned and not self.secure:
            raise ValueError("partitioned=True needs secure=True, or browsers drop the cookie")

    def _check_types(self) -> None:
        for name in ("name", "path", "samesite"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(f"cookie {name} must be a str, not {type(value).__name__}")
        if self.domain is not None and not isinstance(self.domain, str):
            raise TypeError(f"cookie domain must be a str, not {type(self.domain).__name__}")
        for name in ("secure", "httponly", "partitioned"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise TypeError(f"cookie {name} must be a bool, not {type(value).__name__}")
        security = self.content_security
        if security is not None and not isinstance(security, CookieContentSecurity):
            raise TypeError(
                "content_security must be a CookieContentSecurity, not " + type(security).__name__
            )
