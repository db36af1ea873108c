"""The storage in this process's memory: for one process, for development and for tests."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable

from .entry import STAMP_LENGTH, Entry, Version
from .keyed import KeyedStorage

__all__ = ("MemoryStorage",)


class MemoryStorage(KeyedStorage):
    """Keeps records in a dict of this process. They end with it, and no other process sees them.

    :param max_sessions: when there are more, the one that was used least recently goes.
    :param key_prefix: what the names of its entries begin with.
    :param clock: the time now, Unix time in seconds.

    Expired records go at the next operation on any session, so an idle process keeps them, but
    never more than ``max_sessions``.
    """

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
        # Least recently used first; with the time at which each expires.
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        # (a time at which it may expire, name), the soonest first; looked at again when it is due.
        self._due: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """How many sessions there are."""
        self._sweep()
        return len(self._entries)

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        value = self._value(name)
        if value is None:
            return None
        if ttl is None:
            self._entries.move_to_end(name)
        else:
            self._put(name, value, ttl)
        return Entry(value)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        if self._value(name) is not None:
            return False
        if len(self._entries) >= self.max_sessions:
            self._entries.popitem(last=False)
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
        del self._entries[name]
        return True

    def _value(self, name: str) -> bytes | None:
        self._sweep()
        entry = self._entries.get(name)
        return None if entry is None else entry[0]

    def _put(self, name: str, value: bytes, ttl: float) -> None:
        expires = self.clock() + ttl
        known = self._entries.get(name)
        self._entries[name] = (value, expires)
        self._entries.move_to_end(name)
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
                del self._entries[name]
            else:
                heapq.heappush(self._due, (entry[1], name))
