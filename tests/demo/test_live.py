"""The WebSocket that saves to the session."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from pytest_aiohttp.plugin import AiohttpServer

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.storage.entry import Entry
from demo.app import make_app
from demo.state import NOTE_LENGTH
from demo.storages import Choice

from .running import Browser, Demo, close_code, hears, says

ENDED = aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_notes_are_saved_while_the_socket_is_open(on_server: Demo) -> None:
    async with Browser(on_server.url) as browser:
        await browser.visit()
        socket = await browser.live()
        assert await hears(socket) == {"notes": 0, "note": None}
        assert await says(socket, note="one") == {"notes": 1, "note": "one"}
        assert await says(socket, note=" two  words ") == {"notes": 2, "note": "two words"}
        # The session goes on in pages meanwhile, and neither side loses what the other does.
        assert (await browser.visit()).visits == 2
        assert await says(socket, note="three") == {"notes": 3, "note": "three"}
        assert (await browser.visit()).visits == 3
        async with await browser.live() as later:
            assert await hears(later) == {"notes": 3, "note": "three"}
        await socket.close()


async def test_two_tabs_count_together(on_server: Demo) -> None:
    async with Browser(on_server.url) as browser:
        await browser.visit()
        async with await browser.live() as one, await browser.live() as two:
            await asyncio.gather(hears(one), hears(two))
            assert await says(one, note="from one") == {"notes": 1, "note": "from one"}
            assert await hears(two) == {"changed": True}
            assert await says(two, reload=True) == {"notes": 1, "note": "from one"}
            assert await says(two, note="from two") == {"notes": 2, "note": "from two"}
            assert await hears(one) == {"changed": True}


async def test_notes_of_two_tabs_at_once_are_all_counted(on_server: Demo) -> None:
    async with Browser(on_server.url) as browser:
        await browser.visit()
        async with await browser.live() as one, await browser.live() as two:
            for _ in range(10):
                await asyncio.gather(one.send_json({"note": "1"}), two.send_json({"note": "2"}))
            # Each tab hears its first state, an answer to each note, and of each note of the other.
            await asyncio.gather(*(_hears_all(tab, 1 + 10 + 10) for tab in (one, two)))
            assert await says(one, note="last") == {"notes": 21, "note": "last"}


async def _hears_all(socket: aiohttp.ClientWebSocketResponse, count: int) -> None:
    for _ in range(count):
        await hears(socket)


@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_a_socket_ends_with_its_session(on_server: Demo, path: str) -> None:
    async with Browser(on_server.url) as browser:
        await browser.visit()
        async with await browser.live() as noting, await browser.live() as looking:
            await asyncio.gather(hears(noting), hears(looking))
            await browser.submit(path, name="Ada")
            # Nobody has to say anything for it.
            assert await close_code(noting) == await close_code(looking) == ENDED
        async with await browser.live() as fresh:
            assert await hears(fresh) == {"notes": 0, "note": None}


async def test_without_a_session_the_socket_is_closed_at_once(on_server: Demo) -> None:
    async with Browser(on_server.url) as browser, await browser.live() as socket:
        assert await close_code(socket) == ENDED


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", ""])
async def test_other_sites_get_no_socket(on_memory: Demo, origin: str) -> None:
    async with Browser(on_memory.url) as browser:
        await browser.visit()
        headers = {"Origin": origin} if origin else {}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await browser.http.ws_connect(browser.url + "/live", headers=headers)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[" * 4000,
        "[]",
        "{}",
        '{"note": 1}',
        '{"note": " "}',
        '{"note": "\\ud800"}',
        '{"note": "\\u0000"}',
        f'{{"note": "{"n" * (NOTE_LENGTH + 1)}"}}',
    ],
)
async def test_what_is_no_note_gets_an_answer_in_words(on_memory: Demo, text: str) -> None:
    async with Browser(on_memory.url) as browser:
        await browser.visit()
        async with await browser.live() as socket:
            await hears(socket)
            await socket.send_str(text)
            answer = await hears(socket)
            assert isinstance(answer, dict) and list(answer) == ["problem"]
            assert await says(socket, note="fine") == {"notes": 1, "note": "fine"}


async def test_a_socket_cannot_save_to_a_cookie_and_says_so(on_cookie: Demo) -> None:
    async with Browser(on_cookie.url) as browser:
        page = await browser.visit()
        assert "a WebSocket cannot save" in page.text and "data-live" not in page.text
        async with await browser.live() as socket:
            await hears(socket)
            answer = await says(socket, note="one")
            assert isinstance(answer, dict) and "cookie" in answer["problem"]


class Fading(MemoryStorage):
    """A storage that answers so many times, and then no more."""

    answers = 1_000_000

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        self.answers -= 1
        if self.answers < 0:
            raise StorageUnavailable("nobody is there")
        return await super().read(name, ttl)


async def test_a_page_whose_storage_went_away_tries_again(aiohttp_server: AiohttpServer) -> None:
    storage = Fading()
    server = await aiohttp_server(make_app(Choice(storage, "memory", "in this process", False)))
    async with Browser(str(server.make_url("/")).rstrip("/")) as browser:
        await browser.visit()
        storage.answers = 1  # the session is loaded, and cannot be looked for again
        async with await browser.live() as socket:
            assert await close_code(socket) == aiohttp.WSCloseCode.TRY_AGAIN_LATER
        storage.answers = 1_000_000
        async with await browser.live() as socket:
            assert await hears(socket) == {"notes": 0, "note": None}
