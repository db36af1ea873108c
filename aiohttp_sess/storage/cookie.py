"""The storage that keeps nothing: the record travels in the session cookie, sealed.

The session key is ``<Unix time in seconds at which it expires>:<the record>``, so a stolen cookie
dies with its TTL, whatever its Max-Age.

With a list of what was ended it is ``<that time>,<the longest TTL in seconds that a cookie of this
session ever had>,<the generation of its owner's sessions>:<the record>``. For so long does an end
have to be remembered, whichever of those cookies it came with; and the generation is another one
when all sessions of the owner were ended.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import ClassVar, NamedTuple

from ..errors import DeserializationError, SessionGone
from ..record import SessionRecord, decode_record, encode_record
from .interface import AbstractStorage, SessionKey, StoredRecord
from .keyed import KeyedStorage
from .marks import LONGEST
from .revocations import Revocations

__all__ = ("CookieStorage",)

_HEAD = re.compile(r"([0-9]{1,15})(?:,([0-9]{1,15}),([0-9]{1,15}))?:")


class CookieStorage(AbstractStorage):
    """Keeps the whole session in the client's cookie. `setup` needs a secret key with it.

    Limitations, which no seal can lift:

    - Without ``revocations`` it cannot end a session early. `purge` and `renew` give the browser
      another cookie, but a copy of the old one opens until its TTL is over: keep that short.
    - It keeps the last write: of two parallel requests, the response that the browser takes last
      wins, and what the other one changed is lost.
    - Nor can it rotate keys: each write makes another cookie, and the old one opens until its TTL
      is over. So `setup` refuses a lifecycle with ``rotate_every``.
    - Name and value of the sealed cookie together take at most 4096 bytes, about 2900 bytes of
      state; what is larger is a `CookieTooLarge`, and the old cookie stands. (In a session
      header it is 8000 bytes.)

    With ``revocations``, what was ended stays ended, in every process, from when the purge, the
    renewal or `end_sessions` is done (ASVS 7.4.1 to 7.4.3):

    - To load a session costs one round trip to that storage, and to change, refresh, renew or
      purge it one more: the cookie of a session that ended meanwhile would overwrite the next
      one's. Where a session with an owner is new, or renewed, there is one more for that. A request
      without a session costs none.
    - It keeps an entry of about 100 bytes for each session that was purged or renewed, for as long
      as a cookie of it could live (the longest TTL it had, cut off at its deadline); and one for
      each owner whose sessions were ended, and each id that `end_sessions` was given, for 400 days.
      No TTL is longer then: browsers keep no cookie for longer.
    - While that storage is down, no session loads: that is `StorageUnavailable`. What it loses or
      evicts before its time is open again, so let it be one that does neither: Redis under
      ``noeviction``. A `MemoryStorage` is for a single process, and forgets all when that ends. It
      evicts nothing of the list; where it is full of that, which a client can bring about by ending
      sessions of its own, no session can be ended or renewed (`StorageUnavailable`) until some of
      it has had its time: give it more ``max_sessions`` than can be ended within a TTL, or take
      Redis.

    :param revocations: where the list of ended sessions is kept; it may hold sessions of another
        kind as well. `close` closes it.
    :param clock: the time now, Unix time in seconds.
    """

    server_side: ClassVar[bool] = False

    def __init__(
        self,
        *,
        revocations: KeyedStorage | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if revocations is not None and not isinstance(revocations, KeyedStorage):
            raise TypeError(
                "revocations must be a KeyedStorage, such as a RedisStorage, not "
                + type(revocations).__name__
            )
        if not callable(clock):
            raise TypeError(f"clock must be callable, not {type(clock).__name__}")
        self.revocations = revocations
        self.clock = clock
        self._list = None if revocations is None else Revocations(revocations)
        self.answers_at_once = self._list is None

    @property
    def ends_sessions_early(self) -> bool:
        return self._list is not None

    async def load(self, key: SessionKey, *, ttl: timedelta | None = None) -> StoredRecord | None:
        sealed = _opened(key)
        if sealed is None or not self._lives(sealed):
            return None
        if ttl is not None:
            try:
                return await self._go_on(sealed, sealed.record, ttl)
            except SessionGone:
                return None
        if self._list is not None:
            found = await self._list.look_up(sealed.record)
            if found.ended(sealed.record, sealed.generation):
                return None
        return StoredRecord(key, sealed.record, None)

    async def save(self, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        generation = 0
        if self._list is not None and record.owner is not None:
            generation = (await self._list.look_up_owner(record)).generation(record)
        return self._seal(record, ttl.total_seconds(), generation=generation)

    async def update(
        self, key: SessionKey, record: SessionRecord, ttl: timedelta, *, revision: object
    ) -> StoredRecord:
        if self._list is None:
            return self._seal(record, ttl.total_seconds())
        sealed = _opened_if_it_can_be(key)
        if sealed is None or not self._lives(sealed):
            raise SessionGone("there is no session under this session key")
        return await self._go_on(sealed, record, ttl)

    async def update_ttl(self, key: SessionKey, ttl: timedelta) -> SessionKey | None:
        try:
            stored = await self.load(key, ttl=ttl)
        except DeserializationError:
            return None
        return None if stored is None else stored.key

    async def delete(self, key: SessionKey, *, revision: object = None) -> bool:
        """End a session, if there is a list of those that were ended. Without one there is nothing
        to do: that the browser forgets the cookie is all that can be done.
        """
        if self._list is None:
            return True
        sealed = _opened_if_it_can_be(key)
        if sealed is None:
            return False
        lives, deadline, ttl = self._lives(sealed), sealed.record.deadline, sealed.longest
        if deadline is not None:
            ttl = min(ttl, deadline - self.clock())
        # Also where this cookie has expired: another of the same session may live.
        return ttl > 0 and await self._list.end(sealed.record, sealed.generation, ttl) and lives

    async def close(self) -> None:
        if self.revocations is not None:
            await self.revocations.close()

    async def _go_on(self, sealed: _Sealed, record: SessionRecord, ttl: timedelta) -> StoredRecord:
        """Another cookie for a session, if it was not ended."""
        seconds, longest = ttl.total_seconds(), sealed.longest
        if self._list is None:
            return self._seal(record, seconds)
        found = await self._list.look_up(sealed.record, record)
        if found.ended(sealed.record, sealed.generation):
            raise SessionGone("the session was ended since it was loaded")
        longest = max(longest, found.longest(record))
        if seconds > longest or _end(record) > _end(sealed.record):
            longest = max(longest, seconds)
            # Who ends it with an older cookie does not know that it has to be remembered so long.
            await self._list.lengthen(record, longest)
        return self._seal(record, seconds, longest, found.generation(record))

    async def end_sessions(
        self,
        owner: str,
        cookie: str,
        *,
        keep: str | None = None,
        ids: Collection[str] | None = None,
    ) -> None:
        """End the sessions of an owner, all or those with certain public ids, if there is a list of
        those that were ended. Nobody knows which there were: the answer is None.

        :param keep: the public id of one that goes on.
        :raises NotImplementedError: without such a list.
        """
        if self._list is None:
            raise NotImplementedError(
                "CookieStorage() cannot end the sessions of an owner: give it a list of those that "
                "were ended, say CookieStorage(revocations=RedisStorage.from_url(...))"
            )
        if ids is None:
            await self._list.end_owner(cookie, owner, self.clock(), keep)
        else:
            await self._list.end_ids(cookie, owner, [one for one in ids if one != keep])

    def _lives(self, sealed: _Sealed) -> bool:
        return self.clock() < min(sealed.expires, _end(sealed.record))

    def _seal(
        self, record: SessionRecord, ttl: float, longest: float = 0.0, generation: int = 0
    ) -> StoredRecord:
        """A record as a session key.

        :param ttl: seconds.
        :param longest: the longest TTL that a cookie of the session had before, in seconds.
        :param generation: of its owner's sessions.
        """
        told = ""
        if self._list is not None:
            ttl = min(ttl, LONGEST)
            told = f",{math.ceil(max(ttl, longest))},{generation}"
        # Rounded up: a session never ends before its time.
        expires = math.ceil(self.clock() + ttl)
        key = SessionKey(f"{expires}{told}:{encode_record(record).decode()}")
        return StoredRecord(key, record, None)


class _Sealed(NamedTuple):
    """What is in a cookie; Unix time, and seconds."""

    record: SessionRecord
    expires: float
    longest: float
    generation: int


def _opened(key: SessionKey) -> _Sealed | None:
    """What is in a session key; None where that is none.

    :raises DeserializationError: where the record in it cannot be read.
    """
    head = _HEAD.match(key.value)
    if head is None:
        return None
    record = decode_record(key.value[head.end() :].encode("utf-8", "replace"))
    expires, longest, generation = head.groups()
    if longest is None:  # of a cookie that is older than the list
        return _Sealed(record, int(expires), LONGEST, 0)
    return _Sealed(record, int(expires), int(longest), int(generation))


def _opened_if_it_can_be(key: SessionKey) -> _Sealed | None:
    try:
        return _opened(key)
    except DeserializationError:
        return None


def _end(record: SessionRecord) -> float:
    return math.inf if record.deadline is None else record.deadline
