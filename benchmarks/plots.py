"""The results as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .cells import FAMILIES, LABELS
from .results import CellResult, Results

__all__ = ("draw_plots",)


def draw_plots(results: Results, folder: Path) -> list[str]:
    """Draw what there is; the names of the files."""
    # The same numbers make the same files.
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    names = []
    for family in FAMILIES:
        cells = [cell for cell in results.cells if cell.family == family]
        if bars := [cell for cell in cells if cell.clients == 32 and cell.size == 500]:
            names.append(_save(_added(family, bars), folder / f"added-{family}.svg"))
        lines = [cell for cell in cells if cell.clients == 1 and cell.action == "write"]
        if len(lines) > 1:
            names.append(_save(_sizes(family, lines), folder / f"sizes-{family}.svg"))
    if results.memory:
        names.append(_save(_memory(results), folder / "memory.svg"))
    return names


def _save(figure: Figure, path: Path) -> str:
    figure.savefig(path, metadata={"Date": None})
    return path.name


def _figure(title: str, across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes: Any = figure.subplots()
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(visible=True, axis="y", alpha=0.3)
    return figure, axes


def _added(family: str, cells: list[CellResult]) -> Figure:
    figure, axes = _figure(f"{family}, 32 clients, 500 B", "session", "added CPU per request, µs")
    apps = [name for name in cells[0].sides if name != "bare"]
    width = 0.8 / len(apps)
    for number, app in enumerate(apps):
        sides = [cell.sides[app] for cell in cells]
        heights = [side.added.median for side in sides]
        spread = [
            [max(0.0, side.added.median - side.added.low) for side in sides],
            [max(0.0, side.added.high - side.added.median) for side in sides],
        ]
        places = [place + number * width for place in range(len(cells))]
        axes.bar(places, heights, width, yerr=spread, label=LABELS[app], capsize=2)
    middle = 0.4 - width / 2
    axes.set_xticks([n + middle for n in range(len(cells))], [cell.action for cell in cells])
    axes.legend()
    return figure


def _sizes(family: str, cells: list[CellResult]) -> Figure:
    figure, axes = _figure(f"{family}, write, 1 client", "bytes of the state", "added CPU, µs")
    cells = sorted(cells, key=lambda cell: cell.size)
    for app in cells[0].sides:
        if app != "bare":
            heights = [cell.sides[app].added.median for cell in cells]
            axes.plot([cell.size for cell in cells], heights, marker="o", label=LABELS[app])
    axes.set(xscale="log", yscale="log")
    axes.legend()
    return figure


def _memory(results: Results) -> Figure:
    figure, axes = _figure("memory of the serving process", "requests", "MB")
    for one in results.memory:
        sizes = [size / 1e6 for size in one.bytes]
        axes.plot(one.requests, sizes, marker="o", label=LABELS[one.app])
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure
