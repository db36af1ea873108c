"""Commands to Redis that leave together: as one pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster

from .batches import Batches

__all__ = ("Pipelines",)

_EXCHANGES = 4

# Positional and named arguments of `execute_command`.
_Command = tuple[tuple[Any, ...], dict[str, Any]]


class Pipelines(Batches[_Command]):
    """Sends commands to Redis.

    :param client: of ``redis.asyncio``.
    :param timeout: seconds that a command may take, waiting for its turn included.
    """

    def __init__(self, client: Redis | RedisCluster, *, timeout: float) -> None:
        # A pool that is smaller than that raises when it is asked for one connection too many.
        pool = getattr(client, "connection_pool", None)
        exchanges = min(_EXCHANGES, getattr(pool, "max_connections", _EXCHANGES))
        super().__init__(timeout=timeout, exchanges=exchanges)
        self._client = client

    def send(self, *arguments: Any, **options: Any) -> Awaitable[Any]:
        """The reply to a command, as `execute_command` would answer it: see `ask`."""
        return self.ask((arguments, options))

    def send_all(self, commands: Sequence[tuple[Any, ...]], **options: Any) -> Awaitable[list[Any]]:
        """The replies to several commands: see `ask_all`."""
        return self.ask_all([(arguments, options) for arguments in commands])

    async def exchange_one(self, command: _Command) -> Any:
        arguments, options = command
        return await self._client.execute_command(*arguments, **options)

    async def exchange(self, commands: Sequence[_Command]) -> Sequence[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for arguments, options in commands:
            pipeline.execute_command(*arguments, **options)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies
