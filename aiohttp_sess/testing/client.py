"""Sessions of an aiohttp `TestClient`: to give it one, and to see the one it has."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from http.cookies import BaseCookie
from typing import Any

from aiohttp import CookieJar, hdrs, web
from aiohttp.test_utils import TestClient
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ..config import CookieConfig, TtlExtensionPolicy
from ..handle import SessionHandle
from ..lifecycle import CookieStep, Plan, StorageStep
from ..load import open_session
from ..middleware import handles_of
from ..session import Session
from ..transport import HeaderTransport, Transport

__all__ = ("cookie_jar", "give_session", "read_session")


_NO_URL = URL()


class _LoopbackCookieJar(CookieJar):
    """Takes this machine for a secure origin, as browsers do, on every port."""

    def filter_cookies(self, request_url: URL = _NO_URL) -> BaseCookie[str]:
        if request_url.scheme in ("http", "ws") and _is_loopback(request_url.host):
            request_url = request_url.with_scheme("https")
        return super().filter_cookies(request_url)


def cookie_jar() -> CookieJar:
    """A cookie jar for clients of test servers.

    aiohttp's own returns no ``Secure`` cookie over plain HTTP, so with the default `CookieConfig`
    each request would begin a new session. This one does as browsers do, and returns them to this
    machine. Needs a running event loop, as every cookie jar of aiohttp::

        client = await aiohttp_client(app, cookie_jar=cookie_jar())
    """
    return _LoopbackCookieJar(unsafe=True)  # of a server whose name is an IP address, that means


async def give_session(
    client: TestClient[Any, Any],
    state: Mapping[Any, Any],
    *,
    owner: str | None = None,
    handle: SessionHandle | None = None,
) -> Session:
    """Give a client a session, saved in its application's storage, as if it had logged in.

    ::

        await give_session(client, {"user_id": 7}, owner="7")
        response = await client.get("/account")

    It takes the place of the session that the client had; that one is not ended.

    A client that sends the session header (``aiohttp_client(app, headers={"X-Session-Key": ""})``)
    gets it by that, in ``client.session.headers``. There is no jar for it: where a response has
    another value, the test puts that in its place.

    :param client: whose cookie jar returns the session cookie: see `cookie_jar`.
    :param state: values by name (or by `StateKey`).
    :param owner: the user that the session belongs to.
    :param handle: what `setup` returned, where the application has several kinds of sessions, or
        they belong to a sub-application; by default the application's first.
    :return: what `read_session` would.
    :raises SessionValueError: for what is not JSON, or not of its key's type.
    :raises CookieTooLarge: where it is kept in the cookie or header, and does not fit.
    :raises RuntimeError: where the client would not send the session cookie.
    """
    handle = _handle(client, handle)
    commit = await open_session(handle, [])
    session = Session(commit.changes, lifecycle=handle.lifecycle)
    for key, value in state.items():
        session[key] = value
    session.owner = owner
    await commit.carry_out(Plan((StorageStep.SAVE,), CookieStep.SET))
    assert commit.stored is not None  # that is what saving does
    transport = _transport(handle, _headers(client, handle))
    line = transport.line(commit.stored.key, commit.max_age)
    if isinstance(transport, HeaderTransport):
        client.session.headers[transport.header] = transport.value(line)
    elif handle.cookie is not None:
        _keep_cookie(client, handle.cookie, line)
    return session


async def read_session(
    client: TestClient[Any, Any], *, handle: SessionHandle | None = None
) -> Session:
    """The session that a client has now, from its application's storage; empty if it has none.

    ::

        await client.post("/login", data={"name": "ferris"})
        session = await read_session(client)
        assert session == {"user_id": 7} and session.owner == "7"

    A copy: what is written to it goes nowhere. To look does not extend the session's life.

    :param handle: see `give_session`.
    """
    handle = _handle(client, handle)
    headers = _headers(client, handle)
    keys = _transport(handle, headers).read(headers)
    commit = await open_session(_only_looking(handle), keys)
    return Session(commit.changes, lifecycle=handle.lifecycle)


def _handle(client: TestClient[Any, Any], handle: SessionHandle | None) -> SessionHandle:
    if handle is not None:
        return handle
    app = client.app
    handles = handles_of(app) if isinstance(app, web.Application) else []
    if not handles:
        raise RuntimeError(
            "the client's application has no session: call aiohttp_sess.setup(app, storage), or "
            "pass handle=, which setup() returns"
        )
    return handles[0]


def _only_looking(handle: SessionHandle) -> SessionHandle:
    lifecycle = dataclasses.replace(
        handle.lifecycle, ttl_extension_policy=TtlExtensionPolicy.ON_STATE_CHANGES
    )
    return SessionHandle(
        handle.storage,
        handle.transport,
        cookie=handle.cookie,
        lifecycle=lifecycle,
        transports=handle.transports,
    )


def _transport(handle: SessionHandle, headers: CIMultiDictProxy[str]) -> Transport:
    return handle.transport if handle.choice is None else handle.choice.of(headers)


def _headers(client: TestClient[Any, Any], handle: SessionHandle) -> CIMultiDictProxy[str]:
    """What the client would send for the session."""
    headers = CIMultiDict(client.session.headers)
    line = None if handle.cookie is None else _cookie_line(client, handle.cookie)
    if line is not None:
        headers[hdrs.COOKIE] = line
    return CIMultiDictProxy(headers)


def _keep_cookie(client: TestClient[Any, Any], config: CookieConfig, line: str) -> None:
    url = client.make_url(config.path)
    client.session.cookie_jar.update_cookies_from_headers([line], url)
    if _cookie_line(client, config) != line.partition(";")[0]:
        raise RuntimeError(
            f"the client would not send the cookie {config.name!r} to {url}: give it "
            "cookie_jar=aiohttp_sess.testing.cookie_jar() when it is made, and see that the domain "
            "in CookieConfig, if there is one, is the test server's"
        )


def _cookie_line(client: TestClient[Any, Any], config: CookieConfig) -> str | None:
    """The Cookie header that the client would send for the session, if any."""
    cookie = client.session.cookie_jar.filter_cookies(client.make_url(config.path)).get(config.name)
    return None if cookie is None else f"{config.name}={cookie.value}"


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
