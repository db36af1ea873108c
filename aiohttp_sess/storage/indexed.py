"""Which sessions an owner has: what storages that can keep an index have in common.

An index belongs to one owner and one cookie's name, and says which records are that owner's, by
the digests that name them; no key is in it. It is a hint, and the records decide: what an index
names and is gone is taken out when it is met, and what is another's by now does not count.

Each member has a *login*: a number that grows from one login to the next, and that a renewal or a
rotation hands on. So one that is under way, which has two records for a moment, counts once; and
who ends all sessions tells those that got another key meanwhile from logins that came later. A
pointer keeps the place in the index that its record had: whoever has loaded that may be about to
renew it. When it is entered: see `aiohttp_sess.storage.logins`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar

from .entry import Entry
from .interface import ListedRecord, StoredRecord
from .logins import Logins
from .members import Living, Member, batches, living
from .pointer import Pointer

__all__ = ("IndexedStorage",)


class IndexedStorage(Logins):
    """A `KeyedStorage` that lists the sessions of an owner, over eight more operations: these, and
    those of `Logins`.
    """

    lists_sessions: ClassVar[bool] = True

    # -- what a backend implements, beside that of Logins -----------------------------------------

    @abstractmethod
    async def members(self, index: str) -> tuple[float, list[Member]]:
        """What is in an index, in the order of the logins, and of each login at one moment; and a
        number that is no less than each login before the call, and less than all that come after.
        """

    @abstractmethod
    async def read_all(self, names: Sequence[str]) -> Sequence[tuple[Entry | None, float | None]]:
        """The entries under these names, each with the seconds that it has left."""

    @abstractmethod
    async def remove_all(self, names: Sequence[str]) -> Sequence[bool]:
        """Remove entries; False for one that is not there."""

    # -- the contract -----------------------------------------------------------------------------

    async def sessions_of(self, owner: str, cookie: str) -> list[ListedRecord]:
        _, there = await self._living(owner, cookie)
        listed: dict[str, ListedRecord] = {}
        for _, record, expires in there:
            if record is None:
                continue
            # One that is being rotated is there twice; or was, and what lives on is the session.
            twin = listed.get(record.id)
            if twin is None or (twin.expires or 0.0) <= (expires or math.inf):
                listed[record.id] = ListedRecord(record, expires)
        return list(listed.values())

    async def end_sessions(
        self,
        owner: str,
        cookie: str,
        *,
        keep: str | None = None,
        ids: Collection[str] | None = None,
    ) -> Collection[str]:
        index = self.index_of(owner, cookie)
        start: float | None = None
        kept: set[float] = set()  # logins, to which renewals belong
        named: set[float] = set()
        ended: set[str] = set()
        while True:
            now, there = await self._living(owner, cookie)
            start = now if start is None else start
            for member, record, _ in there:
                if record is not None and record.id == keep:
                    kept.add(member.login)
                if ids is None or (record is not None and record.id in ids):
                    named.add(member.login)
            doomed = [
                each
                for each in there
                if abs(each.member.login) <= start  # one that was announced later began after that
                and each.member.login in named
                and each.member.login not in kept
            ]
            if not doomed:
                return ended
            # One that was renewed meanwhile is another record now: look again.
            ended |= await self._end_all(index, doomed)

    async def limit_sessions(
        self, new: StoredRecord, limit: int, *, refuse: bool, contested: bool = False
    ) -> Collection[str] | None:
        owner, cookie = new.record.owner, new.record.cookie
        if owner is None:
            return ()
        index = self.index_of(owner, cookie)
        if contested:
            await self.members(index)  # so that a login which cannot be counted is none
            return ()
        mine = await self.login_of(new)
        start: float | None = None
        ended: set[str] = set()
        while True:
            # Mostly there are few, and none of them needs to be read.
            now, members = await self.members(index)
            # Later logins count themselves, and so does one that is only announced. And what ends
            # here may be on its way to another key, and be entered once more.
            start = now if start is None else start
            if len({member.login for member in members if 0 < member.login <= start}) <= limit:
                return ended
            _, there = await self._living(owner, cookie)
            logins = sorted({m.login for m, *_ in there if 0 < m.login <= start})
            if len(logins) <= limit:
                return ended
            if refuse:  # by its number: the session may have another key by now
                return None if mine in logins[limit:] else ended
            surplus = set(logins[:-limit])
            ended |= await self._end_all(index, [e for e in there if e.member.login in surplus])

    async def end_login(self, new: StoredRecord) -> Collection[str]:
        owner, cookie = new.record.owner, new.record.cookie
        if owner is None:
            return ()
        index, mine = self.index_of(owner, cookie), await self.login_of(new)
        ended: set[str] = set()
        while True:
            _, there = await self._living(owner, cookie)
            doomed = [each for each in there if each.member.login == mine]
            if not doomed:
                return ended
            # As above: one that was renewed meanwhile is another record now.
            ended |= await self._end_all(index, doomed)

    # -- inside -----------------------------------------------------------------------------------

    async def _living(self, owner: str, cookie: str) -> tuple[float, list[Living]]:
        """The members whose records are there and this owner's; and `members`' number at the
        beginning.

        Where one was gone, it may have got another key after the index was read; then its next
        record is in the index now. So it is read until nothing new in it is gone.
        """
        index = self.index_of(owner, cookie)
        start, members = await self.members(index)
        known: dict[str, Living | None] = {}
        while True:
            gone, moved = [], False
            for batch in batches([one for one in members if one.digest not in known]):
                names = [self.key_prefix + member.digest for member in batch]
                for member, (entry, left) in zip(batch, await self.read_all(names), strict=True):
                    known[member.digest] = found = living(member, entry, left, self.clock())
                    if entry is not None and Pointer.read(entry.value) is not None:
                        moved = True
                    elif found is None:
                        gone.append(member.digest)
            for some in batches(gone):
                await self.leave(index, some)
            if not (gone or moved):
                found_all = [each for each in known.values() if each is not None]
                return start, [each for each in found_all if each.is_of(owner, cookie)]
            _, members = await self.members(index)

    async def _end_all(self, index: str, doomed: Sequence[Living]) -> set[str]:
        """Remove records; the public ids of those that were there."""
        ended = set()
        for batch in batches(doomed):
            digests = [each.member.digest for each in batch]
            removed = await self.remove_all([self.key_prefix + digest for digest in digests])
            await self.leave(index, digests)
            for each, was_there in zip(batch, removed, strict=True):
                if was_there and each.record is not None:
                    ended.add(each.record.id)
        return ended
