"""Visits whose events somebody listens to. Nobody else pays for events.

What happens inside a commit is noted there, and told once its turn is over: receivers hold up no
commit, and may use the session.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from aiohttp import web

from .commit import Commit
from .errors import SessionConflict, StorageUnavailable
from .events import (
    Conflict,
    Created,
    Event,
    Events,
    LateChange,
    Loaded,
    Operation,
    Purged,
    Rejected,
    Renewed,
    Rotated,
    StorageFailure,
)
from .handle import SessionHandle
from .lifecycle import Plan, StorageStep, only_refreshes
from .saving import Saving
from .transport import Transport
from .visit import Visit, _Phase

__all__ = ("HeardVisit",)

T = TypeVar("T")


class HeardSaving(Saving):
    """Notes what its commits do, and tells it after each."""

    def __init__(self, handle: SessionHandle, commit: Commit, transport: Transport) -> None:
        super().__init__(handle, commit, transport)
        self._events = handle.events
        self._ends_early = handle.storage.ends_sessions_early
        self._noted: list[Event] = []

    async def save(self, *, sent: bool) -> str | None:
        return await self._telling(super().save(sent=sent))

    async def reload(self) -> bool:
        try:
            return await super().reload()
        except StorageUnavailable as error:
            kind, session_id = self._events.kind, self.commit.public_id
            await self._events.send([StorageFailure(kind, session_id, "reload", error)])
            raise

    async def alive(self, refresh: bool) -> bool:
        try:
            return await super().alive(refresh)
        except StorageUnavailable as error:
            kind, session_id = self._events.kind, self.commit.public_id
            self._events.send_soon(StorageFailure(kind, session_id, "check", error))
            raise

    async def _carry_out(self, todo: Plan, work: Coroutine[Any, Any, None]) -> None:
        commit, kind, note = self.commit, self._events.kind, self._noted.append
        session_id = commit.public_id
        try:
            try:
                await super()._carry_out(todo, work)
            finally:
                lost = self._note_what_stays(todo, session_id)
        except SessionConflict:
            note(Conflict(kind, session_id, lost + 1, given_up=True))
            raise
        except StorageUnavailable as error:
            operation: Operation = "refresh" if only_refreshes(todo) else "save"
            note(StorageFailure(kind, session_id, operation, error))
            raise
        if StorageStep.SAVE in todo.storage:
            note(Created(kind, commit.public_id))
        elif StorageStep.RENEW in todo.storage and commit.ended is not None:
            note(Renewed(kind, commit.public_id, commit.ended))
        elif commit.rotated:
            note(Rotated(kind, commit.public_id))

    def _note_what_stays(self, todo: Plan, session_id: str) -> int:
        """What a commit has done, also where it fails then; answers how often it tried again."""
        commit, kind, note = self.commit, self._events.kind, self._noted.append
        lost, others = commit.conflicts, commit.others_ended
        commit.conflicts = commit.others_ended = 0
        for attempt in range(1, lost + 1):
            note(Conflict(kind, session_id, attempt, given_up=False))
        if StorageStep.DELETE in todo.storage:
            # A storage that can end none always says that there was one.
            for _ in range(others if self._ends_early else 0):
                note(Purged(kind, None))
            if commit.ended_it:
                note(Purged(kind, commit.ended))
        return lost

    def _tell_dropped(self) -> None:
        told = self._told
        super()._tell_dropped()
        if self._told and not told:
            session_id = self._ended_id or self.commit.public_id
            self._noted.append(LateChange(self._events.kind, session_id, "ended"))

    async def _telling(self, work: Awaitable[T]) -> T:
        """What ``work`` answers; and then what happened in it is told."""
        try:
            try:
                answer = await work
            except Exception:
                await self._tell()
                raise
            await self._tell()
            return answer
        except asyncio.CancelledError:
            self._events.start(self._tell_when_settled())  # a commit goes on meanwhile
            raise

    async def _tell_when_settled(self) -> None:
        turns = self._turn()
        await turns.take()
        turns.leave()
        await self._tell()

    async def _tell(self) -> None:
        noted = self._noted
        while noted:
            await self._events.send([noted.pop(0)])


class HeardVisit(Visit):
    """Tells what its session goes through."""

    _saving_kind = HeardSaving
    _refused = _told_rejected = False  # whether the request brought what does not open
    _told_loaded = False
    _unsaved = False  # whether the last commit left anything to be done

    async def finish(self) -> None:
        self._unsaved = False
        await super().finish()
        await self._tell_unsaved()

    async def prepare(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self._unsaved = False
        await super().prepare(request, response)
        await self._tell_unsaved()

    def abandon(self) -> None:
        saving = self._saving
        if self._phase is _Phase.SENT and saving and saving.commit.changes.unsaved:
            events = self._handle.events
            events.send_soon(LateChange(events.kind, self._name(), "failed"))
        super().abandon()

    async def _save(self) -> str | None:
        self._unsaved = True
        impossible = await super()._save()
        self._unsaved = impossible is not None
        return impossible

    async def _tell_unsaved(self) -> None:
        """Where a commit failed and no exception says so, its changes are lost."""
        if self._unsaved and self._saving is not None:
            events = self._handle.events
            await events.send([LateChange(events.kind, self._name(), "sent")])

    def _watch(self) -> None:
        super()._watch()
        if self._late is not None:
            self._late.lost = functools.partial(_tell_late, self._handle.events)

    async def _load(self) -> Saving:
        kind, known = self._handle.events.kind, self._saving
        try:
            saving = await super()._load()
        except StorageUnavailable as error:
            operation: Operation = "load" if self._asked else "refresh"
            # In no variable of this frame: its traceback refers to that.
            await self._tell_loading(StorageFailure(kind, None, operation, error))
            raise
        if saving is known:
            return saving
        if saving.commit.stored is None or self._told_loaded:
            await self._tell_loading()
        else:
            self._told_loaded = True
            await self._tell_loading(Loaded(kind, saving.commit.public_id))
        return saving

    async def _tell_loading(self, *events: Event) -> None:
        if self._refused and not self._told_rejected:
            self._told_rejected = True
            events = (Rejected(self._handle.events.kind), *events)
        await self._handle.events.send(events)


def _tell_late(events: Events, session_id: str) -> None:
    events.send_soon(LateChange(events.kind, session_id, "sent"))
