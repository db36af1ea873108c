"""The devices page: what it lists, and what it ends."""

from __future__ import annotations

import re
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import NamedTuple

import aiohttp
import pytest
from pytest_aiohttp.plugin import AiohttpServer

from aiohttp_sess import sessions_of
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.testing import FakeClock
from demo.app import make_app
from demo.devices import MOST_SESSIONS
from demo.storages import Choice

from ..servers import MemcachedServer, RedisServer
from .running import Browser, Demo, Page, close_code, hears

ENDED = aiohttp.WSCloseCode.POLICY_VIOLATION

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Safari/604.1"


class Device(NamedTuple):
    """An entry of the list; the id is that of its form, "" where it has none."""

    label: str
    current: bool
    id: str
    facts: dict[str, str]


def devices(page: Page) -> list[Device]:
    listed = re.search(r'<ul class="devices">(.*?)</ul>', page.text, re.DOTALL)
    return [_device(entry) for entry in re.split("<li>", listed[1])[1:]] if listed else []


def _device(entry: str) -> Device:
    label = re.search(r"<h3>([^<]*?) ?<", entry)
    form = re.search(r'name="id" value="([^"]*)"', entry)
    facts = re.findall(r"<dt>(.*?)</dt><dd>\s*(?:<time[^>]*>)?(.*?)\s*<", entry)
    assert label is not None
    return Device(label[1], "this one" in entry, form[1] if form else "", dict(facts))


def somebody() -> str:
    """A name that no other test logs in with."""
    return "Ada " + secrets.token_hex(6)


@pytest.fixture(params=["on_memory", "on_redis"])
def listing(request: pytest.FixtureRequest) -> Demo:
    """The demo on each storage that knows which sessions there are."""
    demo = request.getfixturevalue(request.param)
    assert isinstance(demo, Demo)
    return demo


async def browsers(stack: AsyncExitStack, *urls: str, name: str) -> list[Browser]:
    """Browsers that are logged in, each on its server."""
    entered = [await stack.enter_async_context(Browser(url)) for url in urls]
    for each in entered:
        await each.log_in(name)
    return entered


async def test_each_session_is_listed_with_its_browser(listing: Demo) -> None:
    name = somebody()
    async with (
        Browser(listing.url, user_agent=FIREFOX) as one,
        Browser(listing.url, user_agent=SAFARI) as two,
        Browser(listing.url) as stranger,
    ):
        await one.log_in(name)
        await stranger.log_in(somebody())
        id_of_two = (await two.log_in(name)).fact("Public id")
        mine, other = devices(await two.visit("/devices"))
        assert (mine.label, mine.current) == ("Safari on an iPhone", True)
        assert (other.label, other.current) == ("Firefox on Linux", False)
        assert other.facts == {
            "Signed in": "just now",
            "Last seen": "just now",
            "Expires": "in 1 day",
        }
        page = await one.visit("/devices")
        assert [(each.label, each.id) for each in devices(page)] == [
            ("Firefox on Linux", ""),
            ("Safari on an iPhone", id_of_two),
        ]
        assert one.cookie not in page.text and two.cookie not in page.text


async def test_the_way_there_is_for_who_is_logged_in(browser: Browser) -> None:
    assert "/devices" not in (await browser.visit()).text
    answer = await browser.send("GET", "/devices")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert (await browser.visit()).flashes == ["Please log in first."]
    for path in ("/devices/end", "/devices/end-others"):
        assert (await browser.submit(path, id="x")).flashes == ["Please log in first."]
    assert '<a href="/devices">Devices</a>' in (await browser.log_in(somebody())).text
    page = await browser.visit("/devices")
    assert '<a href="/devices" aria-current="page">Devices</a>' in page.text
    assert (page.heading, page.headers["Cache-Control"]) == ("Your devices", "no-store")


async def test_signed_in_is_the_login_and_not_the_first_visit(
    aiohttp_server: AiohttpServer,
) -> None:
    clock = FakeClock()
    choice = Choice(MemoryStorage(clock=clock), "memory", "in this process", False)
    server = await aiohttp_server(make_app(choice))
    async with Browser(str(server.make_url("/")).rstrip("/")) as browser:
        await browser.visit()
        clock.advance(3600)
        await browser.submit("/login", name="Ada")
        clock.advance(60)
        (listed,) = await sessions_of(server.app, "Ada")
        (shown,) = devices(page := await browser.visit("/devices"))
        assert listed.authenticated == listed.created + timedelta(hours=1)
        assert listed.authenticated.isoformat() in page.text
        assert listed.created.isoformat() not in page.text and "Signed in" in shown.facts


async def test_one_browser_ends_another(listing: Demo) -> None:
    name = somebody()
    async with AsyncExitStack() as stack:
        here, there, third = await browsers(stack, *[listing.url] * 3, name=name)
        socket, spared = await there.live(), await third.live()
        await hears(socket)
        await hears(spared)
        ending = devices(await here.visit("/devices"))[1].id
        page = await here.submit("/devices/end", leads_to="/devices", id=ending)
        assert page.flashes == ["That session is ended, and its open pages say so."]
        assert [each.current for each in devices(page)] == [True, False]
        assert await close_code(socket) == ENDED
        page = await there.visit()
        assert (page.heading, page.fact("Owner")) == ("Welcome.", "nobody")
        assert (await third.visit()).fact("Owner") == name
        await spared.send_json({"reload": True})
        assert await hears(spared) == {"notes": 0, "note": None}
        await here.visit("/devices")
        page = await here.submit("/devices/end", leads_to="/devices", id=ending)
        assert page.flashes == ["There was nothing to end: that session is over."]


