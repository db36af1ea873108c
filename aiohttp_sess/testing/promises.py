"""What parallel requests of one session may expect, and requests with what nobody gave them."""

from __future__ import annotations

import asyncio
import logging
from http.cookies import Morsel

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from ..config import CookieConfig, PersistentSession, TtlExtensionPolicy
from ..middleware import get_session, setup
from ..secret import SecretKey
from ..storage.interface import AbstractStorage, SessionKey
from .capabilities import Capabilities, needs
from .hostility import plant
from .visitor import Answer, Visitor

__all__ = ("PromiseCases",)

_MANY = 8
_PATIENCE = 30.0  # seconds; only ever waited for when something is broken


class _Meeting:
    """Requests to ``/held/…`` load the session and wait; then each does its thing."""

    def __init__(self) -> None:
        self._expected = 1
        self._arrived = 0
        self.all_here = asyncio.Event()
        self.go_on = asyncio.Event()

    def expect(self, requests: int) -> None:
        """How many requests there will be."""
        self._expected = requests
        self._arrived = 0
        self.all_here.clear()
        self.go_on.clear()

    async def wait(self) -> None:
        """Called by a request that is there."""
        self._arrived += 1
        if self._arrived == self._expected:
            self.all_here.set()
        async with asyncio.timeout(_PATIENCE):
            await self.go_on.wait()


_MEETING = web.AppKey("meeting", _Meeting)


async def _do(request: web.Request) -> web.Response:
    session = await get_session(request)
    if request.path.startswith("/held/"):
        await request.app[_MEETING].wait()
    what, name = request.match_info["what"], request.query.get("name", "n")
    if what == "write":
        session[name] = True
        session.update_value("count", lambda count: count + 1, default=1)
    elif what == "renew":
        session.renew()
    elif what == "purge":
        session.purge()
    return web.json_response(dict(session))


