"""The values that a session state may hold: JSON, and through a `StateKey` whatever msgspec maps to
it.

A value is checked where it is assigned, by encoding it and reading it back: what does not come back
equal is not JSON, and would silently be something else at the next request (a tuple a list, a NaN
null, a datetime a string, the key 1 the key "1").
"""

from __future__ import annotations

import math
import re
from typing import Any, Generic, TypeVar, overload

import msgspec

from .errors import SessionValueError

__all__ = (
    "IMMUTABLE",
    "UNENCODABLE",
    "StateKey",
    "check_name",
    "decode_value",
    "encode_value",
)

T = TypeVar("T")

IMMUTABLE = (str, int, float, bool, type(None))
"""The types of values that cannot be changed in place."""
_EXACT = frozenset([str, bool, type(None)])  # what is encoded of these, is read as it was
_SURE_DIGITS = 18  # and of an int with no more, its sign among them
_encode = msgspec.json.Encoder().encode
# Raises msgspec.MsgspecError for a number that Python has no place for.
decode_value = msgspec.json.Decoder().decode
# What the encoder raises for a value that it cannot take.
UNENCODABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
# Far from where an interpreter's stack ends, so that what was taken can always be read again.
_DEEPEST = 100
_LONGEST_NAME, _LONGEST_WAY = 40, 10  # what a message shows
# Of a decoder's message the place alone: names of fields, and no value.
_PLACE = re.compile(r" - at `(\$[^`]*)`$")
_HINTS = {
    "tuple": "; use a list",
    "set": "; use a list",
    "frozenset": "; use a list",
    "bytes": "; use text, say base64",
}


class StateKey(Generic[T]):
    """A name in the session state whose values have a type.

    ``session[StateKey("cart", Cart)]`` is a ``Cart``: checked and converted when it is read,
    checked when it is assigned, and known to a type checker. Any type that msgspec maps to JSON
    will do: dataclasses, TypedDict, msgspec.Struct, datetime, UUID, Decimal, enums, sets, and
    containers of those.

    :param name: the name in the session state.
    :param type: the type of its values.
    :raises TypeError: for a type that msgspec cannot read from JSON.
    """

    __slots__ = ("_decoder", "name", "type")

    @overload
    def __init__(self, name: str, type: type[T]) -> None: ...
    @overload  # a type that is no class, such as ``str | None``: annotate the key with it
    def __init__(self: StateKey[Any], name: str, type: object) -> None: ...
    def __init__(self, name: str, type: Any) -> None:
        self.name = check_name(name)
        self.type = type
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(type)

    def decode(self, raw: msgspec.Raw) -> T:
        """The value in ``raw``.

        :raises SessionValueError: where it is of another type.
        """
        try:
            return self._decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # Without its cause: the decoder's message may quote the value.
            raise SessionValueError(
                f"session[{self.name!r}] holds a value that is no {_type_name(self.type)}"
            ) from None

    def encode(self, value: T) -> msgspec.Raw:
        """``value`` as JSON.

        :raises SessionValueError: where it is of another type, or would be another value when it is
            read again.
        """
        where = ""
        try:
            raw = msgspec.json.encode(value)
            _check_depth(raw)
            if _is_same(self._decoder.decode(raw), value):
                return msgspec.Raw(raw)
        except UNENCODABLE as error:
            if place := _PLACE.search(str(error)):
                where = f" with something else at {place[1]}"
        raise SessionValueError(
            f"session[{self.name!r}] takes a {_type_name(self.type)}, not this "
            + type(value).__name__
            + where
        ) from None

    def __eq__(self, other: object) -> bool:
        return self is other  # said here, so that a type checker lets it be looked for among names

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"StateKey({self.name!r}, {_type_name(self.type)})"


def check_name(name: object) -> str:
    """``name``, if it can be a name in the session state.

    :raises SessionValueError: where it is not a str, or not one that JSON can carry.
    """
    if not isinstance(name, str):
        raise SessionValueError(
            f"a name in the session state is a str or a StateKey, not {type(name).__name__}"
        )
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise SessionValueError(f"the name {name!r} holds half a surrogate pair") from None
    return name


def encode_value(name: str, value: object) -> msgspec.Raw:
    """``value`` as JSON.

    :raises SessionValueError: where it is not JSON.
    """
    try:
        raw = _encode(value)
        kind = type(value)
        if kind in _EXACT or (kind is int and len(raw) <= _SURE_DIGITS):
            return msgspec.Raw(raw)
        _check_depth(raw)
        if decode_value(raw) == value:
            return msgspec.Raw(raw)
    except RecursionError:
        raise SessionValueError(
            f"session[{name!r}]: nested too deep, or in itself (at most {_DEEPEST} levels)"
        ) from None
    except UNENCODABLE:
        pass
    raise SessionValueError(f"session[{name!r}]: {_complaint(value) or 'the value is not JSON'}")


def _check_depth(raw: bytes) -> None:
    """:raises RecursionError: where JSON is nested deeper than `_DEEPEST`, on whatever stack."""
    if raw.count(b"[") + raw.count(b"{") <= _DEEPEST:
        return
    level = [msgspec.json.decode(raw)]
    for _ in range(_DEEPEST + 1):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise RecursionError


def _is_same(read: object, value: object) -> bool:
    """Whether what is read again is what was written; types that cannot tell are trusted."""
    if type(read).__eq__ is object.__eq__:
        return isinstance(value, type(read))
    return read == value


# Where something is inside a value: the way to what it is in, and its key or index there.
_Way = tuple["_Way", str | int] | None


def _complaint(value: object) -> str:
    """What in ``value`` is not JSON, by path and type: never the value itself."""
    todo: list[tuple[object, _Way]] = [(value, None)]
    seen: set[int] = set()  # it may be in itself
    while todo:
        value, way = todo.pop()
        if not isinstance(value, dict | list):
            if complaint := _scalar_complaint(value):
                return complaint.format(_where(way))
        elif id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            todo += [(item, (way, key)) for key, item in items][::-1]
            for key in value if isinstance(value, dict) else ():
                if not isinstance(key, str):
                    kind = type(key).__name__
                    return f"a key of type {kind}{_where(way)} is not JSON; keys are str"
    return ""


def _scalar_complaint(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isfinite(value) else "an infinite or undefined float{} is not JSON"
    if isinstance(value, str):
        return "" if _is_text(value) else "a str{} holds half a surrogate pair"
    if isinstance(value, int):
        # CPython turns no more than 4300 digits into text.
        return "" if value.bit_length() < 14_000 else "an int{} has too many digits"
    if value is None:
        return ""
    kind = type(value).__name__
    return f"a value of type {kind}{{}} is not JSON{_HINTS.get(kind, '; see StateKey')}"


def _where(way: _Way) -> str:
    """A way in words. Keys that are no plain names may be data, which no message shows."""
    parts: list[str] = []
    while way is not None:
        way, key = way
        plain = isinstance(key, int) or (len(key) <= _LONGEST_NAME and key.isidentifier())
        parts.append(f"[{key!r}]" if plain else "[…]")
    if len(parts) > _LONGEST_WAY:
        parts[:-_LONGEST_WAY] = ["…"]
    return f" at {''.join(reversed(parts))}" if parts else ""


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _type_name(kind: object) -> str:
    return getattr(kind, "__name__", None) or str(kind)
