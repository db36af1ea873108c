"""The session record: what a storage keeps of one session, and its wire format.

Version 1 is a JSON array (UTF-8), so that any language and any client can read it:

=====  ==========================================================================
index  what
=====  ==========================================================================
0      ``1``, the version
1      the tag of the session key it belongs to, "" inside a sealed cookie
2      the name of the session cookie it belongs to
3      the public id of the session
4      created, Unix time in seconds
5      deadline, Unix time in seconds, or null: the end, however active it is
6      lifetime override: [persistent, TTL seconds, on every request, max or null], or null
7      owner, a string, or null
8      the state, an object
=====  ==========================================================================

Version 2 is what has more to say, and only that, so that a release which knows version 1 alone
reads all others:

=====  ==========================================================================
index  what
=====  ==========================================================================
0      ``2``
6      as above, with two more items: seconds until the key is rotated, or null; and
       the share of the TTL that goes by without a refresh
9      an object with what there is of: ``authenticated``, ``issued`` and
       ``refreshed``, Unix times in seconds, and ``label``, a string
=====  ==========================================================================

Another version is refused, and so is a record under another key's or cookie's name. A field is
never added to a version: a reader of today would refuse it, and must, as it would drop it on its
next write.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec

from .encoded import EncodedState
from .errors import DeserializationError, SerializationError

__all__ = (
    "EncodedState",
    "Lifetime",
    "SessionRecord",
    "decode_record",
    "encode_record",
    "new_id",
    "record_of",
)

_PLAIN, _EXTENDED = 1, 2

# What Python's datetime and timedelta have a place for; no lifecycle is shorter than a second.
_Time = Annotated[float, msgspec.Meta(ge=0, le=datetime(9999, 12, 31, tzinfo=UTC).timestamp())]
_Seconds = Annotated[float, msgspec.Meta(ge=1, le=timedelta(days=999_999_999).total_seconds())]


_Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Lifetime(NamedTuple):
    """A lifecycle as a record keeps it; lifetimes in seconds."""

    persistent: bool
    ttl: _Seconds
    every_request: bool
    max_lifetime: _Seconds | None
    rotate_every: _Seconds | None = None
    refresh_after: _Share = 0.0


def new_id() -> str:
    """A public id: 96 random bits as 16 characters of base64url."""
    return secrets.token_urlsafe(12)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a storage keeps of one session.

    :param state: JSON values by name.
    :param created: when the session began, Unix time in seconds; no write moves it.
    :param deadline: when it ends, however active, Unix time in seconds; None: never.
    :param lifetime: the lifecycle that was set for this session alone, if one was.
    :param owner: the user that it belongs to.
    :param cookie: the name of the session cookie that it belongs to.
    :param id: the public id: random and unrelated to the key, so it is safe to show.
    :param label: what the application calls it where it is listed.
    :param authenticated: when it was last renewed, Unix time in seconds; None: never.
    :param issued: when it got its session key, where that is rotated, Unix time in seconds.
    :param refreshed: when its TTL last started anew, where that is not done at each request, Unix
        time in seconds.
    """

    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    created: float = field(default_factory=time.time)
    deadline: float | None = None
    lifetime: Lifetime | None = None
    owner: str | None = field(default=None, repr=False)
    cookie: str = ""
    id: str = field(default_factory=new_id)
    label: str | None = field(default=None, repr=False)
    authenticated: float | None = None
    issued: float | None = None
    refreshed: float | None = None


class _Unfrozen:
    """What is about to be a `SessionRecord`."""

    __slots__ = tuple(each.name for each in fields(SessionRecord))  # the same layout


def record_of(*values: Any) -> SessionRecord:
    """``SessionRecord(*values)``, all of its fields, in a quarter of the time: a frozen dataclass
    goes through ``object.__setattr__`` for each.
    """
    record: Any = _Unfrozen()
    (
        record.state,
        record.created,
        record.deadline,
        record.lifetime,
        record.owner,
        record.cookie,
        record.id,
        record.label,
        record.authenticated,
        record.issued,
        record.refreshed,
    ) = values
    record.__class__ = SessionRecord
    made: SessionRecord = record
    return made


class _More(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    label: str | None = None
    authenticated: _Time | None = None
    issued: _Time | None = None
    refreshed: _Time | None = None


class _Wire(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    key_tag: str
    cookie: str
    id: str
    created: _Time
    deadline: float | None
    lifetime: Lifetime | None
    owner: str | None
    state: dict[str, msgspec.Raw]
    more: _More | None = None


_NO_MORE = _More()
_NOTHING_MORE = (None, None, None, None)
_PLAIN_LIFETIME = 4  # items that version 1 has

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Wire).decode


def encode_record(record: SessionRecord, key_tag: str = "") -> bytes:
    """The record in its wire format, bound to the key that ``key_tag`` stands for.

    :raises SerializationError: where something in it is not JSON.
    """
    lifetime: tuple[Any, ...] | None = record.lifetime
    version, more = _PLAIN, (record.label, record.authenticated, record.issued, record.refreshed)
    try:
        if more != _NOTHING_MORE:
            version = _EXTENDED
        elif lifetime is not None:
            if lifetime[_PLAIN_LIFETIME:] == (None, 0.0):
                lifetime = lifetime[:_PLAIN_LIFETIME]
            else:
                version = _EXTENDED
        values = (
            version,
            key_tag,
            record.cookie,
            record.id,
            record.created,
            record.deadline,
            lifetime,
            record.owner,
            EncodedState.of(record.state).raw,
        )
        return _encode(values if version == _PLAIN else (*values, _More(*more)))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        raise SerializationError("the session record holds something that is not JSON") from None


def decode_record(data: bytes, key_tag: str = "") -> SessionRecord:
    """The record in ``data``; its values stay encoded.

    :raises DeserializationError: where it is none, of another version, or another key's.
    """
    try:
        data.decode()  # strings inside values that stay encoded are not checked by the decoder
        wire = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Without its cause: the decoder's message may quote the data.
        raise DeserializationError(
            f"the stored record is not a session record of version {_PLAIN} or {_EXTENDED}"
        ) from None
    if wire.version not in (_PLAIN, _EXTENDED):
        raise DeserializationError(
            f"the stored record is of version {wire.version}, this release reads {_PLAIN} and "
            f"{_EXTENDED}"
        )
    more = _NO_MORE if wire.more is None else wire.more
    if (wire.more is None) != (wire.version == _PLAIN):
        raise DeserializationError(
            f"the stored record has not the length of version {wire.version}"
        )
    if wire.key_tag != key_tag:
        raise DeserializationError("the stored record belongs to another session key")
    return record_of(
        EncodedState(wire.state),
        wire.created,
        wire.deadline,
        wire.lifetime,
        wire.owner,
        wire.cookie,
        wire.id,
        more.label,
        more.authenticated,
        more.issued,
        more.refreshed,
    )
