"""Sessions that are refreshed sparingly, over HTTP; and how long ago a login was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from ..config import (
    BrowserSession,
    CookieConfig,
    CookieContentSecurity,
    Lifecycle,
    PersistentSession,
    TtlExtensionPolicy,
)
from ..storage.interface import AbstractStorage
from .application import SampleApplication
from .clock import FakeClock

__all__ = ("SparingCases",)

_TTL = timedelta(seconds=200)
_EVERY_REQUEST = TtlExtensionPolicy.ON_EVERY_REQUEST


class SparingCases(SampleApplication):
    """With half of the TTL that goes by before a request lets it start anew."""

    @pytest.mark.parametrize("path", ["/untouched", "/"])
    @pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
    async def test_a_refresh_is_done_when_half_of_the_ttl_has_gone(
        self,
        storage: AbstractStorage,
        clock: FakeClock,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
        kind: Callable[..., Lifecycle],
        path: str,
    ) -> None:
        cookie = CookieConfig(content_security=content_security)
        lifecycle = kind(_TTL, _EVERY_REQUEST, refresh_after=0.5)
        visitor = await self.visit(aiohttp_client, storage, cookie, lifecycle)
        latest = (await visitor.post("/do_something")).set
        for _ in range(2):
            for _ in range(2):
                await self.advance(storage, clock, 45)
                assert (await visitor.get(path, latest)).cookie is None
            await self.advance(storage, clock, 20)
            answer = await visitor.get(path, latest)
            if kind is PersistentSession:
                assert answer.max_age == 200
            else:
                # A storage that keeps the TTL in the cookie sends another one.
                assert (answer.cookie is None) == storage.server_side
            latest = answer.cookie or latest
        assert (await visitor.get("/", latest)).body["counter"] == 1
        await self.advance(storage, clock, 210)
        assert (await visitor.get("/", latest)).body["counter"] == 0

    @pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
    async def test_a_session_lives_for_half_of_its_ttl_after_its_last_request(
        self,
        storage: AbstractStorage,
        clock: FakeClock,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
        kind: Callable[..., Lifecycle],
    ) -> None:
        cookie = CookieConfig(content_security=content_security)
        lifecycle = kind(_TTL, _EVERY_REQUEST, refresh_after=0.5)
        visitor = await self.visit(aiohttp_client, storage, cookie, lifecycle)
        latest = (await visitor.post("/do_something")).set
        await self.advance(storage, clock, 90)
        assert (await visitor.get("/", latest)).cookie is None
        await self.advance(storage, clock, 100)
        assert (await visitor.get("/", latest)).body["counter"] == 1

    async def test_a_login_is_a_while_ago_after_a_while(
        self,
        storage: AbstractStorage,
        clock: FakeClock,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
    ) -> None:
        cookie = CookieConfig(content_security=content_security)
        lifecycle = PersistentSession(_TTL, _EVERY_REQUEST)
        visitor = await self.visit(aiohttp_client, storage, cookie, lifecycle)
        latest = (await visitor.post("/do_something")).set
        assert (await visitor.get("/fresh", latest)).body is False
        for _ in range(2):
            answer = await visitor.post("/login", latest, user_id="ferris")
            assert (await visitor.get("/fresh", answer.set)).body is True
            await self.advance(storage, clock, 50)
            answer = await visitor.post("/do_something", answer.set)
            assert (await visitor.get("/fresh", answer.set)).body is True
            await self.advance(storage, clock, 20)
            answer = await visitor.post("/do_something", answer.set)
            assert (await visitor.get("/fresh", answer.set)).body is False
            latest = answer.set
