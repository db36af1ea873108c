"""The helpers of `aiohttp_sess.testing`, for clients that have a session header."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import DummyCookieJar
from pytest_aiohttp.plugin import AiohttpClient

from aiohttp_sess import CookieConfig, HeaderConfig, HeaderTooLarge
from aiohttp_sess.testing import cookie_jar, give_session, read_session

from .apps import application, cookie, memory
from .browser import HEADER

ONLY = [HeaderConfig()]


@pytest.mark.parametrize("make", [memory, cookie])
@pytest.mark.parametrize(
    ("setup", "client"),
    [({"transports": ONLY}, {}), ({"header": HeaderConfig()}, {"headers": {HEADER: ""}})],
)
async def test_client_with_a_header_has_the_session_that_it_is_given(
    aiohttp_client: AiohttpClient, make: Any, setup: dict[str, Any], client: dict[str, Any]
) -> None:
    app = application(make(), **setup)
    visitor = await aiohttp_client(app, cookie_jar=DummyCookieJar(), **client)
    assert await read_session(visitor) == {}
    await give_session(visitor, {"n": 41})
    async with visitor.get("/write") as response:
        assert await response.json() == {"n": 42}
        visitor.session.headers[HEADER] = response.headers[HEADER]
    assert await read_session(visitor) == {"n": 42}


async def test_session_that_does_not_fit_the_header_is_not_given(
    aiohttp_client: AiohttpClient,
) -> None:
    client = await aiohttp_client(application(cookie(), transports=ONLY))
    with pytest.raises(HeaderTooLarge):
        await give_session(client, {"t": "x" * 8000})


async def test_client_without_the_header_has_a_cookie(aiohttp_client: AiohttpClient) -> None:
    transports = [CookieConfig(), HeaderConfig()]
    client = await aiohttp_client(
        application(memory(), transports=transports), cookie_jar=cookie_jar()
    )
    await give_session(client, {"n": 41})
    assert HEADER not in client.session.headers
    assert await read_session(client) == {"n": 41}
    # The cookie comes first here, so it counts.
    client.session.headers[HEADER] = ""
    assert await read_session(client) == {"n": 41}