class PromiseCases(Capabilities):
    """Parallel requests lose nothing; what was ended stays ended; only our own keys are keys."""

    async def meet(
        self,
        aiohttp_client: AiohttpClient,
        storage: AbstractStorage,
        policy: TtlExtensionPolicy = TtlExtensionPolicy.ON_STATE_CHANGES,
    ) -> tuple[Visitor, _Meeting]:
        """Start an application, and visit it."""
        app = web.Application()
        setup(
            app,
            storage,
            secret_key=None if storage.server_side else SecretKey.generate(),
            cookie=CookieConfig("test-session"),
            lifecycle=PersistentSession(ttl_extension_policy=policy),
        )
        app[_MEETING] = meeting = _Meeting()
        app.router.add_get("/{what}", _do)
        app.router.add_get("/held/{what}", _do)
        return await Visitor.of(aiohttp_client, app, "test-session"), meeting

    @needs("detects_conflicts")
    async def test_parallel_requests_lose_nothing(
        self, storage: AbstractStorage, aiohttp_client: AiohttpClient
    ) -> None:
        visitor, meeting = await self.meet(aiohttp_client, storage)
        cookie = (await visitor.get("/write?name=first")).set
        meeting.expect(_MANY)
        requests = [
            asyncio.ensure_future(visitor.get(f"/held/write?name={n}", cookie))
            for n in range(_MANY)
        ]
        await self._all_here(meeting)
        answers = await asyncio.gather(*requests)
        assert {answer.status for answer in answers} == {200}
        state = (await visitor.get("/read", cookie)).body
        assert state == {"first": True, "count": _MANY + 1} | {str(n): True for n in range(_MANY)}

    @needs("ends_sessions_early")
    @pytest.mark.parametrize("late", ["write", "renew", "purge", "read"])
    @pytest.mark.parametrize("end", ["purge", "renew"])
    async def test_what_was_ended_stays_ended(
        self, storage: AbstractStorage, aiohttp_client: AiohttpClient, end: str, late: str
    ) -> None:
        """A request that was under way when the session ended, and goes on after that."""
        policy = TtlExtensionPolicy.ON_EVERY_REQUEST
        visitor, meeting = await self.meet(aiohttp_client, storage, policy)
        cookie = (await visitor.get("/write?name=first")).set
        answer, ended = await self._while_held(
            visitor, meeting, f"/held/{late}?name=late", f"/{end}", cookie
        )
        assert answer.status == 200
        if late == "purge":
            assert answer.cookie is None or answer.cookie.value == ""
        else:
            # Not even an erasure, which would take the cookie of the next session with it.
            assert answer.cookie is None
        gone = await visitor.get("/read", cookie)
        assert (gone.body, gone.cookie) == ({}, None)
        if end == "renew":
            state = (await visitor.get("/read", ended.set)).body
            assert state == {"first": True, "count": 1}

    @needs("ends_sessions_early", "detects_conflicts")
    async def test_a_renewal_takes_along_what_was_written_meanwhile(
        self, storage: AbstractStorage, aiohttp_client: AiohttpClient
    ) -> None:
        visitor, meeting = await self.meet(aiohttp_client, storage)
        cookie = (await visitor.get("/write?name=first")).set
        answer, _ = await self._while_held(
            visitor, meeting, "/held/renew", "/write?name=meanwhile", cookie
        )
        assert answer.set.value != cookie.value
        state = (await visitor.get("/read", answer.set)).body
        assert state == {"first": True, "meanwhile": True, "count": 2}
        assert (await visitor.get("/read", cookie)).body == {}

    @needs("ends_sessions_early")
    async def test_of_parallel_renewals_one_session_is_left(
        self, storage: AbstractStorage, aiohttp_client: AiohttpClient
    ) -> None:
        visitor, meeting = await self.meet(aiohttp_client, storage)
        cookie = (await visitor.get("/write?name=first")).set
        meeting.expect(_MANY)
        requests = [asyncio.ensure_future(visitor.get("/held/renew", cookie)) for _ in range(_MANY)]
        await self._all_here(meeting)
        answers = await asyncio.gather(*requests)
        new = [answer.cookie for answer in answers if answer.cookie is not None]
        assert len(new) == 1
        assert (await visitor.get("/read", new[0])).body == {"first": True, "count": 1}
        assert (await visitor.get("/read", cookie)).body == {}

    @needs("server_side")
    async def test_a_key_from_the_client_is_never_adopted(
        self, storage: AbstractStorage, aiohttp_client: AiohttpClient
    ) -> None:
        """OWASP Session Management Cheat Sheet: strict session management."""
        visitor, _ = await self.meet(aiohttp_client, storage)
        chosen = SessionKey.generate()
        answer = await visitor.get("/read", chosen.value)
        assert (answer.status, answer.body, answer.cookie) == (200, {}, None)
        answer = await visitor.get("/write", chosen.value)
        assert answer.set.value != chosen.value
        assert await storage.load(chosen) is None

    @pytest.mark.parametrize(
        "value",
        ["", "x", "a" * 251, "A" * 5000, "a b", "{a}", "*", '"\\015\\012"', "%0d%0a", "ключ"],
    )
    async def test_a_hostile_cookie_is_no_session(
        self, storage: AbstractStorage, aiohttp_client: AiohttpClient, value: str
    ) -> None:
        visitor, _ = await self.meet(aiohttp_client, storage)
        answer = await visitor.get("/read", value)
        assert (answer.status, answer.body, answer.cookie) == (200, {}, None)

    @needs("keyed")
    async def test_a_record_that_cannot_be_read_is_an_empty_session(
        self,
        storage: AbstractStorage,
        aiohttp_client: AiohttpClient,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        keyed = self.keyed_storage(storage)
        visitor, _ = await self.meet(aiohttp_client, storage)
        cookie = (await visitor.get("/write?name=first")).set
        await plant(keyed, SessionKey(cookie.value), b"what nobody can read")
        with caplog.at_level(logging.WARNING, "aiohttp_sess"):
            answer = await visitor.get("/read", cookie)
        assert (answer.status, answer.body) == (200, {})
        assert any(record.levelno == logging.WARNING for record in caplog.records)
        assert cookie.value not in caplog.text
        # And it goes on under its key.
        answer = await visitor.get("/write?name=second", cookie)
        assert answer.set.value == cookie.value
        assert (await visitor.get("/read", cookie)).body == {"second": True, "count": 1}

    async def _all_here(self, meeting: _Meeting) -> None:
        async with asyncio.timeout(_PATIENCE):
            await meeting.all_here.wait()
        meeting.go_on.set()

    async def _while_held(
        self, visitor: Visitor, meeting: _Meeting, held: str, meanwhile: str, cookie: Morsel[str]
    ) -> tuple[Answer, Answer]:
        """Send ``held``; while it has the session and waits, do all of ``meanwhile``."""
        meeting.expect(1)
        request = asyncio.ensure_future(visitor.get(held, cookie))
        async with asyncio.timeout(_PATIENCE):
            await meeting.all_here.wait()
        done = await visitor.get(meanwhile, cookie)
        meeting.go_on.set()
        return await request, done
