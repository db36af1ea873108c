"""A server process whose requests wait until they are told to go on.

``python -m tests.races.serving redis://host:port`` (or ``memcached://…``) prints the port that it
listens on, and serves until it is terminated. With ``dies`` as second argument it is killed in the
middle of a renewal: when the new record is saved, and the old one is to be ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable

from aiohttp import web
from yarl import URL

from aiohttp_sess import CookieConfig, Session, get_session, setup
from aiohttp_sess.storage import KeyedStorage, SessionKey
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import HOST

Deed = Callable[[Session, str], None]


def storage_at(url: str) -> KeyedStorage:
    """A storage of one's own, on the server at ``url``."""
    parsed = URL(url)
    if parsed.scheme == "redis":
        return RedisStorage.from_url(url)
    assert parsed.host and parsed.port
    return MemcachedStorage.connect(parsed.host, parsed.port)


def assign(session: Session, name: str) -> None:
    session[name] = name


def count(session: Session, name: str) -> None:
    session.update_value(name, lambda n: n + 1, default=1)


def log_in(session: Session, name: str) -> None:
    session.renew()
    session["user"] = name


def log_out(session: Session, name: str) -> None:
    session.purge()


DEEDS: dict[str, Deed] = {deed.__name__: deed for deed in (assign, count, log_in, log_out)}


class Door:
    """Where requests wait once they have loaded their session."""

    def __init__(self) -> None:
        self._waiting = 0
        self._came = asyncio.Condition()
        self._opened = asyncio.Event()

    async def wait(self) -> None:
        """Wait until the door is opened."""
        opened = self._opened
        async with self._came:
            self._waiting += 1
            self._came.notify_all()
        await opened.wait()

    async def crowd(self, size: int) -> None:
        """Wait until as many requests wait."""
        async with self._came:
            await self._came.wait_for(lambda: self._waiting >= size)

    def open(self) -> None:
        """Let go who waits now, and nobody who comes later."""
        self._opened.set()
        self._opened, self._waiting = asyncio.Event(), 0


DOOR = web.AppKey("door", Door)


async def do(request: web.Request) -> web.Response:
    """What the path says, to the name in ``?name``; with ``?wait`` once the door is opened."""
    session = await get_session(request)
    if "wait" in request.query:
        await request.app[DOOR].wait()
    DEEDS[request.match_info["deed"]](session, request.query.get("name", ""))
    return web.Response()


async def crowd(request: web.Request) -> web.Response:
    """Answers once ``?size`` requests wait at the door."""
    await request.app[DOOR].crowd(int(request.query["size"]))
    return web.Response()


async def open_door(request: web.Request) -> web.Response:
    request.app[DOOR].open()
    return web.Response()


async def state(request: web.Request) -> web.Response:
    return web.json_response(dict(await get_session(request)))


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Bound to its session; says so, and waits until it is closed."""
    session = await get_session(request)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await session.bind(socket, check_every=0.1)
    await socket.send_str("bound")
    async for _ in socket:
        pass
    return socket


def make_app(storage: KeyedStorage) -> web.Application:
    """See the module."""
    app = web.Application()
    setup(app, storage, cookie=CookieConfig(secure=False))
    app[DOOR] = Door()
    app.router.add_get("/state", state)
    app.router.add_get("/socket", websocket)
    app.router.add_post("/do/{deed}", do)
    app.router.add_post("/crowd", crowd)
    app.router.add_post("/open", open_door)
    return app


async def die(key: SessionKey, *, revision: object = None) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return False


async def main(url: str, *, dies: bool) -> web.Application:
    """The application; made in the loop, where it belongs."""
    storage = storage_at(url)
    if dies:
        # mypy minds that the method of an object is replaced; only here, where it dies of it.
        storage.delete = die  # type: ignore[method-assign]
    return make_app(storage)


if __name__ == "__main__":
    with socket.create_server((HOST, 0), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)
        web.run_app(
            main(sys.argv[1], dies="dies" in sys.argv),
            sock=listening,
            print=None,
            access_log=None,
            shutdown_timeout=1,
        )
