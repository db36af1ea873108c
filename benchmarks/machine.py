"""Where a run took place."""

from __future__ import annotations

import asyncio
import os
import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ("describe_machine",)

_PACKAGES = (
    "aiohttp",
    "aiohttp-sess",
    "aiohttp-session",
    "redis",
    "hiredis",
    "aiomcache",
    "msgspec",
    "cryptography",
)


async def describe_machine() -> dict[str, str]:
    """The processor, the system and the versions."""
    return {
        "CPU": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "redis-server": await _first_line("redis-server", "--version"),
        "memcached": await _first_line("memcached", "--version"),
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


async def _first_line(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode().partition("\n")[0]
