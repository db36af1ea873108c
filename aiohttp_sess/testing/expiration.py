"""When sessions end over HTTP: the state in the storage, and the cookie's Max-Age."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from ..config import (
    BrowserSession,
    CookieConfig,
    CookieContentSecurity,
    PersistentSession,
    TtlExtensionPolicy,
)
from ..storage.interface import AbstractStorage
from .application import SampleApplication
from .clock import FakeClock

__all__ = ("ExpirationCases",)

_MINUTE = timedelta(minutes=1)
_EVERY_REQUEST = TtlExtensionPolicy.ON_EVERY_REQUEST


class ExpirationCases(SampleApplication):
    """What lets the idle TTL start anew, and what does not."""

    async def test_expiration_is_refreshed_on_changes(
        self,
        storage: AbstractStorage,
        clock: FakeClock,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
    ) -> None:
        cookie = CookieConfig(content_security=content_security)
        visitor = await self.visit(aiohttp_client, storage, cookie, PersistentSession(_MINUTE))
        first = await visitor.post("/do_something")
        assert first.max_age == 60
        assert (await visitor.get("/untouched", first.set)).cookie is None
        assert (await visitor.get("/", first.set)).cookie is None
        await self.advance(storage, clock, 50)
        second = await visitor.post("/do_something", first.set)
        assert second.max_age == 60
        await self.advance(storage, clock, 50)
        assert (await visitor.get("/", second.set)).body["counter"] == 2
        # Neither the page that did not touch it nor the one that read it has refreshed it.
        await self.advance(storage, clock, 20)
        answer = await visitor.get("/", second.set)
        assert answer.body == {"user_id": None, "counter": 0}
        assert answer.cookie is None

    @pytest.mark.parametrize("path", ["/untouched", "/"])
    async def test_expiration_is_always_refreshed_if_configured_to_refresh_on_every_request(
        self,
        storage: AbstractStorage,
        clock: FakeClock,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
        path: str,
    ) -> None:
        cookie = CookieConfig(content_security=content_security)
        lifecycle = PersistentSession(_MINUTE, _EVERY_REQUEST)
        visitor = await self.visit(aiohttp_client, storage, cookie, lifecycle)
        answer = await visitor.post("/do_something")
        assert answer.max_age == 60
        for _ in range(3):
            await self.advance(storage, clock, 50)
            answer = await visitor.get(path, answer.set)
            assert answer.max_age == 60
        latest = answer.set
        assert (await visitor.get("/", latest)).body["counter"] == 1
        await self.advance(storage, clock, 70)
        answer = await visitor.get("/", latest)
        assert answer.body["counter"] == 0
        assert answer.cookie is None

    @pytest.mark.parametrize("path", ["/untouched", "/"])
    async def test_a_browser_session_is_refreshed_on_every_request_without_max_age(
        self,
        storage: AbstractStorage,
        clock: FakeClock,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
        path: str,
    ) -> None:
        cookie = CookieConfig(content_security=content_security)
        lifecycle = BrowserSession(_MINUTE, _EVERY_REQUEST)
        visitor = await self.visit(aiohttp_client, storage, cookie, lifecycle)
        answer = await visitor.post("/do_something")
        latest = answer.set
        for _ in range(3):
            await self.advance(storage, clock, 50)
            answer = await visitor.get(path, latest)
            # A storage that keeps the TTL in the cookie sends another one.
            assert (answer.cookie is None) == storage.server_side
            latest = answer.cookie or latest
            assert latest["max-age"] == ""
        assert (await visitor.get("/", latest)).body["counter"] == 1
        await self.advance(storage, clock, 70)
        assert (await visitor.get("/", latest)).body["counter"] == 0

    async def test_a_session_ends_with_its_max_lifetime(
        self,
        storage: AbstractStorage,
        clock: FakeClock,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
    ) -> None:
        cookie = CookieConfig(content_security=content_security)
        lifecycle = PersistentSession(_MINUTE, _EVERY_REQUEST, max_lifetime=2 * _MINUTE)
        visitor = await self.visit(aiohttp_client, storage, cookie, lifecycle)
        latest = (await visitor.post("/do_something")).set
        await self.advance(storage, clock, 40)
        latest = (await visitor.get("/", latest)).set
        await self.advance(storage, clock, 40)
        renewed = await visitor.post("/login", latest, user_id="ferris")
        assert renewed.max_age == 40
        await self.advance(storage, clock, 20)
        changed = await visitor.post("/do_something", renewed.set)
        assert changed.max_age == 20
        await self.advance(storage, clock, 30)
        for cookie_of in (latest, renewed.set, changed.set):
            answer = await visitor.get("/", cookie_of)
            assert answer.body == {"user_id": None, "counter": 0}
            assert answer.cookie is None
