"""Ending all sessions of an owner where nothing can list them: by a generation.

Each owner has an entry, named like an index of `aiohttp_sess.storage.indexed`, that holds the
*generation* of its sessions: 16 random characters. A login takes it along, in front of the owner
in its record, and a record whose generation is not the owner's is no session. So to write another
generation ends all of them. No clock has a part in this.

Behind the generation, the entry has those sessions that went on when others ended: JSON, their
public ids with the generations in their records.

An entry that is lost ends the owner's sessions, instead of bringing back what was ended.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import msgspec

from ..errors import DeserializationError, SessionGone, StorageUnavailable
from ..record import SessionRecord
from .entry import live, version_of
from .interface import SessionKey, StoredRecord
from .keyed import KeyedStorage
from .members import index_name
from .stored import CUT_OFF, say_which

__all__ = ("EpochStorage",)

_LENGTH = 16  # characters of a generation, as many as a stamp has, by which entries are compared
# Seconds that an entry lives when nobody looks at it: as long as a browser keeps any cookie
# (RFC 6265bis §5.5).
_TTL = 400 * 24 * 60 * 60.0
_ATTEMPTS = 8


class _Owned(NamedTuple):
    """The revision of a record that has an owner: which sessions it belongs to, and the rest."""

    version: object
    name: str  # of the owner's entry
    id: str
    generation: str


class EpochStorage(KeyedStorage):
    """A `KeyedStorage` that ends all sessions of an owner, and asks for each that has one whether
    it is over: one more operation for a load, a save or an update.
    """

    recognises_writes = True

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        stored = await super().load(key, ttl=ttl)
        if stored is None or stored.record.owner is None:
            return stored
        record = stored.record
        generation, owner = stored.record.owner[:_LENGTH], stored.record.owner[_LENGTH:]
        name = index_name(self.key_prefix, owner, record.cookie)
        owned = _Owned(stored.revision, name, record.id, generation)
        if not await self._goes_on(owned):
            await super().delete(stored.key)  # nothing makes it a session again
            return None
        return StoredRecord(stored.key, replace(record, owner=owner), owned)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        if record.owner is None:
            return await super().save(record, ttl)
        name = index_name(self.key_prefix, record.owner, record.cookie)
        generation = await self._generation(name)
        stored = await super().save(replace(record, owner=generation + record.owner), ttl)
        owned = _Owned(stored.revision, name, record.id, generation)
        return StoredRecord(stored.key, record, owned)

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        if record.owner is None and not isinstance(revision, _Owned):
            return await super().update(key, record, ttl, revision=revision)
        return await self._rewrite(
            record,
            revision,
            lambda written, version: super(EpochStorage, self).update(
                key, written, ttl, revision=version
            ),
        )

    async def rotate(
        self,
        key: SessionKey,
        record: SessionRecord,
        ttl: timedelta,
        *,
        revision: object,
        grace: timedelta,
    ) -> StoredRecord:
        return await self._rewrite(
            record,
            revision,
            lambda written, version: super(EpochStorage, self).rotate(
                key, written, ttl, revision=version, grace=grace
            ),
        )

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        try:
            stored = await self.load(key, ttl=ttl)
            # Of one that got another key, `load` alone tells that.
            return key if stored is not None and stored.key == key else None
        except DeserializationError:
            return key  # it is there

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        was_there = await super().delete(key, revision=_version(revision))
        if isinstance(revision, _Owned):  # to be renewed, unless its owner's sessions have ended
            return was_there and await self._goes_on(revision)
        return was_there

    async def end(self, stored: StoredRecord) -> bool:
        return await super().end(stored._replace(revision=_version(stored.revision)))

    def includes(self, revision: object, written: object) -> bool:
        return super().includes(_version(revision), _version(written))

    async def end_sessions(
        self,
        owner: str,
        cookie: str,
        *,
        keep: str | None = None,
        ids: Collection[str] | None = None,
    ) -> None:
        if ids is not None:
            raise NotImplementedError(
                f"{type(self).__name__} ends all sessions of an owner, or all but one, and not "
                "some by their ids: take RedisStorage or MemoryStorage for that"
            )
        name, new = index_name(self.key_prefix, owner, cookie), _new_generation()
        for _ in range(_ATTEMPTS):
            entry = live(await self.read(name, _TTL))
            if entry is None or entry.value.startswith(new):
                return
            current, kept = _parts(entry.value)
            left = {} if keep is None else {keep: kept.get(keep, current)}
            value = new + msgspec.json.encode(left)
            if await self.replace(name, value, _TTL, version_of(entry)):
                return
        raise StorageUnavailable("others keep ending this owner's sessions: given up")

    # -- inside -----------------------------------------------------------------------------------

    async def _rewrite(
        self,
        record: SessionRecord,
        revision: object,
        write: Callable[[SessionRecord, object], Awaitable[StoredRecord]],
    ) -> StoredRecord:
        """Write a record in the place of another, with the generation that it belongs to.

        :param write: given the record as it is kept, and the version that it replaces.
        """
        before = revision if isinstance(revision, _Owned) else None
        name = record.owner and index_name(self.key_prefix, record.owner, record.cookie)
        same = before is not None and before.name == name
        if before is not None and not same and not await self._goes_on(before):
            raise SessionGone("the session was ended since it was loaded")
        if name is None or record.owner is None:
            return await write(record, _version(revision))
        # An owner that is set now is a login; else it keeps its generation, also if that is over.
        generation = before.generation if before and same else await self._generation(name)
        written = replace(record, owner=generation + record.owner)
        stored = await write(written, _version(revision))
        owned = _Owned(stored.revision, name, record.id, generation)
        try:
            if same and not await self._goes_on(owned):
                await super().delete(stored.key)
                raise SessionGone("the session was ended since it was loaded")
        except CUT_OFF as error:
            say_which(error, stored.revision)
            raise
        return StoredRecord(stored.key, record, owned)

    async def _generation(self, name: str) -> str:
        """The generation that a login gets."""
        for _ in range(_ATTEMPTS):
            entry = live(await self.read(name, _TTL))
            if entry is not None:
                return _parts(entry.value)[0]
            await self.add(name, _new_generation() + b"{}", _TTL)
        raise StorageUnavailable("the backend does not keep what was just added: it is not working")

    async def _goes_on(self, owned: _Owned) -> bool:
        """Whether a session was not ended with others of its owner."""
        entry = live(await self.read(owned.name, _TTL))
        if entry is None:
            return False
        current, kept = _parts(entry.value)
        return owned.generation in (current, kept.get(owned.id))


def _new_generation() -> bytes:
    return secrets.token_urlsafe(12).encode()


def _parts(value: bytes) -> tuple[str, dict[str, str]]:
    """A generation, and those that go on with another one; of garbage, what no record has."""
    try:
        kept = msgspec.json.decode(value[_LENGTH:], type=dict[str, str])
        return value[:_LENGTH].decode(), kept
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "", {}


def _version(revision: object) -> object:
    return revision.version if isinstance(revision, _Owned) else revision