async def test_logging_out_everywhere_else(demo: Demo) -> None:
    name = somebody()
    async with AsyncExitStack() as stack:
        here, *others = await browsers(stack, *[demo.url] * 3, name=name)
        (stranger,) = await browsers(stack, demo.url, name=somebody())
        sockets = [await each.live() for each in others]
        for socket in sockets:
            await hears(socket)
        before = await here.visit("/devices")
        page = await here.submit("/devices/end-others", leads_to="/devices")
        # Storages that keep a list count; the others say so, and have a button for all of it.
        counts = bool(devices(before))
        assert counts or "make demo STORAGE=memory" in before.text
        assert [each.current for each in devices(page)] == ([True] if counts else [])
        said = "You are logged out everywhere else" + (
            ": that ended 2 sessions." if counts else "."
        )
        assert page.flashes == [said]
        for socket, other in zip(sockets, others, strict=True):
            assert await close_code(socket) == ENDED
            assert (await other.visit()).fact("Owner") == "nobody"
        assert (await here.visit()).fact("Owner") == name
        assert (await stranger.visit()).fact("Owner") != "nobody"
        assert (await others[0].log_in(name)).fact("Owner") == name


@pytest.mark.parametrize("path", ["/devices/end", "/devices/end-others"])
async def test_sessions_of_others_are_left_alone(demo: Demo, path: str) -> None:
    async with AsyncExitStack() as stack:
        (eve,) = await browsers(stack, demo.url, name=somebody())
        (ada,) = await browsers(stack, demo.url, name=(name := somebody()))
        ids = [(await each.visit()).fact("Public id") for each in (ada, eve)]
        for wrong in (*ids, "", "no\0id", "é" * 2000):
            answer = await eve.post(path, id=wrong)
            assert answer.status in (303, 400)
        assert (await ada.visit()).fact("Owner") == name
        assert (await eve.visit()).fact("Owner") != "nobody"


@pytest.mark.parametrize("backend", ["redis", "memcached"])
async def test_a_page_on_another_server_notices_soon(
    backend: str, redis_server: RedisServer, memcached_server: MemcachedServer
) -> None:
    address = f"memcached://{memcached_server.host}:{memcached_server.port}"
    storage = redis_server.url if backend == "redis" else address
    with Demo("--storage", storage) as one, Demo("--storage", storage) as two:
        async with AsyncExitStack() as stack:
            here, there = await browsers(stack, one.url, two.url, name=somebody())
            socket = await there.live()
            await hears(socket)
            await here.visit("/devices")
            await here.submit("/devices/end-others", leads_to="/devices")
            assert await close_code(socket) == ENDED
            assert (await there.visit()).fact("Owner") == "nobody"


async def test_one_login_too_many_ends_the_oldest(listing: Demo) -> None:
    async with AsyncExitStack() as stack:
        name = somebody()
        oldest, *rest = await browsers(stack, *[listing.url] * MOST_SESSIONS, name=name)
        socket = await oldest.live()
        await hears(socket)
        (newest,) = await browsers(stack, listing.url, name=name)
        assert await close_code(socket) == ENDED
        assert (await oldest.visit()).fact("Owner") == "nobody"
        assert len(devices(await newest.visit("/devices"))) == MOST_SESSIONS
        assert [(await each.visit()).fact("Owner") for each in rest] == [name] * len(rest)


async def test_after_a_while_it_asks_who_is_there(aiohttp_server: AiohttpServer) -> None:
    clock = FakeClock()
    choice = Choice(MemoryStorage(clock=clock), "memory", "in this process", False)
    server = await aiohttp_server(make_app(choice))
    url = str(server.make_url("/")).rstrip("/")
    async with AsyncExitStack() as stack:
        here, there = await browsers(stack, url, url, name="Ada")
        page = await here.visit("/devices")
        assert "Is it you?" not in page.text
        ending = devices(page)[1].id

        clock.advance(121)
        for path in ("/devices/end", "/devices/end-others"):
            page = await here.submit(path, leads_to="/devices", id=ending)
            assert page.flashes == ["Nothing is ended yet: please confirm that it is you."]
            assert "Is it you?" in page.text and "/devices/end" not in page.text
        assert (await there.visit()).fact("Owner") == "Ada"

        page = await here.submit("/confirm", leads_to="/devices", name="Eve")
        assert page.flashes == ["That is not the name you are logged in with."]
        page = await here.submit("/confirm", leads_to="/devices", name=" ")
        assert page.flashes == ["Please fill in the name."]
        assert "Is it you?" in page.text

        before = here.cookie
        page = await here.submit("/confirm", leads_to="/devices", name="Ada")
        assert "Is it you?" not in page.text and here.cookie != before
        await here.submit("/devices/end", leads_to="/devices", id=ending)
        assert (await there.visit()).fact("Owner") == "nobody"
