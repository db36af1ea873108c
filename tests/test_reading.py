"""The session cookie on its way in: which values are taken, and how many of them."""

from __future__ import annotations

import logging

import pytest
from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy

from aiohttp_sess import CookieConfig, CookieContentSecurity, SecretKey
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.transport import CookieTransport

from .apps import OTHER_SECRET, SECRET

PRIVATE, SIGNED = CookieContentSecurity.PRIVATE, CookieContentSecurity.SIGNED


def transport(
    secret: str | None = None, security: CookieContentSecurity | None = None
) -> CookieTransport:
    keys = [] if secret is None else [SecretKey(secret)]
    return CookieTransport(CookieConfig(content_security=security), keys)


def cookies(*lines: str) -> CIMultiDictProxy[str]:
    """The headers of a request with these Cookie lines."""
    return CIMultiDictProxy(CIMultiDict([(hdrs.COOKIE, line) for line in lines]))


def values(transport: CookieTransport, keys: list[SessionKey]) -> list[str]:
    """The keys as cookies, as a browser sends them back."""
    return [transport.line(key, None).partition(";")[0] for key in keys]


def new_keys(number: int) -> list[SessionKey]:
    return [SessionKey.generate() for _ in range(number)]


@pytest.mark.parametrize("security", [PRIVATE, SIGNED])
@pytest.mark.parametrize(("number", "found"), [(63, True), (64, False)])
@pytest.mark.parametrize("each_in_its_own_line", [True, False])
def test_64_values_are_unsealed_and_no_more(
    number: int, found: bool, security: CookieContentSecurity, each_in_its_own_line: bool
) -> None:
    """ASVS 15.2.2: however many a client sends."""
    ours = transport(SECRET, security)
    junk = values(transport(OTHER_SECRET, security), new_keys(number))
    (key,) = new_keys(1)
    pairs = [*junk, *values(ours, [key])]
    headers = cookies(*pairs) if each_in_its_own_line else cookies("; ".join(pairs))
    assert ours.read(headers) == [key] * found


def test_a_value_that_is_repeated_counts_once() -> None:
    ours = transport(SECRET)
    (junk,) = values(transport(OTHER_SECRET), new_keys(1))
    (key,) = new_keys(1)
    assert ours.read(cookies("; ".join([*[junk] * 100, *values(ours, [key]) * 2]))) == [key]


@pytest.mark.parametrize("secret", [None, SECRET])
@pytest.mark.parametrize("number", [8, 9, 65])
def test_of_the_values_that_open_the_first_8_are_tried(
    secret: str | None, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "aiohttp_sess")
    ours, keys = transport(secret), new_keys(number)
    assert ours.read(cookies("; ".join(values(ours, keys)))) == keys[:8]
    assert len(caplog.records) == (number > 8)


def test_a_value_that_does_not_open_takes_no_place_of_one_that_does() -> None:
    ours, keys = transport(SECRET), new_keys(8)
    junk = values(transport(OTHER_SECRET), new_keys(20))
    assert ours.read(cookies("; ".join([*junk, *values(ours, keys)]))) == keys


@pytest.mark.parametrize(
    "before", ["", " ", "   ", "\t", "a=1;   ", "a=1; \t ", "a=1;", "; ;", " ;  ", "id=;   "]
)
def test_blanks_may_stand_before_the_name(before: str) -> None:
    (key,) = new_keys(1)
    assert transport().read(cookies(f"{before}id={key.value}")) == [key]


@pytest.mark.parametrize(
    "before", ["a=b ", "a=b  \t", "a ", "a\t", "a=b;c ", "a", "=", "a=", ",", "a=1, ", '"; "']
)
def test_only_blanks_may_stand_before_the_name(before: str) -> None:
    """Else a value that another site of the domain has set might hold a session key for us."""
    (key,) = new_keys(1)
    assert transport().read(cookies(f"{before}id={key.value}")) == []
