"""Commands to Redis that leave together: as one pipeline, of merged ones where that can be."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ClusterCrossSlotError, NoPermissionError, NoScriptError, ResponseError

from .batches import EXCHANGES, Batches
from .merged import ASK_AGAIN, NO_OPTIONS, Command, answers, merged

__all__ = ("Pipelines",)

# A server that may not, or cannot, is not asked again.
_NEVER = (NoPermissionError, ClusterCrossSlotError)


class Pipelines(Batches[Command]):
    """Sends commands to Redis.

    :param client: of ``redis.asyncio``.
    :param timeout: seconds that a command may take, waiting for its turn included.
    """

    def __init__(self, client: Redis | RedisCluster, *, timeout: float) -> None:
        # A pool that is smaller than that raises when it is asked for one connection too many.
        pool = getattr(client, "connection_pool", None)
        exchanges = min(EXCHANGES, getattr(pool, "max_connections", EXCHANGES))
        super().__init__(timeout=timeout, exchanges=exchanges)
        self._client = client
        self._merges = isinstance(client, Redis)  # which is not a cluster
        self._knows_script = False

    def send(self, *arguments: Any, **options: Any) -> Awaitable[Any]:
        """The reply to a command, as `execute_command` would answer it: see `ask`."""
        return self.ask((arguments, options or NO_OPTIONS))

    def send_all(self, commands: Sequence[tuple[Any, ...]], **options: Any) -> Awaitable[list[Any]]:
        """The replies to several commands: see `ask_all`."""
        return self.ask_all([(arguments, options) for arguments in commands])

    def exchange_one(self, command: Command) -> Awaitable[Any]:
        arguments, options = command
        reply: Awaitable[Any] = self._client.execute_command(*arguments, **options)
        return reply

    async def exchange(self, commands: Sequence[Command]) -> Sequence[Any]:
        if not self._merges:
            return await self._pipeline(commands)
        sent = merged(commands, in_full=not self._knows_script)
        replies: list[Any] = [None] * len(commands)
        answered = await self._pipeline([command for command, _ in sent])
        for one, reply in zip(sent, answered, strict=True):
            if len(one.places) > 1:
                self._learn(one.command[0][0], reply)
            for place, answer in zip(one.places, answers(one, reply), strict=True):
                replies[place] = answer
        again = [place for place, answer in enumerate(replies) if answer is ASK_AGAIN]
        if again:
            try:
                answered = await self._pipeline([commands[place] for place in again])
            except Exception as error:  # theirs alone: the others have been answered
                answered = [error] * len(again)
            for place, answer in zip(again, answered, strict=True):
                replies[place] = answer
        return replies

    def _learn(self, name: str, reply: Any) -> None:
        """From the reply to a merged command."""
        # redis-py 5 knows the class of CROSSSLOT only in a cluster.
        if isinstance(reply, _NEVER) or (
            isinstance(reply, ResponseError) and str(reply).startswith("CROSSSLOT")
        ):
            self._merges = False
        if name != "MGET":
            self._knows_script = not isinstance(reply, NoScriptError)

    async def _pipeline(self, commands: Sequence[Command]) -> Sequence[Any]:
        if len(commands) == 1:
            ((arguments, options),) = commands
            try:  # not by `exchange_one`, which is what leaves alone
                return [await self._client.execute_command(*arguments, **options)]
            except ResponseError as error:
                return [error]
        pipeline = self._client.pipeline(transaction=False)
        for arguments, options in commands:
            pipeline.execute_command(*arguments, **options)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies
