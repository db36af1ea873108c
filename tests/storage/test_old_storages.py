"""Storages that were written before owners, rotation and renewals had methods of their own."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from itertools import count

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    Session,
    SessionConflict,
    SessionGone,
    SessionRecord,
    StoredRecord,
    end_sessions,
    sessions_of,
    setup,
)
from aiohttp_sess.storage import AbstractStorage, Entry, KeyedStorage, SessionKey, Version

from ..races.lab import Lab, purge, renew


class SixMethods(AbstractStorage):
    """Nothing but what is abstract."""

    def __init__(self) -> None:
        self.records: dict[SessionKey, StoredRecord] = {}
        self._revisions = count()

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        return self.records.get(key)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        stored = StoredRecord(SessionKey.generate(), record, next(self._revisions))
        self.records[stored.key] = stored
        return stored

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        self._check(key, revision)
        self.records[key] = StoredRecord(key, record, next(self._revisions))
        return self.records[key]

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        return key if key in self.records else None

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        if key not in self.records:
            return False
        if revision is not None:
            self._check(key, revision)
        del self.records[key]
        return True

    def _check(self, key: SessionKey, revision: object) -> None:
        if key not in self.records:
            raise SessionGone("gone")
        if self.records[key].revision != revision:
            raise SessionConflict("changed")


class FourHooks(KeyedStorage):
    """Nothing but what is abstract."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, Entry] = {}
        self._tokens = count()

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        return self.entries.get(name)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        if name in self.entries:
            return False
        self.entries[name] = Entry(value, next(self._tokens))
        return True

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        entry = self.entries.get(name)
        if entry is None or not entry.value.startswith(version.stamp):
            return False
        self.entries[name] = Entry(value, next(self._tokens))
        return True

    async def remove(self, name: str) -> bool:
        return self.entries.pop(name, None) is not None


BOTH = pytest.mark.parametrize("kind", [SixMethods, FourHooks])


async def own(session: Session) -> None:
    session["n"] = 1
    session.owner = "ferris"


async def change(session: Session) -> None:
    assert session.owner == "ferris"
    session.update_value("n", lambda n: n + 1)


@BOTH
async def test_sessions_go_on_as_before(kind: type[SixMethods | FourHooks]) -> None:
    storage = kind()
    async with Lab(storage, every_request=True).running() as lab:  # type: ignore[arg-type]
        cookie = (await lab.request(own)).cookie or ""
        assert (await lab.request(change, cookie)).cookie == cookie
        slow = await lab.slow(change, cookie)
        await lab.request(change, cookie)
        assert (await slow.go_on()).cookie == cookie
        new = (await lab.request(renew, cookie)).cookie or ""
        assert new not in ("", cookie)
        assert await storage.load(SessionKey(cookie)) is None
        stored = await storage.load(SessionKey(new))
        assert stored is not None
        assert stored.record.state == {"n": 4, "user": "ferris"}
        assert (await lab.request(purge, new)).cookie == ""
        assert await storage.load(SessionKey(new)) is None


@BOTH
async def test_what_they_cannot_is_said(kind: type[SixMethods | FourHooks]) -> None:
    app, storage = web.Application(), kind()
    with pytest.raises(ValueError, match="max_sessions_per_owner"):
        setup(app, storage, max_sessions_per_owner=2)
    if kind is SixMethods:
        with pytest.raises(ValueError, match="rotate_every"):
            setup(app, storage, lifecycle=BrowserSession(rotate_every=timedelta(minutes=15)))
    setup(app, storage)
    for call in (sessions_of(app, "ferris"), end_sessions(app, "ferris")):
        with pytest.raises(NotImplementedError, match=f"{kind.__name__} cannot .*RedisStorage"):
            await call


async def test_four_hooks_rotate_keys_too() -> None:
    storage, hour = FourHooks(), timedelta(hours=1)
    old = await storage.save(SessionRecord({"n": 1}, owner="ferris", cookie="id"), hour)
    record = dataclasses.replace(old.record, state={"n": 2})
    grace = timedelta(seconds=30)
    new = await storage.rotate(old.key, record, hour, revision=old.revision, grace=grace)
    for key in (old.key, new.key):
        assert await storage.load(key) == await storage.load(new.key)
    assert await storage.update_ttl(old.key, hour) is None
    assert await storage.delete(new.key)
    assert await storage.load(old.key) is None
