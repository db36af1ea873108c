"""Configuration: frozen values that refuse what browsers refuse, and what could break a header."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiohttp_sess import (
    BrowserSession,
    CookieConfig,
    CookieContentSecurity,
    PersistentSession,
    TtlExtensionPolicy,
)
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.transport import CookieTransport

LIFECYCLES = [(BrowserSession, "state_ttl"), (PersistentSession, "session_ttl")]
TEXT = st.one_of(
    st.text(max_size=20),
    # Mostly harmless, so that much of it is accepted.
    st.text("/ab-_.=;, \t\r\n\0\x7f\x80é\"'\\", max_size=20),
)


def test_the_defaults_are_the_safe_choice() -> None:
    """ASVS 3.3.1, 3.3.2, 3.3.4."""
    config = CookieConfig()
    assert (config.secure, config.httponly, config.samesite) == (True, True, "Lax")
    assert (config.name, config.domain, config.path) == ("id", None, "/")
    assert config.partitioned is False
    assert config.content_security is None


@pytest.mark.parametrize(("kind", "ttl"), LIFECYCLES)
def test_a_lifecycle_is_an_idle_day_by_default(kind: Any, ttl: str) -> None:
    lifecycle = kind()
    assert getattr(lifecycle, ttl) == lifecycle.ttl == timedelta(days=1)
    assert lifecycle.ttl_extension_policy is TtlExtensionPolicy.ON_STATE_CHANGES
    assert lifecycle.max_lifetime is None


@pytest.mark.parametrize(("kind", "ttl"), LIFECYCLES)
def test_ttl_is_one_name_for_both_lifecycles(kind: Any, ttl: str) -> None:
    lifecycle = kind(**{ttl: timedelta(minutes=5)})
    assert lifecycle.ttl == timedelta(minutes=5)
    assert kind(timedelta(minutes=5)) == lifecycle


@pytest.mark.parametrize(
    "accepted",
    [
        {"name": "__Host-id"},
        {"name": "__Secure-id", "domain": "example.com", "path": "/shop"},
        {"name": "!#$%&'*+-.^_`|~09azAZ"},
        {"domain": ".example.com"},
        {"domain": "127.0.0.1"},
        {"domain": "localhost"},
        {"path": "/a b,c=d%20(e)~"},
        {"secure": False, "httponly": False},
        {"samesite": "None"},
        {"samesite": "Strict", "secure": False},
        {"partitioned": True},
        {"content_security": CookieContentSecurity.SIGNED},
    ],
    ids=str,
)
def test_what_browsers_take_is_taken(accepted: dict[str, Any]) -> None:
    config = CookieConfig(**accepted)
    assert {name: getattr(config, name) for name in accepted} == accepted


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ({"name": "__Host-id", "secure": False}, "__Host- prefix needs secure=True"),
        ({"name": "__Host-id", "path": "/shop"}, "__Host- prefix needs .* path='/'"),
        ({"name": "__Host-id", "domain": "example.com"}, "__Host- prefix needs .* no domain"),
        # Browsers compare the prefixes without regard to case.
        ({"name": "__HOST-id", "path": "/shop"}, "__Host- prefix"),
        ({"name": "__Secure-id", "secure": False}, "__Secure- prefix needs secure=True"),
        ({"name": "__secure-id", "secure": False}, "__Secure- prefix"),
        ({"samesite": "None", "secure": False}, "samesite='None' needs secure=True"),
        ({"partitioned": True, "secure": False}, "partitioned=True needs secure=True"),
        ({"samesite": "lax"}, "'Lax', 'Strict' or 'None' .* not 'lax'"),
        ({"samesite": ""}, "not ''"),
        ({"name": ""}, "cookie name '' is not usable"),
        ({"name": "a b"}, "cookie name 'a b' is not usable"),
        ({"name": "a=b"}, "not usable"),
        ({"name": "a;b"}, "not usable"),
        ({"name": "a\r\nSet-Cookie: b"}, "not usable"),
        ({"name": "id\n"}, "not usable"),
        ({"name": "schlüssel"}, "not usable"),
        ({"name": "Path"}, "none of the names of cookie attributes"),
        ({"name": "max-age"}, "none of the names of cookie attributes"),
        ({"path": ""}, "cookie path '' must start with '/'"),
        ({"path": "shop"}, "must start with '/'"),
        ({"path": "/;Domain=evil.example"}, "without ';'"),
        ({"path": "/\r\nX: y"}, "printable ASCII"),
        ({"path": "/\n"}, "printable ASCII"),
        ({"path": "/é"}, "printable ASCII"),
        ({"domain": ""}, "cookie domain '' is not a host name"),
        ({"domain": "a b"}, "is not a host name"),
        ({"domain": "example.com; Path=/"}, "is not a host name"),
        ({"domain": "example.com\n"}, "is not a host name"),
        ({"domain": "bücher.example"}, "is not a host name"),
        ({"domain": "-example.com"}, "is not a host name"),
        ({"domain": "example.com:8080"}, "is not a host name"),
    ],
    ids=str,
)
def test_what_browsers_refuse_is_refused(refused: dict[str, Any], message: str) -> None:
    """ASVS 3.3.1, 3.3.3."""
    with pytest.raises(ValueError, match=message):
        CookieConfig(**refused)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": None}, "cookie name must be a str, not NoneType"),
        ({"name": b"id"}, "cookie name must be a str, not bytes"),
        ({"path": None}, "cookie path must be a str, not NoneType"),
        ({"domain": 7}, "cookie domain must be a str, not int"),
        ({"samesite": None}, "cookie samesite must be a str, not NoneType"),
        ({"secure": 1}, "cookie secure must be a bool, not int"),
        ({"secure": None}, "cookie secure must be a bool, not NoneType"),
        ({"httponly": "yes"}, "cookie httponly must be a bool, not str"),
        ({"partitioned": 0}, "cookie partitioned must be a bool, not int"),
        ({"content_security": "signed"}, "must be a CookieContentSecurity, not str"),
    ],
    ids=str,
)
def test_what_is_of_another_type_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        CookieConfig(**wrong)


@pytest.mark.parametrize(("kind", "ttl"), LIFECYCLES)
@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("ttl", timedelta(0), ValueError, "at least one second, not 0:00:00"),
        ("ttl", timedelta(milliseconds=999), ValueError, "at least one second"),
        ("ttl", timedelta(days=-1), ValueError, "at least one second"),
        ("ttl", 3600, TypeError, "must be a timedelta, not int"),
        ("ttl", None, TypeError, "must be a timedelta, not NoneType"),
        ("max_lifetime", timedelta(0), ValueError, "max_lifetime must be at least one second"),
        ("max_lifetime", 3600.0, TypeError, "max_lifetime must be a timedelta, not float"),
        ("rotate_every", timedelta(0), ValueError, "rotate_every must be at least one second"),
        ("rotate_every", 900, TypeError, "rotate_every must be a timedelta, not int"),
        ("ttl_extension_policy", "on-every-request", TypeError, "TtlExtensionPolicy, not str"),
        ("ttl_extension_policy", None, TypeError, "TtlExtensionPolicy, not NoneType"),
    ],
)
def test_lifetimes_that_make_no_sense_are_refused(
    kind: Any, ttl: str, name: str, value: Any, error: type[Exception], message: str
) -> None:
    if name == "ttl":
        name, message = ttl, f"{ttl} must be {message.removeprefix('must be ')}"
    with pytest.raises(error, match=message):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "ttl"), LIFECYCLES)
def test_one_second_is_a_lifetime(kind: Any, ttl: str) -> None:
    second = timedelta(seconds=1)
    assert kind(**{ttl: second, "max_lifetime": second}).ttl == second


@pytest.mark.parametrize("value", [CookieConfig(), BrowserSession(), PersistentSession()])
def test_configuration_is_frozen(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, getattr(value, field.name))
    # Slots: a misspelled attribute is nowhere to be put.
    with pytest.raises((AttributeError, TypeError)):
        value.sessoin_ttl = 1
    assert value == dataclasses.replace(value)
    assert hash(value) == hash(dataclasses.replace(value))


@given(
    chosen=st.fixed_dictionaries(
        {},
        optional={
            "name": st.one_of(TEXT, st.text("abID-_", min_size=1, max_size=9)),
            "path": st.one_of(TEXT, TEXT.map("/".__add__)),
            "domain": st.one_of(st.none(), TEXT, st.text("ab.-", min_size=1, max_size=9)),
            "samesite": st.one_of(TEXT, st.sampled_from(["Lax", "Strict", "None"])),
            "secure": st.booleans(),
            "httponly": st.booleans(),
            "partitioned": st.booleans(),
        },
    ),
    max_age=st.one_of(st.none(), st.integers(1, 10**9)),
)
@example(chosen={"path": "/ Secure"}, max_age=None)
@example(chosen={"path": "/,id=x"}, max_age=1)
def test_what_is_accepted_never_breaks_a_header(
    chosen: dict[str, Any], max_age: int | None
) -> None:
    """ASVS 1.2.x: no line break, no control character, and no attribute that was not asked for."""
    try:
        config = CookieConfig(**chosen)
    except ValueError:
        return
    transport = CookieTransport(config, [])
    key = SessionKey.generate()
    attributes = {"Path", "SameSite"}
    attributes |= {"Domain"} if config.domain is not None else set()
    attributes |= {"HttpOnly"} if config.httponly else set()
    attributes |= {"Secure"} if config.secure else set()
    attributes |= {"Partitioned"} if config.partitioned else set()
    for line, value, age in (
        (transport.line(key, max_age), key.value, max_age),
        (transport.erasure, "", 0),
    ):
        assert re.fullmatch(r"[\x20-\x7e]+", line)
        pair, *rest = line.split("; ")
        assert pair == f"{config.name}={value}"
        names = [attribute.partition("=")[0] for attribute in rest]
        assert sorted(names) == sorted(attributes | ({"Max-Age"} if age is not None else set()))
        assert line.count(";") == len(rest)
        assert f"Path={config.path}" in rest
