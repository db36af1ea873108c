"""Cookies that we did not set, or not for this: no session, no error, no trace of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest
from aiohttp import web

from aiohttp_sess import CookieConfig, CookieContentSecurity, get_session, setup
from aiohttp_sess.storage import Entry, MemoryStorage, SessionKey
from aiohttp_sess.testing import FakeClock

from .apps import HANDLE, SECRET, Recorded, application, cookie, memory, records
from .browser import serve

SIGNED = CookieConfig(content_security=CookieContentSecurity.SIGNED)
BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")

HOSTILE = [
    b"",
    b" ",
    b"x",
    b"=",
    b"==",
    b"AQ",
    b"a=b",
    b'""',
    b'"quoted"',
    b"a b",
    b"a,b",
    b"{}",
    b'{"n": 1}',
    b"%00%0d%0aSet-Cookie:%20id=x",
    b"..%2f..%2fetc%2fpasswd",
    b"session:*",
    b"'; DROP TABLE sessions; --",
    b"\x01\x02",
    b"\t\x7f",
    "schlüssel".encode(),
    "schlüssel".encode("latin-1"),
    b"\xff\xfe\xfd",
    "🔑".encode(),
    b"a" * 42,
    b"a" * 44,
    b"A" * 251,
    b"b" * 5000,
    b"\\x012",
    b"$Path=/",
]


class Reads(MemoryStorage):
    """Notes the names that the backend is asked for."""

    def __init__(self) -> None:
        super().__init__(clock=FakeClock())
        self.names: list[str] = []

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        self.names.append(name)
        return await super().read(name, ttl)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("sealed", [False, True])
async def test_hostile_cookie_is_no_session(value: bytes, sealed: bool) -> None:
    """ASVS 7.2.1, 1.2.x, 16.4.1: as usual, at most one log line, and no way to the backend."""
    inner = Reads()
    storage = Recorded(inner, FakeClock())
    app = application(storage, secret_key=SECRET if sealed else None)
    async with serve(app) as server, server.wire() as wire:
        for path in ("/read", "/write"):
            before = len(server.logged())
            answer = await wire.get(path, b"Cookie: id=" + value)
            if answer.status == 400:
                # aiohttp itself refuses control characters, before there is any request.
                assert not value.decode("latin-1").isprintable()
                return
            assert answer.status == 200
            assert answer.json == ({} if path == "/read" else {"n": 1})
            assert len(server.logged()) - before <= 1
        assert answer.cookie.value.encode() != value
        assert inner.names == []
        if sealed or not BASE64URL.fullmatch(value):
            assert "load" not in storage.calls
        words = "".join(server.logged())
        for piece in (value.decode("latin-1"), value.decode(errors="replace")):
            assert len(piece) < 4 or piece not in words


@pytest.mark.parametrize("storage", [memory, cookie])
@pytest.mark.parametrize("config", [CookieConfig(), SIGNED])
async def test_sealed_cookie_that_was_tampered_with_is_no_session(
    storage: Callable[[], Recorded], config: CookieConfig
) -> None:
    """ASVS 9.1.1, 9.2.1: any character changed, or left off at either end."""
    kept = storage()
    async with serve(application(kept, secret_key=SECRET, cookie=config)) as server:
        value = (await server.get("/write")).cookie.value
        kept.forget()
        forged = [value[:i] for i in (1, 20, len(value) - 1)] + [value[1:], value + "A", value * 2]
        for i in range(0, len(value), 9):
            forged.append(value[:i] + ("A" if value[i] != "A" else "B") + value[i + 1 :])
        for wrong in forged:
            answer = await server.get("/read", cookies={"id": wrong})
            assert (answer.status, answer.json, answer.cookies) == (200, {}, [])
        assert kept.calls == []
        assert len(server.logged()) == len(forged)
        assert (await server.get("/read")).json == {"n": 1}


async def test_key_that_nobody_issued_is_never_adopted_and_not_erased() -> None:
    """CS, strict session management. An erasure could overtake the next session's cookie."""
    storage = memory()
    async with serve(application(storage)) as server:
        unknown = SessionKey.generate().value
        answer = await server.get("/read", cookies={"id": unknown})
        assert (answer.status, answer.json, answer.cookies) == (200, {}, [])
        assert (await server.get("/purge", cookies={"id": unknown})).cookies == []
        issued = (await server.get("/write", cookies={"id": unknown})).cookie.value
        assert issued != unknown
        assert records(storage) == 1
        assert (await server.get("/read", cookies={"id": unknown})).json == {}


