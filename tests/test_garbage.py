"""A request leaves nothing to the garbage collector: what it made goes when it ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import hdrs, web
from aiohttp.test_utils import make_mocked_request
from aiohttp.typedefs import Handler

from aiohttp_sess import (
    PersistentSession,
    StorageUnavailable,
    TtlExtensionPolicy,
    get_session,
    setup,
)
from aiohttp_sess.changes import Changes
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage
from aiohttp_sess.visit import Visit

from .apps import SECRET, memory, read, untouched
from .events.conftest import signals


async def write(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["n"] = session.get("n", 0) + 1
    session.setdefault("list", []).append(1)
    return web.Response()


async def log_out(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.purge()
    return web.Response()


async def listen(event: object) -> None:
    """Hear it, and forget it."""


@pytest.mark.parametrize("storage", [CookieStorage, MemoryStorage])
@pytest.mark.parametrize("handler", [untouched, read, write, log_out])
@pytest.mark.parametrize("policy", TtlExtensionPolicy)
async def test_a_request_leaves_no_cycles(
    storage: type[AbstractStorage], handler: Handler, policy: TtlExtensionPolicy
) -> None:
    app = web.Application()
    lifecycle = PersistentSession(ttl_extension_policy=policy)
    setup(app, storage(), secret_key=SECRET, lifecycle=lifecycle)
    await leaves_no_cycles(app, handler)


@pytest.mark.parametrize("storage", [CookieStorage, MemoryStorage])
@pytest.mark.parametrize("handler", [read, write, log_out])
async def test_a_request_whose_events_are_heard_leaves_none(
    storage: type[AbstractStorage], handler: Handler
) -> None:
    app = web.Application()
    handle = setup(app, storage(), secret_key=SECRET)
    for each in signals(handle):
        each.append(listen)
    handle.events.freeze()
    await leaves_no_cycles(app, handler)


async def test_a_failure_that_is_told_leaves_none() -> None:
    """It refers to the frames that it went through."""
    app, storage = web.Application(), memory()
    handle = setup(app, storage)
    handle.events.storage_failure.append(listen)
    handle.events.freeze()

    async def fail(request: web.Request) -> web.Response:
        storage.down = {"load"}
        await get_session(request)
        return web.Response()

    await leaves_no_cycles(app, fail)


@pytest.mark.parametrize(("act", "fails"), [(write, "update"), (log_out, "delete")])
async def test_a_commit_that_fails_leaves_none(
    act: Callable[[web.Request], Awaitable[web.Response]], fails: str
) -> None:
    """The error refers to the frames that wait for it, and they had better not to it."""
    app, storage = web.Application(), memory()
    setup(app, storage)

    async def fail(request: web.Request) -> web.Response:
        storage.down = {fails}
        return await act(request)

    await leaves_no_cycles(app, fail)


async def leaves_no_cycles(app: web.Application, handler: Handler) -> None:
    (middleware,) = app.middlewares
    (signal,) = app.on_response_prepare

    async def visit(handler: Handler, cookie: str) -> str:
        headers = {hdrs.COOKIE: cookie} if cookie else {}
        request = make_mocked_request("GET", "/", headers=headers)
        try:
            response = await middleware(request, handler)
        except StorageUnavailable:
            return cookie
        await signal(request, response)
        return response.headers.get(hdrs.SET_COOKIE, "").partition(";")[0]

    def made() -> set[int]:
        kinds = (Visit, Changes, StorageUnavailable)
        return {id(each) for each in gc.get_objects() if isinstance(each, kinds)}

    cookie = await visit(write, "")
    gc.collect()
    gc.disable()
    try:
        before = made()
        for _ in range(3):
            await visit(handler, cookie)
        await asyncio.sleep(0)  # the event loop lets go of what woke us
        assert made() <= before
    finally:
        gc.enable()
