"""One session in one request: loaded when asked for, committed once the handler is done.

A visit is *open* while the headers are still to come: everything can be committed. Once they are
*sent* (streams and websockets: inside the handler), only what needs no cookie can. It is
*abandoned* when the handler fails: nothing more is saved.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import weakref
from collections.abc import Awaitable

from aiohttp import web
from multidict import CIMultiDictProxy

from .errors import SessionError, SessionGone, StorageError
from .handle import SessionHandle
from .late import LateChanges, quietly
from .load import open_session
from .saving import Saving
from .session import Session
from .sockets import Binding, Socket

__all__ = ("Visit",)

logger = logging.getLogger("aiohttp_sess")


class _Phase(enum.Enum):
    OPEN, SENT, ABANDONED = range(3)


class Visit:
    """What one request does with one session, where it was asked for or is refreshed always.

    It refers to what refers to it weakly or not at all: a request leaves no cycles to collect.

    :param handle: what `setup` decided.
    :param headers: the request's.
    :param phase: how far the request has come.
    :param finished: whether the handler is done.
    """

    # Most requests never touch most of these, so they begin on the class.
    _asked = False  # whether the application has seen the session
    _bound = False  # whether a websocket is tied to it
    _refresh_failed = False  # whether the session nobody asked for could not be loaded
    _loading = False  # whether a load is under way
    _loaded: asyncio.Event | None = None  # set when it is done, if others wait for it
    _late: LateChanges | None = None
    _session: weakref.ref[Session] | None = None
    _saving: Saving | None = None  # since the session was loaded
    _saving_kind: type[Saving] = Saving
    _early_line: str | None = None  # the response's line, of a save that the handler asked for

    def __init__(
        self, handle: SessionHandle, headers: CIMultiDictProxy[str], phase: _Phase, finished: bool
    ) -> None:
        self._handle, self._headers = handle, headers
        self._phase, self._finished = phase, finished

    def load(self) -> Awaitable[object]:
        """The application asks for the session: load it from the storage, the first time."""
        self._asked = True
        return self._load()

    def session(self) -> Session:
        """The session, once it is loaded."""
        session = None if self._session is None else self._session()
        if session is None:
            changes, default = self._work.commit.changes, self._handle.lifecycle
            rotates = self._handle.storage.rotates_keys
            session = Session(changes, lifecycle=default, committer=self, rotates_keys=rotates)
            self._session = weakref.ref(session)
            if self._finished:
                self._watch()
        return session

    async def save(self) -> None:
        """See `Session.save`."""
        if self._phase is _Phase.ABANDONED:
            raise SessionError("the request has failed: its session is not saved any more")
        if self._late is not None:
            self._late.saved()
        stored = self._work.commit.stored
        impossible = await self._save()
        if impossible:
            raise SessionError(f"the session cannot be saved: {impossible}")
        if self._work.gone:
            raise SessionGone("the session was ended meanwhile; its changes are dropped")
        if self._work.commit.others_may_end(stored):
            self._early_line = self._work.line

    async def reload(self) -> bool:
        """See `Session.reload`."""
        return await self._work.reload()

    async def bind(self, socket: Socket, check_every: float) -> Binding:
        """See `Session.bind`."""
        if self._finished:
            raise RuntimeError("the request is over: bind a websocket in its handler")
        self._bound = True
        return await self._work.bind(self, socket, check_every)

    def over(self) -> bool:
        """The handler is done, and so is the visit; False where there is something to `finish`."""
        self._finished = True
        if self._saving is None:
            return self._asked  # else its TTL starts anew at every request
        return self._phase is _Phase.OPEN and self._saving.commit.idle and not self._bound

    async def finish(self) -> None:
        """The handler is done, by returning a response or by raising one: commit.

        :raises SessionError: where that failed and the response can still become an error.
        """
        if self._bound:
            self._handle.sockets.release(self)
        if self._phase is _Phase.SENT:
            await quietly(self._save, self._name)
            self._watch()
        elif self._phase is _Phase.OPEN:
            try:
                if self._handle.about_to_save is not None:
                    await self._handle.about_to_save.gather()
                await self._save()
                if self._handle.about_to_answer is not None:
                    await self._handle.about_to_answer.gather()
            except BaseException:
                self.abandon()
                raise

    def abandon(self) -> None:
        """The handler failed: nothing that is not saved yet will be."""
        self._finished = True
        if self._bound:
            self._handle.sockets.release(self)
        if self._phase is _Phase.SENT and self._saving and self._saving.commit.changes.unsaved:
            logger.error(
                "session %s: the handler of a stream or websocket failed, so what it changed and "
                "did not save is lost: call `await session.save()` as it goes, on a storage that "
                "keeps sessions on the server",
                self._name(),
            )
        self._phase = _Phase.ABANDONED

    def let_pass(self, request: web.BaseRequest, response: web.StreamResponse) -> bool:
        """Let a response go whose headers are about to be sent, if there is nothing to save first;
        False where there is something to `prepare`.
        """
        if self._phase is not _Phase.OPEN:
            return False
        if self._saving is None:
            if not (self._asked or self._finished):
                return False  # its TTL starts anew at every request
        elif not self._saving.commit.idle or self._early_line is not None:
            return False
        self._sent(request, response)
        return True

    async def prepare(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """The headers of ``response`` are about to be sent: the last moment to add to them.

        :raises SessionError: where a handler that streams can still answer with an error instead.
        """
        if self._phase is _Phase.OPEN:
            if not self._finished:
                try:
                    await self._save()
                except BaseException:
                    self.abandon()
                    self._handle.transport.unframe(request, response)
                    raise
            elif self._saving is not None and not self._saving.commit.idle:
                # By an outer middleware or a signal. An exception would cut the connection.
                await quietly(self._save, self._name)
        if self._early_line is not None and self._early_line is self._work.line:
            await self._work.confirm()
        self._sent(request, response)

    def _sent(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Say of the session what there is to say; from here on nothing more can be added."""
        if self._phase is _Phase.OPEN:
            self._phase = _Phase.SENT
        if self._finished:
            self._watch()
        line = None if self._saving is None else self._saving.line
        if self._asked or line is not None:
            # Without a line, which there is of a loaded session only, all transports do the same.
            way = self._handle if self._saving is None else self._saving
            way.transport.mark(request, response, line, read=self._asked)

    def _watch(self) -> None:
        """Look out for changes that come too late, where somebody has the session still."""
        if self._phase is _Phase.SENT and self._session and self._session() is not None:
            self._late = LateChanges(self._work.commit.changes)

    def _name(self) -> str:
        return self._work.commit.public_id

    # -- loading and committing -----------------------------------------------------------------

    @property
    def _work(self) -> Saving:
        assert self._saving is not None  # who has a session has loaded it
        return self._saving

    async def _load(self) -> Saving:
        """Take what the request brings, once; else begin a fresh session."""
        while self._saving is None:
            if self._loading:  # for another task
                self._loaded = self._loaded or asyncio.Event()
                await self._loaded.wait()
                continue
            self._loading = True
            try:
                handle, choice = self._handle, self._handle.choice
                transport = handle.transport if choice is None else choice.of(self._headers)
                refusals, keys = transport.refusals, transport.read(self._headers)
                self._refused = transport.refusals != refusals
                commit = await open_session(handle, keys)
                self._saving = self._saving_kind(handle, commit, transport)
            finally:
                self._loading = False
                if self._loaded is not None:
                    self._loaded.set()
                    self._loaded = None
        return self._saving

    def _save(self) -> Awaitable[str | None]:
        """See `Saving.save`; of a session that nobody asked for, what is due at every request."""
        if self._saving is not None:
            return self._saving.save(sent=self._phase is _Phase.SENT)
        return self._refresh_unasked()

    async def _refresh_unasked(self) -> None:
        """Let the TTL of a session that nobody asked for start anew."""
        if self._asked or self._refresh_failed or self._phase is not _Phase.OPEN:
            return
        try:
            await (await self._load()).refresh()
        except StorageError as error:
            # The handler never asked for the session, so its answer does not depend on it.
            logger.warning("a session's TTL was not refreshed: %s", error, exc_info=error)
            self._refresh_failed = True
            if self._saving is not None:
                self._saving.commit.refreshed = True
