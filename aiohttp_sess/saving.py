"""Saving one session in one request, and what the response says of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any

from .alive import bind_session, look_for
from .commit import Commit
from .errors import (
    CookieTooLarge,
    DeserializationError,
    SerializationError,
    SessionConflict,
    SessionError,
    SessionGone,
    StorageError,
    TooManySessions,
)
from .find import find_record, fresh_record
from .handle import SessionHandle
from .lifecycle import NOTHING, CookieStep, Plan, only_refreshes, only_rotates
from .sockets import Binding, Socket
from .transport import Transport
from .turns import Turns

__all__ = ("Saving",)

logger = logging.getLogger("aiohttp_sess")

_NOT_REFRESHED = (CookieTooLarge, SerializationError, DeserializationError)


class Saving:
    """Commits that are planned, carried out one after the other, and answered for.

    :param handle: what `setup` decided.
    :param commit: the session, as it was loaded.
    :param transport: how its session key travels in this request.
    """

    # Most requests change none of these, so they begin on the class.
    gone = False  # whether another request ended the session
    line: str | None = None  # what `Transport.mark` adds to the response
    _turns: Turns | None = None  # since there was something to do
    _told = False  # whether the log knows of changes that were dropped
    _refreshed: float | None = None  # when a websocket's sign of life last did that
    _ended_id: str | None = None  # the public id of the session that others ended

    def __init__(self, handle: SessionHandle, commit: Commit, transport: Transport) -> None:
        self._handle = handle
        self.commit = commit
        self.transport = transport

    async def save(self, *, sent: bool) -> str | None:
        """Commit what there is to commit, and answer why some of it could not be.

        :param sent: whether the headers are gone, so that the client cannot be told of a new key.
        """
        commit, turns = self.commit, None
        if self._handle.takes_turns:
            turns = self._turns
            if turns is None:
                turns = self._turns = Turns(self._handle.commits, taken=True)
            elif not turns.take_at_once():
                await turns.take(lambda: self.save(sent=sent))
        todo, impossible = NOTHING, None
        try:
            if self.gone and not commit.changes.purging:
                self._tell_dropped()
                return None
            todo, impossible = commit.plan_after_headers() if sent else (commit.plan(), None)
            if not todo.storage and commit.changes.purging and not sent:
                commit.changes.ended()
                self.gone = False
            if todo.storage:
                if not self._handle.storage.server_side:
                    commit.fits = self.transport.line  # only a record can be too long for it
                saved = commit.begin(todo)
                if turns is not None and not commit.can_go_on(todo):
                    # It would be cut in half where the request is cancelled.
                    await turns.run(self._carry_out(todo, commit.complete(todo)))
                elif saved is not None and commit.takes_one_step(todo):
                    try:  # as most do; `_carry_out` is for what becomes of those that fail
                        stored = await commit.write(saved)
                    except (SessionError, asyncio.CancelledError) as error:
                        await self._carry_out(todo, commit.recover(saved, error))
                    else:
                        commit.settle(saved, stored)
                        self._answer(todo)
                else:
                    await self._carry_out(todo, commit.complete(todo))
            elif turns is not None and not sent and commit.rekeyed_earlier:
                await self.confirm()
            self._tell_new_key()
        except asyncio.CancelledError:
            if turns is not None and commit.can_go_on(todo):
                turns.go_on(self._carry_out(todo, commit.go_on()))
            raise
        except (CookieTooLarge, StorageError) as error:
            if not self._tolerates(error, todo):
                raise
        finally:
            if turns is not None:
                turns.leave()
        return impossible

    async def refresh(self) -> None:
        """Let the TTL of a session that nobody asked for start anew. It keeps its key: another is
        for a request that asks.
        """
        self.commit.rotates = False
        await self.save(sent=False)

    async def reload(self) -> bool:
        """See `aiohttp_sess.Session.reload`."""
        commit, turns = self.commit, self._turn()
        await turns.take()
        try:
            if commit.stored is None:
                return False
            name = self._handle.name
            latest = await find_record(self._handle.storage, commit.stored.key, name)
            if commit.changes.purging:  # by another task of this request, while it was loaded
                return False
            if latest is None:
                self._drop()
                return False
            renewing, when = commit.changes.renewing, commit.changes.authenticated
            commit.start_over(latest.record, latest)
            if renewing:  # a login that another task of this request is at: never forgotten
                commit.changes.renew(authenticated=when)
            return True
        finally:
            turns.leave()

    async def alive(self, refresh: bool) -> bool:
        """Whether the session is still there; with ``refresh``, its TTL starts anew."""
        alive, refreshed = await look_for(
            self.commit, self._handle.storage, refresh=refresh, refreshed=self._refreshed
        )
        self._refreshed = refreshed
        return alive

    def bind(self, request: object, socket: Socket, check_every: float) -> Awaitable[Binding]:
        """See `aiohttp_sess.Session.bind`; it is bound until ``request`` is released."""
        sockets = self._handle.sockets
        return bind_session(self.commit, sockets, request, socket, check_every, self.alive)

    async def confirm(self) -> None:
        """Before the response tells of a save that was a while ago: where the session was ended
        since, it tells nothing, or it would overwrite the key of the one that came next.
        """
        with suppress(StorageError):  # then it is not known to have ended
            if self.commit.stored is not None and not await self.alive(False):
                self._drop()
        if self.line is not None:
            self._tell_new_key()

    def _tell_new_key(self) -> None:
        commit = self.commit
        if commit.rekeyed and commit.stored is not None:
            self.line = self.transport.line(commit.stored.key, commit.max_age)
            commit.rekeyed = False

    def _turn(self) -> Turns:
        if self._turns is None:
            self._turns = Turns(self._handle.commits)
        return self._turns

    def _tolerates(self, error: SessionError, todo: Plan) -> bool:
        """Whether the response can do without what failed: the next request does it."""
        commit = self.commit
        if only_rotates(todo):
            logger.warning("session %s keeps its key for now: %s", commit.public_id, error)
            commit.refreshed, commit.rotates = True, False
            self._tell_new_key()  # it may have been another request that gave it one
            return True
        if only_refreshes(todo) and isinstance(error, _NOT_REFRESHED):
            # It, or its cookie, has no room for more; or another request has written what is of a
            # later release.
            logger.warning("session %s: its TTL does not start anew: %s", commit.public_id, error)
            commit.refreshed, commit.rekeyed = True, False
            return True
        return False

    async def _carry_out(self, todo: Plan, work: Coroutine[Any, Any, None]) -> None:
        commit = self.commit
        try:
            await work
        except SessionGone:
            self._tell_dropped()
            self._drop()
            return
        except TooManySessions:
            # Nothing of a login that was refused may be saved at the end of the request.
            before, name = commit.stored, self._handle.name
            fresh = fresh_record(self._handle.storage, name)
            commit.start_over(fresh if before is None else before.record, before)
            raise
        except SessionConflict:
            if not only_rotates(todo):  # else nothing is lost
                logger.warning("session %s: others keep writing it: given up", commit.public_id)
                self._handle.conflicts += 1
            raise
        finally:
            if commit.ended is not None:
                self._handle.sockets.end(commit.ended)
        self._answer(todo)

    def _answer(self, todo: Plan) -> None:
        """What the response is to say of a commit that is done."""
        commit, transport = self.commit, self.transport
        self.gone = False
        commit.refreshed = True
        if todo.cookie is CookieStep.ERASE:
            # If another request ended it, an erasure might take the next session's cookie.
            self.line = transport.erasure if commit.ended_it else None
        elif todo.cookie is CookieStep.SET and commit.stored is not None:
            try:
                self.line = transport.line(commit.stored.key, commit.max_age)
                commit.rekeyed = False
            except SessionError:
                if not only_refreshes(todo):
                    commit.unsent()
                raise

    def _drop(self) -> None:
        """Another request ended the session: this one says nothing of it any more."""
        commit = self.commit
        self.line = None
        if commit.stored is not None:
            self._ended_id = commit.public_id
        if commit.changes.purging:  # since the commit began: what there is now is a fresh session
            commit.stored = None
            commit.changes.ended()
        else:
            self.gone = True
            commit.start_over(fresh_record(self._handle.storage, self._handle.name), None)

    def _tell_dropped(self) -> None:
        if not self._told and self.commit.changes.unsaved:
            self._told = True
            logger.info(
                "session %s was ended while a request still was at it: its changes are dropped",
                self._ended_id or self.commit.public_id,
            )
