"""The application that the suite visits: a counter, a login, a guarded page, a logout."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from pytest_aiohttp.plugin import AiohttpClient

from ..config import CookieConfig, CookieContentSecurity, Lifecycle
from ..middleware import get_session, setup
from ..secret import SecretKey
from ..storage.interface import AbstractStorage
from .capabilities import Capabilities
from .visitor import Visitor

__all__ = ("SampleApplication",)


async def _state(request: web.Request) -> dict[str, object]:
    session = await get_session(request)
    return {"user_id": session.get("user_id"), "counter": session.get("counter", 0)}


async def _index(request: web.Request) -> web.Response:
    return web.json_response(await _state(request))


async def _do_something(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["counter"] = session.get("counter", 0) + 1
    return web.json_response(await _state(request))


async def _login(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["user_id"] = (await request.json())["user_id"]
    session.renew()
    return web.json_response(await _state(request))


async def _fresh(request: web.Request) -> web.Response:
    """Whether the login was within the last minute."""
    session = await get_session(request)
    return web.json_response(session.authenticated_within(timedelta(minutes=1)))


async def _logout(request: web.Request) -> web.Response:
    (await get_session(request)).purge()
    return web.Response()


async def _untouched(request: web.Request) -> web.Response:
    return web.Response(text="the session was not asked for")


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/protected/") and "user_id" not in await get_session(request):
        raise web.HTTPForbidden
    return await handler(request)


@pytest.fixture(
    name="content_security",
    params=CookieContentSecurity,
    ids=[s.value for s in CookieContentSecurity],
)
def _sealed(self: object, request: pytest.FixtureRequest) -> CookieContentSecurity:
    """The seal around the session key."""
    security: CookieContentSecurity = request.param
    return security


class SampleApplication(Capabilities):
    """Starts the application, with every way to seal a session key."""

    def __init_subclass__(cls) -> None:
        """Where the session key is the record, nobody may have it without a seal."""
        super().__init_subclass__()
        if not cls.server_side:
            cls.content_security = _sealed  # type: ignore[method-assign]  # both are fixtures

    @pytest.fixture(params=[*CookieContentSecurity, None], ids=["private", "signed", "bare"])
    def content_security(self, request: pytest.FixtureRequest) -> CookieContentSecurity | None:
        """The seal around the session key; None: there is none."""
        security: CookieContentSecurity | None = request.param
        return security

    async def visit(
        self,
        aiohttp_client: AiohttpClient,
        storage: AbstractStorage,
        cookie: CookieConfig,
        lifecycle: Lifecycle,
    ) -> Visitor:
        """Start the application with a session, and visit it."""
        app = web.Application()
        key = None if cookie.content_security is None else SecretKey.generate()
        setup(app, storage, secret_key=key, cookie=cookie, lifecycle=lifecycle)
        app.middlewares.append(_guard)
        app.router.add_get("/", _index)
        app.router.add_get("/untouched", _untouched)
        app.router.add_get("/test/", _index)
        app.router.add_get("/protected/count", _index)
        app.router.add_get("/fresh", _fresh)
        app.router.add_post("/do_something", _do_something)
        app.router.add_post("/login", _login)
        app.router.add_post("/logout", _logout)
        return await Visitor.of(aiohttp_client, app, cookie.name)
