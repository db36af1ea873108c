"""Which process runs on which core.

The scheduler would put an application now on the core of its client, now on that of Redis, and each
time one interrupts it the caches are full of something else: the same cell then takes a third more
or less, by chance.
"""

from __future__ import annotations

import contextlib
import os

__all__ = ("leave_first_core", "take_first_core")


def _cores() -> list[int]:
    """Those that there are for this process, where the system can say and there are several."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return cores if len(cores) > 1 else []


_CORES = _cores()


def leave_first_core() -> None:
    """Let this process, and what it starts, run on all cores but the first."""
    if _CORES:
        os.sched_setaffinity(0, _CORES[1:])


def take_first_core(process: int) -> None:
    """Let a process run on the first core, which is for applications: one is asked at a time."""
    if _CORES:
        with contextlib.suppress(ProcessLookupError):  # it has ended, and who reads from it says so
            os.sched_setaffinity(process, _CORES[:1])
