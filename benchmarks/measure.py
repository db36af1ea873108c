"""The measuring of a cell: short blocks, interleaved and paired, so that a noisy machine cancels.

In each block every application is under the same load for a moment, in an order that rotates.
What an application adds is its CPU time for a request minus the bare application's in that block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .cells import FAMILIES, Cell
from .client import Load, Visitor, load
from .results import CellResult, Side, quartiles
from .serving import Backends, Commands, Served

__all__ = ("Effort", "measure")

_ENTERING = 16  # visitors at once, while sessions begin
# Reads and writes of a backend that one request makes.
_EXPECTED = {"none": (0, 0), "read": (1, 0), "write": (1, 1), "first": (0, 1)}


class Effort(NamedTuple):
    """How long to measure: blocks, and seconds of each application in a block."""

    blocks: int = 15
    seconds: float = 0.08


class _Sample(NamedTuple):
    cpu: float  # seconds a request
    load: Load


def _path(cell: Cell) -> str:
    return "/write" if cell.action == "first" else f"/{cell.action}"


async def _visitors(served: Served, cell: Cell) -> list[Visitor]:
    visitors = [Visitor(served.port) for _ in range(cell.clients)]
    entrance = asyncio.Semaphore(_ENTERING)

    async def enter(visitor: Visitor) -> None:
        async with entrance:
            await visitor.connect()
            if cell.action != "first":
                await visitor.ask(f"/fill?size={cell.size}")
            if served.name == "bare":
                visitor.cookie = b"id=" + b"k" * 43
            visitor.prepare(_path(cell))

    await asyncio.gather(*(enter(visitor) for visitor in visitors))
    return visitors


def _same(cell: Cell, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise RuntimeError(f"{cell}: {what} is {found}, not {expected}")


async def _check_counting(served: Served, cell: Cell) -> None:
    """The counter goes up from request to request."""
    visitor = Visitor(served.port)
    await visitor.connect()
    answers = [await visitor.ask("/write")]
    if visitor.cookie == b"":
        raise RuntimeError(f"{cell}: {served.name} sets no cookie")
    await visitor.ask(f"/fill?size={cell.size}")
    answers += [await visitor.ask(path) for path in ("/read", "/write", "/write", "/read")]
    visitor.close()
    _same(cell, f"the counter of {served.name}", answers, ["1", "0", "1", "2", "2"])


async def _warm_up(
    served: Served, visitors: Sequence[Visitor], cell: Cell, servers: Backends
) -> int:
    """The first load, of which the commands are counted; how many requests failed."""
    before = servers.commands(cell.family)
    first = await load(visitors, 0.05)
    second = await load(visitors, 0.0)
    failed, requests = first.failed + second.failed, first.requests + second.requests
    if not failed and served.name != "bare":
        reads, writes = _EXPECTED[cell.action] if cell.family in ("redis", "memcached") else (0, 0)
        found = servers.commands(cell.family).since(before)
        expected = Commands(reads * requests, writes * requests)
        _same(cell, f"{served.name}'s commands for {requests} requests", found, expected)
    return failed


def _check_counters(served: Served, visitors: Sequence[Visitor], cell: Cell) -> None:
    """Every write was kept, and nothing was lost: what visitors saw last."""
    if served.name == "bare" or cell.action == "none":
        return
    for visitor in visitors:
        # A cookie holds its own counter, and each time the same is sent.
        kept = cell.action == "write" and cell.family != "cookie"
        expected = visitor.answered if kept else {"read": 0, "write": 1, "first": 1}[cell.action]
        _same(cell, f"the last counter of {served.name}", visitor.body, str(expected))


async def _sample(served: Served, visitors: Sequence[Visitor], seconds: float) -> _Sample:
    before = await served.clock()
    outcome = await load(visitors, seconds)
    after = await served.clock()
    return _Sample((after.cpu - before.cpu) / outcome.requests, outcome)


async def measure(
    cell: Cell, apps: Mapping[str, Served], servers: Backends, effort: Effort
) -> CellResult:
    """One cell.

    :raises RuntimeError: where an application does not do the work.
    """
    names = [name for name in FAMILIES[cell.family].apps if name in apps]
    visitors = {}
    failed = dict.fromkeys(names, 0)
    for name in names:
        if name != "bare":
            await _check_counting(apps[name], cell)
        visitors[name] = await _visitors(apps[name], cell)
        failed[name] = await _warm_up(apps[name], visitors[name], cell, servers)
    samples: dict[str, list[_Sample]] = {name: [] for name in names}
    for block in range(effort.blocks):
        turn = block % len(names)
        for name in names[turn:] + names[:turn]:
            samples[name].append(await _sample(apps[name], visitors[name], effort.seconds))
    for name in names:
        if not failed[name] + sum(sample.load.failed for sample in samples[name]):
            _check_counters(apps[name], visitors[name], cell)
        for visitor in visitors[name]:
            visitor.close()
    return _result(cell, samples)


def _result(cell: Cell, samples: Mapping[str, Sequence[_Sample]]) -> CellResult:
    bare = samples["bare"]
    added = {
        name: [one.cpu - base.cpu for one, base in zip(ours, bare, strict=True)]
        for name, ours in samples.items()
    }
    sides = {name: _side(taken, added[name]) for name, taken in samples.items()}
    theirs = FAMILIES[cell.family].theirs
    if theirs in sides:
        for name, side in sides.items():
            if name not in ("bare", theirs):
                pairs = zip(added[name], added[theirs], strict=True)
                blocks = quartiles([ours / other for ours, other in pairs if other > 0] or [0.0])
                # Of the medians, since a quotient of small differences is noisy.
                side.ratio = blocks._replace(median=side.added.median / sides[theirs].added.median)
    return CellResult(cell.family, cell.action, cell.clients, cell.size, sides)


def _side(samples: Sequence[_Sample], added: Sequence[float]) -> Side:
    latencies = sorted(latency for one in samples for latency in one.load.latencies)
    seconds = sum(one.load.seconds for one in samples)
    return Side(
        cpu=quartiles([one.cpu * 1e6 for one in samples]),
        added=quartiles([one * 1e6 for one in added]),
        requests=len(latencies),
        failed=sum(one.load.failed for one in samples),
        per_second=len(latencies) / seconds,
        p50=latencies[len(latencies) // 2] * 1e6,
        p99=latencies[len(latencies) * 99 // 100] * 1e6,
    )
