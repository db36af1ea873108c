"""The session cookie on its way out: attributes, size, seal; and what goes with it."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    CookieConfig,
    CookieContentSecurity,
    CookieTooLarge,
    InvalidSessionKey,
    SecretKey,
    SessionRecord,
    StoredRecord,
    get_session,
)
from aiohttp_sess.secret import SignedSeal
from aiohttp_sess.storage import MemoryStorage, SessionKey
from aiohttp_sess.testing import FakeClock
from aiohttp_sess.transport import CookieTransport

from .apps import HANDLE, OTHER_SECRET, SECRET, application, cookie, memory
from .browser import Server, serve

PRIVATE, SIGNED = CookieContentSecurity.PRIVATE, CookieContentSecurity.SIGNED

CONFIGS: list[tuple[CookieConfig, dict[str, str | None]]] = [
    (CookieConfig(), {"path": "/", "httponly": None, "secure": None, "samesite": "Lax"}),
    (
        CookieConfig(name="__Host-id", samesite="Strict"),
        {"path": "/", "httponly": None, "secure": None, "samesite": "Strict"},
    ),
    (
        CookieConfig(
            name="__Secure-id",
            domain="example.com",
            path="/shop",
            samesite="None",
            partitioned=True,
        ),
        {
            "path": "/shop",
            "domain": "example.com",
            "httponly": None,
            "secure": None,
            "samesite": "None",
            "partitioned": None,
        },
    ),
    (CookieConfig(secure=False, httponly=False), {"path": "/", "samesite": "Lax"}),
]


@pytest.mark.parametrize(("config", "attributes"), CONFIGS)
async def test_removal_has_the_attributes_of_the_cookie(
    config: CookieConfig, attributes: dict[str, str | None]
) -> None:
    """ASVS 3.3.1, 3.3.2, 3.3.4: a browser ignores a removal whose attributes differ."""
    async with serve(application(memory(), cookie=config)) as server:
        set_cookie = (await server.get("/write")).cookie
        removal = (await server.get("/purge")).cookie
    assert set_cookie.name == removal.name == config.name
    assert set_cookie.attributes == attributes
    assert (removal.value, removal.attributes) == ("", {"max-age": "0", **attributes})


@pytest.mark.parametrize("name", ["id", "!#$%&'*+-.^_`|~", "a.b"])
async def test_cookie_name_is_taken_literally(name: str) -> None:
    async with serve(application(memory(), cookie=CookieConfig(name=name))) as server:
        key = (await server.get("/write")).cookie.value
        assert (await server.get("/read")).json == {"n": 1}
        assert (await server.get("/read", cookies={"axb": key})).json == {}


# -- what goes with it ----------------------------------------------------------------------------


async def own_headers(request: web.Request) -> web.Response:
    (await get_session(request))["n"] = 1
    headers = [("Cache-Control", "private, max-age=60")]
    headers += [("Vary", value) for value in request.query.getall("vary", ())]
    return web.Response(headers=headers)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([], ["Cookie"]),
        (["Accept"], ["Accept, Cookie"]),
        (["Accept", "Origin"], ["Accept, Origin, Cookie"]),
        (["accept, cOOkie"], ["accept, cOOkie"]),
        (["Accept", "Cookie"], ["Accept", "Cookie"]),
        (["*"], ["*"]),
        (["X-Cookie"], ["X-Cookie, Cookie"]),
    ],
)
async def test_vary_is_merged(given: list[str], sent: list[str]) -> None:
    """ASVS 14.3.2."""
    query = "&".join(f"vary={value}" for value in given)
    async with serve(application(memory(), {"/own": own_headers})) as server:
        answer = await server.get(f"/own?{query}")
    assert answer.headers.getall("Vary") == sent


async def test_caching_is_the_handlers_own_decision() -> None:
    """ASVS 14.3.2."""
    async with serve(application(memory(), {"/own": own_headers})) as server:
        answer = await server.get("/own")
    assert answer.cookie
    assert answer.headers.getall("Cache-Control") == ["private, max-age=60"]


@pytest.mark.parametrize(
    ("lines", "warns"),
    [
        (["Host: example.com"], True),
        (["Host: localhost.example.com"], True),
        (["Host: 127.0.0.1.example.com"], True),
        (["Host: localhost"], False),
        (["Host: app.localhost:8080"], False),
        (["Host: 127.0.0.1:8080"], False),
        (["Host: [::1]:8080"], False),
        (["Host: example.com", "X-Forwarded-Proto: https"], False),
        (["Host: example.com", "Forwarded: proto=https"], False),
    ],
)
async def test_secure_cookie_over_plain_http_is_told_once(lines: list[str], warns: bool) -> None:
    async with serve(application(memory())) as server, server.wire() as wire:
        for _ in range(3):
            wire.send_raw("GET /write HTTP/1.1", *lines)
            assert (await wire.answer()).cookie
        assert len(server.logged()) == warns


async def test_insecure_cookie_over_plain_http_is_what_was_asked_for() -> None:
    app = application(memory(), cookie=CookieConfig(secure=False))
    async with serve(app) as server, server.wire() as wire:
        wire.send_raw("GET /write HTTP/1.1", "Host: example.com")
        assert (await wire.answer()).cookie
        assert server.logged() == []


# -- size -----------------------------------------------------------------------------------------


async def fill(request: web.Request) -> web.Response:
    """Put ``size`` bytes into the session, all but at most one of them in letters of two bytes."""
    size = int(request.query["size"])
    (await get_session(request))["t"] = "é" * (size // 2) + "x" * (size % 2)
    return web.Response()


async def room(server: Server) -> int:
    """How many bytes fit in the cookie: 4094 characters of base64url, as its name takes two."""
    value = (await server.get("/fill?size=1000", cookies={})).cookie.value
    return 4094 * 3 // 4 - len(base64.urlsafe_b64decode(value + "==")) + 1000


@pytest.mark.parametrize("security", [PRIVATE, SIGNED])
async def test_cookie_of_4096_bytes_is_sent_and_one_of_4097_is_not(
    security: CookieContentSecurity,
) -> None:
    """ASVS 3.3.5, 16.5.1: counted on the final bytes, of text that is not ASCII."""
    seen: list[BaseException] = []

    @web.middleware
    async def see(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except CookieTooLarge as error:
            seen.append(error)
            raise
        return response

    app = application(
        cookie(), {"/fill": fill}, outer=[see], cookie=CookieConfig(content_security=security)
    )
    async with serve(app) as server:
        size = await room(server)
        full = await server.get(f"/fill?size={size}")
        assert len("id" + full.cookie.value) == 4096
        assert len((await server.get("/read")).json["t"].encode()) == size

        over = await server.get(f"/fill?size={size + 1}")
        assert (over.status, over.cookies) == (500, [])
        assert "cookie" not in over.text.lower()
        (error,) = seen
        assert isinstance(error, CookieTooLarge)
        assert (error.size, error.limit) == (4097, 4096)
        # The old cookie still works.
        assert len((await server.get("/read")).json["t"].encode()) == size
        assert (await server.get("/fill?size=1")).status == 200


async def test_handler_can_make_room_when_its_cookie_is_too_large() -> None:
    async def make_room(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["small"] = 1
        session["large"] = "x" * 5000
        with pytest.raises(CookieTooLarge):
            await session.save()
        del session["large"]
        return web.Response()

    async with serve(application(cookie(), {"/room": make_room})) as server:
        assert (await server.get("/room")).status == 200
        assert (await server.get("/read")).json == {"small": 1}


class OwnKeys(MemoryStorage):
    """A storage that makes session keys which are no base64url."""

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        stored = await super().save(record, ttl)
        self.real = stored.key
        return stored._replace(key=SessionKey("Schlüssel; Path=/"))

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        assert key.value == "Schlüssel; Path=/"
        return await super().load(self.real, ttl=ttl)


async def test_key_that_a_cookie_cannot_carry_needs_a_seal() -> None:
    async with serve(application(OwnKeys(clock=FakeClock()))) as server:
        answer = await server.get("/write")
        assert (answer.status, answer.cookies) == (500, [])
        assert InvalidSessionKey.__name__ in server.causes()
    async with serve(application(OwnKeys(clock=FakeClock()), secret_key=SECRET)) as server:
        await server.get("/write")
        assert (await server.get("/read")).json == {"n": 1}


async def test_signed_payload_that_is_no_text_is_no_session() -> None:
    config = CookieConfig(content_security=SIGNED)
    app = application(memory(), secret_key=SECRET, cookie=config)
    key = SecretKey(SECRET).derive("session cookie", "signed", "id")
    async with serve(app) as server:
        for payload in (b"\xff\xfe", b""):
            value = SignedSeal([key]).seal(payload)
            answer = await server.get("/read", cookies={"id": value})
            assert (answer.status, answer.json) == (200, {})
        assert len(server.logged()) == 2


# -- seal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [PRIVATE, SIGNED])
@pytest.mark.parametrize("storage", [memory, cookie])
async def test_secret_keys_rotate(storage: Any, security: CookieContentSecurity) -> None:
    """ASVS 11.2.2, 13.3.4: an old key opens, the newest seals, a removed one opens nothing."""
    config = CookieConfig(content_security=security)
    kept = storage()

    def app(*keys: str) -> web.Application:
        return application(kept, secret_key=list(keys), cookie=config)

    async with serve(app(OTHER_SECRET)) as server:
        old = (await server.get("/write")).cookie.value
    async with serve(app(SECRET, OTHER_SECRET)) as server:
        assert (await server.get("/read", cookies={"id": old})).json == {"n": 1}
        new = (await server.get("/write", cookies={"id": old})).cookie.value
    async with serve(app(SECRET)) as server:
        assert (await server.get("/read", cookies={"id": new})).json == {"n": 2}
        kept.forget()
        answer = await server.get("/read", cookies={"id": old})
        assert (answer.status, answer.json, answer.cookies) == (200, {}, [])
        assert kept.calls == []
        assert len(server.logged()) == 1
        assert (await server.get("/write", cookies={"id": old})).cookie.value != old


async def test_private_cookie_hides_what_a_signed_one_shows() -> None:
    for security, shown in ((PRIVATE, False), (SIGNED, True)):
        config = CookieConfig(content_security=security)
        async with serve(application(cookie(), cookie=config)) as server:
            value = (await server.get("/write?word=pineapple")).cookie.value
        blob = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        assert (b"pineapple" in blob) is shown


async def test_cookie_needs_no_quotes() -> None:
    """With quotes, aiohttp would unquote it on its way in."""
    async with serve(application(cookie(), lifecycle=BrowserSession())) as server:
        for _ in range(4):
            value = (await server.get("/write")).cookie.value
            assert value.replace("-", "").replace("_", "").isalnum()
            assert value.isascii()


def test_attributes_are_not_those_of_another_transport() -> None:
    """Lines are put together once for each transport, whatever else is configured."""
    key = SessionKey.generate()
    plain = CookieTransport(CookieConfig(secure=False), []).line(key, 60)
    assert plain == f"id={key.value}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"
    assert CookieTransport(CookieConfig(), []).line(key, None) == (
        f"id={key.value}; Path=/; HttpOnly; Secure; SameSite=Lax"
    )


def test_handle_shows_no_secret() -> None:
    app = application(cookie())
    assert repr(app[HANDLE]) == "<SessionHandle 'id' in RecordedCookie>"
    assert SECRET not in repr(vars(app[HANDLE]))
