"""What `HeaderConfig` and `setup` refuse: names with a meaning, names twice, too many arguments."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_sess import CookieConfig, CookieContentSecurity, HeaderConfig, setup
from aiohttp_sess.storage import CookieStorage, MemoryStorage, SessionKey
from aiohttp_sess.transport import HeaderTransport

from .apps import HANDLE, SECRET, application, memory
from .browser import serve
from .test_middleware import nest

SIGNED = CookieContentSecurity.SIGNED


def test_the_defaults() -> None:
    assert (HeaderConfig().name, HeaderConfig().content_security) == ("X-Session-Key", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        HeaderConfig().name = "X"  # type: ignore[misc]  # that is the test


@pytest.mark.parametrize(
    "name", ["X-Session-Key", "session-key", "S", "X-Auth-2", "Ifx", "Seconds"]
)
def test_what_proxies_let_through_is_taken(name: str) -> None:
    assert HeaderConfig(name).name == name


NO_NAMES = (
    *("X_Session", "X:Y", "X.Y", "X'Y", "X,Y", "-X", "X-", "X--Y", "2X", "schlüssel", "X\0"),
    *("X-Sess\u0130on", "", "X Session", "X-Session ", "X\r\nY", "X\n"),
)
MEANINGS = (
    *("Cookie", "cOOkie", "Set-Cookie", "Authorization", "Proxy-Authorization", "Host", "Vary"),
    *("Content-Length", "Cache-Control", "Connection", "Transfer-Encoding", "Upgrade", "Location"),
    *("Origin", "Sec-WebSocket-Key", "ETag", "If-Match", "X-Forwarded-Proto", "x-forwarded-for"),
    *("Forwarded", "Access-Control-Expose-Headers", "Expect", "Accept", "Accept-Encoding", "TE"),
    *("User-Agent", "Range", "Date", "Server", "Clear-Site-Data", "Refresh", "X-Request-ID"),
)


@pytest.mark.parametrize("name", NO_NAMES)
def test_name_that_is_no_name_is_refused(name: str) -> None:
    """ASVS 1.2.x."""
    with pytest.raises(ValueError, match="is not usable"):
        HeaderConfig(name)


@pytest.mark.parametrize("name", MEANINGS)
def test_name_with_a_meaning_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="has a meaning in HTTP"):
        HeaderConfig(name)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": None}, "header name must be a str, not NoneType"),
        ({"name": b"X"}, "not bytes"),
        ({"content_security": "signed"}, "must be a CookieContentSecurity, not str"),
    ],
)
def test_what_is_of_another_type_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        HeaderConfig(**wrong)


@given(name=st.one_of(st.text(max_size=12), st.text("aX-_:; \r\n\0é", max_size=8)))
def test_what_is_accepted_never_breaks_a_header(name: str) -> None:
    try:
        config = HeaderConfig(name)
    except ValueError:
        return
    transport = HeaderTransport(config, [])
    key = SessionKey.generate()
    assert transport.line(key, None) == f"{name}: {key.value}"
    assert name.isascii() and name.replace("-", "").isalnum()


# -- setup ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"header": "X-Session-Key"}, TypeError, "header must be a HeaderConfig, not str"),
        ({"header": CookieConfig()}, TypeError, "header must be a HeaderConfig, not CookieConfig"),
        ({"cookie": HeaderConfig()}, TypeError, "cookie must be a CookieConfig, not HeaderConfig"),
        ({"transports": HeaderConfig()}, TypeError, "transports must be a list of"),
        ({"transports": ["X-Session-Key"]}, TypeError, "transports must be a list of"),
        ({"transports": []}, ValueError, "transports is an empty list"),
        ({"transports": [HeaderConfig()], "cookie": CookieConfig()}, ValueError, "says it all"),
        ({"transports": [CookieConfig()], "header": HeaderConfig()}, ValueError, "says it all"),
        ({"transports": [CookieConfig(), CookieConfig("b")]}, ValueError, "two cookies"),
        ({"transports": [HeaderConfig("X-a"), HeaderConfig("x-A")]}, ValueError, "header twice"),
        ({"header": HeaderConfig(content_security=SIGNED)}, ValueError, "asks for a seal"),
        ({"storage": CookieStorage(), "transports": [HeaderConfig()]}, ValueError, "secret_key"),
    ],
)
def test_setup_refuses_what_cannot_work(
    wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    app = web.Application()
    with pytest.raises(error, match=message):
        setup(app, wrong.pop("storage", MemoryStorage()), **wrong)
    assert not app.middlewares


X, Y = HeaderConfig("X-Session"), HeaderConfig("x-SESSION")


@pytest.mark.parametrize(
    ("one", "other", "taken"),
    [
        ({"header": X}, {"header": Y, "cookie": CookieConfig("b")}, "header 'x-session'"),
        ({"header": X}, {"transports": [Y]}, "header 'x-session'"),
        ({"transports": [X]}, {"transports": [HeaderConfig(), Y]}, "header 'x-session'"),
        ({"header": X}, {"header": HeaderConfig()}, "cookie 'id'"),
        ({"transports": [X]}, {}, None),
        # A cookie is none of a header's, whatever they are called.
        ({"transports": [X]}, {"cookie": CookieConfig("x-session")}, None),
        ({"header": HeaderConfig("id")}, {"transports": [X]}, None),
    ],
)
async def test_name_is_taken_once(
    one: dict[str, Any], other: dict[str, Any], taken: str | None
) -> None:
    """In one application, and in one around another."""
    app = application(memory(), **one)
    if taken is None:
        handle = setup(app, MemoryStorage(), **other)
        assert handle.name != app[HANDLE].name
    else:
        with pytest.raises(ValueError, match=f"{taken} already"):
            setup(app, MemoryStorage(), **other)
    async with serve(nest(application(memory(), **one), application(memory(), **other))) as server:
        answer = await server.get("/inner/write")
        assert answer.status == (200 if taken is None else 500)
        assert ("RuntimeError" in server.causes()) == (taken is not None)


def test_handle_knows_its_name() -> None:
    app = application(memory(), transports=[X, CookieConfig("a")], secret_key=SECRET)
    assert (app[HANDLE].name, app[HANDLE].cookie) == ("a", CookieConfig("a"))
    handle = setup(app, MemoryStorage(), transports=[HeaderConfig()])
    assert repr(handle) == "<SessionHandle 'x-session-key:' in MemoryStorage>"
    assert handle.cookie is None
