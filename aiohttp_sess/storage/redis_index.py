"""The index of an owner's sessions in Redis: a sorted set of digests, by their logins.

It has a name of its own, so in a cluster it lives elsewhere than the records. Only a login waits
for it. That records live on, or are gone, it is told beside the requests, and seldom: see
`aiohttp_sess.storage.seen`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from datetime import timedelta
from typing import Any

from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from ..errors import StorageUnavailable
from ..record import SessionRecord
from .entry import Entry
from .indexed import IndexedStorage
from .interface import SessionKey, StoredRecord
from .members import Member, batches
from .scripts import ANNOUNCE, ENTER, LOG_IN, MEMBERS, Script
from .seen import LOOK_EVERY, Seen

__all__ = ("RedisIndex",)

logger = logging.getLogger("aiohttp_sess")

_SLACK = 60.0  # seconds that an index lives longer than it must
_PAGE = 500  # members that are read at once
_UNDER_WAY = 60e6  # microseconds from when a login is announced to when it counts anyway
_SWEEP_FROM = 64  # members, and again at each power of two


class RedisIndex(IndexedStorage):
    """The part of `RedisStorage` that lists sessions."""

    def __init__(self, *, key_prefix: str, clock: Callable[[], float]) -> None:
        super().__init__(key_prefix=key_prefix, clock=clock)
        self._seen = Seen(clock)
        self._chores: set[asyncio.Task[None]] = set()
        self._loaded_scripts: set[str] = set()

    @abstractmethod
    def _ask(self, *command: Any, **options: Any) -> Awaitable[Any]:
        """The reply to a command.

        :raises StorageUnavailable: caused by redis-py's own exception.
        """

    @abstractmethod
    def _ask_all(self, commands: Sequence[tuple[Any, ...]], **options: Any) -> Awaitable[list[Any]]:
        """The replies to commands: see `_ask`."""

    # -- an index ---------------------------------------------------------------------------------

    async def enter(
        self, index: str, digest: str, ttl: float, *, instead_of: str | None = None
    ) -> float:
        return await self._enter(ENTER, index, digest, ttl, instead_of or "")

    async def announce(self, index: str, digest: str, ttl: float) -> float:
        return await self._enter(ANNOUNCE, index, digest, ttl)

    async def log_in(self, index: str, digest: str, announced: float | None) -> float:
        given = "" if announced is None else announced
        return float(await self._run(LOG_IN, index, digest, given))

    async def stay(self, index: str, digest: str, ttl: float) -> None:
        if self._seen.index_of(digest) != index:  # a login; or this process has not loaded it
            await self.enter(index, digest, ttl)
        else:
            self._enter_if_due(index, digest, ttl)

    async def leave(self, index: str, digests: Collection[str]) -> None:
        for digest in digests:
            self._seen.forget(digest)
        await self._ask("ZREM", index, *digests)

    async def members(self, index: str) -> tuple[float, list[Member]]:
        start, latest, found, most = None, -math.inf, dict[bytes, Member](), _PAGE
        while True:
            # By pages, so that nobody waits for a long answer. Of a session that is renewed
            # meanwhile, both records have one login, so a page has the one or the other.
            now, page = await self._run(MEMBERS, index, latest, most, **{NEVER_DECODE: True})
            start = float(now) if start is None else start
            before = len(found)
            for digest, login in zip(page[::2], page[1::2], strict=True):
                latest = float(login)
                # One that was announced and not heard of again may be logged in all the same.
                forgotten = latest < 0 and start + latest > _UNDER_WAY
                found[digest] = Member(digest.decode(), -latest if forgotten else latest)
            if len(page) < 2 * most:
                return start, sorted(found.values(), key=lambda member: member.login)
            if len(found) == before:  # a page of one login: the rest is behind it
                most *= 2

    async def read_all(self, names: Sequence[str]) -> Sequence[tuple[Entry | None, float | None]]:
        commands = [(command, name) for command in ("GET", "PTTL") for name in names]
        replies = await self._ask_all(commands, **{NEVER_DECODE: True})
        values, left = replies[: len(names)], replies[len(names) :]
        return [
            (None if value is None else Entry(value), ms / 1000 if ms >= 0 else None)
            for value, ms in zip(values, left, strict=True)
        ]

    async def remove_all(self, names: Sequence[str]) -> Sequence[bool]:
        return [bool(n) for n in await self._ask_all([("DEL", name) for name in names])]

    # -- what is told to it beside the requests ----------------------------------------------------

    def loaded(self, record: SessionRecord, digest: str, ttl: timedelta | None) -> None:
        assert record.owner is not None  # or nobody would say so
        index = self.index_of(record.owner, record.cookie)
        self._seen.loaded(digest, index)
        if ttl is not None:
            self._enter_if_due(index, digest, ttl.total_seconds())

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        found = await super().update_ttl(key, ttl)
        index = None if found is None else self._seen.index_of(key.digest)
        if index is not None:
            self._enter_if_due(index, key.digest, ttl.total_seconds())
        return found

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        was_there = await super().delete(key, revision=revision)
        self._leave_soon(key.digest)
        return was_there

    async def end(self, stored: StoredRecord) -> bool:
        was_there = await super().end(stored)
        self._leave_soon(stored.key.digest)
        return was_there

    async def finish(self) -> None:
        """Wait for what is under way beside the requests."""
        await asyncio.gather(*self._chores, return_exceptions=True)

    def _leave_soon(self, digest: str) -> None:
        index = self._seen.index_of(digest)
        if index is not None:
            self._later(self.leave(index, [digest]))

    async def _enter(
        self, script: Script, index: str, digest: str, ttl: float, *arguments: Any
    ) -> float:
        lives = round((ttl + LOOK_EVERY + _SLACK) * 1000)
        login, size = await self._run(script, index, digest, lives, *arguments)
        self._seen.entered(digest, index, ttl)
        if size >= _SWEEP_FROM and size & (size - 1) == 0:
            self._later(self._sweep(index))
        return float(login)

    def _enter_if_due(self, index: str, digest: str, ttl: float) -> None:
        if self._seen.is_due(digest, ttl):
            self._seen.entered(digest, index, ttl)  # now, so that it is done once
            self._later(self._enter_again(index, digest, ttl))

    async def _enter_again(self, index: str, digest: str, ttl: float) -> None:
        try:
            await self.enter(index, digest, ttl)
        except StorageUnavailable:
            self._seen.forget(digest)
            raise

    async def _sweep(self, index: str) -> None:
        """Take out what is gone: sessions that were ended elsewhere, expired, or were evicted."""
        _, members = await self.members(index)
        for batch in batches(members):
            digests = [member.digest for member in batch]
            names = [self.key_prefix + digest for digest in digests]
            there = await self._ask_all([("EXISTS", name) for name in names])
            gone = [digest for digest, is_there in zip(digests, there, strict=True) if not is_there]
            if gone:
                await self.leave(index, gone)

    def _later(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_tolerated(chore))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _run(self, script: Script, key: str, *arguments: Any, **options: Any) -> Any:
        if script.sha1 in self._loaded_scripts:
            try:
                reply = await self._ask("EVALSHA", script.sha1, 1, key, *arguments, **options)
                return script.answer(reply)
            except StorageUnavailable as error:
                # Restarted, flushed, or another node of a cluster.
                if not isinstance(error.__cause__, NoScriptError):
                    raise
        reply = await self._ask("EVAL", script.text, 1, key, *arguments, **options)
        self._loaded_scripts.add(script.sha1)
        return script.answer(reply)


async def _tolerated(chore: Coroutine[Any, Any, None]) -> None:
    try:
        await chore
    except StorageUnavailable as error:
        # The records decide, and the index is told again later.
        logger.warning("an index of sessions was not brought up to date: %s", error)
