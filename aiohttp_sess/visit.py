"""One session in one request: loaded when asked for, committed once the handler is done.

A visit is *open* while the headers are still to come: everything can be committed. Once they are
*sent* (streams and websockets: inside the handler), only what needs no cookie can. It is
*abandoned* when the handler fails: nothing more is saved.
"""

from __future__ import annotations

import enum
import logging
import weakref

from aiohttp import web
from multidict import CIMultiDictProxy

from .changes import Changes
from .commit import Commit, find_record
from .errors import SessionError, SessionGone, StorageError
from .handle import SessionHandle
from .late import LateChanges, quietly
from .lifecycle import CookieStep, Plan, max_age, plan_after_headers, refreshes_always
from .load import open_session
from .session import Session
from .sockets import Binding, Socket
from .storage.interface import SessionKey
from .turns import Turns

__all__ = ("Visit",)

logger = logging.getLogger("aiohttp_sess")


class _Phase(enum.Enum):
    OPEN, SENT, ABANDONED = range(3)


class Visit:
    """What one request does with one session.

    It refers to what refers to it weakly or not at all: a request leaves no cycles to collect.

    :param handle: what `setup` decided.
    :param headers: the request's.
    """

    def __init__(self, handle: SessionHandle, headers: CIMultiDictProxy[str]) -> None:
        self._handle = handle
        self._headers = headers
        self._phase = _Phase.OPEN
        self._asked = False  # whether the application has seen the session
        self._finished = False  # whether the handler is done
        self._gone = False  # whether another request ended the session
        self._refreshed = False  # whether its TTL has started anew in this request
        self._line: str | None = None  # the Set-Cookie line that the response gets
        self._turns = Turns(handle.commits)
        self._late = LateChanges()
        self._session: weakref.ref[Session] | None = None
        self._loaded = False
        self._changes: Changes
        self._commit: Commit

    async def session(self) -> Session:
        """The session, loaded from the storage the first time."""
        self._asked = True
        if not self._loaded:
            async with self._turns:
                await self._load()
        session = None if self._session is None else self._session()
        if session is None:
            session = Session(self._changes, lifecycle=self._handle.lifecycle, committer=self)
            self._session = weakref.ref(session)
        return session

    async def save(self) -> None:
        """See `Session.save`."""
        if self._phase is _Phase.ABANDONED:
            raise SessionError("the request has failed: its session is not saved any more")
        self._late.saved()
        impossible = await self._save()
        if self._gone:
            raise SessionGone("the session was ended meanwhile; its changes are dropped")
        if impossible:
            raise SessionError(f"the session cannot be saved: {impossible}")

    async def reload(self) -> bool:
        """See `Session.reload`."""
        async with self._turns:
            stored = self._commit.stored
            if stored is None:
                return False
            latest = await find_record(self._handle.storage, stored.key, self._handle.cookie.name)
            if latest is None:
                self._drop()
                return False
            self._commit.stored = latest
            self._changes.reset(latest.record)
            return True

    async def bind(self, socket: Socket, check_every: float) -> Binding:
        """See `Session.bind`."""
        stored, alive = self._commit.stored, self._commit.alive
        if stored is None:
            raise SessionGone("there is no session to bind to: none was saved, or it was ended")
        return self._handle.sockets.bind(self, socket, stored.record.id, alive, check_every)

    async def finish(self) -> None:
        """The handler is done, by returning a response or by raising one: commit.

        :raises SessionError: where that failed and the response can still become an error.
        """
        self._finished = True
        if self._untouched:
            return
        self._handle.sockets.release(self)
        if self._phase is _Phase.SENT:
            await quietly(self._save, lambda: self._changes.id)
            self._watch()
        elif self._phase is _Phase.OPEN:
            try:
                await self._save()
            except BaseException:
                self.abandon()
                raise

    def abandon(self) -> None:
        """The handler failed: nothing that is not saved yet will be."""
        self._finished = True
        self._handle.sockets.release(self)
        self._phase = _Phase.ABANDONED

    async def prepare(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """The headers of ``response`` are about to be sent: the last moment to add to them.

        :raises SessionError: where a handler that streams can still answer with an error instead.
        """
        if self._phase is _Phase.OPEN and self._untouched:
            self._phase = _Phase.SENT
        elif self._phase is _Phase.OPEN:
            if self._finished:
                # An outer middleware or a signal may have gone on with the session. An exception
                # here would cut the connection.
                await quietly(self._save, lambda: self._changes.id)
            else:
                try:
                    await self._save()
                except BaseException:
                    self.abandon()
                    self._handle.transport.unframe(request, response)
                    raise
            self._phase = _Phase.SENT
            self._watch()
        self._handle.transport.mark(request, response, self._line, read=self._asked)

    @property
    def _untouched(self) -> bool:
        return not self._asked and not refreshes_always(self._handle.lifecycle)

    def _watch(self) -> None:
        if self._finished and self._phase is _Phase.SENT and self._loaded:
            self._late.begin(self._changes)

    # -- loading and committing -----------------------------------------------------------------

    async def _load(self) -> None:
        """Take what the request brings, once; else begin a fresh session."""
        if self._loaded:
            return
        keys = self._handle.transport.read(self._headers)
        self._changes, self._commit, self._refreshed = await open_session(self._handle, keys)
        self._loaded = True
        self._watch()

    async def _save(self) -> str | None:
        """Commit what there is to commit, and answer why some of it could not be."""
        if not self._loaded:
            await self._refresh_unasked()
            return None
        if self._commit.nothing_to_do(refreshed=self._refreshed):
            return None
        async with self._turns:
            if self._gone and not self._changes.purging:
                return None
            todo = self._commit.plan(refreshed=self._refreshed)
            impossible, server_side = None, self._handle.storage.server_side
            if self._phase is _Phase.SENT:
                todo, impossible = plan_after_headers(
                    todo, server_side=server_side, new_lifetime=self._changes.new_lifetime
                )
                if self._changes.renewing and impossible:
                    self._changes.cancel_renewal()
            elif self._changes.purging and not todo.storage:
                self._changes.ended()
                self._gone = False
            if todo.storage:
                commit = self._carry_out(todo)
                # In a cookie storage nothing waits, so nothing can cut it in half.
                await (self._turns.run(commit) if server_side else commit)
            if self._commit.rekeyed and self._line is None and self._commit.stored is not None:
                self._set_line(self._commit.stored.key)
            return impossible

    async def _refresh_unasked(self) -> None:
        """Let the TTL of a session that nobody asked for start anew, if every request does that."""
        wanted = self._phase is _Phase.OPEN and refreshes_always(self._handle.lifecycle)
        if self._refreshed or not wanted:
            return
        try:
            async with self._turns:
                await self._load()
            await self._save()
        except StorageError as error:
            # The handler never asked for the session, so its answer does not depend on it.
            logger.warning("a session's TTL was not refreshed: %s", error, exc_info=error)
            self._refreshed = True

    async def _carry_out(self, todo: Plan) -> None:
        commit = self._commit
        try:
            ended = await commit.carry_out(todo)
        except SessionGone:
            logger.info(
                "session %s was ended while a request still was at it: its changes are dropped",
                self._changes.id,
            )
            self._drop()
            return
        self._gone = False
        self._refreshed = True
        if ended is not None:
            self._handle.sockets.end(ended)
        if todo.cookie is CookieStep.ERASE:
            self._line = self._handle.transport.erasure
        elif todo.cookie is CookieStep.SET and commit.stored is not None:
            try:
                self._set_line(commit.stored.key)
            except SessionError:
                self._changes.force()  # the client does not get it, so it is not saved
                raise

    def _set_line(self, key: SessionKey) -> None:
        age = max_age(self._commit.lifecycle, self._commit.ttl)
        self._line = self._handle.transport.line(key, age)

    def _drop(self) -> None:
        """The session was ended by another request: this one says nothing of it any more."""
        self._gone = True
        self._line = None
        self._commit.stored = None
        self._changes.stored = False
