"""The list of ended sessions, for a storage whose records are in the clients' hands.

It is kept in a `KeyedStorage`, which may hold sessions as well. A mark (see
`aiohttp_sess.storage.marks`) is an entry under ``key_prefix`` + ``revoked:`` + its digest. The
value begins as what `aiohttp_sess.storage.entry` calls an end, so that no `load` takes it for a
record, and goes on with JSON. An entry lives as long as any cookie can that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from ..errors import SessionGone, StorageUnavailable
from ..record import SessionRecord
from .entry import Entry, new_end, version_of
from .keyed import KeyedStorage
from .marks import (
    LONGEST,
    MARGIN,
    Findings,
    Mark,
    OwnerMark,
    SessionMark,
    digest_of_owner,
    digest_of_session,
    owner_digest,
    session_digest,
)

__all__ = ("Revocations",)

_ATTEMPTS = 100  # each that fails is another's that succeeds
_END_LENGTH = len(new_end())

M = TypeVar("M", bound=Mark)


class Revocations:
    """Reads and writes the list.

    :param storage: where it is kept.
    """

    def __init__(self, storage: KeyedStorage) -> None:
        self._storage = storage
        self._prefix = f"{storage.key_prefix}revoked:"

    async def look_up(self, *records: SessionRecord) -> Findings:
        """What the list says of sessions and of their owners, in one exchange if the storage can.

        :raises StorageUnavailable: where the storage is, or an entry cannot be read.
        """
        sessions = dict.fromkeys(map(digest_of_session, records), SessionMark)
        return await self._look_up({**sessions}, records)

    async def look_up_owner(self, record: SessionRecord) -> Findings:
        """What the list says of the owner of a session, which must have one."""
        return await self._look_up({}, [record])

    async def _look_up(
        self, kinds: dict[str, type[Mark]], owners: Iterable[SessionRecord]
    ) -> Findings:
        for record in owners:
            digest = digest_of_owner(record)
            if digest is not None:
                kinds[digest] = OwnerMark
        reads = [self._storage.read(self._prefix + digest, None) for digest in kinds]
        if len(reads) == 1:
            entries = [await reads[0]]
        else:
            entries = await self._storage.together(*reads)
        found = zip(kinds.items(), entries, strict=True)
        return Findings({digest: _mark(entry, kind) for (digest, kind), entry in found if entry})

    async def end(self, record: SessionRecord, generation: int, ttl: float) -> bool:
        """End a session; False where it was ended before.

        :param generation: of a cookie of it.
        :param ttl: seconds that a cookie of it can live.
        :raises StorageUnavailable: where the storage is; the session may be ended or not.
        """
        owner = digest_of_owner(record)

        def ended(mark: SessionMark | None) -> SessionMark:
            if mark is None:
                return SessionMark(ttl, ended=True)
            if mark.ends(owner):
                return mark
            return msgspec.structs.replace(mark, ttl=max(ttl, mark.ttl), ended=True)

        end = self._write(digest_of_session(record), SessionMark, ended)
        if owner is None:
            return await end
        done, before = await self._storage.together(end, self.look_up_owner(record))
        return bool(done and not before.ended(record, generation))

    async def lengthen(self, record: SessionRecord, ttl: float) -> None:
        """Note that a cookie of a session is to live for longer than those before it say.

        :param ttl: seconds that it can live.
        :raises SessionGone: where the session was ended.
        """
        owner = digest_of_owner(record)

        def longer(mark: SessionMark | None) -> SessionMark:
            if mark is None:
                return SessionMark(ttl)
            if mark.ends(owner):
                raise SessionGone("the session was ended since it was loaded")
            return msgspec.structs.replace(mark, ttl=max(ttl, mark.ttl))

        await self._write(digest_of_session(record), SessionMark, longer)

    async def end_owner(self, cookie: str, owner: str, now: float, keep: str | None) -> None:
        """End all sessions of an owner.

        :param cookie: the name of their session cookie.
        :param now: the time now, Unix time in seconds.
        :param keep: the public id of one that goes on, unless it was ended before.
        """
        kept = None if keep is None else session_digest(cookie, keep)

        def ended(mark: OwnerMark | None) -> OwnerMark:
            return OwnerMark.after(mark, now, kept)

        await self._write(owner_digest(cookie, owner), OwnerMark, ended)

    async def end_ids(self, cookie: str, owner: str, ids: Iterable[str]) -> None:
        """End sessions of an owner by their public ids; to those of others nothing happens."""
        digest = owner_digest(cookie, owner)

        def ended(mark: SessionMark | None) -> SessionMark:
            return (mark or SessionMark(LONGEST)).ended_for(digest, LONGEST)

        for session_id in ids:
            await self._write(session_digest(cookie, session_id), SessionMark, ended)

    async def _write(self, digest: str, kind: type[M], change: Callable[[M | None], M]) -> bool:
        """Make a new mark of the one that is there; False where it stays the same.

        :param change: makes it. Mostly there is none, so that is tried first.
        """
        name, entry, before = self._prefix + digest, None, None
        for _ in range(_ATTEMPTS):
            after = change(before)
            if after == before:
                return False
            value, ttl = new_end() + msgspec.json.encode(after), after.ttl + MARGIN
            if entry is None:
                done = await self._storage.add(name, value, ttl)
            else:
                done = await self._storage.replace(name, value, ttl, version_of(entry))
            if done:
                return True
            entry = await self._storage.read(name, None)
            if entry is not None and entry.value == value:
                return True  # it was sent again after a lost reply
            before = None if entry is None else _mark(entry, kind)
        raise StorageUnavailable(
            f"the backend refused to write an entry {_ATTEMPTS} times: it is not working"
        )


def _mark(entry: Entry, kind: type[M]) -> M:
    try:
        return msgspec.json.decode(entry.value[_END_LENGTH:], type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Whoever it is about: what cannot be read must not let anybody in.
        raise StorageUnavailable("an entry of the revocations cannot be read") from None
