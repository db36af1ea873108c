"""A storage of one's own, complete: sessions in an SQLite file, for one machine.

`KeyedStorage` does everything but these four operations on bytes. Whether one got them right is
told by `aiohttp_sess.testing.StorageSuite`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import Entry, KeyedStorage, Version

_SCHEMA = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS sessions (name TEXT PRIMARY KEY, value BLOB, expires REAL);
    CREATE INDEX IF NOT EXISTS sessions_by_end ON sessions (expires);
"""
_THIS = "name = :name AND expires > :now"


class SqliteStorage(KeyedStorage):
    """Keeps records in an SQLite file (SQLite >= 3.35), which several processes may share.

    Each operation is one statement, run in a thread of the storage's own; so a call that is
    cancelled was done or was not done, and nothing in between.

    :param path: the file; it is made, and opened, when it is first needed.
    :param key_prefix: what the names of its entries begin with.
    :param clock: the time now, Unix time in seconds.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        key_prefix: str = "session:",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key_prefix=key_prefix, clock=clock)
        self._path = path
        self._thread = ThreadPoolExecutor(1, "sqlite-sessions")
        self._connection: sqlite3.Connection | None = None

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        if ttl is None:
            rows = await self._run(f"SELECT value FROM sessions WHERE {_THIS}", name=name)
        else:
            touch = f"UPDATE sessions SET expires = :now + :ttl WHERE {_THIS} RETURNING value"
            rows = await self._run(touch, name=name, ttl=ttl)
        return Entry(rows[0][0]) if rows else None

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        await self._run("DELETE FROM sessions WHERE expires <= :now")
        insert = "INSERT OR IGNORE INTO sessions VALUES (:name, :value, :now + :ttl) RETURNING 1"
        return bool(await self._run(insert, name=name, value=value, ttl=ttl))

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        update = (
            "UPDATE sessions SET value = :value, expires = :now + :ttl "
            f"WHERE {_THIS} AND substr(value, 1, 16) = :stamp RETURNING 1"
        )
        stamp = version.stamp
        return bool(await self._run(update, name=name, value=value, ttl=ttl, stamp=stamp))

    async def remove(self, name: str) -> bool:
        return bool(await self._run(f"DELETE FROM sessions WHERE {_THIS} RETURNING 1", name=name))

    async def close(self) -> None:
        """Close the file, once what is under way is done. It is opened again when needed."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    async def _run(self, statement: str, **values: Any) -> list[tuple[bytes]]:
        values["now"] = self.clock()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._execute, statement, values)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"the SQLite file {self._path} cannot be used") from error

    def _execute(self, statement: str, values: dict[str, Any]) -> list[tuple[bytes]]:
        if self._connection is None:
            # Each statement is a transaction by itself, which Python is not to prolong.
            connection = sqlite3.connect(self._path, isolation_level=None)
            try:
                connection.executescript(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection.execute(statement, values).fetchall()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
