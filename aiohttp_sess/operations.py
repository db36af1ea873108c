"""What a request did to the state, by name, so that it can be done again on a later one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from .encoded import EncodedState
from .record import SessionRecord, record_of
from .watched import Key, WatchedState, encode_for

__all__ = ("NO_OPERATIONS", "Operations", "Snapshot", "Update", "with_state")


class Update(NamedTuple):
    """Replace a value by a function of it; ``default`` is empty, or holds what to set where there
    is no value.
    """

    key: Key
    function: Callable[[Any], Any]
    default: tuple[Any, ...]

    def apply(self, state: WatchedState) -> bool:
        """Call the function on the value that ``state`` has; False where there is none."""
        try:
            before = state.decode(self.key)
        except KeyError:
            if not self.default:
                return False
            (value,) = self.default
        else:
            value = self.function(before)
        state.put(self.key, encode_for(self.key, value))
        return True


class Assignment(msgspec.Struct, eq=False, gc=False):  # no cycle goes through it
    """Put an encoded value in place, or None for nothing; each is an object of its own."""

    name: str
    raw: msgspec.Raw | None

    def apply(self, state: WatchedState) -> None:
        """Set the value, or delete it."""
        if self.raw is None:
            state.own().pop(self.name, None)
        else:
            state.own()[self.name] = self.raw


_Deeds = tuple[Assignment | Update, ...]


class Operations:
    """What was done to each name, in order.

    Operations on different names are independent, and of those on one name an assignment outdoes
    all before it, so this is never longer than the number of names and of updates.
    """

    __slots__ = ("_by_name", "_clears", "cleared")

    def __init__(self) -> None:
        self._by_name: dict[str, _Deeds] = {}
        self._clears = 0  # how often, to tell one clear from the next
        self.cleared = False

    def __bool__(self) -> bool:
        return self.cleared or bool(self._by_name)

    def set(self, name: str, raw: msgspec.Raw) -> None:
        """The value of ``name`` was assigned, or changed in place."""
        self._by_name[name] = (Assignment(name, raw),)

    def delete(self, name: str) -> None:
        """``name`` was deleted."""
        self._by_name[name] = (Assignment(name, None),)

    def update(self, name: str, update: Update) -> None:
        """The value of ``name`` was computed from what was there."""
        self._by_name[name] = (*self._by_name.get(name, ()), update)

    def clear(self) -> None:
        """Every name was deleted."""
        self._by_name.clear()
        self._clears += 1
        self.cleared = True

    def copy(self) -> Operations:
        """These operations, whatever is added later."""
        copy = Operations()
        copy._by_name = self._by_name.copy()
        copy._clears = self._clears
        copy.cleared = self.cleared
        return copy

    def forget(self, done: Operations) -> None:
        """Take away what has been ``done``: an earlier copy of these."""
        if self._clears != done._clears:
            return  # cleared since: all that is here came after that
        self.cleared = False
        for name, deeds in done._by_name.items():
            now = self._by_name[name]
            if now[0] is not deeds[0]:
                continue  # assigned since
            if since := now[len(deeds) :]:
                self._by_name[name] = since
            else:
                del self._by_name[name]

    def without(self, done: Operations) -> Operations:
        """What is left of these without what has been ``done``; not to be changed."""
        if self is done and not self._clears:  # else it stays known how often they were cleared
            return NO_OPERATIONS
        left = self.copy()
        left.forget(done)
        return left

    def apply(self, state: WatchedState) -> None:
        """Do everything again, on ``state``.

        :raises Exception: whatever the function of an update raises.
        """
        if self.cleared:
            state.own().clear()
        for deeds in self._by_name.values():
            for deed in deeds:
                deed.apply(state)


NO_OPERATIONS = Operations()
"""What most requests do, shared by all of them."""


class Snapshot(NamedTuple):
    """What there is to save at one moment: see `aiohttp_sess.changes.Changes.settle`."""

    record: SessionRecord
    operations: Operations
    fields: Mapping[str, Any]
    renewing: bool
    forces: int
    renewals: int
    purges: int

    def again_on(self, latest: SessionRecord) -> Snapshot:
        """The same, done to the latest record: what was set, deleted or computed, and nothing that
        was only read.

        :raises Exception: whatever the function of an update raises.
        """
        state = WatchedState(EncodedState.of(latest.state).raw)
        self.operations.apply(state)
        name = self.record.id if self.renewing else latest.id
        record = replace(latest, state=EncodedState(state.share()), id=name, **self.fields)
        return self._replace(record=record)

    def __repr__(self) -> str:  # the rest is a user's
        return f"<Snapshot of {self.record.id}>"


def with_state(record: SessionRecord, state: EncodedState, deadline: float | None) -> SessionRecord:
    """A record with another state and another deadline."""
    return record_of(
        state,
        record.created,
        deadline,
        record.lifetime,
        record.owner,
        record.cookie,
        record.id,
        record.label,
        record.authenticated,
        record.issued,
        record.refreshed,
    )
