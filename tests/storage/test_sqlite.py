"""What is the SQLite storage's own; the rest of it is told by `test_suite`."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiohttp_sess import SessionRecord, StorageUnavailable
from aiohttp_sess.testing import FakeClock
from demo.sqlite_storage import SqliteStorage

HOUR = timedelta(hours=1)
PATIENCE = 10.0  # seconds; only ever waited for when something is broken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
        assert isinstance(count, int)
        return count
    finally:
        connection.close()


async def test_the_file_is_made_when_it_is_needed_and_outlives_the_storage(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.close()
    assert files(path) == []
    stored = await storage.save(SessionRecord({"n": 1}), HOUR)
    await storage.close()
    again = SqliteStorage(path)
    loaded = await again.load(stored.key)
    assert loaded is not None and loaded.record == stored.record
    await again.close()


async def test_two_storages_share_a_file_but_not_a_prefix(path: Path) -> None:
    one, two = SqliteStorage(path), SqliteStorage(path)
    other = SqliteStorage(path, key_prefix="other:")
    stored = await one.save(SessionRecord(), HOUR)
    assert await two.load(stored.key) is not None
    assert await other.load(stored.key) is None
    assert await two.delete(stored.key)
    assert await one.load(stored.key) is None
    for storage in (one, two, other):
        await storage.close()


async def test_expired_rows_go_when_a_session_begins(path: Path) -> None:
    clock = FakeClock()
    storage = SqliteStorage(path, clock=clock)
    for _ in range(3):
        await storage.save(SessionRecord(), HOUR)
    await storage.save(SessionRecord(), 3 * HOUR)
    clock.advance(2 * HOUR)
    await storage.save(SessionRecord(), HOUR)
    await storage.close()
    assert rows(path) == 2


def files(path: Path) -> list[str]:
    return [found.name for found in path.parent.iterdir()]


@pytest.fixture(params=["garbage", "folder"])
def unusable(request: pytest.FixtureRequest, path: Path) -> Path:
    """What is no database in the place of one."""
    if request.param == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"this is no database, and never was" * 100)
    return path


async def test_a_file_that_cannot_be_used(unusable: Path) -> None:
    storage = SqliteStorage(unusable)
    for _ in range(2):
        with pytest.raises(StorageUnavailable) as raised:
            await storage.save(SessionRecord(), HOUR)
        assert isinstance(raised.value.__cause__, sqlite3.Error)
    # Once it can be, it is.
    os.rename(unusable, f"{unusable}.aside")
    await storage.save(SessionRecord(), HOUR)
    await storage.close()


class Held(SqliteStorage):
    """Holds its statements in the thread until it is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def _execute(self, statement: str, values: dict[str, Any]) -> list[tuple[bytes]]:
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        return super()._execute(statement, values)


async def test_what_is_cancelled_while_it_runs_is_done_to_its_end(path: Path) -> None:
    storage = Held(path)
    stored = await storage.save(SessionRecord({"n": 1}), HOUR)
    storage.begun.clear()
    storage.go_on.clear()
    call = asyncio.ensure_future(storage.delete(stored.key))
    assert await asyncio.to_thread(storage.begun.wait, PATIENCE)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    storage.go_on.set()
    assert await storage.load(stored.key) is None
    await storage.close()
