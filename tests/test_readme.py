"""The README is true: its code runs and type-checks, and its markup is valid."""

from __future__ import annotations

import logging
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import docutils.core
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from mypy import api as mypy
from pytest_aiohttp.plugin import AiohttpClient

from aiohttp_sess import sessions_of, setup
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.testing import cookie_jar, give_session, read_session

from .wire import Wire

ROOT = Path(__file__).parent.parent
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(
        r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)",
        (ROOT / "README.rst").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
]
# What the README calls the first one, and imports it by.
NAMES = ["quickstart", *(f"block_{number}" for number in range(1, len(BLOCKS)))]
MARKED_UP = ["README.rst", "CHANGES.rst", *(f"CHANGES/{p.name}" for p in ROOT.glob("CHANGES/*"))]

PATIENCE = 10.0  # seconds


@pytest.fixture(autouse=True)
def _no_modules_left() -> Iterator[None]:
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def run(name: str) -> dict[str, Any]:
    """What the block of this name defines."""
    module = sys.modules[name] = ModuleType(name)  # dataclasses look their module up
    exec(compile(BLOCKS[NAMES.index(name)], "README.rst", "exec"), module.__dict__)
    return module.__dict__


def block_with(definition: str) -> dict[str, Any]:
    """What the one block that has this definition defines."""
    run("quickstart")
    (found,) = (name for name, block in zip(NAMES, BLOCKS, strict=True) if definition in block)
    return run(found)


def application(**handlers: Any) -> web.Application:
    """An application with a session, and its handlers under their names."""
    app = web.Application()
    setup(app, MemoryStorage())
    for name, handler in handlers.items():
        app.router.add_route("*", f"/{name}", handler)
    return app


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 9


async def test_the_quickstart_counts_visits(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(run("quickstart")["make_app"]())
    for number in (1, 2, 3):
        async with client.get("/") as response:
            assert await response.text() == f"visit number {number}"


def test_the_quickstart_takes_about_15_lines() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 16


@pytest.mark.parametrize("name", NAMES)
def test_every_block_runs(name: str) -> None:
    run("quickstart")
    assert run(name)


async def test_the_login_begins_another_key_and_the_logout_ends_it(
    aiohttp_client: AiohttpClient,
) -> None:
    block = block_with("def log_in(")
    app = application(log_in=block["log_in"], log_out=block["log_out"])
    client = await aiohttp_client(app, cookie_jar=cookie_jar())
    await give_session(client, {"cart": ["pear"]})
    before = client.session.cookie_jar.filter_cookies(client.make_url("/"))["id"].value
    form = {"remember_me": "yes"}
    async with client.post("/log_in", data=form, allow_redirects=False) as response:
        cookie = response.cookies["id"]
        assert (response.status, cookie["max-age"]) == (303, str(30 * 24 * 60 * 60))
    assert cookie.value != before
    assert await read_session(client) == {"cart": ["pear"]}
    assert len(await sessions_of(app, "user-42")) == 1
    async with client.post("/log_out", allow_redirects=False) as response:
        assert (response.status, response.cookies["id"]["max-age"]) == (303, "0")
    assert await read_session(client) == {}
    assert await sessions_of(app, "user-42") == []


async def test_an_email_address_is_changed_by_who_has_just_logged_in(
    aiohttp_client: AiohttpClient,
) -> None:
    async def is_password(owner: str, password: str) -> bool:
        return (owner, password) == ("user-42", "hunter2")

    block = block_with("def change_email(")
    block["is_password"] = is_password
    client = await aiohttp_client(
        application(change=block["change_email"]), cookie_jar=cookie_jar()
    )
    new = {"email": "a@example.com"}
    async with client.post("/change", data=new) as response:
        assert (response.status, await response.text()) == (403, "Log in first, please.")
    await give_session(client, {}, owner="user-42")
    statuses = []
    guess, right = new | {"password": "guess"}, new | {"password": "hunter2"}
    for form in (new, guess, right, new, {}, {"email": ""}):
        async with client.post("/change", data=form) as response:
            statuses.append(response.status)
    assert statuses == [403, 403, 200, 200, 400, 400]
    assert (await read_session(client))["email"] == "a@example.com"


async def test_the_cart_has_a_type(aiohttp_client: AiohttpClient) -> None:
    app = application(add=block_with("class Cart")["add_to_cart"])
    client = await aiohttp_client(app, cookie_jar=cookie_jar())
    for number in (1, 2):
        async with client.post("/add") as response:
            assert await response.json() == ["pear"] * number
    assert (await read_session(client))["clicks"] == 2


async def test_the_websocket_saves_until_its_session_ends(aiohttp_client: AiohttpClient) -> None:
    log_out = block_with("def log_out(")["log_out"]
    app = application(live=block_with("def live(")["live"], log_out=log_out)
    client = await aiohttp_client(app, cookie_jar=cookie_jar())
    ours = str(client.make_url("/")).rstrip("/")
    for theirs in (None, "https://evil.example", f"{ours}1", "null", "http://"):
        with pytest.raises(WSServerHandshakeError, match="403"):
            await client.ws_connect("/live", origin=theirs)
    async with client.ws_connect("/live", origin=ours) as socket:
        assert (await socket.receive(timeout=PATIENCE)).data == 1008
    await give_session(client, {"user_id": 42})
    async with client.ws_connect("/live", origin=ours) as socket:
        await socket.send_str("hello")
        async with client.post("/log_out", allow_redirects=False):
            pass
        message = await socket.receive(timeout=PATIENCE)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)


