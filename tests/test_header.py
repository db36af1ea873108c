"""Clients without cookies: the session key in a header, from the first answer to the last."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from aiohttp_sess import (
    CookieConfig,
    HeaderConfig,
    PersistentSession,
    TtlExtensionPolicy,
)
from aiohttp_sess.storage import AbstractStorage, SessionKey
from aiohttp_sess.storage.redis import RedisStorage

from .apps import SECRET, application, cookie, memory, records
from .browser import HEADER, serve
from .header_client import HeaderClient
from .servers import RedisServer

BOTH = [HeaderConfig(), CookieConfig()]
ONLY = [HeaderConfig()]


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


@pytest.mark.parametrize("transports", [BOTH, BOTH[::-1], ONLY])
@pytest.mark.parametrize("secret", [None, SECRET])
async def test_session_lives_in_the_header(
    storage: AbstractStorage, transports: list[Any], secret: str | None
) -> None:
    """From an empty header to an empty header."""
    secret = secret if storage.server_side else SECRET
    app = application(storage, secret_key=secret, transports=transports)
    async with serve(app) as server:
        client = HeaderClient(server)
        assert HEADER not in (await client.get("/read")).headers  # an empty session costs nothing
        first = await client.get("/write")
        assert first.headers.getall(HEADER) == [client.value]
        assert first.headers.getall("Cache-Control") == ["no-store"]
        assert (await client.get("/write")).json == {"n": 2}
        old = client.value
        await client.get("/renew")
        assert client.value != old
        assert (await client.get("/read")).json == {"n": 2}
        if storage.server_side:
            assert (await HeaderClient(server, old).get("/read")).json == {}
        last = client.value
        erased = await client.get("/purge")
        assert erased.headers.getall(HEADER) == [client.value] == [""]
        assert erased.headers.getall("Cache-Control") == ["no-store"]
        assert (await client.get("/read")).json == {}
        if storage.server_side:
            # What is ended already is not ended again, so nothing is said of it.
            late = HeaderClient(server, last)
            assert HEADER not in (await late.get("/purge")).headers


async def test_session_that_is_kept_in_the_header_alone_needs_no_header_to_begin() -> None:
    async with serve(application(memory(), transports=ONLY)) as server:
        answer = await server.get("/write")
        assert answer.cookies == []
        assert (await HeaderClient(server, answer.headers[HEADER]).get("/read")).json == {"n": 1}


async def test_key_that_nobody_issued_is_never_adopted_and_not_erased() -> None:
    storage = memory()
    async with serve(application(storage, header=HeaderConfig())) as server:
        unknown = SessionKey.generate().value
        client = HeaderClient(server, unknown)
        for path in ("/read", "/purge"):
            assert HEADER not in (await client.get(path)).headers
        await client.get("/write")
        assert client.value != unknown
        assert records(storage) == 1


async def test_client_is_not_told_how_long_a_session_lives() -> None:
    """But it gets the key at every request that lets the TTL start anew, as a browser does."""
    storage = memory()
    policy = TtlExtensionPolicy.ON_EVERY_REQUEST
    app = application(
        storage,
        header=HeaderConfig(),
        lifecycle=PersistentSession(timedelta(hours=1), ttl_extension_policy=policy),
    )
    async with serve(app) as server:
        client = HeaderClient(server)
        await client.get("/write")
        for _ in range(3):
            storage.clock.advance(timedelta(minutes=40))
            answer = await client.get("/")
            assert answer.headers.getall(HEADER) == [client.value]
            assert "3600" not in str(answer.headers)
        storage.clock.advance(timedelta(minutes=61))
        assert (await client.get("/read")).json == {}
