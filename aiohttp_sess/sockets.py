"""WebSockets that are tied to a session: closed with code 1008 when it ends (ASVS 4.4.3).

A session that is ended in this process closes its sockets at once. One that ends elsewhere, or
expires, is noticed when the socket's watcher looks at the storage: once in every ``check_every``
seconds.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from .errors import StorageError

__all__ = ("Alive", "Binding", "Socket", "Sockets")

logger = logging.getLogger("aiohttp_sess")

# Whether the session is still there; True as argument lets its idle TTL start anew.
Alive = Callable[[bool], Awaitable[bool]]

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1
_CLOSE_TIMEOUT = 5.0  # seconds
_LOOKERS = 16  # sessions that are looked at together, where it is to be all of them


class Socket(Protocol):
    """What is asked of a websocket: `aiohttp.web.WebSocketResponse` has it."""

    async def close(self, *, code: int = ..., message: bytes = ...) -> bool: ...


class Binding:
    """A websocket that is tied to a session, from `Session.bind` to the end of its request."""

    def __init__(self, socket: Socket, alive: Alive, vanished: Callable[[], None]) -> None:
        self._socket = socket
        self._alive = alive
        self._vanished = vanished  # called where nobody in this process has ended it
        self._active = False
        self.ended = False
        """Whether the session has ended, so that the socket was closed."""

    def active(self) -> None:
        """Count as activity of the session: the next check lets its idle TTL start anew.

        Call it for each message that is a sign of the user, and not for those of a timer.
        """
        self._active = True

    async def watch(self, check_every: float) -> None:
        """Look for the session every ``check_every`` seconds, until it is not there."""
        while True:
            await asyncio.sleep(check_every)
            active, self._active = self._active, False
            if not await self.look(active):
                return

    async def look(self, active: bool = False) -> bool:
        """Look for the session now, and close the socket where it is not there; whether it is, as
        far as is known.
        """
        try:
            if await self._alive(active):
                return True
        except StorageError as error:
            # A storage that is down says nothing of the session: ask again.
            self._active = self._active or active
            logger.warning("a websocket's session could not be looked at: %s", error)
            return True
        except Exception:
            logger.exception("a websocket's session could not be looked at")
            return True
        if not self.ended:
            self._vanished()
        await self.close()
        return False

    async def close(self) -> None:
        """The session has ended: close the socket."""
        if not self.ended:
            self.ended = True
            # One whose client does not read is cut off.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await self._socket.close(code=_POLICY_VIOLATION, message=b"session ended")


class _Bound(NamedTuple):
    session_id: str
    binding: Binding
    watcher: asyncio.Task[None]


class Sockets:
    """The bound websockets of this process.

    :param vanished: called with the public id of a session that one of them did not find any more,
        once for each session.
    """

    def __init__(self, vanished: Callable[[str], None] | None = None) -> None:
        self._by_request: dict[object, list[_Bound]] = {}
        self._by_session: dict[str, list[_Bound]] = {}
        self._closing: set[asyncio.Task[object]] = set()
        self._tell_vanished = vanished
        self._vanished: set[str] = set()  # those that were told

    def __len__(self) -> int:
        """How many there are."""
        return sum(map(len, list(self._by_request.values())))  # metrics ask from another thread

    def bind(
        self, request: object, socket: Socket, session_id: str, alive: Alive, check_every: float
    ) -> Binding:
        """Tie a socket to a session, until ``request`` lets it go."""
        binding = Binding(socket, alive, functools.partial(self._vanish, session_id))
        bound = _Bound(session_id, binding, asyncio.create_task(binding.watch(check_every)))
        self._by_request.setdefault(request, []).append(bound)
        self._by_session.setdefault(session_id, []).append(bound)
        return binding

    def release(self, request: object, only: Binding | None = None) -> None:
        """A request is over: let go of its sockets, or before that of one."""
        bounds = self._by_request.pop(request, [])
        if only is not None and (rest := [each for each in bounds if each.binding is not only]):
            self._by_request[request] = rest
        for bound in bounds:
            if only not in (None, bound.binding):
                continue
            bound.watcher.cancel()
            others = self._by_session[bound.session_id]
            others.remove(bound)
            if not others:
                del self._by_session[bound.session_id]
                self._vanished.discard(bound.session_id)

    def end(self, session_id: str) -> None:
        """A session has ended: close its sockets, without waiting for what their clients say."""
        for bound in self._by_session.get(session_id, ()):
            self._close(bound.binding.close())

    def look_at_all(self) -> None:
        """Sessions have ended of which nobody knows which: look at each, and close its sockets."""
        left = iter([bound for bounds in self._by_session.values() for bound in bounds])
        for _ in range(min(_LOOKERS, len(self))):
            self._close(self._look_at(left))

    async def _look_at(self, left: Iterator[_Bound]) -> None:
        """Look at the sessions that nobody else has taken yet, one after the other."""
        for bound in left:
            await bound.binding.look()

    def _vanish(self, session_id: str) -> None:
        """A socket of a session found that it is not there; others of it may find that too."""
        if self._tell_vanished is not None and session_id not in self._vanished:
            if session_id in self._by_session:  # else all were released: nobody would forget it
                self._vanished.add(session_id)
            self._tell_vanished(session_id)

    def _close(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
