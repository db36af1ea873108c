"""Storages that break their contract, each in one way: see `tests.test_testing`."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from datetime import timedelta

from aiohttp_sess import SerializationError, SessionRecord, StoredRecord
from aiohttp_sess.storage import Entry, MemoryStorage, SessionKey, Version

_HOUR = 3600.0


class Overwrites(MemoryStorage):
    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        await self.remove(name)
        return await super().add(name, value, ttl)


class KnowsOneKey(MemoryStorage):
    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        stored = await super().save(record, ttl)
        return stored._replace(key=SessionKey("a" * 43))


class UpdateRevives(MemoryStorage):
    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        if await self.read(name, None) is None:
            return await self.add(name, value, ttl)
        return await super().replace(name, value, ttl, version)


class TouchRevives(MemoryStorage):
    async def touch(self, name: str, ttl: float) -> bool:
        return await super().touch(name, ttl) or await self.add(name, b"empty", ttl)


class TouchAlwaysAgrees(MemoryStorage):
    async def touch(self, name: str, ttl: float) -> bool:
        await super().touch(name, ttl)
        return True


class LastWriteWins(MemoryStorage):
    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        if await self.read(name, None) is None:
            return False
        await self.remove(name)
        return await self.add(name, value, ttl)


class LooksThenWrites(MemoryStorage):
    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        entry = await self.read(name, None)
        if entry is None or not entry.value.startswith(version.stamp):
            return False
        await asyncio.sleep(0)
        await self.remove(name)
        return await self.add(name, value, ttl)


class LooksThenRemoves(MemoryStorage):
    async def remove(self, name: str) -> bool:
        found = await self.read(name, None) is not None
        await asyncio.sleep(0)
        await super().remove(name)
        return found


class LooksThenAdds(MemoryStorage):
    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        if await self.read(name, None) is not None:
            return False
        await asyncio.sleep(0)
        await self.remove(name)
        return await super().add(name, value, ttl)


class LooksThenTouches(MemoryStorage):
    async def touch(self, name: str, ttl: float) -> bool:
        entry = await self.read(name, None)
        await asyncio.sleep(0)
        return entry is not None and await self.add(name, entry.value, ttl)


class EndsWhateverIsThere(MemoryStorage):
    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        return await super().delete(key)


class EndsNothing(MemoryStorage):
    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        return await self.load(key) is not None


class EndsEverything(MemoryStorage):
    async def remove(self, name: str) -> bool:
        found = await super().remove(name)
        self._entries.clear()
        return found


class NeverExpires(MemoryStorage):
    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return await super().add(name, value, math.inf)


class ReadingRefreshes(MemoryStorage):
    async def read(self, name: str, ttl: float | None) -> Entry | None:
        return await super().read(name, _HOUR)


class LoadDoesNotRefresh(MemoryStorage):
    async def read(self, name: str, ttl: float | None) -> Entry | None:
        return await super().read(name, None)

    async def touch(self, name: str, ttl: float) -> bool:
        return await MemoryStorage.read(self, name, ttl) is not None


class TouchDoesNotRefresh(MemoryStorage):
    async def touch(self, name: str, ttl: float) -> bool:
        return await self.read(name, None) is not None


class UpdateDoesNotRefresh(MemoryStorage):
    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        _, expires = self._entries.get(name, (b"", math.inf))
        return await super().replace(name, value, expires - self.clock(), version)


class TouchOnlyProlongs(MemoryStorage):
    async def touch(self, name: str, ttl: float) -> bool:
        return await super().touch(name, max(ttl, _HOUR))


class RoundsDownToForever(MemoryStorage):
    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return await super().add(name, value, int(ttl) or math.inf)


class TakesMonthsForADate(MemoryStorage):
    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return await super().add(name, value, ttl if ttl <= 30 * 24 * _HOUR else -1)


class OutlivesDeadlines(MemoryStorage):
    """Keeps the deadline, and does not look at it."""

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        self._deadline = record.deadline
        return await super().save(dataclasses.replace(record, deadline=None), ttl)

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        record = dataclasses.replace(record, deadline=None)
        return await super().update(key, record, ttl, revision=revision)

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        stored = await super().load(key, ttl=ttl)
        if stored is None:
            return None
        return stored._replace(record=dataclasses.replace(stored.record, deadline=self._deadline))


class SharesItsRecords(MemoryStorage):
    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        self._saved = await super().save(record, ttl)
        return self._saved

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        return self._saved


class ForgetsTheOwner(MemoryStorage):
    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        return await super().save(dataclasses.replace(record, owner=None), ttl)


class HoldsLittle(MemoryStorage):
    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        if len(value) > 65_536:
            raise SerializationError("too large")
        return await super().add(name, value, ttl)


class ShowsTheKey(MemoryStorage):
    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        stored = await super().save(record, ttl)
        return stored._replace(revision=stored.key.value)


class ChokesOnSpaces(MemoryStorage):
    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        if " " in key.value:
            raise ValueError("control characters are not allowed")
        return await super().load(key, ttl=ttl)


class TrimsKeys(MemoryStorage):
    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        return await super().load(SessionKey(key.value.strip()), ttl=ttl)


class CrossesReplies(MemoryStorage):
    """A call that is cancelled leaves its reply to the next one."""

    _left: Entry | None = None

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        entry = await super().read(name, ttl)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._left = entry
            raise
        if self._left is not None:
            entry, self._left = self._left, entry
        return entry


class TearsUpdates(MemoryStorage):
    """An update that is cancelled leaves nothing."""

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        entry = await self.read(name, None)
        if entry is None or not entry.value.startswith(version.stamp):
            return False
        await self.remove(name)
        await asyncio.sleep(0)
        return await self.add(name, value, ttl)
