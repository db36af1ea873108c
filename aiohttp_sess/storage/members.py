"""What an index of sessions says, and what there is of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from ..errors import DeserializationError
from ..record import SessionRecord, decode_record
from .entry import HEAD_LENGTH, Entry, Version, live, tag_of

__all__ = ("Listed", "Living", "Member", "batches", "index_name", "living", "owner_is_new")

T = TypeVar("T")

_BATCH = 200  # records that are read, or removed, at once


class Listed(Version):
    """A version of a record that belongs in an index. It is the same without what is said here."""

    index_name: str
    """The name of the index."""
    login: float | None = None
    """The number of the login that this version is; None: it is none, or was not given one."""
    announced: float | None = None
    """What it was announced by, where it is one that may have been given a number, or not."""

    @classmethod
    def of(
        cls,
        version: object,
        index: str,
        login: float | None = None,
        *,
        announced: float | None = None,
    ) -> Listed:
        """A version, and what there is to say of it."""
        assert isinstance(version, Version)  # a `KeyedStorage` has no other revisions of its own
        listed = cls(*version)
        listed.index_name, listed.login, listed.announced = index, login, announced
        return listed


class Member(NamedTuple):
    """What an index says of a record: the digest that names it, and its login. That is below zero
    while it is only announced.
    """

    digest: str
    login: float


class Living(NamedTuple):
    """A member whose record is there; None for a record that cannot be read, say of a later version
    of this package. The state is left out.
    """

    member: Member
    record: SessionRecord | None
    expires: float | None

    def is_of(self, owner: str, cookie: str) -> bool:
        """Whether it is this owner's, as far as it can be read."""
        record = self.record
        return record is None or (record.owner == owner and record.cookie == cookie)


def living(member: Member, entry: Entry | None, left: float | None, now: float) -> Living | None:
    """A member, with the entry that is under its name; None where its session is over.

    :param left: seconds until the entry vanishes, if that is known.
    :param now: Unix time in seconds.
    """
    entry = live(entry)
    if entry is None:
        return None
    expires = None if left is None else now + left
    try:
        record = decode_record(entry.value[HEAD_LENGTH:], tag_of(member.digest))
    except DeserializationError:
        return Living(member, None, expires)
    if record.deadline is not None:
        if record.deadline <= now:
            return None
        expires = record.deadline if expires is None else min(expires, record.deadline)
    return Living(member, replace(record, state={}), expires)


def owner_is_new(owner: str, index: str, digest: str, before: object) -> bool:
    """Whether a record that is to be this owner's, and in this index, was not before.

    :param before: the revision that is replaced; of what was loaded, that is an entry.
    """
    if not isinstance(before, Entry):  # written, as one of this index or not
        return not (isinstance(before, Listed) and before.index_name == index)
    try:
        return decode_record(before.value[HEAD_LENGTH:], tag_of(digest)).owner != owner
    except DeserializationError:
        return True


def index_name(prefix: str, owner: str, cookie: str) -> str:
    """The name under which there is something about an owner. No cookie's name has a zero byte."""
    digest = hashlib.sha256(f"{cookie}\0{owner}".encode()).hexdigest()
    return f"{prefix}owner:{digest}"


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """So few at a time that nobody else has to wait for long."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
