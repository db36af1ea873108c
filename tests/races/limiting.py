"""Storages that count sessions, and do something else in the middle of a login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp_sess import Session, SessionLimitPolicy, StorageUnavailable
from aiohttp_sess.storage import MemoryStorage, Version
from aiohttp_sess.storage.indexed import IndexedStorage
from aiohttp_sess.storage.redis import RedisStorage

from .lab import Lab

OWNER = "user-42"
OTHER = "user-43"
REFUSE = SessionLimitPolicy.REFUSE


class Stopping(IndexedStorage):
    """Does what it is told right before a login gets its number, and loses replies to writes."""

    meanwhile: dict[str, Callable[[], Awaitable[object]]]
    lose: frozenset[int] = frozenset()
    """Which replies, from 1 on, since it was set."""
    writes = 0

    refuse_from: int | None = None
    """From which write on, since that, none is done."""

    def loses(self, *writes: int) -> None:
        """Lose the replies to these of the writes that come next."""
        self.lose, self.writes = frozenset(writes), 0

    async def log_in(self, index: str, digest: str, announced: float | None) -> float:
        work = self.meanwhile.pop("log_in", None)
        if work is not None:
            await work()
        return await super().log_in(index, digest, announced)  # type: ignore[safe-super]

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        if self.refuse_from is not None and self.writes + 1 >= self.refuse_from:
            raise StorageUnavailable("not now")
        done: bool = await super().replace(name, value, ttl, version)  # type: ignore[safe-super]
        self.writes += 1
        if self.writes in self.lose:
            raise StorageUnavailable("no reply")
        return done


class InMemory(Stopping, MemoryStorage):
    pass


class InRedis(Stopping, RedisStorage):
    pass


@contextmanager
def refuses_to_write_from(storage: Stopping, number: int) -> Iterator[None]:
    """None of the writes is done from this one on, and 1 is the next."""
    storage.refuse_from, storage.writes = number, 0
    yield
    storage.refuse_from = None


async def own(session: Session) -> None:
    """Log in without a renewal."""
    session.owner = OWNER


async def own_other(session: Session) -> None:
    """The same as somebody else."""
    session.owner = OTHER


async def disown(session: Session) -> None:
    """Log out without a purge."""
    session.owner = None


async def log_in(session: Session) -> None:
    """Log in with a renewal."""
    session.renew()
    session.owner = OWNER


async def out_and_in(session: Session) -> None:
    """Log out and in at once."""
    session.owner = None
    session.owner = OWNER


async def out_and_in_renewed(session: Session) -> None:
    """The same with a renewal."""
    session.renew()
    await out_and_in(session)


async def renew(session: Session) -> None:
    """Take another key."""
    session.renew()


async def write(session: Session) -> None:
    """Change the state alone."""
    session["late"] = 1


async def cookie_of(lab: Lab, work: Callable[[Session], Awaitable[object]], cookie: str) -> str:
    """The cookie that a request gets for a session."""
    new = (await lab.request(work, cookie)).cookie
    assert new
    return new


async def owners(lab: Lab, *cookies: str) -> list[str | None]:
    """Whose the sessions under these cookies are; "over" for one that is."""
    found: list[str | None] = []
    for cookie in cookies:

        async def look(session: Session) -> None:
            found.append("over" if session.new else session.owner)

        await lab.request(look, cookie)
    return found
