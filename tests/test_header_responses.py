"""Every kind of response carries the session header, as it does the cookie."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from aiohttp_sess import HeaderConfig, SessionError, get_session, setup
from aiohttp_sess.storage import MemoryStorage

from .apps import Recorded, application, cookie, memory
from .browser import HEADER, serve
from .header_client import HeaderClient
from .test_responses import PATHS, ROUTES, View, began, errors_as_json
from .wire import Answer


def everything(storage: Recorded) -> web.Application:
    app = application(storage, ROUTES, header=HeaderConfig())
    app.router.add_view("/view", View)
    return app


def has_session(answer: Answer, vary: str = f"{HEADER}, Cookie") -> None:
    """Once, and with what goes with it."""
    (value,) = answer.headers.getall(HEADER)
    assert value
    assert answer.cookies == []
    assert answer.headers.getall("Cache-Control") == ["no-store"]
    assert answer.headers.getall("Vary") == [vary]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("make", [memory, cookie])
async def test_response_has_the_session(make: Callable[[], Recorded], path: str) -> None:
    async with serve(everything(make())) as server:
        client = HeaderClient(server)
        for method in ("GET", "POST"):
            has_session(await client.get(path, method=method))
        assert (await client.get("/read")).json == {"n": 2}


@pytest.mark.parametrize("make", [memory, cookie])
async def test_websocket_handshake_has_the_session(make: Callable[[], Recorded]) -> None:
    async with serve(everything(make())) as server:
        client = HeaderClient(server)
        for _ in range(2):
            async with server.websocket("/websocket", {HEADER: client.value}) as socket:
                answer = server.shaken(socket)
            assert answer.status == 101
            has_session(answer)
            client.keep(answer)
        assert (await client.get("/read")).json == {"n": 2}


async def test_file_has_the_session(tmp_path: Path) -> None:
    """Also the one that aiohttp finds compressed beside it, whose own Vary it sets late."""
    path = tmp_path / "page.txt"
    path.write_text("body" * 100)
    (tmp_path / "page.txt.gz").write_bytes(gzip.compress(b"body" * 100))

    async def file(request: web.Request) -> web.StreamResponse:
        await began(request)
        return web.FileResponse(path)

    async with serve(application(memory(), {"/file": file}, header=HeaderConfig())) as server:
        client = HeaderClient(server)
        answer = await client.get("/file", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        has_session(answer, f"Accept-Encoding, {HEADER}, Cookie")
        same = {"If-Modified-Since": answer.headers["Last-Modified"], "Accept-Encoding": "gzip"}
        answer = await client.get("/file", headers=same)
        assert (answer.status, answer.headers[HEADER]) == (304, client.value)
        assert (await client.get("/read")).json == {"n": 2}


@pytest.mark.parametrize("path", ["/redirect", "/forbidden", "/broken"])
async def test_session_survives_errors_turned_to_json(path: str) -> None:
    app = application(memory(), ROUTES, outer=[errors_as_json], header=HeaderConfig())
    async with serve(app) as server:
        client = HeaderClient(server)
        answer = await client.get(path)
        assert "error" in answer.json
        has_session(answer)
        assert (await client.get("/read")).json == {"n": 1}


async def test_renewal_in_a_stream_is_refused_as_it_is_for_a_cookie() -> None:
    """The headers are gone, so the client cannot get the new key: the old one goes on."""

    async def stream(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        response = web.StreamResponse()
        await response.prepare(request)
        session.renew()
        with pytest.raises(SessionError, match="headers were sent"):
            await session.save()
        return response

    async with serve(application(memory(), {"/late": stream}, header=HeaderConfig())) as server:
        client = HeaderClient(server)
        await client.get("/write")
        assert HEADER not in (await client.get("/late")).headers
        assert (await client.get("/read")).json == {"n": 1}


# -- what goes with it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([], [f"{HEADER}, Cookie"]),
        (["Accept"], [f"Accept, {HEADER}, Cookie"]),
        (["Accept", "cookie"], [f"Accept, cookie, {HEADER}"]),
        (["x-session-KEY, Cookie"], ["x-session-KEY, Cookie"]),
        (["*"], ["*"]),
    ],
)
@pytest.mark.parametrize("by_header", [False, True])
async def test_vary_names_all_that_was_looked_at(
    given: list[str], sent: list[str], by_header: bool
) -> None:
    """ASVS 14.3.2: whoever has the header gets another answer, and so does who has it not."""

    async def ask(request: web.Request) -> web.Response:
        await get_session(request)
        return web.Response(headers=[("Vary", value) for value in given])

    async with serve(application(memory(), {"/ask": ask}, header=HeaderConfig())) as server:
        headers = {HEADER: ""} if by_header else {}
        answer = await server.get("/ask", headers=headers)
        assert answer.headers.getall("Vary") == sent
        assert "Vary" not in (await server.get("/", headers=headers)).headers


async def test_storage_that_is_down_makes_no_difference_to_vary() -> None:
    """An outer middleware may make a page of the error."""
    storage = memory()
    async with serve(application(storage, header=HeaderConfig())) as server:
        client = HeaderClient(server)
        await client.get("/write")
        storage.down.add("load")
        answer = await client.get("/read")
        assert (answer.status, HEADER in answer.headers) == (500, False)
        assert answer.headers.getall("Vary") == [f"{HEADER}, Cookie"]


async def test_plain_http_is_told_of_cookies_only() -> None:
    async with serve(application(memory(), header=HeaderConfig())) as server:
        async with server.wire() as wire:
            wire.send_raw("GET /write HTTP/1.1", "Host: example.com", f"{HEADER}: ")
            assert (await wire.answer()).headers[HEADER]
            assert server.logged() == []
            wire.send_raw("GET /write HTTP/1.1", "Host: example.com")
            assert (await wire.answer()).cookie
        assert len(server.logged()) == 1


async def test_two_kinds_of_sessions_travel_by_a_header_each() -> None:
    async def read_staff(request: web.Request) -> web.Response:
        session = await get_session(request, staff)
        session["badge"] = session.get("badge", 0) + 1
        return web.json_response(dict(session))

    storage = MemoryStorage()
    app = application(storage, {"/staff": read_staff}, transports=[HeaderConfig()])
    staff = setup(app, storage, transports=[HeaderConfig("X-Staff")])
    async with serve(app) as server:
        answer = await server.get("/staff", cookies={})
        assert HEADER not in answer.headers
        own = {"X-Staff": answer.headers["X-Staff"]}
        assert (await server.get("/staff", cookies={}, headers=own)).json == {"badge": 2}
        # The record itself says whose it is: they share a storage, and their keys are bare.
        stolen = {HEADER: own["X-Staff"]}
        assert (await server.get("/read", cookies={}, headers=stolen)).json == {}
