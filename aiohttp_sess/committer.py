"""What a session asks of the request that it belongs to."""

from __future__ import annotations

from typing import Protocol

from .sockets import Binding, Socket

__all__ = ("Committer",)


class Committer(Protocol):
    """Who can save a session and load it again, while its request is under way."""

    async def save(self) -> None: ...

    async def reload(self) -> bool: ...

    async def bind(self, socket: Socket, check_every: float) -> Binding: ...
