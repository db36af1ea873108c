"""What happens at the end of a request: the table of statuses, storage calls and cookies."""

from __future__ import annotations

import hashlib

import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from aiohttp_sess import CookieConfig, SecretKey, SessionStatus, get_session, new_session
from aiohttp_sess.storage import MemoryStorage, SessionKey
from aiohttp_sess.transport import CookieTransport

from .apps import HANDLE, SECRET, Recorded, application, cookie, memory, records
from .browser import serve
from .wire import SetCookie


@pytest.fixture(params=[memory, cookie])
def storage(request: pytest.FixtureRequest) -> Recorded:
    storage: Recorded = request.param()
    return storage


class CountingTransport(CookieTransport):
    """Counts how often cookies are looked at."""

    reads = 0

    def read(self, headers: CIMultiDictProxy[str]) -> list[SessionKey]:
        self.reads += 1
        return super().read(headers)


async def test_request_that_never_asks_costs_nothing(storage: Recorded) -> None:
    app = application(storage)
    transport = CountingTransport(CookieConfig(), [SecretKey(SECRET)])
    app[HANDLE].transport = transport
    async with serve(app) as server:
        await server.get("/write")
        storage.forget()
        transport.reads = 0
        answer = await server.get("/")
        assert answer.status == 200
    assert storage.calls == ["close"]
    assert transport.reads == 0
    assert answer.cookies == []
    assert "Vary" not in answer.headers
    assert "Cache-Control" not in answer.headers


