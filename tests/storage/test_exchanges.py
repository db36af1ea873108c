"""Requests to memcached that leave together, the reads as one: each gets its own reply."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import Entry, Version
from aiohttp_sess.storage.memcached import MemcachedStorage

from ..servers import MemcachedServer
from .faults import listening

STAMP = b"0123456789abcdef"


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[MemcachedStorage]:
    options = {"key_prefix": f"{secrets.token_hex(8)}:", **options}
    storage = MemcachedStorage.connect("127.0.0.1", port, pool_size=1, **options)
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture
async def storage(memcached_server: MemcachedServer) -> AsyncIterator[MemcachedStorage]:
    async with connected(memcached_server.port) as storage:
        yield storage


async def at_once(storage: MemcachedStorage, *calls: Awaitable[Any]) -> list[Any]:
    """The outcomes of calls whose first requests leave together."""
    with storage._exchanges.together():
        return await asyncio.gather(*calls, return_exceptions=True)


async def written(storage: MemcachedStorage, count: int) -> list[str]:
    names = [f"{storage.key_prefix}{n}" for n in range(count)]
    for n, name in enumerate(names):
        assert await storage.add(name, STAMP + b"%d" % n, 60.0)
    return names


def reads(storage: MemcachedStorage, names: Sequence[str]) -> list[Awaitable[Any]]:
    return [storage.read(name, None) for name in names]


def ends(outcomes: Sequence[Any]) -> list[Any]:
    return [outcome.value[16:] if isinstance(outcome, Entry) else outcome for outcome in outcomes]


async def test_reads_are_one_request(storage: MemcachedStorage, monkeypatch: Any) -> None:
    names = await written(storage, 3)
    written_lines: list[bytes] = []
    write = asyncio.StreamWriter.write

    def watched(writer: asyncio.StreamWriter, data: Any) -> None:
        written_lines.append(bytes(data))
        write(writer, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", watched)
    asked = ["nothing", names[2], names[0], "nothing", names[2], names[1], "nothing"]
    outcomes = await at_once(storage, *reads(storage, asked))
    assert ends(outcomes) == [None, b"2", b"0", None, b"2", b"1", None]
    once = " ".join(["nothing", names[2], names[0], names[1]])
    assert written_lines == [f"gets {once}\r\n".encode()]
    assert await at_once(storage, *reads(storage, ["nothing"] * 3)) == [None] * 3


async def test_all_kinds_at_once(storage: MemcachedStorage) -> None:
    names = await written(storage, 6)
    entry = await storage.read(names[2], None)
    assert entry is not None
    outcomes = await at_once(
        storage,
        storage.remove(names[0]),
        storage.read(names[1], None),
        storage.replace(names[2], STAMP + b"new", 60.0, Version(STAMP, entry.token)),
        storage.read(names[3], 60.0),
        storage.add(names[4], b"new", 60.0),
        storage.read("nothing", None),
        storage.read(names[5], None),
        storage.remove("nothing"),
    )
    assert ends(outcomes) == [True, b"1", True, b"3", False, None, b"5", False]
    assert ends(await at_once(storage, *reads(storage, names[:3]))) == [None, b"1", b"new"]


async def test_requests_for_one_key_keep_their_order(storage: MemcachedStorage) -> None:
    (name,) = await written(storage, 1)
    outcomes = await at_once(
        storage,
        storage.read(name, None),
        storage.remove(name),
        storage.read(name, None),
        storage.add(name, STAMP + b"new", 60.0),
        storage.read(name, None),
    )
    assert ends(outcomes) == [b"0", True, None, True, b"new"]


async def test_long_lines_and_large_values(memcached_server: MemcachedServer) -> None:
    async with connected(memcached_server.port, key_prefix=secrets.token_hex(64)) as storage:
        names = [f"{storage.key_prefix}{n:072}" for n in range(128)]
        value = b"x" * 100_000
        assert await at_once(storage, *(storage.add(name, value, 60.0) for name in names))
        outcomes = await at_once(storage, *reads(storage, names))
        assert [outcome.value == value for outcome in outcomes] == [True] * 128
        assert all([await storage.remove(name) for name in names])


@pytest.mark.parametrize("turns", range(12))
async def test_to_cancel_one_touches_no_other(storage: MemcachedStorage, turns: int) -> None:
    names = await written(storage, 8)
    with storage._exchanges.together():
        tasks = [asyncio.ensure_future(storage.read(name, None)) for name in names]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        assert ends(await asyncio.gather(*tasks[1::2])) == [b"1", b"3", b"5", b"7"]
    assert ends(await at_once(storage, *reads(storage, names))) == [b"%d" % n for n in range(8)]


def value(name: str, token: int = 1) -> bytes:
    return b"VALUE %b 0 6 %d\r\nsecret\r\n" % (name.encode(), token)


async def test_values_come_in_any_order() -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"gets a b c d\r\n"
        writer.write(value("d", 4) + value("a", 1) + value("c", 3) + b"END\r\n")
        await writer.drain()

    async with listening(say) as port, connected(port) as storage:
        outcomes = await at_once(storage, *reads(storage, ["a", "b", "c", "a", "d"]))
        assert [outcome and outcome.token for outcome in outcomes] == [1, None, 3, 1, 4]


@pytest.mark.parametrize(
    "answer",
    [
        value("other") + b"END\r\n",
        value("a") + value("other") + b"END\r\n",
        value("b") + value("a") + value("b") + b"END\r\n",
        value("a") + value("b") + value("c") + value("c") + b"END\r\n",
        value("a") + value("a") + b"END\r\n",
        value("a") + b"STORED\r\n",
        value("a") + b"VALUE b 0 6\r\nsecret\r\n" + b"END\r\n",
        b"ERROR\r\n",
        b"\r\n",
        b"END",
    ],
)
async def test_anothers_reply_fails_all_and_ends_the_connection(answer: bytes) -> None:
    connections = 0

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readline()
        writer.write(answer)
        await writer.drain()

    async with listening(say) as port, connected(port) as storage:
        for _ in range(2):
            before = connections
            outcomes = await at_once(storage, *reads(storage, ["a", "b", "c"]))
            assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3
            assert all("secret" not in str(outcome) for outcome in outcomes)
            assert connections > before


async def test_trouble_in_the_middle_is_that_of_all_that_have_not_come() -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(value("b") + b"SERVER_ERROR out of memory writing get response\r\n")
            await writer.drain()

    async with listening(say) as port, connected(port) as storage:
        for _ in range(2):
            outcomes = await at_once(storage, *reads(storage, ["a", "b", "c", "d"]))
            assert outcomes.pop(1).value == b"secret"
            assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3
            assert all("out of memory" in str(outcome) for outcome in outcomes)
