"""The storage in this process's memory: for one process, for development and for tests."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from itertools import count

from ..errors import StorageUnavailable
from .entry import ENDED, STAMP_LENGTH, Entry, Version
from .indexed import IndexedStorage
from .members import Member

__all__ = ("MemoryStorage",)


class MemoryStorage(IndexedStorage):
    """Keeps records in a dict of this process. They end with it, and no other process sees them.

    :param max_sessions: when there are more, the one that was used least recently goes; what is on
        a list of ended sessions (``revocations`` of `CookieStorage`) counts, and never goes.
    :param key_prefix: what the names of its entries begin with.
    :param clock: the time now, Unix time in seconds.

    Expired records go at the next operation on any session, so an idle process keeps them, but
    never more than ``max_sessions``.

    Limitations:

    - Sessions of visitors and of users share those places. A session that is written for each
      visitor who comes without a cookie lets anybody push out all others, logins too, with so many
      requests. So write nothing to it before there is something to keep, limit how often an address
      may come, or take RedisStorage, where a TTL alone ends them.
    - Where a list of ended sessions fills it, it refuses to end more (`StorageUnavailable`): let
      ``max_sessions`` be more than are ended within a TTL.
    """

    answers_at_once = True

    def __init__(
        self,
        max_sessions: int = 100_000,
        *,
        key_prefix: str = "session:",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key_prefix=key_prefix, clock=clock)
        if isinstance(max_sessions, bool) or not isinstance(max_sessions, int):
            raise TypeError(f"max_sessions must be an int, not {type(max_sessions).__name__}")
        if max_sessions < 1:
            raise ValueError(f"max_sessions must be at least 1, not {max_sessions}")
        self.max_sessions = max_sessions
        # With the time at which each expires.
        self._entries: dict[str, tuple[bytes, float]] = {}
        # Those that may go where there are too many, least recently used first: what says that a
        # session was ended is not among them, as that would be open again.
        self._recent: OrderedDict[str, None] = OrderedDict()
        # (a time at which it may expire, name), the soonest first; looked at again when it is due.
        self._due: list[tuple[float, str]] = []
        # The login of each record that has an owner, in its index, by its name; and which it is
        # in: after another has taken it over, in more than one.
        self._indexes: dict[str, dict[str, int]] = {}
        self._indexes_of: dict[str, set[str]] = {}
        self._logins = count(1)

    def __len__(self) -> int:
        """How many entries there are: sessions, and for a while what leads to one that was given
        another key.
        """
        self._sweep()
        return len(self._entries)

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        value = self._value(name)
        if value is None:
            return None
        if ttl is None:
            if name in self._recent:
                self._recent.move_to_end(name)
        else:
            self._put(name, value, ttl)
        return Entry(value)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        if self._value(name) is not None:
            return False
        if len(self._entries) >= self.max_sessions:
            self._drop_one()
        self._put(name, value, ttl)
        return True

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        current = self._value(name)
        if current is None or current[:STAMP_LENGTH] != version.stamp:
            return False
        self._put(name, value, ttl)
        return True

    async def remove(self, name: str) -> bool:
        if self._value(name) is None:
            return False
        self._drop(name)
        return True

    async def remove_version(self, name: str, version: Version) -> bool:
        current = self._value(name)
        return (
            current is not None
            and current[:STAMP_LENGTH] == version.stamp
            and await self.remove(name)
        )

    # -- the index --------------------------------------------------------------------------------

    async def enter(
        self, index: str, digest: str, ttl: float, *, instead_of: str | None = None
    ) -> float:
        continued = self._indexes.get(index, {}).get(f"{self.key_prefix}{instead_of}")
        return self._enter(index, digest, continued or next(self._logins))

    async def announce(self, index: str, digest: str, ttl: float) -> float:
        return self._enter(index, digest, -next(self._logins))

    async def log_in(self, index: str, digest: str, announced: float | None) -> float:
        logins = self._indexes.get(index, {})
        of_record = logins.get(self.key_prefix + digest)
        number = announced if announced in logins.values() else of_record
        if number is None:
            return 0
        login = next(self._logins)
        logins.update({name: login for name, its in logins.items() if its == number})
        return login

    async def stay(self, index: str, digest: str, ttl: float) -> None:
        await self.enter(index, digest, ttl)

    async def leave(self, index: str, digests: Collection[str]) -> None:
        # What is gone has taken its place in the index with it.
        for name in [self.key_prefix + digest for digest in digests]:
            if index in self._indexes_of.get(name, ()):
                self._unlist(name, index)

    async def members(self, index: str) -> tuple[float, list[Member]]:
        self._sweep()
        logins = self._indexes.get(index, {})
        start = len(self.key_prefix)
        members = [Member(name[start:], login) for name, login in logins.items()]
        return next(self._logins), sorted(members, key=lambda member: member.login)

    async def read_all(self, names: Sequence[str]) -> Sequence[tuple[Entry | None, float | None]]:
        await asyncio.sleep(0)  # there may be many: others have their turn in between
        now = self.clock()
        found = [self._entries.get(name) for name in names]
        return [(None, None) if one is None else (Entry(one[0]), one[1] - now) for one in found]

    async def remove_all(self, names: Sequence[str]) -> Sequence[bool]:
        await asyncio.sleep(0)
        return [await self.remove(name) for name in names]

    # -- inside -----------------------------------------------------------------------------------

    def _enter(self, index: str, digest: str, login: int) -> int:
        name = self.key_prefix + digest
        if name not in self._entries:
            return login
        self._indexes_of.setdefault(name, set()).add(index)
        return self._indexes.setdefault(index, {}).setdefault(name, login)

    def _drop(self, name: str) -> None:
        del self._entries[name]
        self._recent.pop(name, None)
        for index in list(self._indexes_of.get(name, ())):
            self._unlist(name, index)

    def _drop_one(self) -> None:
        if not self._recent:
            raise StorageUnavailable(
                f"the MemoryStorage is full of {len(self._entries)} ended sessions, and has to "
                "remember them until their cookies have expired: give it more max_sessions, or "
                "take RedisStorage"
            )
        self._drop(next(iter(self._recent)))

    def _unlist(self, name: str, index: str) -> None:
        indexes, logins = self._indexes_of[name], self._indexes[index]
        indexes.remove(index)
        del logins[name]
        if not indexes:
            del self._indexes_of[name]
        if not logins:
            del self._indexes[index]

    def _value(self, name: str) -> bytes | None:
        self._sweep()
        entry = self._entries.get(name)
        return None if entry is None else entry[0]

    def _put(self, name: str, value: bytes, ttl: float) -> None:
        expires = self.clock() + ttl
        known = self._entries.get(name)
        self._entries[name] = (value, expires)
        if not value.startswith(ENDED):
            self._recent[name] = None
            self._recent.move_to_end(name)
        # A later end needs no new place in the queue: its old one leads to it.
        if known is None or expires < known[1]:
            heapq.heappush(self._due, (expires, name))
            # Sessions that were ended leave their places behind: start over before those add up.
            if len(self._due) > 2 * len(self._entries) + 64:
                self._due = [(end, name) for name, (_, end) in self._entries.items()]
                heapq.heapify(self._due)

    def _sweep(self) -> None:
        now = self.clock()
        while self._due and self._due[0][0] <= now:
            _, name = heapq.heappop(self._due)
            entry = self._entries.get(name)
            if entry is None:
                continue
            if entry[1] <= now:
                self._drop(name)
            else:
                heapq.heappush(self._due, (entry[1], name))
