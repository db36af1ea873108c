"""Clear-Site-Data: on the responses that erase a session, and on no other (ASVS 14.3.1)."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import HeaderConfig, get_session, new_session, setup
from aiohttp_sess.storage import AbstractStorage, MemoryStorage
from aiohttp_sess.storage.redis import RedisStorage

from .apps import Recorded, application, cookie, memory
from .browser import HEADER, serve
from .header_client import HeaderClient
from .servers import RedisServer
from .wire import Answer

BOTH = ("cache", "storage")
SENT = '"cache", "storage"'


def cleared(answer: Answer) -> list[str]:
    return list(answer.headers.getall("Clear-Site-Data", ()))


@pytest.fixture(params=["memory", "redis", "cookie"])
async def storage(
    request: pytest.FixtureRequest, redis_server: RedisServer
) -> AsyncIterator[AbstractStorage]:
    if request.param == "redis":
        prefix = f"test-{secrets.token_hex(8)}:"
        yield RedisStorage.from_url(
            redis_server.url, key_prefix=prefix
        )  # the application closes it
    else:
        yield memory() if request.param == "memory" else cookie()


async def log_in(request: web.Request) -> web.Response:
    (await new_session(request))["user_id"] = 1
    return web.Response()


async def log_out(request: web.Request) -> web.StreamResponse:
    (await get_session(request)).purge()
    raise web.HTTPSeeOther("/")


@pytest.mark.parametrize("by_header", [False, True])
async def test_response_that_erases_the_session_clears(
    storage: AbstractStorage, by_header: bool
) -> None:
    routes = {"/login": log_in, "/logout": log_out}
    app = application(storage, routes, header=HeaderConfig(), clear_site_data=BOTH)
    async with serve(app) as server:
        client: Any = HeaderClient(server) if by_header else server
        # Nothing to end yet; then a change, a renewal, and a fresh session in the place of another.
        for path in ("/purge", "/read", "/write", "/renew", "/login", "/read"):
            assert cleared(await client.get(path)) == [], path
        answer = await client.get("/logout")
        assert (answer.status, cleared(answer)) == (303, [SENT])
        assert answer.headers[HEADER] == "" if by_header else answer.cookie.value == ""
        for path in ("/read", "/purge"):
            assert cleared(await client.get(path)) == []


async def test_nothing_is_cleared_unless_asked_for() -> None:
    async with serve(application(memory())) as server:
        await server.get("/write")
        assert cleared(await server.get("/purge")) == []


@pytest.mark.parametrize("call", ["delete", "load"])
async def test_purge_that_comes_late_clears_nothing(call: str) -> None:
    """Another request ended it: there may be the data of the next login by now."""
    storage = memory()
    async with serve(application(storage, clear_site_data=BOTH)) as server:
        await server.get("/write")
        storage.ending.add(call)
        answer = await server.get("/purge")
        assert (answer.status, answer.cookies, cleared(answer)) == (200, [], [])


async def test_purge_after_the_headers_clears_nothing() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        response = web.StreamResponse()
        await response.prepare(request)
        session.purge()
        return response

    storage = memory()
    app = application(storage, {"/late": stream}, clear_site_data=BOTH)
    async with serve(app) as server:
        await server.get("/write")
        assert cleared(await server.get("/late")) == []
        assert "delete" in storage.calls


async def test_purge_that_was_saved_clears_when_the_response_comes() -> None:
    async def early(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.purge()
        await session.save()
        return web.Response()

    async with serve(application(memory(), {"/early": early}, clear_site_data=BOTH)) as server:
        await server.get("/write")
        assert cleared(await server.get("/early")) == [SENT]


async def test_purge_that_fails_clears_nothing() -> None:
    storage: Recorded = memory()
    async with serve(application(storage, clear_site_data=BOTH)) as server:
        await server.get("/write")
        storage.down.add("delete")
        answer = await server.get("/purge")
        assert (answer.status, cleared(answer)) == (500, [])


@pytest.mark.parametrize(
    ("asked", "own", "sent"),
    [
        (("cache",), [], ['"cache"']),
        (["*"], [], ['"*"']),
        (("cache", "cache"), [], ['"cache"']),
        (BOTH, ['"cookies"'], ['"cookies", "cache", "storage"']),
        (BOTH, ['"storage"'], ['"storage", "cache"']),
        (BOTH, ['"storage","cache"'], ['"storage","cache"']),
        (BOTH, ['"storage"', '"executionContexts"'], ['"storage", "executionContexts", "cache"']),
        (BOTH, ['"*"'], ['"*"']),
        (BOTH, ['"Cache"'], ['"Cache", "cache", "storage"']),
        # What browsers do not know is no reason to leave out what they do.
        (BOTH, ["cache"], ['cache, "cache", "storage"']),
    ],
)
async def test_handlers_own_header_is_merged(asked: Any, own: list[str], sent: list[str]) -> None:
    async def purge_too(request: web.Request) -> web.Response:
        (await get_session(request)).purge()
        return web.Response(headers=[("Clear-Site-Data", value) for value in own])

    app = application(memory(), {"/too": purge_too}, clear_site_data=asked)
    async with serve(app) as server:
        await server.get("/write")
        assert cleared(await server.get("/too")) == sent


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("cache", TypeError, "must be a list or tuple, say ('cache', 'storage'), not str"),
        (None, TypeError, "not NoneType"),
        ({"cache"}, TypeError, "not set"),
        (("Cache",), ValueError, "has 'Cache', but there is only 'cache'"),
        (('"cache"',), ValueError, "but there is only"),
        (("cache", "cache\r\nX: y"), ValueError, "but there is only"),
        ((7,), ValueError, "has 7"),
    ],
)
def test_what_is_no_directive_is_refused(wrong: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        setup(web.Application(), MemoryStorage(), clear_site_data=wrong)
