"""A cookie for browsers and a header for apps: never both, and no script gets a cookie's key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import (
    CookieConfig,
    HeaderConfig,
    PersistentSession,
    TtlExtensionPolicy,
    get_session,
)
from aiohttp_sess.storage import SessionKey

from .apps import HANDLE, SECRET, Recorded, application, cookie, memory, records
from .browser import HEADER, Server, serve
from .header_client import HeaderClient
from .test_responses import stream

BOTH = [HeaderConfig(), CookieConfig()]
ALWAYS = PersistentSession(ttl_extension_policy=TtlExtensionPolicy.ON_EVERY_REQUEST)


async def test_browser_and_app_have_a_session_each() -> None:
    storage = memory()
    async with serve(application(storage, header=HeaderConfig())) as server:
        client = HeaderClient(server)
        for n in (1, 2, 3):
            answer = await server.get("/write")
            assert (answer.json, len(answer.cookies)) == ({"n": n}, 1)
            assert HEADER not in answer.headers
            assert (await client.get("/write")).json == {"n": n}
        assert records(storage) == 2
        await client.get("/purge")
        assert (await server.get("/read")).json == {"n": 3}


async def test_record_is_one_kind_however_it_travels() -> None:
    """So an application that adds a header to its cookie, or moves it, keeps its sessions."""
    storage = memory()
    async with serve(application(storage)) as server:
        baked = (await server.get("/write")).cookie.value
    for transports in (BOTH, BOTH[::-1]):
        app = application(storage, transports=transports)
        assert app[HANDLE].name == "id"
        async with serve(app) as server:
            assert (await server.get("/read", cookies={"id": baked})).json == {"n": 1}
            # A bare key is the same wherever it is; whoever has it has the session.
            answer = await server.get("/read", cookies={}, headers={HEADER: baked})
            assert answer.json == {"n": 1}


# -- a script in a page of ours -------------------------------------------------------------------

# What it can send; the browser adds the cookie, which no script can read.
SENT = ["", "x", SessionKey.generate().value, "own", ", ,"]
PATHS = ["/", "/read", "/write", "/renew", "/purge", "/crash", "/nowhere"]


@pytest.mark.parametrize("lifecycle", [None, ALWAYS])
@pytest.mark.parametrize("secret", [None, SECRET])
@pytest.mark.parametrize("make", [memory, cookie])
@pytest.mark.parametrize("transports", [BOTH, BOTH[::-1]])
async def test_script_gets_no_key_that_a_cookie_hides(
    make: Callable[[], Recorded],
    transports: list[CookieConfig | HeaderConfig],
    secret: str | None,
    lifecycle: PersistentSession | None,
) -> None:
    """ASVS 3.3.4. (Each answer is searched for the values of cookies, too.)"""
    storage = make()
    options: dict[str, Any] = {} if secret is None else {"secret_key": secret}
    app = application(storage, transports=transports, lifecycle=lifecycle, **options)
    async with serve(app) as server:
        await server.get("/write?secret=victim")
        own = HeaderClient(server)
        await own.get("/write?secret=mine")
        for path in PATHS:
            for value in SENT:
                sent = own.value if value == "own" else value
                answer = await server.get(path, headers={HEADER: sent})
                await shows_nothing(server, answer.headers.getall(HEADER, []))
        last = await server.get("/read")
        if transports is BOTH:
            # Nor does what it did with the header reach the cookie's session.
            assert last.json == {"n": 1, "secret": "victim"}


async def shows_nothing(server: Server, values: list[str]) -> None:
    """What a script reads in a header is no session but its own."""
    for value in values:
        assert value not in server.baked
        answer = await HeaderClient(server, value).get("/read")
        assert answer.json.get("secret") != "victim"


async def test_header_is_decided_by_the_request_as_it_came() -> None:
    """Not by what a middleware makes of it while the session is loaded: it would be answered by
    the header.
    """

    @web.middleware
    async def add_header(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers.copy()
        headers[HEADER] = ""
        return await handler(request.clone(headers=headers))

    app = application(memory(), {"/stream": stream}, header=HeaderConfig())
    app.middlewares.append(add_header)
    async with serve(app) as server:
        for n, path in enumerate(["/write", "/stream"], 1):
            answer = await server.get(path)
            assert answer.cookie
            assert HEADER not in answer.headers
            assert (await server.get("/read")).json == {"n": n}


async def test_handlers_own_header_of_the_name_is_replaced() -> None:
    async def own(request: web.Request) -> web.Response:
        (await get_session(request))["n"] = 1
        return web.Response(headers=[(HEADER, "one"), (HEADER, "two")])

    async with serve(application(memory(), {"/own": own}, header=HeaderConfig())) as server:
        client = HeaderClient(server)
        answer = await client.get("/own")
        assert len(answer.headers.getall(HEADER)) == 1
        assert (await client.get("/read")).json == {"n": 1}


# -- which one a request uses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transports", "wins"), [(BOTH, "header"), (BOTH[::-1], "cookie")], ids=["first", "last"]
)
async def test_of_two_sessions_the_one_of_the_first_transport_is_taken(
    transports: list[CookieConfig | HeaderConfig], wins: str
) -> None:
    async with serve(application(memory(), transports=transports)) as server:
        await server.get("/write?by=cookie")
        client = HeaderClient(server)
        await client.get("/write?by=header")
        answer = await server.get("/write", headers={HEADER: client.value})
        assert (answer.json["by"], answer.json["n"]) == (wins, 2)
        assert bool(answer.cookies) == (wins == "cookie")
        # Nothing but a cookie of our own name counts.
        client.value = ""
        other = {"xid": SessionKey.generate().value, "id2": "x"}
        assert (await client.get("/write", cookies=other)).headers[HEADER]


async def test_several_headers_are_looked_at_in_their_order() -> None:
    first, second = HeaderConfig("X-First"), HeaderConfig("X-Second")
    app = application(memory(), transports=[first, second], secret_key=SECRET)
    async with serve(app) as server:
        for sent, answered in (
            ({"X-First": ""}, "X-First"),
            ({"X-Second": ""}, "X-Second"),
            ({"X-Second": "", "X-First": ""}, "X-First"),
            ({}, "X-First"),
        ):
            answer = await server.get("/write", cookies={}, headers=sent)
            names = [name for name in ("X-First", "X-Second") if name in answer.headers]
            assert names == [answered]
            assert answer.headers.getall("Vary") == ["X-First, X-Second"]
            again = {answered: answer.headers[answered]}
            answer = await server.get("/read", cookies={}, headers=again)
            assert answer.json == {"n": 1}