async def test_session_key_anywhere_else_is_none() -> None:
    """ASVS 14.2.1."""
    storage = memory()
    async with serve(application(storage)) as server, server.wire() as wire:
        key = (await server.get("/write")).cookie.value
        storage.forget()
        for line in (f"id: {key}", f"X-Session: id={key}", f"Authorization: Bearer {key}"):
            assert (await wire.get("/read", line)).json == {}
        assert (await server.get("/read", cookies={"xid": key, "id2": key, "Id": key})).json == {}
        assert storage.calls == []


# -- several cookies ------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_of_several_cookies_the_one_that_is_a_session_wins(secret: str | None) -> None:
    """ASVS 15.3.7: wherever it is, and however it is dressed."""
    junk = SessionKey.generate().value
    async with serve(application(memory(), secret_key=secret)) as server, server.wire() as wire:
        key = (await server.get("/write")).cookie.value
        for lines in (
            [f"Cookie: id={junk}; id={key}"],
            [f"Cookie: id={key}; id={junk}"],
            [f"Cookie: id=; id={key}"],
            [f"Cookie: id={junk}", f"Cookie: id={key}"],
            [f"Cookie: id={key}", f"Cookie: id={junk}"],
            [f"Cookie: a=b; c=d; id={key}; e=f"],
            [f"Cookie: xid=1; id2=2; id={key}; xid=3"],
            [f"Cookie:   \t id \t= \t{key}  \t;   x=y"],
            [f"Cookie: a=b;id={key};c=d"],
            [f"Cookie: ;;;id={key};;;"],
            [f'Cookie: a="b; c"; id={key}'],
            [f"cookie: id={key}", "COOKIE: x=y"],
            [f"Cookie: id; id={key}"],
            ["Cookie: " + f"id={junk}; " * 30 + f"id={key}"],
        ):
            answer = await wire.get("/read", *lines)
            assert (answer.status, answer.json) == (200, {"n": 1}), lines
        for lines in (
            [f"Cookie: x=id={key}"],
            [f"Cookie: a=b, id={key}"],
            [f"Cookie: xid={key}; id2={key}; -id={key}; ID={key}"],
            [f"Cookie: id={key[:20]}; {key[20:]}"],
            [f"Cookie: id=x{key}"],
            [f"Cookie: i d={key}"],
        ):
            answer = await wire.get("/read", *lines)
            assert (answer.status, answer.json) == (200, {}), lines


async def test_number_of_values_that_are_tried_is_bounded() -> None:
    storage = memory()
    async with serve(application(storage)) as server, server.wire() as wire:
        key = (await server.get("/write")).cookie.value
        storage.forget()
        junk = [f"id={SessionKey.generate().value}" for _ in range(100)]
        enough = "; ".join([*junk[:7], f"id={key}"])
        assert (await wire.get("/read", f"Cookie: {enough}")).json == {"n": 1}
        assert storage.calls == ["load"] * 8
        storage.forget()
        many = "; ".join([*junk, f"id={key}"])
        answer = await wire.get("/read", f"Cookie: {many}")
        assert (answer.status, answer.json) == (200, {})
        assert storage.calls == ["load"] * 8
        assert len(server.logged()) == 1


# -- for another cookie ---------------------------------------------------------------------------


