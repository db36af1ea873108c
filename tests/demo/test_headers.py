"""Headers that are too long, or no HTTP: nobody reads in an answer, or a log, what was in them."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from demo.headers import LONGEST_FIELD

from .running import PATIENCE, Browser, Demo

FAT = "; ".join(f"fat{number}={'x' * 4000}" for number in range(175))  # what a browser can send


async def answer_to(demo: Demo, cookie: str) -> tuple[int, str]:
    """The status and the whole response to a request with this Cookie header."""
    url = URL(demo.url)
    assert url.host and url.port
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = ("GET / HTTP/1.1", f"Host: {url.host}", f"Cookie: {cookie}", "Connection: close")
    writer.write("\r\n".join((*lines, "", "")).encode())
    answer = (await asyncio.wait_for(reader.read(), PATIENCE)).decode()
    writer.close()
    return int(answer.split(" ", 2)[1]), answer


@pytest.mark.parametrize("fat", [FAT[:9000], FAT])
async def test_a_script_that_sets_many_cookies_gets_a_page_as_ever(
    on_memory: Demo, fat: str
) -> None:
    async with Browser(on_memory.url) as browser:
        await browser.visit()
        status, answer = await answer_to(on_memory, f"id={browser.cookie}; {fat}")
        assert (status, "2</strong> visits" in answer) == (200, True)
        assert (await browser.visit()).visits == 3


async def test_no_log_holds_a_header_that_was_refused() -> None:
    """No browser sends these."""
    with Demo("--storage", "memory") as demo:
        for rest in ("\x01", "x" * LONGEST_FIELD):
            assert (await answer_to(demo, f"id=secret; {rest}"))[0] == 400
        demo.stop()
    first, second = demo.errors.splitlines()
    assert first == "ERROR aiohttp.server: Error handling request from 127.0.0.1: BadHttpMessage"
    assert second == "ERROR aiohttp.server: Error handling request from 127.0.0.1: LineTooLong"