async def test_reading_a_new_session_costs_no_call_and_sends_no_cookie(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        answer = await server.get("/read")
        assert storage.calls == []
    assert answer.cookies == []
    assert answer.headers["Vary"] == "Cookie"


async def empty_again(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["n"] = 1
    del session["n"]
    session.renew()
    return web.json_response(session.new)


async def test_new_session_that_ends_empty_is_not_saved(storage: Recorded) -> None:
    async with serve(application(storage, {"/empty": empty_again})) as server:
        answer = await server.get("/empty")
        assert storage.calls == []
    assert answer.json is True
    assert answer.cookies == []


async def test_new_session_is_saved_and_its_cookie_set(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        answer = await server.get("/write")
        assert storage.calls == ["save"]
        assert answer.cookie.name == "id"
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await server.get("/read")).json == {"n": 1}


async def test_reading_costs_one_call_and_sets_no_cookie(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        await server.get("/write")
        storage.forget()
        answer = await server.get("/read")
        assert storage.calls == ["load"]
    assert answer.cookies == []
    assert "Cache-Control" not in answer.headers


async def test_changing_costs_two_calls_and_sets_the_cookie(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        before = (await server.get("/write")).cookie.value
        storage.forget()
        after = (await server.get("/write")).cookie.value
        assert storage.calls == ["load", "update"]
        assert (after == before) is storage.server_side
        assert (await server.get("/read")).json == {"n": 2}


async def change_in_place(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.setdefault("basket", {"items": []})["items"].append("apple")
    return web.json_response(session.status.value)


async def test_change_deep_inside_a_value_is_saved(storage: Recorded) -> None:
    async with serve(application(storage, {"/add": change_in_place})) as server:
        await server.get("/add")
        storage.forget()
        assert (await server.get("/add")).json == "changed"
        assert storage.calls == ["load", "update"]
        assert (await server.get("/read")).json == {"basket": {"items": ["apple", "apple"]}}


async def mark_changed(request: web.Request) -> web.Response:
    (await get_session(request)).changed()
    return web.Response()


async def clear(request: web.Request) -> web.Response:
    (await get_session(request)).clear()
    return web.Response()


async def test_session_is_saved_when_marked_as_changed(storage: Recorded) -> None:
    async with serve(application(storage, {"/changed": mark_changed})) as server:
        await server.get("/write")
        storage.forget()
        assert (await server.get("/changed")).cookie
        assert storage.calls == ["load", "update"]


async def test_cleared_session_goes_on_under_its_key(storage: Recorded) -> None:
    async with serve(application(storage, {"/clear": clear})) as server:
        before = (await server.get("/write")).cookie.value
        storage.forget()
        after = (await server.get("/clear")).cookie.value
        assert storage.calls == ["load", "update"]
        assert (after == before) is storage.server_side
        assert (await server.get("/read")).json == {}


async def test_renewal_moves_the_state_to_a_new_key(storage: Recorded) -> None:
    """ASVS 7.2.4: a new token, and the old one is dead wherever a storage can see to that."""
    async with serve(application(storage)) as server:
        before = (await server.get("/write")).cookie.value
        storage.forget()
        after = (await server.get("/renew")).cookie.value
        assert storage.calls == ["load", "save", "delete"]
        assert after != before
        assert (await server.get("/read")).json == {"n": 1}
        if storage.server_side:
            assert records(storage) == 1
            assert (await server.get("/read", cookies={"id": before})).json == {}


async def renew_and_change(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.renew()
    session["user"] = "anna"
    assert session.status is SessionStatus.RENEWED
    return web.Response()


async def test_renewed_stays_renewed_when_the_state_changes_later(storage: Recorded) -> None:
    async with serve(application(storage, {"/login": renew_and_change})) as server:
        before = (await server.get("/write")).cookie.value
        assert (await server.get("/login")).cookie.value != before
        assert (await server.get("/read")).json == {"n": 1, "user": "anna"}


async def test_purge_ends_the_session_and_erases_the_cookie(storage: Recorded) -> None:
    """ASVS 7.4.1."""
    async with serve(application(storage)) as server:
        before = (await server.get("/write")).cookie.value
        storage.forget()
        answer = await server.get("/purge")
        assert storage.calls == ["load", "delete"]
        assert answer.cookie.value == ""
        assert answer.cookie.attributes["max-age"] == "0"
        assert answer.headers["Cache-Control"] == "no-store"
        assert server.cookies == {}
        if storage.server_side:
            assert records(storage) == 0
            assert (await server.get("/read", cookies={"id": before})).json == {}


async def purge_and_write(request: web.Request) -> web.Response:
    session = await new_session(request)
    session["fresh"] = True
    return web.json_response({"new": session.new, "id": session.id})


async def test_what_is_written_after_a_purge_begins_a_fresh_session(storage: Recorded) -> None:
    async with serve(application(storage, {"/again": purge_and_write})) as server:
        before = (await server.get("/write")).cookie.value
        storage.forget()
        answer = await server.get("/again")
        assert storage.calls == ["load", "delete", "save"]
        assert answer.json["new"] is True
        assert answer.cookie.value != before
        assert (await server.get("/read")).json == {"fresh": True}
        if storage.server_side:
            assert (await server.get("/read", cookies={"id": before})).json == {}


async def test_purge_of_a_session_that_never_was_says_nothing(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        assert (await server.get("/purge")).cookies == []
        assert storage.calls == []


async def test_unhandled_exception_saves_nothing_and_sets_nothing(storage: Recorded) -> None:
    async with serve(application(storage)) as server:
        assert (await server.get("/crash")).status == 500
        await server.get("/write")
        storage.forget()
        answer = await server.get("/crash")
        assert answer.status == 500
        assert answer.cookies == []
        assert storage.calls == ["load"]
        assert (await server.get("/read")).json == {"n": 1}


# -- records that cannot be read ------------------------------------------------------------------


async def spoil(storage: MemoryStorage, key: str, value: bytes = b"garbage of some length") -> None:
    name = storage.key_prefix + hashlib.sha256(key.encode()).hexdigest()
    assert await storage.remove(name)
    assert await storage.add(name, value, 60)


@pytest.mark.parametrize("garbage", [b"x", b"garbage of some length", b"s" * 16 + b"[2]"])
async def test_record_that_cannot_be_read_begins_empty_under_its_key(garbage: bytes) -> None:
    """ASVS 1.5.2."""
    storage = memory()
    async with serve(application(storage)) as server:
        key = (await server.get("/write")).cookie.value
        assert isinstance(storage.inner, MemoryStorage)
        await spoil(storage.inner, key, garbage)
        storage.forget()
        answer = await server.get("/read")
        assert (answer.status, answer.json, answer.cookies) == (200, {}, [])
        assert storage.calls == ["load"]
        assert len(server.logged()) == 1
        assert (await server.get("/write")).cookie.value == key
        assert (await server.get("/write")).json == {"n": 2}


async def test_record_that_cannot_be_read_can_be_purged_and_renewed() -> None:
    storage = memory()
    assert isinstance(storage.inner, MemoryStorage)
    async with serve(application(storage)) as server:
        key = (await server.get("/write")).cookie.value
        await spoil(storage.inner, key)
        assert (await server.get("/renew")).cookie.value != key
        await spoil(storage.inner, server.cookies["id"])
        await server.get("/purge")
        assert records(storage) == 0


async def test_sealed_key_of_another_storage_is_no_session() -> None:
    """As when an application moves from a storage on the server to one in the cookie."""
    async with serve(application(memory(), secret_key=SECRET)) as server:
        moved = (await server.get("/write")).cookie.value
    async with serve(application(cookie())) as server:
        for path in ("/read", "/purge"):
            answer = await server.get(path, cookies={"id": moved})
            assert (answer.status, answer.cookies) == (200, [])
        assert (await server.get("/write", cookies={"id": moved})).json == {"n": 1}


async def test_sealed_record_that_cannot_be_read_is_no_session() -> None:
    """As when an application goes back to an older release: no key to begin under."""
    app = application(cookie())
    line = app[HANDLE].transport.line(SessionKey('99999999999:[2,"","id"]'), None)
    newer = {"id": SetCookie.parse(line).value}
    async with serve(app) as server:
        answer = await server.get("/read", cookies=newer)
        assert (answer.status, answer.json, answer.cookies) == (200, {}, [])
        assert len(server.logged()) == 1
        assert (await server.get("/purge", cookies=newer)).cookies == []
        assert (await server.get("/write", cookies=newer)).json == {"n": 1}


async def test_created_is_told_by_the_clock_and_never_moves() -> None:
    storage = memory()
    created: list[float] = []

    async def note(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = 1
        created.append(session.created.timestamp())
        return web.Response()

    async with serve(application(storage, {"/note": note})) as server:
        await server.get("/note")
        began = storage.clock.now
        storage.clock.advance(3600)
        await server.get("/note")
        await server.get("/renew")
        await server.get("/note")
    assert created == [began] * 3
