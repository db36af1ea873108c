"""Which cells there are: who does what, how many at once, and with how large a state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ("ACTIONS", "FAMILIES", "LABELS", "Cell", "Family", "all_cells")

ACTIONS = ("none", "read", "write", "first")
CLIENTS = (1, 32, 128)
KIB = 1024


class Family(NamedTuple):
    """What is compared with each other: ours with theirs, all with bare aiohttp."""

    theirs: str | None
    ours: tuple[str, ...]
    limit: str | None = None

    @property
    def apps(self) -> tuple[str, ...]:
        """All of them."""
        others = [name for name in (self.theirs, self.limit) if name is not None]
        return ("bare", *others, *self.ours)


FAMILIES = {
    "cookie": Family("their-cookie", ("private", "signed")),
    "memory": Family(None, ("memory",)),
    "redis": Family("their-redis", ("redis", "redis-from-url"), "limit"),
    "memcached": Family("their-memcached", ("memcached",)),
}
LABELS = {
    "bare": "bare aiohttp",
    "limit": "the least that Redis can cost",
    "their-cookie": "aiohttp-session, encrypted cookie",
    "their-redis": "aiohttp-session, Redis",
    "their-memcached": "aiohttp-session, memcached",
    "private": "CookieStorage, private",
    "signed": "CookieStorage, signed",
    "memory": "MemoryStorage",
    "redis": "RedisStorage(Redis.from_url(…))",
    "redis-from-url": "RedisStorage.from_url(…)",
    "memcached": "MemcachedStorage",
}


class Cell(NamedTuple):
    """One cell. ``size``: bytes of the state's JSON."""

    family: str
    action: str
    clients: int
    size: int

    def __str__(self) -> str:
        return f"{self.family} {self.action}, {self.clients} clients, {self.size} B"


def all_cells() -> Iterator[Cell]:
    """Those of a whole run."""
    for family in FAMILIES:
        for action in ACTIONS:
            for clients in CLIENTS:
                yield Cell(family, action, clients, 500)
        stored = family != "cookie"
        for action in ("read", "write"):
            for size in (100, 2 * KIB, *([64 * KIB] if stored else [])):
                yield Cell(family, action, 32, size)
            for size in (500, 10_000, 100_000, 1_000_000) if stored else ():
                if size != 500:
                    yield Cell(family, action, 1, size)
            # redis-py's pool has 100 connections: once within it, and once far beyond.
            for clients in (96, 256) if family == "redis" else ():
                yield Cell(family, action, clients, 500)
