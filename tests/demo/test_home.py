"""The page itself, what protects it, and error pages."""

from __future__ import annotations

import pytest

from .running import FORMS, Browser, Demo


async def test_visits_are_counted(browser: Browser) -> None:
    assert [(await browser.visit()).visits for _ in range(3)] == [1, 2, 3]


async def test_each_visitor_has_a_session_of_its_own(browser: Browser, demo: Demo) -> None:
    first = await browser.visit()
    async with Browser(demo.url) as other:
        page = await other.visit()
    assert page.visits == 1
    assert page.fact("Public id") != first.fact("Public id")


async def test_the_page_says_what_the_session_is(on_memory: Demo) -> None:
    async with Browser(on_memory.url) as browser:
        first, second = await browser.visit(), await browser.visit()
    assert (first.heading, second.heading) == ("Welcome.", "Welcome back.")
    assert first.fact("Public id") == second.fact("Public id")
    assert second.fact("Status in this request") == "CHANGED , by counting this visit"
    assert second.fact("Age").endswith(("second", "seconds"))
    assert second.fact("Owner") == "nobody"
    assert second.fact("Lifecycle").startswith("BrowserSession: ")
    assert second.fact("Storage") == "in this process"


async def test_the_last_cookie_is_shown_to_its_owner_alone(browser: Browser, demo: Demo) -> None:
    first = await browser.visit()
    assert first.set_cookie is not None
    assert "this response carries one" in first.text and first.cookie_lines == []

    mine = browser.cookie
    second = await browser.visit()
    masked, whole = second.cookie_lines
    assert whole == first.set_cookie
    assert masked == first.set_cookie.replace(mine, f"{mine[:6]}…{mine[-4:]}")

    async with Browser(demo.url) as stranger:
        assert mine not in (await stranger.visit()).text
        stranger.cookie = mine[:6] + "A" * (len(mine) - 10) + mine[-4:]
        assert (await stranger.send("GET", "/")).cookie_lines == []


async def test_the_cookie_is_for_this_host_and_no_script(browser: Browser) -> None:
    page = await browser.visit()
    assert page.set_cookie is not None
    assert page.set_cookie.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/login", "/static/demo.css"])
async def test_every_response_is_protected(on_memory: Demo, path: str) -> None:
    async with Browser(on_memory.url) as browser:
        page = await browser.send("GET", path)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_needs_nothing_from_elsewhere(on_memory: Demo) -> None:
    async with Browser(on_memory.url) as browser:
        await browser.log_in("Ada")
        for path, own in (("/", ()), ("/devices", ("devices.css",))):
            page = await browser.visit(path)
            for foreign in ("://", "<style", "onclick"):
                assert foreign not in page.text
            for file in ("demo.css", "live.js", "mark.svg", *own):
                assert f"/static/{file}" in page.text
                found = await browser.send("GET", f"/static/{file}")
                assert found.status == 200 and "Set-Cookie" not in found.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "There is nothing here"),
        ("POST", "/nowhere", 404, "There is nothing here"),
        ("GET", "/login", 405, "Not this way"),
        ("DELETE", "/", 405, "Not this way"),
    ],
)
async def test_an_error_is_a_page_too(
    on_memory: Demo, method: str, path: str, status: int, words: str
) -> None:
    async with Browser(on_memory.url) as browser:
        page = await browser.send(method, path)
    assert (page.status, page.heading) == (status, words)
    assert "/static/demo.css" in page.text
    assert ("Allow" in page.headers) == (status == 405)
    assert page.set_cookie is None


@pytest.mark.parametrize("path", FORMS)
async def test_no_get_changes_anything(on_memory: Demo, path: str) -> None:
    async with Browser(on_memory.url) as browser:
        await browser.visit()
        await browser.submit("/login", name="Ada")
        await browser.submit("/cart/add", item="tea")
        refused = await browser.send("GET", path + "?item=tea&name=Eve&csrf=" + browser.token)
        assert (refused.status, refused.set_cookie) == (405, None)
        page = await browser.visit()
        assert (page.heading, page.cart) == ("Hello, Ada .", {"tea": 1})
