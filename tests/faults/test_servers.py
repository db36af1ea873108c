"""Servers that are restarted, that are full, that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

import pytest

from aiohttp_sess.storage import SessionKey

from ..apps import Recorded, application
from ..browser import Server as Site
from ..browser import serve
from ..servers import RedisServer, Server, start_memcached, start_redis
from ..wire import Answer
from . import KINDS, count, remember, storage_at

START: dict[str, Callable[..., AbstractContextManager[Server]]] = {
    "redis": start_redis,
    "memcached": start_memcached,
}
NOBODY = {"id": "none"}
UNAVAILABLE = "StorageUnavailable"


@asynccontextmanager
async def serving(kind: str, port: int) -> AsyncIterator[tuple[Site, Recorded]]:
    """An application with a storage on a server of this kind."""
    storage = storage_at(kind, port)
    app = application(storage, {"/count": count, "/remember": remember})
    async with serve(app) as site:
        yield site, storage


async def begin(site: Site, name: str, path: str = "/count") -> str:
    """The cookie of a new session, with that name in it."""
    return (await site.get(f"{path}?me={name}", cookies=NOBODY)).cookie.value


async def get(site: Site, path: str, cookie: str) -> Answer:
    return await site.get(path, cookies={"id": cookie})


@pytest.mark.parametrize("kind", KINDS)
async def test_server_that_comes_back_empty_gives_everybody_a_fresh_session(kind: str) -> None:
    with START[kind]() as server:
        async with serving(kind, server.port) as (site, _):
            cookies = [await begin(site, str(number)) for number in range(6)]
            assert (await get(site, "/write", cookies[0])).json == {"n": 2, "me": "0"}
            server.stop()
            answers = await asyncio.gather(*(get(site, "/read", cookie) for cookie in cookies))
            assert [answer.status for answer in answers] == [500] * 6
            assert UNAVAILABLE in site.causes()
            server.start()
            reads = await asyncio.gather(*(get(site, "/read", cookie) for cookie in cookies))
            assert [(read.status, read.json, read.cookies) for read in reads] == [(200, {}, [])] * 6
            writes = await asyncio.gather(*(get(site, "/write", cookie) for cookie in cookies))
            assert [(write.status, write.json) for write in writes] == [(200, {"n": 1})] * 6
            fresh = {write.cookie.value for write in writes}
            assert len(fresh) == 6 and not fresh & set(cookies)
            for cookie in fresh:
                assert (await get(site, "/write", cookie)).json == {"n": 2}
                assert (await get(site, "/read", cookie)).json == {"n": 2}


@pytest.mark.parametrize("kind", KINDS)
async def test_server_that_was_restarted_between_two_requests_is_no_error(kind: str) -> None:
    with START[kind]() as server:
        async with serving(kind, server.port) as (site, _):
            for path in ("/read", "/count", "/purge", "/renew"):
                cookie = await begin(site, "me")
                server.stop()
                server.start()
                assert (await get(site, path, cookie)).status == 200
            assert UNAVAILABLE not in site.causes()


@pytest.mark.parametrize("kind", KINDS)
async def test_server_that_is_not_there_only_fails_who_asks_for_the_session(kind: str) -> None:
    with START[kind]() as server:
        async with serving(kind, server.port) as (site, _):
            cookies = [await begin(site, "me", path) for path in ("/count", "/remember")]
            server.stop()
            for cookie in (*cookies, "none"):
                answer = await get(site, "/", cookie)
                assert (answer.status, answer.text, answer.cookies) == (200, "hello", [])
            for path in ("/read", "/write", "/renew", "/purge"):
                answer = await get(site, path, cookies[0])
                assert (answer.status, answer.cookies) == (500, [])
            # One that brings no session is only told so where there is something to save.
            assert (await get(site, "/read", "none")).json == {}
            assert (await get(site, "/write", "none")).status == 500


async def test_memcached_that_evicts_never_hands_out_anothers_session() -> None:
    load = "x" * 7000
    with start_memcached("-m", "1", "-I", "512k") as server:
        async with serving("memcached", server.port) as (site, storage):

            async def fill(number: int) -> str:
                return await begin(site, f"{number}&load={load}")

            cookies: list[str] = []
            for start in range(0, 400, 40):
                cookies += await asyncio.gather(*map(fill, range(start, start + 40)))
            assert b"STAT evictions 0\r\n" not in server.ask(b"stats\r\n", b"END\r\n")
            found = [await storage.inner.load(SessionKey(cookie)) for cookie in cookies]
            kept = [number for number, stored in enumerate(found) if stored is not None]
            gone = [number for number, stored in enumerate(found) if stored is None]
            assert kept and gone
            asked = [*kept[:60], *gone[:60]]
            reads = await asyncio.gather(*(get(site, "/read", cookies[n]) for n in asked))
            for number, read in zip(asked, reads, strict=True):
                assert read.status == 200
                assert read.json in ({"n": 1, "me": str(number), "load": load}, {})
                assert bool(read.json) == (number in kept)
            # Who lost a session begins another.
            assert (await get(site, "/write", cookies[gone[0]])).json == {"n": 1}


@pytest.fixture
def full() -> AbstractContextManager[RedisServer]:
    """A Redis that refuses to write when its memory is full."""
    return start_redis("--maxmemory-policy", "noeviction")


def limit(server: RedisServer, size: int) -> None:
    """What `server` may take from now on, in bytes; 0: all there is."""
    assert server.ask(b"CONFIG SET maxmemory %d\r\n" % size, b"\r\n") == b"+OK\r\n"


async def test_redis_that_is_full_refuses_to_write_and_keeps_what_it_has(
    full: AbstractContextManager[RedisServer],
) -> None:
    with full as server:
        async with serving("redis", server.port) as (site, _):
            cookies = [await begin(site, str(number)) for number in range(5)]
            limit(server, 1)
            assert (await get(site, "/write", "none")).status == 500
            for path in ("/write?more=1", "/renew", "/count"):
                answer = await get(site, path, cookies[0])
                assert (answer.status, answer.cookies) == (500, [])
            assert {UNAVAILABLE, "OutOfMemoryError"} <= set(site.causes())
            reads = await asyncio.gather(*(get(site, "/read", cookie) for cookie in cookies))
            assert [read.json for read in reads] == [{"n": 1, "me": str(n)} for n in range(5)]
            # To log out needs no memory.
            assert (await get(site, "/purge", cookies[4])).status == 200
            assert (await get(site, "/read", cookies[4])).json == {}
            limit(server, 0)
            for number, cookie in enumerate(cookies[:4]):
                assert (await get(site, "/count", cookie)).status == 200
                answer = await get(site, "/read", cookie)
                assert answer.json == {"n": 2, "me": str(number)}
            assert (await get(site, "/write", "none")).json == {"n": 1}
