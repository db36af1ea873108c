"""Two server processes share one Redis or memcached: the promises hold between them too."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    DummyCookieJar,
    TCPConnector,
    WSMsgType,
    hdrs,
)

from aiohttp_sess.storage import SessionKey

from ..servers import HOST, MemcachedServer, RedisServer
from .lab import Reply
from .serving import storage_at

ROOT = Path(__file__).parents[2]
PATIENCE = 10  # seconds; only ever waited for when something is broken


@contextmanager
def process(url: str, *options: str, ends: int = 0) -> Iterator[str]:
    """A server process on the storage at ``url``; answers its own URL.

    :param ends: with what it ends.
    """
    command = [sys.executable, "-W", "error", "-m", f"{__package__}.serving", url, *options]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as running,
    ):
        try:
            assert running.stdout is not None
            port = running.stdout.readline().strip()
            if not port:
                running.wait(PATIENCE)
                errors.seek(0)
                pytest.fail(f"the server did not start: {errors.read()}")
            yield f"http://{HOST}:{port}"
            if not ends:
                running.terminate()
            assert running.wait(PATIENCE) == ends
        finally:
            running.kill()


@pytest.fixture(scope="module", params=["redis", "memcached"])
def url(
    request: pytest.FixtureRequest, redis_server: RedisServer, memcached_server: MemcachedServer
) -> str:
    if request.param == "redis":
        return redis_server.url
    return f"memcached://{memcached_server.host}:{memcached_server.port}"


@pytest.fixture(scope="module")
def processes(url: str) -> Iterator[tuple[str, str]]:
    """Two of them."""
    with process(url) as one, process(url) as other:
        yield one, other


@pytest.fixture(params=["one, other", "other, one"])
def pair(request: pytest.FixtureRequest, processes: tuple[str, str]) -> tuple[str, str]:
    """Both ways round."""
    one, other = processes
    return (one, other) if request.param == "one, other" else (other, one)


class Visitor:
    """A client with one session."""

    def __init__(self, http: ClientSession) -> None:
        self._http = http
        self.cookie = ""

    async def post(self, server: str, path: str, **query: str) -> Reply:
        headers = {hdrs.COOKIE: f"id={self.cookie}"} if self.cookie else {}
        async with self._http.post(f"{server}/{path}", params=query, headers=headers) as response:
            return Reply(response.status, response.headers.getall(hdrs.SET_COOKIE, []))

    async def begin(self, server: str) -> None:
        """Take a new session."""
        self.cookie = ""
        reply = await self.post(server, "do/assign", name="start")
        assert reply.status == 200 and reply.cookie
        self.cookie = reply.cookie

    async def state(self, server: str) -> Any:
        """What is in the session, as this server sees it."""
        headers = {hdrs.COOKIE: f"id={self.cookie}"}
        async with self._http.get(f"{server}/state", headers=headers) as response:
            assert response.status == 200
            return await response.json()

    async def slow(self, server: str, deed: str, *names: str) -> list[asyncio.Task[Reply]]:
        """Requests that have all loaded the session, and wait inside their handlers."""
        tasks = [
            asyncio.create_task(self.post(server, f"do/{deed}", name=name, wait=""))
            for name in names
        ]
        await self.post(server, "crowd", size=str(len(tasks)))
        return tasks

    @asynccontextmanager
    async def socket(self, server: str) -> AsyncIterator[ClientWebSocketResponse]:
        """A websocket that is bound to the session."""
        headers = {hdrs.COOKIE: f"id={self.cookie}"}
        async with self._http.ws_connect(f"{server}/socket", headers=headers) as socket:
            assert await socket.receive_str(timeout=PATIENCE) == "bound"
            yield socket


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=PATIENCE),
    ) as http:
        yield http


@pytest.fixture
async def visitor(http: ClientSession, processes: tuple[str, str]) -> Visitor:
    """A visitor whose session is there."""
    visitor = Visitor(http)
    await visitor.begin(processes[0])
    return visitor


async def all_at_once(
    visitor: Visitor, processes: tuple[str, str], deed: str, names: list[str]
) -> set[int]:
    """A request for each name, every other one to the other process; the statuses.

    No request saves before all of them have loaded the same record.
    """
    half = len(names) // 2
    one, other = processes
    tasks = await visitor.slow(one, deed, *names[:half])
    tasks += await visitor.slow(other, deed, *names[half:])
    await asyncio.gather(visitor.post(one, "open"), visitor.post(other, "open"))
    return {reply.status for reply in await asyncio.gather(*tasks)}


async def test_64_requests_to_two_processes_set_64_names(
    visitor: Visitor, processes: tuple[str, str]
) -> None:
    names = [f"name{number}" for number in range(64)]
    assert await all_at_once(visitor, processes, "assign", names) == {200}
    for server in processes:
        assert await visitor.state(server) == {name: name for name in ["start", *names]}


async def test_64_requests_to_two_processes_count_to_64(
    visitor: Visitor, processes: tuple[str, str]
) -> None:
    assert await all_at_once(visitor, processes, "count", ["n"] * 64) == {200}
    for server in processes:
        assert await visitor.state(server) == {"start": "start", "n": 64}


@pytest.mark.parametrize("deed", ["assign", "count", "log_in"])
async def test_a_logout_in_one_process_is_not_undone_by_a_request_in_the_other(
    visitor: Visitor, pair: tuple[str, str], url: str, deed: str
) -> None:
    here, there = pair
    (late,) = await visitor.slow(here, deed, "late")
    logout = await visitor.post(there, "do/log_out")
    assert (logout.status, logout.cookie) == (200, "")
    await visitor.post(here, "open")
    reply = await late
    assert (reply.status, reply.cookies) == (200, [])
    for server in pair:
        assert await visitor.state(server) == {}
    storage = storage_at(url)
    try:
        assert await storage.load(SessionKey(visitor.cookie)) is None
    finally:
        await storage.close()


async def test_of_a_login_and_a_write_in_two_processes_nothing_is_lost(
    visitor: Visitor, pair: tuple[str, str]
) -> None:
    """The renewal carries over what the other process wrote after it had loaded."""
    here, there = pair
    (login,) = await visitor.slow(here, "log_in", "ferris")
    assert (await visitor.post(there, "do/count", name="n")).status == 200
    await visitor.post(here, "open")
    reply = await login
    assert reply.status == 200 and reply.cookie
    assert await visitor.state(there) == {}, "the old key is dead"
    visitor.cookie = reply.cookie
    assert await visitor.state(there) == {"start": "start", "n": 1, "user": "ferris"}


async def test_a_process_that_dies_in_a_renewal_leaves_the_old_session_as_it_was(
    visitor: Visitor, processes: tuple[str, str], url: str
) -> None:
    with process(url, "dies", ends=-signal.SIGKILL) as dying:
        with pytest.raises(ClientError):
            await visitor.post(dying, "do/log_in", name="ferris")
        for server in processes:
            assert await visitor.state(server) == {"start": "start"}


@pytest.mark.parametrize("deed", ["log_in", "log_out"])
async def test_a_websocket_is_closed_when_its_session_ends_in_the_other_process(
    visitor: Visitor, http: ClientSession, pair: tuple[str, str], deed: str
) -> None:
    here, there = pair
    bystander = Visitor(http)
    await bystander.begin(there)
    async with visitor.socket(here) as socket, bystander.socket(here) as stays:
        assert (await visitor.post(there, f"do/{deed}")).status == 200
        message = await socket.receive(timeout=PATIENCE)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)
        assert not stays.closed


async def test_each_process_counts_on_from_the_other(
    visitor: Visitor, processes: tuple[str, str]
) -> None:
    for number, server in enumerate(itertools.islice(itertools.cycle(processes), 6), start=1):
        assert (await visitor.post(server, "do/count", name="n")).status == 200
        assert await visitor.state(server) == {"start": "start", "n": number}
