"""A visitor of an application in the suite: it sends the cookies it is told to, and keeps none."""

from __future__ import annotations

from dataclasses import dataclass
from http.cookies import Morsel
from typing import Any

from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

__all__ = ("Answer", "Visitor")


@dataclass(frozen=True)
class Answer:
    """A response.

    :param cookie: the session cookie that it sets; None: it sets no cookie at all.
    :param body: its JSON, if it has any.
    """

    status: int
    cookie: Morsel[str] | None
    body: Any

    @property
    def set(self) -> Morsel[str]:
        """The session cookie, which must be there."""
        assert self.cookie is not None, "there is no Set-Cookie"
        return self.cookie

    @property
    def max_age(self) -> int | None:
        """The cookie's Max-Age in seconds."""
        max_age = self.set["max-age"]
        return int(max_age) if max_age else None


class Visitor:
    """Sends requests to a running application.

    :param name: the name of its session cookie.
    """

    def __init__(self, client: TestClient[Any, Any], name: str) -> None:
        self._client = client
        self._name = name

    @classmethod
    async def of(cls, aiohttp_client: AiohttpClient, app: web.Application, name: str) -> Visitor:
        """A visitor of ``app``, which is started for it."""
        return cls(await aiohttp_client(app, cookie_jar=DummyCookieJar()), name)

    async def get(self, path: str, cookie: Morsel[str] | str | None = None) -> Answer:
        """Send a GET, with a session cookie if one is given."""
        return await self._send("GET", path, cookie)

    async def post(
        self, path: str, cookie: Morsel[str] | str | None = None, **fields: str
    ) -> Answer:
        """Send a POST with ``fields`` as JSON."""
        return await self._send("POST", path, cookie, json=fields)

    async def _send(
        self, method: str, path: str, cookie: Morsel[str] | str | None, **options: Any
    ) -> Answer:
        headers = {}
        if cookie is not None:
            value = cookie if isinstance(cookie, str) else cookie.value
            headers["Cookie"] = f"{self._name}={value}"
        async with self._client.request(method, path, headers=headers, **options) as response:
            body = await response.json() if response.content_type == "application/json" else None
            lines = response.headers.getall("Set-Cookie", ())
            assert list(response.cookies) == [self._name] * len(lines)
            return Answer(response.status, response.cookies.get(self._name), body)
