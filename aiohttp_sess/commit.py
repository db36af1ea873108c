"""Carrying out a plan on a storage: saving what changed, and doing again what lost a race.

Of two requests that write one session at once, the storage lets one win (compare-and-set on the
revision). The other takes the latest record, does its own operations on that, and tries again. No
lock is held anywhere. What was ended meanwhile stays ended: that is `SessionGone`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from .changes import Changes
from .config import Lifecycle
from .errors import DeserializationError, SessionConflict, SessionGone, StorageError
from .lifecycle import Plan, StorageStep, deadline, plan, refreshes_always, ttl_left
from .lifetime import lifecycle_of
from .operations import Snapshot
from .record import SessionRecord
from .status import SessionStatus
from .storage.interface import AbstractStorage, SessionKey, StoredRecord

__all__ = ("Commit", "find_record", "fresh_record")

logger = logging.getLogger("aiohttp_sess")

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1  # seconds


class Commit:
    """The storage's side of one session in one request.

    :param storage: where the record lives.
    :param changes: what the request does to it.
    :param stored: the record as it was loaded; None: there is none yet.
    :param lifecycle: how long sessions live that have no lifecycle of their own.
    :param conflict_timeout: seconds after which a write that keeps losing gives up.
    :param gave_up: told of it.
    """

    def __init__(
        self,
        storage: AbstractStorage,
        changes: Changes,
        stored: StoredRecord | None,
        *,
        lifecycle: Lifecycle,
        conflict_timeout: float,
        gave_up: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._changes = changes
        self._default = lifecycle
        self._conflict_timeout, self._gave_up = conflict_timeout, gave_up
        self.stored = stored
        self.rekeyed = False
        """Whether a refresh gave the record a key that the client does not have yet."""

    @property
    def lifecycle(self) -> Lifecycle:
        """This session's own lifecycle, or the one for all."""
        lifetime = self._changes.lifetime
        return self._default if lifetime is None else lifecycle_of(lifetime)

    @property
    def ttl(self) -> timedelta:
        """The idle TTL that a write gives the record now, cut off at its deadline."""
        lifecycle = self.lifecycle
        end = deadline(lifecycle, self._changes.created)
        return ttl_left(lifecycle, end, self._storage.clock())

    def plan(self, *, refreshed: bool) -> Plan:
        """What there is to do.

        :param refreshed: whether the TTL has started anew in this request already.
        """
        refresh = not refreshed and refreshes_always(self.lifecycle)
        return plan(
            self._changes.due,
            stored=self.stored is not None,
            worth_saving=self._changes.worth_saving,
            refresh=self.lifecycle if refresh else None,
        )

    def nothing_to_do(self, *, refreshed: bool) -> bool:
        """Whether a commit would do nothing at all; while one is under way it would."""
        return (
            self._changes.due is SessionStatus.UNCHANGED
            and not self.rekeyed
            and (refreshed or self.stored is None or not refreshes_always(self.lifecycle))
        )

    async def carry_out(self, plan: Plan) -> str | None:
        """Do the storage's steps of ``plan``; `stored` is the record as it is afterwards.

        :return: the public id of the session that this ended, if it did.

        :raises SessionGone: where the session was ended since it was loaded; nothing is written.
        :raises SessionConflict: where others kept writing it for ``conflict_timeout``.
        :raises Exception: whatever a function given to `Session.update_value` raises.
        :raises StorageUnavailable: where the storage is.
        """
        ended = None
        for step in plan.storage:
            if step is StorageStep.SAVE:
                saved = self._snapshot()
                self._settle(saved, await self._storage.save(saved.record, self.ttl))
            elif step is StorageStep.UPDATE:
                await self._until_it_wins(self._update)
            elif step is StorageStep.RENEW:
                ended = self._loaded.record.id
                await self._renew()
            elif step is StorageStep.UPDATE_TTL:
                await self._update_ttl()
            else:
                ended = self._loaded.record.id
                # Whether there was one or not: to be logged out is what was asked for.
                await self._storage.delete(self._loaded.key)
                self.stored = None
                if StorageStep.SAVE not in plan.storage:
                    self._changes.ended()
        return ended

    async def alive(self, refresh: bool) -> bool:
        """Whether the record is still there; with ``refresh``, its TTL starts anew."""
        if self.stored is None:
            return False
        ttl = self.ttl if refresh else None
        try:
            return await self._storage.load(self.stored.key, ttl=ttl) is not None
        except DeserializationError:
            return True  # it cannot be read, but it was not ended

    @property
    def _loaded(self) -> StoredRecord:
        assert self.stored is not None  # plans for a record are made where there is one
        return self.stored

    async def _update(self) -> None:
        key, _, revision = self._loaded
        saved = self._snapshot()
        stored = await self._storage.update(key, saved.record, self.ttl, revision=revision)
        self._settle(saved, stored)

    async def _update_ttl(self) -> None:
        key = await self._storage.update_ttl(self._loaded.key, self.ttl)
        if key is None:
            raise _gone()
        self.rekeyed = self.rekeyed or key != self._loaded.key
        self.stored = self._loaded._replace(key=key)

    async def _renew(self) -> None:
        """Save under a new key, then end the old one; carry over what slipped in between.

        Saved first, so that a failure in between leaves the old session as it was. And if the old
        one turns out to be ended already, by a logout or by another renewal, the new one goes too.
        """
        saved = self._snapshot()
        new = await self._storage.save(saved.record, self.ttl)

        async def end_old() -> bool:
            nonlocal new, saved
            current = self._snapshot()
            if current.record != saved.record:
                new = await self._storage.update(
                    new.key, current.record, self.ttl, revision=new.revision
                )
                saved = current
            return await self._storage.delete(self._loaded.key, revision=self._loaded.revision)

        try:
            ended = await self._until_it_wins(end_old)
        except BaseException:
            await self._discard(new.key)
            raise
        if not ended:
            await self._discard(new.key)
            raise _gone()
        self._settle(saved, new)

    async def _until_it_wins(self, attempt: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time
        give_up, pause = now() + self._conflict_timeout, _FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except SessionConflict:
                if now() >= give_up:
                    logger.warning("session %s: others keep writing it: given up", self._changes.id)
                    self._gave_up()
                    raise
            # Random, so that those who collided do not meet again.
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, _LONGEST_PAUSE)
            latest = await find_record(self._storage, self._loaded.key, self._loaded.record.cookie)
            if latest is None:
                raise _gone()
            self._changes.rebase(latest.record)
            self.stored = latest

    async def _discard(self, key: SessionKey) -> None:
        try:
            await self._storage.delete(key)
        except StorageError as error:
            logger.warning(
                "a record that was saved for a renewal is left over: %s. Nobody has its key, and "
                "it goes with its TTL",
                error,
            )

    def _settle(self, saved: Snapshot, stored: StoredRecord) -> None:
        self.stored = stored
        self._changes.settle(saved, stored.record)

    def _snapshot(self) -> Snapshot:
        return self._changes.snapshot(deadline(self.lifecycle, self._changes.created))


async def find_record(
    storage: AbstractStorage, key: SessionKey, cookie: str, *, ttl: timedelta | None = None
) -> StoredRecord | None:
    """The record under a key, if it belongs to this cookie. One that cannot be read is an empty one
    in its place, with a warning.

    :param ttl: let its idle TTL start anew with this.
    """
    try:
        stored = await storage.load(key, ttl=ttl)
    except DeserializationError as error:
        logger.warning("session cookie %r: %s; it begins empty", cookie, error)
        if error.revision is None:
            return None
        return StoredRecord(key, fresh_record(storage, cookie), error.revision)
    return None if stored is None or stored.record.cookie != cookie else stored


def fresh_record(storage: AbstractStorage, cookie: str) -> SessionRecord:
    """An empty record that begins now."""
    return SessionRecord(created=storage.clock(), cookie=cookie)


def _gone() -> SessionGone:
    return SessionGone("the session was ended since it was loaded")
