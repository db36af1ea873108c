"""Forms that are refused, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from demo.state import ITEM_LENGTH, NAME_LENGTH

from .running import FORMS, Browser, Demo

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def visitor(on_memory: Demo) -> AsyncIterator[Browser]:
    async with Browser(on_memory.url) as browser:
        await browser.visit()
        yield browser


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", [None, "", "wrong", "ñandú"])
async def test_a_form_without_the_sessions_token_is_refused(
    visitor: Browser, path: str, token: str | None
) -> None:
    await visitor.submit("/login", name="Ada")
    await visitor.submit("/cart/add", item="tea")
    fields = {"name": "Eve", "item": "tea"} | ({} if token is None else {"csrf": token})
    answer = await visitor.send("POST", path, data=fields)
    assert (answer.status, answer.heading) == (403, "This request was refused")
    assert answer.set_cookie is None
    page = await visitor.visit()
    assert (page.fact("Owner"), page.cart) == ("Ada", {"tea": 1})


async def test_another_visitors_token_is_refused(visitor: Browser) -> None:
    async with Browser(visitor.url) as eve:
        await eve.visit()
        visitor.token = eve.token
    assert (await visitor.post("/login", name="Eve")).status == 403


async def test_a_token_from_before_the_login_is_refused(visitor: Browser) -> None:
    old = visitor.token
    await visitor.submit("/login", name="Ada")
    visitor.token = old
    assert (await visitor.post("/logout")).status == 403


async def test_without_a_session_no_token_is_right(on_memory: Demo) -> None:
    async with Browser(on_memory.url) as browser:
        answer = await browser.post("/login", name="Ada", csrf="")
    assert (answer.status, answer.set_cookie) == (403, None)


@pytest.mark.parametrize(
    ("path", "field", "value", "message"),
    [
        ("/login", "name", "", "Please fill in the name."),
        ("/login", "name", "  \t ", "Please fill in the name."),
        ("/login", "other", "Ada", "Please fill in the name."),
        ("/login", "name", "\u200b\u2060\ufeff", "Please fill in the name."),
        ("/login", "name", "\u200d \ufe0f\u2028\u3164", "Please fill in the name."),
        ("/login", "name", "a" * 31, f"That name has 31 characters; {NAME_LENGTH} is the most."),
        ("/login", "name", "a\0b", "That name holds characters that are no text."),
        ("/cart/add", "item", " ", "Please fill in the item."),
        ("/cart/add", "item", "é" * 31, f"That item has 31 characters; {ITEM_LENGTH} is the most."),
    ],
)
async def test_a_bad_field_gets_a_message(
    visitor: Browser, path: str, field: str, value: str, message: str
) -> None:
    page = await visitor.submit(path, **{field: value})
    assert page.flashes == [message]
    assert (page.fact("Owner"), page.cart) == ("nobody", {})


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"name=\xff\xfe&csrf=", FORM, 400),
        (b"name=%ff&csrf=", FORM, 400),
        (b"name=%ED%A0%80&csrf=", FORM, 400),
        (b"&".join(b"a%d=1" % number for number in range(11)), FORM, 400),
        (b"name=" + b"a" * 20_000, FORM, 413),
        (b'{"name": "Ada"}', {"Content-Type": "application/json"}, 415),
        (b"name=Ada", {"Content-Type": "multipart/form-data"}, 415),
        (b"not gzip", FORM | {"Content-Encoding": "gzip"}, 400),
        (b"", FORM, 403),
    ],
)
async def test_a_body_that_is_no_form_gets_a_page(
    visitor: Browser, body: bytes, headers: dict[str, str], status: int
) -> None:
    page = await visitor.send("POST", "/login", data=body, headers=headers)
    assert page.status == status
    assert page.heading and "/static/demo.css" in page.text
    assert (await visitor.visit()).fact("Owner") == "nobody"
