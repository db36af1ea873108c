"""A visitor's way through an application: pages, login, a guarded page, logout."""

from __future__ import annotations

from datetime import timedelta

from pytest_aiohttp.plugin import AiohttpClient

from ..config import CookieConfig, CookieContentSecurity, PersistentSession
from ..storage.interface import AbstractStorage
from .application import SampleApplication

__all__ = ("WorkflowCases",)

_WEEK = timedelta(days=7)


class WorkflowCases(SampleApplication):
    """What a client gets to see."""

    async def test_basic_workflow(
        self,
        storage: AbstractStorage,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
    ) -> None:
        cookie = CookieConfig(
            "aiohttp-test", domain="localhost", path="/test/", content_security=content_security
        )
        lifecycle = PersistentSession(timedelta(seconds=100))
        visitor = await self.visit(aiohttp_client, storage, cookie, lifecycle)
        answer = await visitor.post("/do_something")
        assert answer.set["path"] == "/test/"
        assert answer.set["domain"] == "localhost"
        assert answer.max_age == 100
        answer = await visitor.get("/test/", answer.set)
        assert answer.body == {"user_id": None, "counter": 1}
        assert answer.cookie is None

    async def test_complex_workflow(
        self,
        storage: AbstractStorage,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
    ) -> None:
        cookie = CookieConfig("test-session", content_security=content_security)
        visitor = await self.visit(aiohttp_client, storage, cookie, PersistentSession(_WEEK))

        # Nothing in the session: it is not saved.
        answer = await visitor.get("/")
        assert answer.cookie is None
        assert answer.body == {"user_id": None, "counter": 0}

        # Written to: it begins.
        answer = await visitor.post("/do_something")
        cookie_1 = answer.set
        assert answer.max_age == _WEEK.total_seconds()
        assert answer.body == {"user_id": None, "counter": 1}

        # Only read: nothing is sent.
        answer = await visitor.get("/", cookie_1)
        assert answer.cookie is None
        assert answer.body == {"user_id": None, "counter": 1}

        # Written to again: the cookie is set anew.
        answer = await visitor.post("/do_something", cookie_1)
        cookie_2 = answer.set
        assert answer.max_age == _WEEK.total_seconds()
        assert answer.body == {"user_id": None, "counter": 2}

        # Login: a new session key.
        answer = await visitor.post("/login", cookie_2, user_id="ferris")
        cookie_3 = answer.set
        assert cookie_3.value != cookie_2.value
        assert answer.body == {"user_id": "ferris", "counter": 2}
        answer = await visitor.get("/", cookie_3)
        assert answer.body == {"user_id": "ferris", "counter": 2}
        answer = await visitor.post("/do_something", cookie_3)
        latest = answer.set
        assert answer.body == {"user_id": "ferris", "counter": 3}

        # The key from before the login is dead, and its cookie is not erased: the next session's
        # may be set already.
        answer = await visitor.get("/", cookie_2)
        if self.ends_sessions_early:
            assert answer.cookie is None
            assert answer.body == {"user_id": None, "counter": 0}
        else:
            assert answer.body == {"user_id": None, "counter": 2}

        # Logout: the cookie is erased.
        answer = await visitor.post("/logout", latest)
        assert answer.max_age == 0
        assert answer.set["path"] == "/"
        assert answer.set.value == ""
        answer = await visitor.get("/", answer.set)
        assert answer.body == {"user_id": None, "counter": 0}
        if self.ends_sessions_early:
            # Also for who has kept it.
            for kept in (cookie_3, latest):
                answer = await visitor.get("/", kept)
                assert answer.cookie is None
                assert answer.body == {"user_id": None, "counter": 0}

    async def test_guard(
        self,
        storage: AbstractStorage,
        content_security: CookieContentSecurity | None,
        aiohttp_client: AiohttpClient,
    ) -> None:
        cookie = CookieConfig("test-session", content_security=content_security)
        visitor = await self.visit(aiohttp_client, storage, cookie, PersistentSession(_WEEK))
        answer = await visitor.get("/protected/count")
        assert answer.status == 403
        assert answer.cookie is None
        answer = await visitor.post("/login", user_id="ferris")
        answer = await visitor.post("/do_something", answer.set)
        assert answer.body == {"user_id": "ferris", "counter": 1}
        answer = await visitor.get("/protected/count", answer.set)
        assert answer.status == 200
        assert answer.body == {"user_id": "ferris", "counter": 1}
