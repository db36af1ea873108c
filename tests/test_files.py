"""Files carry the session, and those that never ask for it cost nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

from aiohttp import web

from .apps import application, memory
from .browser import serve
from .test_responses import began, has_session


async def test_file_has_the_session(tmp_path: Path) -> None:
    """Also the one that aiohttp finds compressed beside it, whose own Vary it sets late."""
    path = tmp_path / "page.txt"
    path.write_text("body" * 100)
    (tmp_path / "page.txt.gz").write_bytes(gzip.compress(b"body" * 100))

    async def file(request: web.Request) -> web.StreamResponse:
        await began(request)
        return web.FileResponse(path)

    async with serve(application(memory(), {"/file": file})) as server:
        for method in ("GET", "HEAD"):
            answer = await server.get("/file", method=method, headers={"Accept-Encoding": "gzip"})
            assert answer.status == 200
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers.getall("Vary") == ["Accept-Encoding, Cookie"]
            assert answer.cookie
        answer = await server.get("/file", headers={"Accept-Encoding": "identity"})
        assert answer.text == "body" * 100
        assert answer.headers.getall("Vary") == ["Cookie"]
        assert answer.cookie
        same = {"If-Modified-Since": answer.headers["Last-Modified"], "Accept-Encoding": "gzip"}
        answer = await server.get("/file", headers=same)
        assert answer.status == 304
        assert answer.cookie
        assert "cookie" in ", ".join(answer.headers.getall("Vary")).lower()
        part = {"Range": "bytes=0-3", "Accept-Encoding": "identity"}
        answer = await server.get("/file", headers=part)
        assert (answer.status, answer.text) == (206, "body")
        assert answer.cookie
        assert (await server.get("/read")).json == {"n": 5}


async def test_file_that_is_not_there_has_the_session(tmp_path: Path) -> None:
    async def file(request: web.Request) -> web.StreamResponse:
        await began(request)
        return web.FileResponse(tmp_path / "missing")

    async with serve(application(memory(), {"/file": file})) as server:
        answer = await server.get("/file")
        assert answer.status == 404
        has_session(answer)


async def test_static_files_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("body")
    storage = memory()
    app = application(storage)
    app.router.add_static("/static", tmp_path)
    async with serve(app) as server:
        await server.get("/write")
        storage.forget()
        answer = await server.get("/static/page.txt")
        assert (answer.text, answer.cookies) == ("body", [])
        assert "Vary" not in answer.headers
        assert storage.calls == []
