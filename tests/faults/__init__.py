"""What goes wrong between an application and its servers, seen by its visitors."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiohttp_sess import (
    Lifecycle,
    PersistentSession,
    StorageUnavailable,
    TtlExtensionPolicy,
    get_session,
)
from aiohttp_sess.storage import KeyedStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.testing import FakeClock

from ..apps import Recorded, application
from ..browser import Server, serve
from ..servers import HOST
from ..wire import Answer
from .proxy import Proxy

SHORT = 0.3  # seconds that a storage has, where a test waits for that to be over
LONG = 30.0  # where none does
BOUND = 3.0  # seconds for a request that is answered at all
KINDS = ["redis", "memcached"]


def storage_at(kind: str, port: int, *, patience: float = LONG, pool_size: int = 2) -> Recorded:
    """A storage of this kind, with names that no other test has."""
    clock = FakeClock()
    options: dict[str, Any] = {"timeout": patience, "clock": clock}
    options["key_prefix"] = f"test-{secrets.token_hex(8)}:"
    storage: KeyedStorage
    if kind == "redis":
        url = f"redis://{HOST}:{port}"
        storage = RedisStorage.from_url(url, max_connections=pool_size, **options)
    else:
        storage = MemcachedStorage.connect(HOST, port, pool_size=pool_size, **options)
    return Recorded(storage, clock)


async def count(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.update_value("n", lambda n: n + 1, default=1)
    session.update(request.query)
    return web.Response()


async def insist(request: web.Request) -> web.Response:
    """Count, and go on where that cannot be saved: the end of the request saves it again."""
    session = await get_session(request)
    session.update_value("n", lambda n: n + 1, default=1)
    session["by"] = "insist"
    with suppress(StorageUnavailable):
        await session.save()
    match request.query.get("then"):
        case "count":
            session.update_value("n", lambda n: n + 1)
        case "renew":
            session.renew()
    return web.Response()


async def remember(request: web.Request) -> web.Response:
    """Begin a session whose TTL starts anew at every request."""
    session = await get_session(request)
    session.lifecycle = PersistentSession(ttl_extension_policy=TtlExtensionPolicy.ON_EVERY_REQUEST)
    session["n"] = 1
    return web.Response()


class Place:
    """An application behind a proxy.

    ``failures`` are what its requests failed with; ``ending`` is set when it is cleaned up, right
    before it waits for what is being saved.
    """

    def __init__(self, proxy: Proxy, storage: Recorded, server: Server) -> None:
        self.proxy = proxy
        self.storage = storage
        self.server = server
        self.failures: list[BaseException] = []
        self.ending = asyncio.Event()

    async def get(self, path: str, cookie: str | None = None) -> Answer:
        """What the browser gets, or one with that cookie; in time."""
        cookies = None if cookie is None else {"id": cookie}
        async with asyncio.timeout(BOUND):
            return await self.server.get(path, cookies=cookies)

    async def begin(self, path: str = "/count") -> str:
        """A new session; its cookie."""
        return (await self.get(path, "none")).cookie.value


@asynccontextmanager
async def behind_proxy(
    kind: str,
    port: int,
    *,
    patience: float = LONG,
    pool_size: int = 2,
    handler_cancellation: bool = False,
    around: Middleware | None = None,
    lifecycle: Lifecycle | None = None,
) -> AsyncIterator[Place]:
    """An application with a storage of this kind, and a proxy in between.

    :param around: a middleware around the session's.
    """

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:
            place.failures.append(error)
            raise

    async def tell(app: web.Application) -> AsyncIterator[None]:
        yield
        place.ending.set()

    outer: list[Middleware] = [watch] if around is None else [watch, around]
    async with Proxy(port).running() as proxy:
        storage = storage_at(kind, proxy.port, patience=patience, pool_size=pool_size)
        routes = {"/count": count, "/insist": insist, "/remember": remember}
        app = application(storage, routes, outer=outer, lifecycle=lifecycle)
        app.cleanup_ctx.append(tell)
        async with serve(app, handler_cancellation=handler_cancellation) as server:
            place = Place(proxy, storage, server)
            yield place
