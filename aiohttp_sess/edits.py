"""What one request does to the state of a session, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from .operations import NO_OPERATIONS, Operations, Update
from .values import StateKey
from .watched import Key, WatchedState, encode_for, split

__all__ = ("Edits",)


class Edits:
    """A working copy of a state, and what was done to it."""

    on_change: Callable[..., None] | None = None
    """Told of each change, with the object that was changed, if it is set."""

    def _begin(self, raw: Mapping[str, msgspec.Raw]) -> None:
        """Begin with this state, of which a copy is taken."""
        self._state = WatchedState(raw)
        self._operations, self._keeps_operations = NO_OPERATIONS, True
        self._touched = False  # whether anything was done since it began or was last saved

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.raw)

    def __len__(self) -> int:
        return len(self._state.raw)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str | StateKey) and split(key)[0] in self._state.raw

    def get(self, key: Key) -> Any:
        """The value under ``key``.

        :raises KeyError: where there is none.
        :raises SessionValueError: where it is not of the type that a `StateKey` names.
        """
        state = self._state
        if state.handed_out and state.watches_another(key):
            self.notice(split(key)[0])
        return state.get(key)

    def set(self, key: Key, value: Any) -> None:
        """:raises SessionValueError: for what is not JSON, or not of its key's type."""
        raw = encode_for(key, value)
        self._state.put(key, raw, value)
        self._book().set(key if isinstance(key, str) else key.name, raw)
        self._touch()

    def delete(self, key: Key) -> None:
        """:raises KeyError: where there is nothing to delete."""
        name, _ = split(key)
        self._state.delete(name)
        self._book().delete(name)
        self._touch()

    def update(self, update: Update) -> Any:
        """Compute a value from the one that is there; None where nothing was done."""
        name, _ = split(update.key)
        self.notice(name)
        if not update.apply(self._state):
            return None
        self._book().update(name, update)
        self._touch()
        return self.get(update.key)

    def clear(self) -> None:
        """Delete every value."""
        self._state.clear()
        self._book().clear()
        self._touch()

    def notice(self, only: str | None = None) -> None:
        """Find what was changed in place, everywhere or under one name.

        :raises SessionValueError: where something that is not JSON was put into a value.
        """
        if not self._state.handed_out:
            return
        for name in self._state.changed_in_place(only):
            self._touched = True
            self._book().set(name, self._state.raw[name])

    def _book(self) -> Operations:
        """The operations, to enter another: a copy, where they are to be kept as they are."""
        if self._keeps_operations:
            self._operations, self._keeps_operations = self._operations.copy(), False
        return self._operations

    def _touch(self) -> None:
        self._touched = True
        if self.on_change is not None:
            self.on_change(self)
