"""Login, logout and "remember me", as a visitor sees them."""

from __future__ import annotations

from .running import Browser, Demo


async def test_login_gives_the_session_a_new_key_and_an_owner(browser: Browser) -> None:
    before = await browser.visit()
    old = browser.cookie
    page = await browser.submit("/login", name="  Ada   Lovelace ")
    assert browser.cookie != old
    assert page.heading == "Hello, Ada Lovelace ."
    assert page.fact("Owner") == "Ada Lovelace"
    assert page.fact("Public id") != before.fact("Public id")
    assert page.visits == before.visits + 1
    assert page.flashes == ["You are logged in, and the session has a new key: RENEWED."]


async def test_the_key_from_before_the_login_is_dead(demo: Demo) -> None:
    async with Browser(demo.url) as browser, Browser(demo.url) as thief:
        await browser.visit()
        thief.cookie = browser.cookie
        assert (await thief.visit()).visits == 2
        thief.cookie = browser.cookie
        await browser.submit("/login", name="Ada")
        page = await thief.visit()
    assert (page.heading, page.visits) == ("Welcome.", 1)


async def test_logout_ends_the_session(demo: Demo) -> None:
    async with Browser(demo.url) as browser:
        await browser.visit()
        await browser.submit("/login", name="Ada")
        await browser.submit("/cart/add", item="tea")
        old = browser.cookie
        page = await browser.submit("/logout")
        assert (page.visits, page.cart, page.fact("Owner")) == (1, {}, "nobody")
        assert page.flashes == ["You are logged out, and a fresh session has begun."]
        browser.cookie = old
        assert (await browser.visit()).heading == "Welcome."


async def test_a_message_is_shown_once(browser: Browser) -> None:
    await browser.visit()
    assert len((await browser.submit("/login", name="Ada")).flashes) == 1
    assert (await browser.visit()).flashes == []


async def test_remember_me_outlives_the_browser(browser: Browser) -> None:
    first = await browser.visit()
    answer = await browser.post("/login", name="Ada", remember="yes")
    page = await browser.visit()
    assert "Max-Age" not in (first.set_cookie or "")
    assert "; Max-Age=2592000; " in (answer.set_cookie or "")
    assert "; Max-Age=2592000; " in (page.set_cookie or "")
    assert page.fact("Lifecycle").startswith("PersistentSession: ")
    assert "30 days" in page.fact("Lifecycle")


async def test_without_it_the_session_ends_with_the_browser(browser: Browser) -> None:
    await browser.visit()
    answer = await browser.post("/login", name="Ada")
    assert answer.set_cookie is not None and "Max-Age" not in answer.set_cookie


async def test_nobody_is_remembered_after_logout(browser: Browser) -> None:
    await browser.visit()
    await browser.submit("/login", name="Ada", remember="yes")
    page = await browser.submit("/logout")
    assert "Max-Age" not in (page.set_cookie or "")
    assert page.fact("Lifecycle").startswith("BrowserSession: ")


async def test_a_name_is_shown_and_never_run(browser: Browser) -> None:
    await browser.visit()
    page = await browser.submit("/login", name="<script>alert(1)</script>")
    assert page.heading == "Hello, <script>alert(1)</script> ."
    assert "<script>alert" not in page.text
    page = await browser.submit("/cart/add", item='"><img src=x onerror=f()>')
    assert page.cart == {'"><img src=x onerror=f()>': 1}
    assert "<img src=x" not in page.text and 'value="">' not in page.text


async def test_a_name_of_any_script(browser: Browser) -> None:
    await browser.visit()
    for name in ("Ωμέγα", "李清照", "علی‌رضا", "👩‍🚀" * 7, 'O\'Brien & "Co" \\'):
        assert (await browser.submit("/login", name=name)).fact("Owner") == name
