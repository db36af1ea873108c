"""What it costs to import the package where aiohttp is imported already."""

from __future__ import annotations

import subprocess
import sys

from .results import Import, quartiles

__all__ = ("measure_imports",)

_MODULES = (
    "aiohttp_sess",
    "aiohttp_sess.storage.redis",
    "aiohttp_sess.storage.memcached",
    "aiohttp_session",
    "aiohttp_session.cookie_storage",
    "aiohttp_session.redis_storage",
    "aiohttp_session.memcached_storage",
)
_CODE = """
import importlib, sys, time
import aiohttp.web
began = time.process_time()
importlib.import_module(sys.argv[1])
print((time.process_time() - began) * 1000)
"""


def measure_imports(rounds: int) -> list[Import]:
    """Each module in fresh processes, in turns; what it imports counts as well."""
    times: dict[str, list[float]] = {module: [] for module in _MODULES}
    for _ in range(rounds):
        for module, taken in times.items():
            said = subprocess.run(
                [sys.executable, "-c", _CODE, module], capture_output=True, check=True, timeout=60
            )
            taken.append(float(said.stdout))
    results = [Import(module, quartiles(taken)) for module, taken in times.items()]
    for result in results:
        print(f"import {result.module}: {result.milliseconds.median:.1f} ms", flush=True)
    return results
