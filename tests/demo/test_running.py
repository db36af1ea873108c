"""Start and end of the demo, and what keeps it from starting."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys

import aiohttp
import pytest

from ..servers import start_redis
from .running import PATIENCE, ROOT, Browser, Demo, close_code, environment, hears, run

KEY = "a key that is long enough, for a test at least"


def refusal(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line that a demo that cannot run leaves behind."""
    assert (finished.returncode, finished.stdout) == (1, ""), finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith("demo: ")
    return line


def test_one_line_says_where_it_is_and_how_long_sessions_last() -> None:
    with Demo() as demo:
        assert (
            " (cookie storage; no SESSION_KEY, so sessions end with this process). " in demo.ready
        )
        assert ":0" not in demo.url.removeprefix("http://127.0.0.1:")
    with Demo(SESSION_KEY=KEY) as demo:
        assert "sessions outlive this process" in demo.ready
    with Demo("--storage", "memory") as demo:
        assert "memory storage; sessions end with this process" in demo.ready


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_cleanly(number: int) -> None:
    with Demo("--storage", "memory") as demo:
        async with Browser(demo.url) as browser:
            await browser.visit()
            async with await browser.live() as live:
                await hears(live)
                stopping = asyncio.to_thread(demo.stop, number)
                code, _ = await asyncio.gather(close_code(live), stopping)
    assert code == aiohttp.WSCloseCode.GOING_AWAY
    assert (demo.status, demo.errors) == (0, "")


async def test_sessions_outlive_the_process_with_a_key_in_the_environment() -> None:
    with Demo(SESSION_KEY=KEY) as demo:
        async with Browser(demo.url) as browser:
            await browser.visit()
            cookie = browser.cookie
    for key, visits in ((KEY, 2), (KEY[::-1], 1)):
        with Demo(SESSION_KEY=key) as demo:
            async with Browser(demo.url) as browser:
                browser.cookie = cookie
                assert (await browser.visit()).visits == visits


@pytest.mark.parametrize("key", ["", "short"])
def test_a_bad_key_is_refused(key: str) -> None:
    line = refusal(run(SESSION_KEY=key))
    assert "SESSION_KEY" in line and "32 bytes" in line


@pytest.mark.parametrize(
    "storage",
    [
        "",
        "cookies",
        "redis",
        "ftp://localhost",
        "redis://localhost:port",
        "redis://[",
        "memcached://",
        "memcached://localhost:99999",
        "memcached://localhost/1",
    ],
)
def test_a_storage_that_is_none_is_refused(storage: str) -> None:
    assert "--storage" in refusal(run("--storage", storage))


@pytest.mark.parametrize("scheme", ["redis", "memcached"])
def test_a_storage_that_is_not_there_is_refused(scheme: str) -> None:
    with socket.socket() as nobody:  # bound, but not listening: connections to it are refused
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        line = refusal(run("--storage", f"{scheme}://127.0.0.1:{port}"))
    assert f"127.0.0.1:{port} does not answer" in line


def test_a_password_stays_out_of_sight() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        assert "hunter2" not in refusal(run("--storage", f"redis://user:hunter2@{address}"))


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1 port {port}" in refusal(run("--port", str(port)))


async def test_a_redis_that_goes_away_is_an_error_page() -> None:
    with start_redis() as redis, Demo("--storage", redis.url) as demo:
        async with Browser(demo.url) as browser:
            await browser.visit()
            async with await browser.live() as live:
                await hears(live)
                redis.stop()
                await live.send_json({"note": "lost"})
                answer = await hears(live)
                assert isinstance(answer, dict) and "nothing was saved" in answer["problem"]
            page = await browser.send("GET", "/")
            assert (page.status, page.heading) == (500, "The sessions cannot be reached")
            assert page.set_cookie is None and "redis" not in page.text.lower()
            assert (await browser.send("GET", "/static/demo.css")).status == 200
            assert (await browser.send("GET", "/nowhere")).status == 404
            redis.start()
            assert (await browser.visit()).visits == 1
        demo.stop()
        assert demo.status == 0
        # One line for a request that it did not reach. (The package says at length what became of
        # the note, if it comes to that.)
        said = re.findall(r"ERROR demo.pages: GET /: StorageUnavailable: .*\n(Trace)?", demo.errors)
        assert said == [""]


def test_importing_it_runs_nothing() -> None:
    names = "demo, demo.__main__, demo.app"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import {names}; print('imported')"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("imported\n", "")
