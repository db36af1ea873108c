"""What a run finds out, as it is kept in JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

__all__ = (
    "CellResult",
    "Contention",
    "Growth",
    "Import",
    "Memory",
    "Quartiles",
    "Results",
    "Side",
    "quartiles",
    "read_results",
    "write_results",
)


class Quartiles(NamedTuple):
    """The middle half."""

    low: float
    median: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Of at least one value."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


class Side(Struct):
    """One application in a cell. Times are in microseconds.

    ``added`` is the CPU time of a request beyond the bare application's in the same block.
    """

    cpu: Quartiles
    added: Quartiles
    requests: int
    failed: int
    per_second: float
    p50: float
    p99: float
    ratio: Quartiles | None = None  # ours ÷ theirs, of the added CPU time


class CellResult(Struct):
    """One cell: what visitors did, and how each application of the family took it."""

    family: str
    action: str
    clients: int
    size: int
    sides: dict[str, Side]


class Growth(Struct):
    """What many stored sessions cost in Redis: bytes for each; microseconds of a read."""

    library: str
    sessions: int
    bytes_each: float
    p50: float
    p99: float


class Memory(Struct):
    """The memory of a serving process, in bytes, after so many requests."""

    app: str
    requests: list[int]
    bytes: list[int]


class Contention(Struct):
    """Many writers on one session: attempts a save, and milliseconds until all are done."""

    storage: str
    writers: int
    attempts: float
    milliseconds: float


class Import(Struct):
    """Milliseconds of CPU time to import a module where aiohttp is imported already."""

    module: str
    milliseconds: Quartiles


class Results(Struct):
    """A whole run."""

    machine: dict[str, str]
    cells: list[CellResult] = []
    growth: list[Growth] = []
    memory: list[Memory] = []
    contention: list[Contention] = []
    imports: list[Import] = []


def read_results(path: Path) -> Results:
    """What was written."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write_results(results: Results, path: Path) -> None:
    """Write it so that a difference can be read."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
