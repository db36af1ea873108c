"""Writes of which nobody knows whether they were done: the storage did not answer.

Their operations stay to be done. Should the write turn out to have been done, by the revision of
a later record, they are not done again.
"""

from __future__ import annotations

from typing import Any

from .changes import Changes
from .operations import Snapshot
from .storage.interface import AbstractStorage, StoredRecord

__all__ = ("Doubts",)


class Doubts:
    """The writes of one request that are in doubt, the first first."""

    def __init__(self) -> None:
        self._writes: list[tuple[Snapshot, object]] = []

    def add(self, saved: Snapshot, revision: object) -> None:
        """A write had no answer."""
        self._writes.append((saved, revision))

    def resolve(
        self, storage: AbstractStorage, changes: Changes, saved: Snapshot, latest: StoredRecord
    ) -> Snapshot:
        """``saved`` without what is in the ``latest`` record already."""
        writes, self._writes = self._writes, []
        for done, revision in reversed(writes):  # each did what those before it did, too
            if storage.includes(latest.revision, revision):
                changes.settle(done, latest.record)
                saved.operations.forget(done.operations)
                fields: dict[str, Any] = {
                    name: value
                    for name, value in saved.fields.items()
                    if name not in done.fields or done.fields[name] != value
                }
                return saved._replace(fields=fields)
        return saved
