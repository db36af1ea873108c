"""The cart, and the bounds that let it fit into a cookie."""

from __future__ import annotations

from demo.state import CART_ENTRIES, ITEM_COUNT, ITEM_LENGTH, NAME_LENGTH

from .running import Browser, Demo

LARGEST_COOKIE = 4096  # bytes, name and value: more and browsers drop it


async def test_the_cart_is_changed_in_place(browser: Browser) -> None:
    await browser.visit()
    assert (await browser.submit("/cart/add", item="tea")).cart == {"tea": 1}
    assert (await browser.submit("/cart/add", item="oranges")).cart == {"tea": 1, "oranges": 1}
    assert (await browser.submit("/cart/add", item="tea")).cart == {"tea": 2, "oranges": 1}
    assert (await browser.submit("/cart/remove", item="tea")).cart == {"tea": 1, "oranges": 1}
    assert (await browser.submit("/cart/remove", item="tea")).cart == {"oranges": 1}
    assert (await browser.submit("/cart/remove", item="tea")).cart == {"oranges": 1}
    assert (await browser.visit()).cart == {"oranges": 1}


async def test_a_full_cart_takes_no_more(browser: Browser) -> None:
    await browser.visit()
    for number in range(CART_ENTRIES):
        page = await browser.submit("/cart/add", item=f"thing {number}")
        assert page.flashes == []
    full = page.cart
    page = await browser.submit("/cart/add", item="one too many")
    assert page.cart == full
    assert page.flashes == [f"The cart is full: it holds {CART_ENTRIES} different things."]


async def test_so_many_of_a_thing_and_no_more(on_memory: Demo) -> None:
    async with Browser(on_memory.url) as browser:
        await browser.visit()
        for _ in range(ITEM_COUNT):
            await browser.post("/cart/add", item="tea")
        page = await browser.submit("/cart/add", item="tea")
    assert page.cart == {"tea": ITEM_COUNT}
    assert page.flashes == [f"The cart takes {ITEM_COUNT} of a thing, and no more."]


async def test_the_fullest_session_fits_into_a_cookie(on_cookie: Demo) -> None:
    # The longest label of all.
    async with Browser(on_cookie.url, user_agent="SamsungBrowser/ Android") as browser:
        await browser.visit()
        await browser.submit("/login", name="🦉" * NAME_LENGTH, remember="yes")
        largest = 0
        for number in range(CART_ENTRIES):
            name = chr(ord("🍇") + number) * ITEM_LENGTH
            for _ in range(10):
                await browser.post("/cart/add", item=name)
        for _ in range(5):  # messages that nobody looks at must not pile up
            answer = await browser.post("/cart/add", item="🍊" * 1000)
            assert answer.status == 303
            largest = max(largest, len("id") + len(browser.cookie))
        page = await browser.visit()
    assert len(page.cart) == CART_ENTRIES and len(page.flashes) == 3
    assert largest <= LARGEST_COOKIE
