"""Three requests of one session whose key grows old, their steps in any order, against a model.

Every operation on bytes waits until the test lets it pass, and time passes when the test says so:
hypothesis chooses, down to a rotation that is overtaken between its record and its pointer.
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
from aiohttp_sess.storage import Entry, KeyedStorage, MemoryStorage, SessionKey, Version
from aiohttp_sess.testing import FakeClock
from aiohttp_sess.transport import CookieTransport

from . import AGE

REQUESTS = st.integers(0, 2)
DEEDS = st.sets(st.sampled_from(["assign", "increment", "renew", "purge"]))
TTL = timedelta(days=365)


class View(KeyedStorage):
    """One request's view of the storage: each operation on bytes waits for `Keys.step`."""

    def __init__(self, inner: MemoryStorage, issued: list[SessionKey]) -> None:
        super().__init__(clock=inner.clock)
        self.inner, self.issued = inner, issued
        self.waiting: asyncio.Future[None] | None = None
        self.open = False

    async def _wait(self) -> KeyedStorage:
        if not self.open:
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        return self.inner

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        return await (await self._wait()).read(name, ttl)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return await (await self._wait()).add(name, value, ttl)

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        return await (await self._wait()).replace(name, value, ttl, version)

    async def remove(self, name: str) -> bool:
        return await (await self._wait()).remove(name)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        return self._noted(await super().save(record, ttl))

    async def rotate(
        self,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        *,
        revision: object,
        grace: timedelta,
    ) -> StoredRecord:
        return self._noted(await super().rotate(key, record, ttl, revision=revision, grace=grace))

    def _noted(self, stored: StoredRecord) -> StoredRecord:
        self.issued.append(stored.key)
        return stored


@dataclass
class Request:
    """One request: the session that it works on, and its commit while that is under way."""

    storage: View
    opened: Commit | None = None
    commit: asyncio.Task[None] | None = None
    names: set[str] = field(default_factory=set)
    increments: int = 0
    purged: bool = False


class Keys(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.memory = MemoryStorage(clock=self.clock)
        self.handle = SessionHandle(
            self.memory,
            CookieTransport(CookieConfig(), []),
            cookie=CookieConfig(),
            lifecycle=BrowserSession(TTL, rotate_every=AGE),
        )
        self.keys: list[SessionKey] = []
        self.dead: set[SessionKey] = set()
        self.known: set[SessionKey] = set()  # to the client
        self.names: set[str] = set()
        self.increments = 0
        self.counter = 0
        self.requests = [Request(View(self.memory, self.keys)) for _ in range(3)]
        record = SessionRecord(cookie="id", created=self.clock(), issued=self.clock())
        stored = self.runner.run(self.memory.save(record, TTL))
        self.keys.append(stored.key)
        self.known.add(stored.key)
        self.id = stored.record.id

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            for request in self.requests:
                request.storage.open = True  # a commit that is cut off still cleans up
            self.runner.close()

    # -- the requests' steps ------------------------------------------------------------------

    @precondition(lambda self: any(request.commit is None for request in self.requests))
    @rule(number=REQUESTS, which=st.integers(0, 9), deeds=DEEDS)
    def begin_request(self, number: int, which: int, deeds: set[str]) -> None:
        """A request loads the session, its handler does something to it, and the commit begins."""
        idle = [request for request in self.requests if request.commit is None]
        live = [key for key in self.live() if key in self.known]
        if not live:
            return
        request = idle[number % len(idle)]
        key = live[which % len(live)]
        opened = request.opened = self.runner.run(open_session(self.handle, [key]))
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
        if not todo.storage:
            return

        async def start() -> None:
            request.commit = asyncio.create_task(opened.carry_out(todo))

        self.runner.run(start())
        self.run_until_stopped(request)

    @precondition(lambda self: any(request.commit is not None for request in self.requests))
    @rule(number=REQUESTS)
    def step(self, number: int) -> None:
        """The storage answers one operation of a commit."""
        waiting = [request for request in self.requests if request.commit is not None]
        request = waiting[number % len(waiting)]
        assert request.storage.waiting is not None
        request.storage.waiting.set_result(None)
        request.storage.waiting = None
        self.run_until_stopped(request)

    @rule(seconds=st.sampled_from([29.0, 31.0, AGE.total_seconds()]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # -- what always holds --------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "runner"))
    @invariant()
    def what_was_ended_stays_ended(self) -> None:
        live = set(self.live())
        assert not live & self.dead
        self.dead |= set(self.keys) - live

    @precondition(lambda self: hasattr(self, "runner"))
    @invariant()
    def a_session_has_one_key_besides_those_that_lead_to_it(self) -> None:
        under_way = sum(request.commit is not None for request in self.requests)
        assert len({stored.key for stored in self.live().values()}) <= 1 + under_way

    @precondition(lambda self: hasattr(self, "runner"))
    @invariant()
    def nothing_is_lost_and_nothing_left_over(self) -> None:
        if any(request.commit for request in self.requests):
            return
        live = self.live()
        for stored in live.values():
            state = dict(stored.record.state)
            assert state.pop("n", 0) == self.increments
            assert set(state) == self.names
        values = [value for value, _ in self.memory._entries.values()]
        records = [value for value in values if not value.startswith((b"moved:", b"ended:"))]
        assert len(records) == len({stored.key for stored in live.values()})

    # -- inside -------------------------------------------------------------------------------

    def live(self) -> dict[SessionKey, StoredRecord]:
        """The keys that load, and what."""
        found = {key: self.runner.run(self.memory.load(key)) for key in self.keys}
        return {key: stored for key, stored in found.items() if stored is not None}

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
                self.names, self.increments = set(), 0
            self.names |= request.names
            self.increments += request.increments
            if request.opened.stored is not None:
                self.known.add(request.opened.stored.key)
        request.opened = request.commit = None


TestKeys = Keys.TestCase
TestKeys.settings = settings(stateful_step_count=40)
