"""A client without cookies: it keeps what the session header says, and sends it back."""

from __future__ import annotations

from collections.abc import Mapping

from .browser import HEADER, Server
from .wire import Answer


class HeaderClient:
    """Asks as an app does that has a session header.

    :param server: the running application.
    :param value: what it has; "" : nothing yet.
    """

    def __init__(self, server: Server, value: str = "") -> None:
        self._server = server
        self.value = value

    async def get(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask, and keep what is said.

        :param cookies: send these, too.
        """
        if self.value:
            self._server.secrets.add(self.value)
        answer = await self._server.get(
            path,
            method=method,
            cookies=cookies or {},
            headers={HEADER: self.value, **(headers or {})},
        )
        assert answer.cookies == []
        self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Take what an answer says, if it says anything."""
        for value in answer.headers.getall(HEADER, []):
            self.value = value
