"""What a backend holds under a name.

A record is stored under ``key_prefix`` + SHA-256 of its session key, so a leak of the backend's
content gives nobody a session. The bytes are

=========  =============================================================================
offset     what
=========  =============================================================================
0 to 15    the stamp: 16 random characters, chosen by whoever wrote this version
16 to 79   the stamps of the four versions before it, the latest first; "-" where there are fewer
80 …       the record (see `aiohttp_sess.record`), bound to the first half of that SHA-256
=========  =============================================================================

The stamp is what makes a compare-and-set: a write names the stamp that it read. And as the writer
chose it, a write that was sent again after a lost reply recognises itself, also where up to four
others came in between.

A session that is to end only if it is still one version of it (as a renewal ends the old one) gets
an entry in its place that is ``ended:`` and 16 random characters, which is removed right after.
One that got another key gets a pointer (see `aiohttp_sess.storage.pointer`).
"""

from __future__ import annotations

import os
import random
from binascii import b2a_base64
from typing import Any, NamedTuple

from ..record import SessionRecord, encode_record
from ..secret import is_base64url
from .interface import SessionKey
from .pointer import MOVED, Pointer

__all__ = (
    "ENDED",
    "END_TTL",
    "HEAD_LENGTH",
    "STAMP_LENGTH",
    "Entry",
    "Version",
    "digest_of",
    "encode_entry",
    "given",
    "is_in",
    "leading",
    "live",
    "new_end",
    "tag_of",
    "version_of",
)

STAMP_LENGTH = 16
HEAD_LENGTH = 5 * STAMP_LENGTH
ENDED = b"ended:"
"""What an entry begins with that is no session any more, and about to be removed."""
END_TTL = 60.0
"""Seconds for which it stays at most: longer than a command is sent again."""
_NO_RECORD = (ENDED, MOVED)
_KEY_LENGTH = 43


class Version(NamedTuple):
    """Which writing of an entry is meant: its stamp, the backend's own token if it has one, and the
    stamps of those before it.
    """

    stamp: bytes
    token: Any = None
    before: bytes = b""


class Entry(NamedTuple):
    """What a backend holds under a name: the bytes, and its own token for compare-and-set."""

    value: bytes
    token: Any = None

    def __repr__(self) -> str:  # the value is a user's
        return f"<Entry of {len(self.value)} bytes>"


def digest_of(key: SessionKey) -> str | None:
    """SHA-256 of the key, or None for what `SessionKey.generate` cannot have made."""
    value = key.value
    return key.digest if len(value) == _KEY_LENGTH and is_base64url(value) else None


def tag_of(digest: str) -> str:
    """What a record says of the key it belongs to, which is known by its digest."""
    return digest[:32]


def encode_entry(
    record: SessionRecord, digest: str, before: Version | None = None
) -> tuple[Version, bytes]:
    """A record as an entry under a key that is known by its digest; which version of it that is.

    :param before: the version that it takes the place of.
    """
    stamp = _new_stamp()
    stamps = b"" if before is None else before.stamp.ljust(STAMP_LENGTH, b"-") + before.before
    stamps = stamps[: HEAD_LENGTH - STAMP_LENGTH].ljust(HEAD_LENGTH - STAMP_LENGTH, b"-")
    return Version(stamp, None, stamps), stamp + stamps + encode_record(record, tag_of(digest))


def live(entry: Entry | None) -> Entry | None:
    """An entry, unless it is an end that is about to be removed, a pointer, or empty."""
    if entry is None or not entry.value or entry.value.startswith(_NO_RECORD):
        return None
    return entry


def leading(entry: Entry | None, now: float) -> Entry | None:
    """An entry, if it is a record, or a pointer that leads on to one."""
    if entry is None or live(entry) is not None:
        return entry
    pointer = Pointer.read(entry.value)
    return None if pointer is None or pointer.until <= now else entry


def new_end() -> bytes:
    """An end, to put in the place of a record."""
    return ENDED + _new_stamp()


def version_of(entry: Entry) -> Version:
    """Which version an entry is."""
    # Whatever garbage there is has a first part too, which is enough to replace that very garbage.
    head = entry.value[:HEAD_LENGTH]
    return Version(head[:STAMP_LENGTH], entry.token, head[STAMP_LENGTH:])


def given(revision: object) -> Version:
    """The version that a storage answered as a ``revision``, and is given back.

    :raises TypeError: for another's.
    """
    if isinstance(revision, Entry):
        return version_of(revision)
    if not isinstance(revision, Version):
        raise TypeError("revision must be what this storage answered in a StoredRecord")
    return revision


def is_in(latest: Version, version: Version) -> bool:
    """Whether the ``latest`` version is this one, or came after it."""
    stamps = latest.stamp + latest.before
    ends = range(STAMP_LENGTH, len(stamps) + 1, STAMP_LENGTH)
    return version.stamp in {stamps[end - STAMP_LENGTH : end] for end in ends}


# A stamp is to be another than all before it, and no secret; a system call takes ten times as long.
# An instance of its own, as an application may seed the one for all.
_random = random.Random()
if hasattr(os, "register_at_fork"):  # where processes can fork
    os.register_at_fork(after_in_child=_random.seed)


def _new_stamp() -> bytes:
    return b2a_base64(_random.randbytes(12), newline=False)
