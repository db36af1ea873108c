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

Another version is refused, and so is a record under another key's or cookie's name. A field is
never added to version 1: a reader of today would refuse it, and must, as it would drop it on its
next write.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec

from .errors import DeserializationError, SerializationError

__all__ = ("EncodedState", "Lifetime", "SessionRecord", "decode_record", "encode_record", "new_id")

_VERSION = 1


# What Python's datetime and timedelta have a place for; no lifecycle is shorter than a second.
_Time = Annotated[float, msgspec.Meta(ge=0, le=datetime(9999, 12, 31, tzinfo=UTC).timestamp())]
_Seconds = Annotated[float, msgspec.Meta(ge=1, le=timedelta(days=999_999_999).total_seconds())]


class Lifetime(NamedTuple):
    """A lifecycle as a record keeps it; lifetimes in seconds."""

    persistent: bool
    ttl: _Seconds
    every_request: bool
    max_lifetime: _Seconds | None


def new_id() -> str:
    """A public id: 96 random bits as 16 characters of base64url."""
    return secrets.token_urlsafe(12)


class EncodedState(Mapping[str, Any]):
    """Session state whose values stay encoded until they are asked for.

    Equal to a dict of the same values. Each access decodes anew, so nothing that is done to a
    value reaches the record.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, msgspec.Raw]) -> None:
        self.raw = raw

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> EncodedState:
        """``state`` itself where it is encoded already, else its values encoded."""
        if isinstance(state, EncodedState):
            return state
        return cls({name: msgspec.Raw(msgspec.json.encode(v)) for name, v in state.items()})

    def __getitem__(self, name: str) -> Any:
        return msgspec.json.decode(self.raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"<EncodedState {sorted(self.raw)}>"


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
    """

    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    created: float = field(default_factory=time.time)
    deadline: float | None = None
    lifetime: Lifetime | None = None
    owner: str | None = field(default=None, repr=False)
    cookie: str = ""
    id: str = field(default_factory=new_id)


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


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Wire)


def encode_record(record: SessionRecord, key_tag: str = "") -> bytes:
    """The record in its wire format, bound to the key that ``key_tag`` stands for.

    :raises SerializationError: where something in it is not JSON.
    """
    try:
        return _encode(record, key_tag)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        raise SerializationError("the session record holds something that is not JSON") from None


def _encode(record: SessionRecord, key_tag: str) -> bytes:
    return _encoder.encode(
        [
            _VERSION,
            key_tag,
            record.cookie,
            record.id,
            record.created,
            record.deadline,
            record.lifetime,
            record.owner,
            EncodedState.of(record.state).raw,
        ]
    )


def decode_record(data: bytes, key_tag: str = "") -> SessionRecord:
    """The record in ``data``; its values stay encoded.

    :raises DeserializationError: where it is none, of another version, or another key's.
    """
    try:
        data.decode()  # strings inside values that stay encoded are not checked by the decoder
        wire = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Without its cause: the decoder's message may quote the data.
        raise DeserializationError(
            f"the stored record is not a session record of version {_VERSION}"
        ) from None
    if wire.version != _VERSION:
        raise DeserializationError(
            f"the stored record is of version {wire.version}, this release reads {_VERSION}"
        )
    if wire.key_tag != key_tag:
        raise DeserializationError("the stored record belongs to another session key")
    return SessionRecord(
        state=EncodedState(wire.state),
        created=wire.created,
        deadline=wire.deadline,
        lifetime=wire.lifetime,
        owner=wire.owner,
        cookie=wire.cookie,
        id=wire.id,
    )
