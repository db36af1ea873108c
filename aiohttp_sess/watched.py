"""A state whose values stay encoded until they are asked for, and are watched from then on.

A list or dict that is handed out can be changed in place. Whether it was, is seen by encoding it
again and comparing: for the values that were handed out, and no others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from .errors import SessionValueError
from .values import (
    IMMUTABLE,
    UNENCODABLE,
    StateKey,
    check_name,
    decode_value,
    encode_value,
)

__all__ = ("Key", "WatchedState", "encode_for", "split")

logger = logging.getLogger("aiohttp_sess")

Key = str | StateKey[Any]


@dataclass(slots=True, repr=False)
class _HandedOut:
    """A value that the application can change in place, and its encoding when it was handed out."""

    value: Any
    seen: msgspec.Raw


_ByName = dict[str, dict[StateKey[Any] | None, _HandedOut]]
_NONE: _ByName = {}  # what most requests are handed out, shared by all of them


class WatchedState:
    """Encoded values by name.

    :param raw: the encoded state; it is copied before it is changed.
    """

    __slots__ = ("_is_shared", "handed_out", "raw")

    def __init__(self, raw: Mapping[str, msgspec.Raw]) -> None:
        self.raw = raw
        self._is_shared = True
        self.handed_out = _NONE
        """What can be changed in place, by name and by the key that it was handed out under."""

    def share(self) -> Mapping[str, msgspec.Raw]:
        """The encoded state as it is now, and stays: who changes it from here on has a copy."""
        self._is_shared = True
        return self.raw

    def own(self) -> dict[str, msgspec.Raw]:
        """The encoded state, to be changed."""
        if self._is_shared:
            self.raw, self._is_shared = dict(self.raw), False
        return self.raw  # type: ignore[return-value]  # it is the copy

    def decode(self, key: Key) -> Any:
        """A fresh copy of the value under ``key``.

        :raises KeyError: where there is none.
        :raises SessionValueError: where it is not of the type that a `StateKey` names.
        """
        if not isinstance(key, str):
            return check_key(key).decode(self.raw[key.name])
        try:
            return decode_value(self.raw[key])
        except (msgspec.MsgspecError, RecursionError):
            # As with a record that cannot be read: a warning, and nothing there.
            logger.warning("the stored value of session[%r] cannot be read", key)
            raise KeyError(key) from None

    def get(self, key: Key) -> Any:
        """The value under ``key``, the same object each time, watched from now on."""
        if self.handed_out:
            name, typed = split(key)
            known = self.handed_out.get(name, {})
            if typed in known:
                return known[typed].value
        value = self.decode(key)
        if not isinstance(value, IMMUTABLE):
            name, typed = split(key)
            # A typed value may be spelled in another way than the one it was stored in.
            seen = self.raw[name] if typed is None else msgspec.Raw(msgspec.json.encode(value))
            self._watch().setdefault(name, {})[typed] = _HandedOut(value, seen)
        return value

    def watches_another(self, key: Key) -> bool:
        """Whether the value under ``key`` was handed out under another key for its name."""
        if not self.handed_out:
            return False
        name, typed = split(key)
        return any(other is not typed for other in self.handed_out.get(name, ()))

    def put(self, key: Key, raw: msgspec.Raw, value: object = None) -> None:
        """Set a value; ``value`` is the object that it was encoded from, if it is to be watched."""
        name, typed = split(key)
        if self.handed_out:
            self.handed_out.pop(name, None)
        self.own()[name] = raw
        if not isinstance(value, IMMUTABLE):
            self._watch()[name] = {typed: _HandedOut(value, raw)}

    def delete(self, name: str) -> None:
        """:raises KeyError: where there is nothing to delete."""
        del self.own()[name]
        self.handed_out.pop(name, None)

    def clear(self) -> None:
        """Delete every value."""
        self.own().clear()
        self.handed_out.clear()

    def _watch(self) -> _ByName:
        """`handed_out`, to enter another."""
        if not self.handed_out:
            self.handed_out = {}
        return self.handed_out

    def take_over(self, other: WatchedState) -> None:
        """Have the values of ``other``; those that were handed out and differ are let go."""
        before, self.raw = self.raw, other.share()
        self._is_shared = True
        for name in list(self.handed_out):
            if self.raw.get(name) != before.get(name):
                del self.handed_out[name]

    def changed_in_place(self, only: str | None = None) -> Iterator[str]:
        """Take over what was changed in place, and name it.

        :param only: look at this name alone.
        :raises SessionValueError: where something that is not JSON was put into a value.
        """
        for name in list(self.handed_out) if only is None else [only]:
            for typed, out in self.handed_out.get(name, {}).items():
                if _encoding(out.value) == out.seen:
                    continue
                raw = encode_for(name if typed is None else typed, out.value)
                if typed is None and raw == _encoding(decode_value(out.seen)):
                    out.seen = raw  # the same value, spelled in another way when it was stored
                    continue
                self.put(name if typed is None else typed, raw, out.value)
                yield name
                break  # the same value under another key is out of date


def check_key(key: object) -> StateKey[Any]:
    """``key``, if it is a typed one.

    :raises SessionValueError: for what is no key.
    """
    if isinstance(key, StateKey):
        return key
    raise SessionValueError(
        f"a name in the session state is a str or a StateKey, not {type(key).__name__}"
    )


def split(key: Key) -> tuple[str, StateKey[Any] | None]:
    """The name that a key stands for, and the key if it is typed.

    :raises SessionValueError: for what is no key.
    """
    return (key, None) if isinstance(key, str) else (check_key(key).name, key)


def encode_for(key: Key, value: object) -> msgspec.Raw:
    """``value`` as JSON, checked against its key.

    :raises SessionValueError: where it is not JSON, or not of its key's type, or for what is no
        key.
    """
    if isinstance(key, str):
        return encode_value(check_name(key), value)
    return check_key(key).encode(value)


def _encoding(value: object) -> msgspec.Raw | None:
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except UNENCODABLE:
        return None