async def test_a_user_sees_and_ends_the_sessions_elsewhere(aiohttp_client: AiohttpClient) -> None:
    block = block_with("def log_out_elsewhere(")
    names = ("log_in_here", "devices", "log_out_elsewhere")
    app = application(**{name: block[name] for name in names})
    here = await aiohttp_client(app, cookie_jar=cookie_jar())
    async with here.get("/devices") as response:
        assert response.status == 403
    assert here.server.port is not None
    async with Wire(here.server.port, lambda answer: answer) as there:
        agent = b"User-Agent: th\xffre" + b"!" * 100  # neither UTF-8, nor as short as a label
        assert (await there.get("/log_in_here", agent, method="POST")).status == 303
    async with here.post("/log_in_here", allow_redirects=False) as response:
        assert response.status == 303
    for current in ([False, True], [True]):
        async with here.get("/devices") as response:
            assert [each["current"] for each in await response.json()] == current
        async with here.post("/log_out_elsewhere") as response:
            assert await response.text() == f"{len(current) - 1} sessions ended"


async def test_several_sessions_have_a_cookie_each(aiohttp_client: AiohttpClient) -> None:
    block = block_with("staff = setup(")
    app: web.Application = block["app"]
    app.router.add_get("/", block["handler"])
    client = await aiohttp_client(app, cookie_jar=cookie_jar())
    await give_session(client, {"visits": 1})
    await give_session(client, {"user_id": 42, "desk": 7}, handle=block["staff"])
    async with client.get("/") as response:
        assert await response.text() == "1 2"


async def test_client_without_cookies_counts_visits(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(block_with("def make_api(")["make_api"]())
    value = ""
    for number in (1, 2, 3):
        async with client.get("/count", headers={"X-Session-Key": value}) as response:
            assert await response.json() == {"visits": number}
            assert not response.cookies
            value = response.headers["X-Session-Key"]


async def test_what_happens_to_sessions_is_in_the_audit_log(
    aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    block = block_with("handle.events.renewed")
    app: web.Application = block["app"]
    app.router.add_post("/log_in", block_with("def log_in(")["log_in"])
    client = await aiohttp_client(app, cookie_jar=cookie_jar())
    await give_session(client, {"cart": ["pear"]})
    with caplog.at_level("INFO", "audit"):
        async with client.post("/log_in", allow_redirects=False):
            pass
    (line,) = (record.getMessage() for record in caplog.records if record.name == "audit")
    assert re.fullmatch(r"session \S+ goes on as \S+", line)


async def test_nobody_is_told_of_headers_that_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    block = block_with("class WithoutHeaders")
    log = logging.getLogger("aiohttp.server")
    monkeypatch.setattr(log, "filters", [*log.filters])
    served: dict[str, Any] = {}
    monkeypatch.setattr(web, "run_app", lambda app, **options: served.update(options))
    app = run("quickstart")["make_app"]()
    block["serve"](app)
    server = TestServer(app)
    await server.start_server(**served)
    async with TestClient(server) as client:
        cookies = "fat=secret" + "x" * 32 * 1024  # as much as nginx lets pass
        async with client.get("/", headers={"Cookie": cookies}) as response:
            assert (response.status, await response.text()) == (200, "visit number 1")
        cookies += "x" * 32 * 1024
        async with client.get("/", headers={"Cookie": cookies}) as response:
            assert response.status == 400  # what a script gets where there is no proxy
    assert caplog.messages[-1].endswith(": LineTooLong") and "secret" not in caplog.text


async def test_the_test_of_the_quickstart_passes(aiohttp_client: AiohttpClient) -> None:
    await block_with("def test_visits_are_counted(")["test_visits_are_counted"](aiohttp_client)


def test_every_block_type_checks(tmp_path: Path) -> None:
    for name, block in zip(NAMES, BLOCKS, strict=True):
        (tmp_path / f"{name}.py").write_text(block, encoding="utf-8")
    cache = f"--cache-dir={ROOT / '.mypy_cache'}"
    out, err, status = mypy.run(["--strict", cache, str(tmp_path)])
    assert status == 0, out + err


@pytest.mark.parametrize("name", MARKED_UP)
def test_the_markup_is_valid(name: str) -> None:
    docutils.core.publish_string(
        (ROOT / name).read_text(encoding="utf-8"),
        writer="null",
        settings_overrides={"halt_level": 2, "report_level": 5},
    )