def two_names(storage: Recorded, secret: str | None) -> web.Application:
    """Visitors and staff in one application and one storage."""

    async def read_staff(request: web.Request) -> web.Response:
        return web.json_response(dict(await get_session(request, staff)))

    async def write_staff(request: web.Request) -> web.Response:
        (await get_session(request, staff))["badge"] = 7
        return web.Response()

    app = application(
        storage, {"/staff": read_staff, "/staff/write": write_staff}, secret_key=secret
    )
    staff = setup(app, storage, secret_key=secret, cookie=CookieConfig(name="staff"))
    return app


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_session_of_one_cookie_is_none_under_another_name(secret: str | None) -> None:
    """ASVS 9.2.4: with bare keys and one storage the record itself says whose it is."""
    storage = memory()
    async with serve(two_names(storage, secret)) as server:
        visitor = (await server.get("/write")).cookie.value
        badge = (await server.get("/staff/write")).cookie.value
        storage.forget()
        for path, cookies in (("/staff", {"staff": visitor}), ("/read", {"id": badge})):
            answer = await server.get(path, cookies=cookies)
            assert (answer.status, answer.json, answer.cookies) == (200, {}, [])
        assert storage.calls == ([] if secret else ["load", "load"])
        assert (await server.get("/staff")).json == {"badge": 7}
        assert (await server.get("/read")).json == {"n": 1}
        await server.get("/purge", cookies={"id": badge})
        assert (await server.get("/staff")).json == {"badge": 7}


async def test_value_of_one_seal_does_not_open_as_another() -> None:
    """ASVS 9.1.2: also where both are made from one secret key for one cookie."""
    storage = memory()
    async with serve(application(storage, secret_key=SECRET)) as server:
        private = (await server.get("/write")).cookie.value
    async with serve(application(storage, secret_key=SECRET, cookie=SIGNED)) as server:
        assert (await server.get("/read", cookies={"id": private})).json == {}
        signed = (await server.get("/write")).cookie.value
    async with serve(application(storage, secret_key=SECRET)) as server:
        assert (await server.get("/read", cookies={"id": signed})).json == {}
        assert (await server.get("/read", cookies={"id": private})).json == {"n": 1}


async def test_bare_key_is_refused_once_there_is_a_seal() -> None:
    storage = memory()
    async with serve(application(storage)) as server:
        bare = (await server.get("/write")).cookie.value
    async with serve(application(storage, secret_key=SECRET)) as server:
        storage.forget()
        assert (await server.get("/read", cookies={"id": bare})).json == {}
        assert storage.calls == []


# -- shown nowhere --------------------------------------------------------------------------------


async def test_session_shows_its_public_id_and_never_its_key() -> None:
    """ASVS 16.2.5, 3.3.4. (Every other test looks for keys in logs and answers, too.)"""

    async def show(request: web.Request) -> web.Response:
        session = await get_session(request)
        handle = request.app[HANDLE]
        parts: list[object] = [session, session.id, handle, handle.storage, vars(handle)]
        return web.json_response([repr(part) for part in parts])

    storage = memory()
    async with serve(application(storage, {"/show": show}, secret_key=SECRET)) as server:
        await server.get("/write?word=pineapple")
        answer = await server.get("/show")
        (key,) = storage.keys
        for hidden in (key, hashlib.sha256(key.encode()).hexdigest(), "pineapple", SECRET):
            assert hidden not in answer.text
        assert answer.json[0].endswith("unchanged ['n', 'word']>")


async def test_public_id_changes_with_the_key() -> None:
    async def public_id(request: web.Request) -> web.Response:
        return web.Response(text=(await get_session(request)).id)

    async with serve(application(memory(), {"/id": public_id})) as server:
        await server.get("/write")
        first = (await server.get("/id")).text
        assert (await server.get("/id")).text == first
        await server.get("/write")
        assert (await server.get("/id")).text == first
        await server.get("/renew")
        assert (await server.get("/id")).text != first
        assert len(first) == 16
