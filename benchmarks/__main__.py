"""The benchmarks: ``python -m benchmarks``, or a part, as in ``--only redis --clients 32``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from .cells import ACTIONS, FAMILIES, LABELS, Cell, all_cells
from .cores import leave_first_core
from .growth import measure_contention, measure_growth, measure_memory
from .imports import measure_imports
from .machine import describe_machine
from .measure import Effort, measure
from .report import write_report
from .results import CellResult, Results, write_results
from .serving import Backends, backends, serve_all

_DOCS = Path(__file__).parent.parent / "docs" / "benchmarks"
_PARTS = ("growth", "process", "contention", "imports")
_QUICK = (500,)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What a session costs: aiohttp_sess beside bare aiohttp and aiohttp-session.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="two minutes: fewer cells and shorter ones")
    add("--full", action="store_true", help="growth up to a million sessions and requests")
    add("--only", nargs="+", choices=[*FAMILIES, *_PARTS], metavar="PART", default=[])
    add("--clients", nargs="+", type=int, help="only with so many clients")
    add("--actions", nargs="+", choices=ACTIONS, metavar="ACTION", help="only where visitors do so")
    add("--sizes", nargs="+", type=int, help="only states of so many bytes")
    add("--apps", nargs="+", choices=LABELS, metavar="APP", help="only these, and bare aiohttp")
    add("--blocks", type=int, help="of each cell (default: 15, quick: 7)")
    add("--seconds", type=float, help="of each application in a block (default: 0.08)")
    add(
        "--output",
        type=Path,
        help="folder of the results (default, of a whole run: docs/benchmarks)",
    )
    return parser


def _cells(chosen: argparse.Namespace) -> list[Cell]:
    """The cells that were asked for, also those that a whole run does without."""
    cells = [cell for cell in all_cells() if not chosen.only or cell.family in chosen.only]
    if chosen.clients or chosen.sizes:
        cells = [
            Cell(family, action, clients, size)
            for family in dict.fromkeys(cell.family for cell in cells)
            for action in ACTIONS
            for clients in chosen.clients or (32,)
            for size in chosen.sizes or _QUICK
        ]
    elif chosen.quick:
        cells = [cell for cell in cells if cell.size in _QUICK and cell.clients < 200]
    return [cell for cell in cells if not chosen.actions or cell.action in chosen.actions]


def _line(result: CellResult) -> str:
    cell = Cell(result.family, result.action, result.clients, result.size)
    sides = []
    for name, side in result.sides.items():
        text = f"{name} {side.cpu.median:.0f} µs" if name == "bare" else ""
        text = text or f"{name} {side.added.median:+.0f}"
        if side.ratio is not None:
            low, median, high = side.ratio
            text = f"{name} x{median:.2f} [{low:.2f}…{high:.2f}] {side.added.median:+.0f}"
        if side.failed:
            text += f" ({side.failed / side.requests:.0%} failed)"
        sides.append(text)
    return f"{cell}: " + "; ".join(sides)


async def _measure_cells(
    cells: Sequence[Cell], servers: Backends, chosen: argparse.Namespace
) -> list[CellResult]:
    blocks = chosen.blocks or (7 if chosen.quick else 15)
    effort = Effort(blocks, chosen.seconds or (0.05 if chosen.quick else 0.08))
    names = dict.fromkeys(name for cell in cells for name in FAMILIES[cell.family].apps)
    wanted = [name for name in names if not chosen.apps or name in ("bare", *chosen.apps)]
    results = []
    async with serve_all(wanted, servers) as apps:
        for cell in cells:
            results.append(await measure(cell, apps, servers, effort))
            print(_line(results[-1]), flush=True)
    return results


async def _run(chosen: argparse.Namespace) -> Results:
    cells = _cells(chosen)
    results = Results(await describe_machine())
    only = chosen.only
    with backends() as servers:
        if cells:
            results.cells = await _measure_cells(cells, servers, chosen)
        if not only or "process" in only:
            results.memory = await measure_memory(servers, chosen.quick, chosen.full)
        if not only or "growth" in only:
            results.growth = await measure_growth(servers, chosen.quick, chosen.full)
    if not only or "contention" in only:
        results.contention = await measure_contention(3 if chosen.quick else 10)
    if not only or "imports" in only:
        results.imports = measure_imports(5 if chosen.quick else 15)
    return results


def main() -> None:
    """Measure what the command line asks for."""
    chosen = _parser().parse_args()
    if chosen.clients or chosen.actions or chosen.sizes or chosen.apps:
        chosen.only = chosen.only or list(FAMILIES)
    whole = not (chosen.only or chosen.quick)
    leave_first_core()
    results = asyncio.run(_run(chosen))
    folder = chosen.output or (_DOCS if whole else None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_results(results, folder / "results.json")
        write_report(results, folder)


if __name__ == "__main__":
    main()
