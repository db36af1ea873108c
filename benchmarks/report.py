"""The results as a table and plots: ``python -m benchmarks.report`` redraws them from the JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from .cells import FAMILIES, LABELS
from .plots import draw_plots
from .results import CellResult, Quartiles, Results, read_results

__all__ = ("write_report",)

_DOCS = Path(__file__).parent.parent / "docs" / "benchmarks"
_ACTIONS = {"none": "not touched", "read": "read", "write": "write", "first": "first visit"}
_INTRODUCTION = """\
==========
Benchmarks
==========

What a session costs: aiohttp_sess beside bare aiohttp and aiohttp-session, each application in a
process of its own, in one run. "Added" is the CPU time of a request beyond bare aiohttp's, the
median of paired blocks, in µs. The ratio is ours divided by aiohttp-session's, with the quartiles
of the blocks. Requests carry six cookies. On Linux with several cores, the application that is
measured has the first to itself; clients, Redis and memcached share the others. ``make bench``
measures, ``python -m benchmarks.report`` redraws.
"""


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [title, "=" * len(title), "", ".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        for number, text in enumerate(row):
            lines.append(f"   {'* -' if number == 0 else '  -'} {text}".rstrip())
    return "\n".join((*lines, ""))


def _spread(values: Quartiles, digits: int) -> str:
    low, median, high = (f"{value:.{digits}f}" for value in values)
    return f"{median} ({low} to {high})"


def _cell_rows(cells: Iterable[CellResult]) -> Iterable[list[str]]:
    for cell in cells:
        theirs = FAMILIES[cell.family].theirs
        for name, side in cell.sides.items():
            if name == "bare":
                continue
            yield [
                _ACTIONS[cell.action],
                str(cell.clients),
                str(cell.size),
                LABELS[name],
                "1" if name == theirs else _spread(side.ratio, 2) if side.ratio else "",
                _spread(side.added, 0),
                f"{side.per_second:.0f}",
                f"{side.p50 / 1000:.2f} / {side.p99 / 1000:.2f}",
                f"{side.failed / side.requests:.0%}" if side.failed else "none",
            ]


_CELL_HEADER = (
    *("session", "clients", "bytes", "application", "ratio", "added µs"),
    *("requests/s", "p50 / p99 ms", "failed"),
)


def _sections(results: Results) -> Iterable[str]:
    yield _INTRODUCTION
    yield _table("The machine", ("what", "which"), results.machine.items())
    for family in FAMILIES:
        if cells := [cell for cell in results.cells if cell.family == family]:
            yield _table(family.capitalize(), _CELL_HEADER, _cell_rows(cells))
    if results.growth:
        rows: list[list[str]] = [
            [one.library, *(f"{n:.0f}" for n in (one.sessions, one.bytes_each, one.p50, one.p99))]
            for one in results.growth
        ]
        header = ("library", "sessions", "bytes each", "read, p50 µs", "p99 µs")
        yield _table("Sessions stored in Redis", header, rows)
    if results.memory:
        rows = [
            [LABELS[one.app], str(requests), f"{size / 1e6:.1f}"]
            for one in results.memory
            for requests, size in zip(one.requests, one.bytes, strict=True)
        ]
        yield _table("Memory of the process", ("application", "requests", "MB"), rows)
    if results.contention:
        rows = [
            [one.storage, str(one.writers), f"{one.attempts:.2f}", f"{one.milliseconds:.1f}"]
            for one in results.contention
        ]
        header_2 = ("storage", "writers", "attempts a save", "ms for all")
        yield _table("Writers on one session", header_2, rows)
    if results.imports:
        rows = [[one.module, _spread(one.milliseconds, 1)] for one in results.imports]
        yield _table("Import, beyond aiohttp's own", ("module", "ms of CPU"), rows)


def write_report(results: Results, folder: Path) -> None:
    """Write ``results.rst`` and the plots."""
    text = "\n".join(_sections(results))
    names = draw_plots(results, folder)
    text += "".join(f"\n.. image:: {name}\n" for name in names)
    (folder / "results.rst").write_text(text, encoding="utf-8")


def main() -> None:
    """Redraw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report")
    parser.add_argument("folder", nargs="?", type=Path, default=_DOCS)
    folder = parser.parse_args().folder
    write_report(read_results(folder / "results.json"), folder)


if __name__ == "__main__":
    main()
