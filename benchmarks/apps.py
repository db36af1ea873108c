"""The applications under test, each in a process of its own: ``python -m benchmarks.apps NAME``.

The process says the port it listens on, and ends when its standard input is closed, so it never
outlives who started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp_session
import aiomcache
from aiohttp import web
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from aiohttp_session.memcached_storage import MemcachedStorage as TheirMemcachedStorage
from aiohttp_session.redis_storage import RedisStorage as TheirRedisStorage
from redis.asyncio import Redis

import aiohttp_sess
from aiohttp_sess import CookieConfig, CookieContentSecurity
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage

from .limit import Multiplexed
from .state import make_state

POOL = 32  # connections to memcached
_SECRET = b"0123456789abcdef" * 2
_STATM = Path("/proc/self/statm")

GetSession = Callable[[web.Request], Awaitable[MutableMapping[str, Any]]]


class Where(NamedTuple):
    """Where the servers are."""

    redis: str
    memcached: tuple[str, int]


def handlers(get_session: GetSession) -> list[web.RouteDef]:
    """What visitors do."""

    async def none(request: web.Request) -> web.Response:
        return web.Response(text="1")

    async def read(request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.Response(text=str(session["n"]))

    async def write(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = n = session.get("n", 0) + 1
        return web.Response(text=str(n))

    async def fill(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.update(make_state(int(request.query["size"])))
        return web.Response(text=str(session["n"]))

    return [
        web.get("/none", none),
        web.get("/read", read),
        web.get("/write", write),
        web.get("/fill", fill),
    ]


def _memory_used() -> int:
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def _clock(request: web.Request) -> web.Response:
    """The CPU seconds this process has used, and the bytes of memory it has now."""
    return web.Response(text=json.dumps([time.process_time(), _memory_used()]))


def _bare(app: web.Application, where: Where) -> None:
    async def no_session(request: web.Request) -> MutableMapping[str, Any]:
        return {"n": 0}

    app.add_routes(handlers(no_session))


def _limit(app: web.Application, where: Where) -> None:
    storage = Multiplexed(where.redis)
    app.on_startup.append(storage.connect)
    app.on_cleanup.append(storage.close)
    app.add_routes(storage.routes())


def _theirs(app: web.Application, storage: aiohttp_session.AbstractStorage) -> None:
    aiohttp_session.setup(app, storage)
    app.add_routes(handlers(aiohttp_session.get_session))


def _their_cookie(app: web.Application, where: Where) -> None:
    _theirs(app, EncryptedCookieStorage(_SECRET))


def _their_redis(app: web.Application, where: Where) -> None:
    _theirs(app, TheirRedisStorage(Redis.from_url(where.redis)))


def _their_memcached(app: web.Application, where: Where) -> None:
    _theirs(app, TheirMemcachedStorage(aiomcache.Client(*where.memcached, pool_size=POOL)))


def _ours(
    app: web.Application,
    storage: AbstractStorage,
    security: CookieContentSecurity | None = None,
) -> None:
    aiohttp_sess.setup(
        app,
        storage,
        secret_key=None if security is None else _SECRET,
        cookie=CookieConfig(content_security=security),
    )
    app.add_routes(handlers(aiohttp_sess.get_session))


def _private(app: web.Application, where: Where) -> None:
    _ours(app, CookieStorage(), CookieContentSecurity.PRIVATE)


def _signed(app: web.Application, where: Where) -> None:
    _ours(app, CookieStorage(), CookieContentSecurity.SIGNED)


def _memory(app: web.Application, where: Where) -> None:
    _ours(app, MemoryStorage())


def _redis(app: web.Application, where: Where) -> None:
    _ours(app, RedisStorage(Redis.from_url(where.redis)))


def _redis_from_url(app: web.Application, where: Where) -> None:
    _ours(app, RedisStorage.from_url(where.redis))


def _memcached(app: web.Application, where: Where) -> None:
    client = aiomcache.Client(*where.memcached, pool_size=POOL)
    _ours(app, MemcachedStorage(client, pool_size=POOL))


APPS: dict[str, Callable[[web.Application, Where], None]] = {
    "bare": _bare,
    "limit": _limit,
    "their-cookie": _their_cookie,
    "their-redis": _their_redis,
    "their-memcached": _their_memcached,
    "private": _private,
    "signed": _signed,
    "memory": _memory,
    "redis": _redis,
    "redis-from-url": _redis_from_url,
    "memcached": _memcached,
}


async def serve(name: str, where: Where) -> None:
    """Serve an application on a free loopback port until the standard input ends."""
    app = web.Application()
    APPS[name](app, where)
    app.router.add_get("/clock", _clock)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1).start()
        print(runner.addresses[0][1], flush=True)
        await ended.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.apps")
    parser.add_argument("name", choices=APPS)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--memcached", required=True)
    arguments = parser.parse_args()
    host, _, port = arguments.memcached.partition(":")
    # A traceback for each failed request would cost more than the request; they are counted.
    logging.disable()
    asyncio.run(serve(arguments.name, Where(arguments.redis, (host, int(port)))))


if __name__ == "__main__":
    main()
