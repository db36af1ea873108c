"""Writes of which nobody knows whether they were done: they had no answer, or were cut off.

Their operations stay to be done. Should the write turn out to have been done, by the revision of
a later record, they are not done again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .changes import Changes
from .operations import Snapshot
from .storage.interface import AbstractStorage, StoredRecord

__all__ = ("Doubt", "Doubts")


class Doubt(NamedTuple):
    """A write in doubt.

    :param saved: what it was to save.
    :param revision: that of the record, if it was done.
    :param before: what was stored before.
    :param undone: the revision of what took it back, if that was tried.
    """

    saved: Snapshot
    revision: object
    before: StoredRecord
    undone: object = None

    @property
    def stored(self) -> StoredRecord:
        """What is stored, or was, if it was done."""
        return StoredRecord(self.before.key, self.saved.record, self.revision)

    def was_done(self, storage: AbstractStorage, latest: StoredRecord) -> bool:
        """Whether the ``latest`` record has it."""
        if self.undone is not None and storage.includes(latest.revision, self.undone):
            return False
        return storage.includes(latest.revision, self.revision)


class Doubts:
    """The writes of one request that are in doubt, the first first."""

    def __init__(self) -> None:
        self._writes: list[Doubt] = []

    def __bool__(self) -> bool:
        return bool(self._writes)

    @property
    def last(self) -> Doubt:
        """The latest: it did what those before it did, too."""
        return self._writes[-1]

    def add(self, doubt: Doubt) -> None:
        """A write had no answer, or was cut off, or what followed it."""
        self._writes = [each for each in self._writes if each.revision is not doubt.revision]
        self._writes.append(doubt)

    def done(self, storage: AbstractStorage, latest: StoredRecord) -> Doubt | None:
        """The last write that turns out to have been done, by the ``latest`` record."""
        done = [doubt for doubt in self._writes if doubt.was_done(storage, latest)]
        return done[-1] if done else None

    def resolve(
        self, done: Doubt | None, changes: Changes, saved: Snapshot, latest: StoredRecord
    ) -> Snapshot:
        """``saved`` without what was ``done``, and is in the ``latest`` record already.

        Where nothing was, the doubts stay: a write that was cut off may still be under way.
        """
        if done is None:
            return saved
        self._writes.clear()
        changes.settle(done.saved, latest.record)
        operations = saved.operations.without(done.saved.operations)
        before = done.saved.fields
        fields: dict[str, Any] = {
            name: value
            for name, value in saved.fields.items()
            if name not in before or before[name] != value
        }
        return saved._replace(operations=operations, fields=fields)
