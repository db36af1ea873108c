"""Three requests of one session, their storage calls in any order, against a model.

Every call to the storage waits until the test lets it pass, so hypothesis chooses the interleaving,
down to a renewal that is overtaken between its save and its delete.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aiohttp_sess import (
    BrowserSession,
    CookieConfig,
    Session,
    SessionGone,
    SessionHandle,
    SessionRecord,
    StoredRecord,
)
from aiohttp_sess.commit import Commit
from aiohttp_sess.load import open_session
from aiohttp_sess.storage import AbstractStorage, MemoryStorage, SessionKey
from aiohttp_sess.transport import CookieTransport

REQUESTS = st.integers(0, 2)
DEEDS = st.sets(st.sampled_from(["assign", "increment", "renew", "purge"]), min_size=1)
TTL = timedelta(days=1)


class SteppedStorage(AbstractStorage):
    """Each call waits for `step`. One of these a request, all on the same storage."""

    def __init__(self, inner: AbstractStorage, saved: list[SessionKey]) -> None:
        self.inner, self.saved = inner, saved
        self.waiting: asyncio.Future[None] | None = None
        self.open = False

    async def _wait(self) -> None:
        if self.open:
            return
        self.waiting = asyncio.get_running_loop().create_future()
        await self.waiting

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        await self._wait()
        return await self.inner.load(key, ttl=ttl)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        await self._wait()
        stored = await self.inner.save(record, ttl)
        self.saved.append(stored.key)
        return stored

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        await self._wait()
        return await self.inner.update(key, record, ttl, revision=revision)

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        await self._wait()
        return await self.inner.update_ttl(key, ttl)

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        await self._wait()
        return await self.inner.delete(key, revision=revision)


@dataclass
class Request:
    """One request: the session that it works on, and its commit while that is under way."""

    storage: SteppedStorage
    opened: Commit | None = None
    commit: asyncio.Task[str | None] | None = None
    names: set[str] = field(default_factory=set)
    increments: int = 0
    purged: bool = False


class Races(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.memory = MemoryStorage()
        self.keys: list[SessionKey] = []
        self.dead: set[SessionKey] = set()
        self.known: set[SessionKey] = set()  # to the client: that of an unfinished renewal is not
        self.names: set[str] = set()
        self.increments = 0
        self.counter = 0
        self.requests = [Request(SteppedStorage(self.memory, self.keys)) for _ in range(3)]
        stored = self.runner.run(self.memory.save(SessionRecord(cookie="id"), TTL))
        self.keys.append(stored.key)
        self.known.add(stored.key)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            for request in self.requests:
                request.storage.open = True  # a commit that is cut off still cleans up
            self.runner.close()

    # -- the requests' steps ------------------------------------------------------------------

    @precondition(lambda self: any(request.commit is None for request in self.requests))
    @rule(number=REQUESTS, deeds=DEEDS)
    def handle(self, number: int, deeds: set[str]) -> None:
        """A request loads the session, its handler does something to it, and the commit begins."""
        idle = [request for request in self.requests if request.commit is None]
        live = [key for key in self.live() if key in self.known]
        if not live:
            return
        request = idle[number % len(idle)]
        cookie = CookieConfig()
        handle = SessionHandle(
            self.memory, CookieTransport(cookie, []), cookie=cookie, lifecycle=BrowserSession()
        )
        opened = request.opened = self.runner.run(open_session(handle, live[-1:]))
        opened._storage = request.storage
        session = Session(opened.changes)
        request.names, request.increments, request.purged = set(), 0, "purge" in deeds
        if "purge" in deeds:
            session.purge()
            deeds = set()
        if "renew" in deeds:
            session.renew()
        if "assign" in deeds:
            self.counter += 1
            session[f"name{self.counter}"] = self.counter
            request.names = {f"name{self.counter}"}
        if "increment" in deeds:
            session.update_value("n", lambda n: n + 1, default=1)
            request.increments = 1
        opened.refreshed = True
        todo = opened.plan()

        async def start() -> None:
            request.commit = asyncio.create_task(opened.carry_out(todo))

        self.runner.run(start())
        self.run_until_stopped(request)

    @precondition(lambda self: any(request.commit is not None for request in self.requests))
    @rule(number=REQUESTS)
    def step(self, number: int) -> None:
        """The storage answers one call of a commit."""
        waiting = [request for request in self.requests if request.commit is not None]
        request = waiting[number % len(waiting)]
        assert request.storage.waiting is not None
        request.storage.waiting.set_result(None)
        request.storage.waiting = None
        self.run_until_stopped(request)

    # -- what always holds --------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "runner"))
    @invariant()
    def what_was_ended_stays_ended(self) -> None:
        live = set(self.live())
        assert not live & self.dead
        self.dead |= set(self.keys) - live

    @precondition(lambda self: hasattr(self, "runner"))
    @invariant()
    def a_session_has_one_live_key(self) -> None:
        under_way = sum(request.commit is not None for request in self.requests)
        assert len(self.live()) <= 1 + under_way

    @precondition(lambda self: hasattr(self, "runner"))
    @invariant()
    def nothing_is_lost(self) -> None:
        if any(request.commit for request in self.requests):
            return
        for key in self.live():
            stored = self.runner.run(self.memory.load(key))
            assert stored is not None
            state = dict(stored.record.state)
            assert state.pop("n", 0) == self.increments
            assert set(state) == self.names

    # -- inside -------------------------------------------------------------------------------

    def live(self) -> list[SessionKey]:
        """The keys that load."""

        async def loads(key: SessionKey) -> bool:
            return await self.memory.load(key) is not None

        return [key for key in self.keys if self.runner.run(loads(key))]

    def run_until_stopped(self, request: Request) -> None:
        """Run a commit until it is done, or waits at the storage."""
        commit = request.commit
        assert commit is not None

        async def run() -> None:
            while not commit.done() and request.storage.waiting is None:
                await asyncio.sleep(0)

        self.runner.run(run())
        if commit.done():
            self.finish(request, commit.exception())

    def finish(self, request: Request, error: BaseException | None) -> None:
        """Take what a commit has acknowledged into the model."""
        assert error is None or isinstance(error, SessionGone)
        assert request.opened is not None
        if error is None:
            if request.purged and not self.live():
                # What the session had is gone with it, unless a renewal was first: then there was
                # nothing left to purge.
                self.names, self.increments = set(), 0
            self.names |= request.names
            self.increments += request.increments
            if request.opened.stored is not None:
                self.known.add(request.opened.stored.key)
        request.opened = request.commit = None


TestRaces = Races.TestCase
TestRaces.settings = settings(stateful_step_count=25)
