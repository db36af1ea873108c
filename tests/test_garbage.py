"""A request leaves nothing to the garbage collector: what it made goes when it ends."""

from __future__ import annotations

import gc

import pytest
from aiohttp import hdrs, web
from aiohttp.test_utils import make_mocked_request
from aiohttp.typedefs import Handler

from aiohttp_sess import PersistentSession, TtlExtensionPolicy, get_session, setup
from aiohttp_sess.changes import Changes
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage
from aiohttp_sess.visit import Visit

from .apps import SECRET, read, untouched


async def write(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["n"] = session.get("n", 0) + 1
    session.setdefault("list", []).append(1)
    return web.Response()


async def log_out(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.purge()
    return web.Response()


@pytest.mark.parametrize("storage", [CookieStorage, MemoryStorage])
@pytest.mark.parametrize("handler", [untouched, read, write, log_out])
@pytest.mark.parametrize("policy", TtlExtensionPolicy)
async def test_a_request_leaves_no_cycles(
    storage: type[AbstractStorage], handler: Handler, policy: TtlExtensionPolicy
) -> None:
    app = web.Application()
    lifecycle = PersistentSession(ttl_extension_policy=policy)
    setup(app, storage(), secret_key=SECRET, lifecycle=lifecycle)
    (middleware,) = app.middlewares
    (signal,) = app.on_response_prepare

    async def visit(handler: Handler, cookie: str) -> str:
        headers = {hdrs.COOKIE: cookie} if cookie else {}
        request = make_mocked_request("GET", "/", headers=headers)
        response = await middleware(request, handler)
        await signal(request, response)
        return response.headers.get(hdrs.SET_COOKIE, "").partition(";")[0]

    def made() -> set[int]:
        return {id(each) for each in gc.get_objects() if isinstance(each, (Visit, Changes))}

    cookie = await visit(write, "")
    gc.collect()
    gc.disable()
    try:
        before = made()
        for _ in range(3):
            await visit(handler, cookie)
        assert made() <= before
    finally:
        gc.enable()
