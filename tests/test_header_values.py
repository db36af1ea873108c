"""The session header's value: which are taken, what seals it, and how long it may be."""

from __future__ import annotations

import pytest
from aiohttp import web

from aiohttp_sess import (
    CookieConfig,
    CookieContentSecurity,
    CookieTooLarge,
    HeaderConfig,
    HeaderTooLarge,
    get_session,
)
from aiohttp_sess.storage import SessionKey

from .apps import OTHER_SECRET, SECRET, application, cookie, memory
from .browser import HEADER, serve
from .header_client import HeaderClient

SIGNED = HeaderConfig(content_security=CookieContentSecurity.SIGNED)

# -- the value ------------------------------------------------------------------------------------


async def test_of_several_values_the_one_that_is_a_session_wins() -> None:
    """In lines of their own, or in one, as proxies may join them (RFC 9110 §5.3)."""
    junk = SessionKey.generate().value
    async with serve(application(memory(), header=HeaderConfig())) as server:
        client = HeaderClient(server)
        await client.get("/write")
        key = client.value
        async with server.wire() as wire:
            for lines in (
                [f"x-session-key:{key}"],
                [f"X-SESSION-KEY: \t{key} \t"],
                [f"{HEADER}: {junk}", f"{HEADER}: {key}"],
                [f"{HEADER}: {key}", f"{HEADER}: {junk}"],
                [f"{HEADER}: {junk},{key}"],
                [f"{HEADER}: ", f"{HEADER}: , {key} ,"],
            ):
                assert (await wire.get("/read", *lines)).json == {"n": 1}, lines
            for value in (f"{key} {junk}", f'"{key}"', f"id={key}", f"Bearer {key}", key[:-1]):
                answer = await wire.get("/read", f"{HEADER}: {value}")
                assert (answer.status, answer.json) == (200, {}), value
            for line in (f"X-Session-Key2: {key}", f"Session-Key: {key}", f"Authorization: {key}"):
                assert (await wire.get("/read", line)).json == {}
            # ASVS 14.2.1: never in a URL. (Not as it is, or the access log would have it.)
            masked = "".join(f"%{ord(character):x}" for character in key)
            assert (await wire.get(f"/read?{HEADER}={masked}", f"{HEADER}: ")).json == {}


@pytest.mark.parametrize("value", [b"", b" ", b",,", b"x", b"a=b", b"\xff\xfe", b"b" * 5000])
@pytest.mark.parametrize("secret", [None, SECRET])
async def test_hostile_header_is_no_session(value: bytes, secret: str | None) -> None:
    """At most one line in the log, none for an empty header; if sealed, no way to the storage."""
    storage = memory()
    app = application(storage, secret_key=secret, header=HeaderConfig())
    async with serve(app) as server, server.wire() as wire:
        answer = await wire.get("/read", b"X-Session-Key: " + value)
        assert (answer.status, answer.json) == (200, {})
        assert len(server.logged()) <= bool(value.strip(b" ,"))
        assert all("session header 'x-session-key'" in line for line in server.logged())
        if secret:
            assert storage.calls == []


async def test_number_of_values_that_are_tried_is_bounded() -> None:
    """ASVS 15.2.2."""
    storage = memory()
    async with serve(application(storage, header=HeaderConfig())) as server:
        client = HeaderClient(server)
        await client.get("/write")
        storage.forget()
        junk = [SessionKey.generate().value for _ in range(100)]
        client.value = ", ".join([*junk[:7], client.value])
        assert (await client.get("/read")).json == {"n": 1}
        assert storage.calls == ["load"] * 8
        storage.forget()
        client.value = ",".join([*junk, client.value.rpartition(" ")[2]])
        assert (await client.get("/read")).json == {}
        assert storage.calls == ["load"] * 8


# -- the seal -------------------------------------------------------------------------------------


async def test_value_is_bound_to_the_header_and_its_name() -> None:
    """ASVS 9.2.4: a cookie's value never opens as a header's, nor the other way round."""
    storage = memory()
    same = HEADER.lower()  # so that it is the kind of thing alone that tells them apart
    app = application(
        storage, secret_key=SECRET, header=HeaderConfig(), cookie=CookieConfig(name=same)
    )
    async with serve(app) as server:
        baked = (await server.get("/write")).cookie.value
        client = HeaderClient(server)
        value = (await client.get("/write")).headers[HEADER]
        storage.forget()
        assert (await HeaderClient(server, baked).get("/read")).json == {}
        assert (await server.get("/read", cookies={same: value})).json == {}
        assert storage.calls == []
        assert len(server.logged()) == 2
    for header, opens in (
        (HeaderConfig("x-SESSION-key"), True),
        (HeaderConfig("X-Session"), False),
        (SIGNED, False),
    ):
        app = application(storage, secret_key=SECRET, header=header, cookie=CookieConfig(name=same))
        async with serve(app) as server:
            sent = {header.name: value}
            answer = await server.get("/read", cookies={}, headers=sent)
            assert answer.json == ({"n": 1} if opens else {})


async def test_secret_keys_rotate() -> None:
    storage = memory()

    def app(*keys: str) -> web.Application:
        return application(storage, secret_key=list(keys), header=HeaderConfig())

    async with serve(app(OTHER_SECRET)) as server:
        client = HeaderClient(server)
        await client.get("/write")
        old = client.value
    async with serve(app(SECRET, OTHER_SECRET)) as server:
        client = HeaderClient(server, old)
        assert (await client.get("/write")).json == {"n": 2}
    async with serve(app(SECRET)) as server:
        assert (await HeaderClient(server, old).get("/read")).json == {}
        assert (await HeaderClient(server, client.value).get("/read")).json == {"n": 2}


# -- size -----------------------------------------------------------------------------------------


async def fill(request: web.Request) -> web.Response:
    (await get_session(request))["t"] = "x" * int(request.query["size"])
    return web.Response()


async def test_header_of_8000_bytes_is_sent_and_a_longer_one_is_not() -> None:
    """Both ways: aiohttp itself takes 8190."""
    app = application(cookie(), {"/fill": fill}, header=HeaderConfig())
    async with serve(app) as server:
        client = HeaderClient(server)
        sizes = []
        size = 5700
        while (await client.get(f"/fill?size={size}")).status == 200:
            sizes.append(len(HEADER + client.value))
            size += 1
        # Three bytes are four characters of base64url.
        assert 8000 - 2 <= sizes[-1] <= 8000
        assert len((await client.get("/read")).json["t"]) == size - 1
        assert HeaderTooLarge.__name__ in server.causes()
        # A browser gets no more than a cookie can hold.
        assert (await server.get("/fill?size=4000")).status == 500


async def test_size_is_told() -> None:
    seen: list[str] = []

    async def make_room(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["t"] = "x" * 9000
        with pytest.raises(CookieTooLarge) as caught:  # whatever it travels by
            await session.save()
        seen.append(f"{caught.value}")
        del session["t"]
        return web.Response()

    app = application(cookie(), {"/room": make_room}, header=HeaderConfig())
    async with serve(app) as server:
        assert (await HeaderClient(server).get("/room")).status == 200
        assert (await server.get("/room")).status == 200
    assert "session header takes 121" in seen[0]
    assert "bytes of at most 8000" in seen[0]
    assert "bytes of at most 4096" in seen[1]
