"""What is particular to memcached, its client, and the way there."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import aiomcache
import pytest

from aiohttp_sess import (
    SerializationError,
    SessionConflict,
    SessionGone,
    SessionRecord,
    StorageUnavailable,
)
from aiohttp_sess.storage import Version
from aiohttp_sess.storage.entry import ENDED
from aiohttp_sess.storage.memcached import MemcachedStorage

from ..servers import MemcachedServer, start_memcached
from .faults import Entries, Relay, each_cancellation, listening, silence

HOUR = timedelta(hours=1)
STAMP = b"0123456789abcdef"
OPERATIONS = ["read", "refresh", "add", "replace", "touch", "remove"]
DAY = 24 * 60 * 60.0


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[MemcachedStorage]:
    """A storage with names that no other test has."""
    options = {"key_prefix": f"test-{secrets.token_hex(8)}:", **options}
    storage = MemcachedStorage.connect("127.0.0.1", port, **options)
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture
async def storage(memcached_server: MemcachedServer) -> AsyncIterator[MemcachedStorage]:
    async with connected(memcached_server.port) as storage:
        yield storage


@pytest.fixture
async def relay(memcached_server: MemcachedServer) -> AsyncIterator[Relay]:
    async with Relay(memcached_server.port).running() as relay:
        yield relay


@pytest.fixture
async def client(memcached_server: MemcachedServer) -> AsyncIterator[aiomcache.Client]:
    client = aiomcache.Client("127.0.0.1", memcached_server.port, pool_size=1)
    yield client
    await client.close()


def record(**state: Any) -> SessionRecord:
    return SessionRecord(state, created=time.time())


def seconds_left(server: MemcachedServer, name: str) -> int:
    answer = server.ask(b"mg %b t\r\n" % name.encode(), b"\r\n")  # HD t<seconds>
    return int(answer.partition(b" t")[2])


# -- what aiomcache does: when one of these fails, it has learned better --------------------------


async def test_aiomcache_hands_on_the_reply_of_a_cancelled_command(
    client: aiomcache.Client,
) -> None:
    key, other = secrets.token_hex(8).encode(), secrets.token_hex(8).encode()
    await client.set(key, b"mine")
    task = asyncio.ensure_future(client.delete(key))
    await asyncio.sleep(0)  # it is sent now
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await client.delete(other) is True  # though there was never such a key


async def test_aiomcache_hangs_on_a_dropped_connection(relay: Relay) -> None:
    client = aiomcache.Client("127.0.0.1", relay.port, pool_size=1)
    await client.get(b"key")
    relay.lose_replies = 1

    class HangingError(Exception):
        pass

    def ring(number: int, frame: FrameType | None) -> None:
        raise HangingError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        # Nothing less gets out of a loop that never gives way to the event loop.
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(HangingError):
            async with asyncio.timeout(0.1):
                await client.delete(b"key")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    await client.close()


# -- promise 3: a reply is never taken for another's ----------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
async def test_cancelled_anywhere_it_leaves_no_reply_behind(
    memcached_server: MemcachedServer, client: aiomcache.Client, operation: str, cold: bool
) -> None:
    storage = MemcachedStorage(client, pool_size=1)
    entries = Entries(storage)
    await entries.write()
    async for _ in each_cancellation(entries.operations[operation]):
        await entries.check()
        if cold:  # so that the next one is cancelled while it connects
            await client.close()


async def test_a_late_reply_is_nobodys(relay: Relay) -> None:
    async with connected(relay.port, pool_size=1, timeout=0.05) as storage:
        entries = Entries(storage)
        await entries.write()
        for operation in entries.operations.values():
            relay.hold()
            with pytest.raises(StorageUnavailable, match=r"within 0\.05 seconds"):
                await operation()
            relay.hold(False)
            storage.timeout = 5.0
            await entries.check()
            storage.timeout = 0.05


async def test_what_another_left_in_the_pool_is_noticed(client: aiomcache.Client) -> None:
    """A client that others use too, who cancelled a `get` of theirs."""
    storage = MemcachedStorage(client, pool_size=1, key_prefix=secrets.token_hex(8))
    stored = await storage.save(record(n=1), HOUR)
    await client.set(b"theirs", b"their value")
    task = asyncio.ensure_future(client.get(b"theirs"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(StorageUnavailable) as failed:
        await storage.load(stored.key)
    assert "value" not in str(failed.value)
    loaded = await storage.load(stored.key)
    assert loaded is not None
    assert loaded.record.state == {"n": 1}


# -- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False], ids=["its own client", "a user's client"])
async def test_nobody_waits_for_a_connection_that_is_closed(relay: Relay, own: bool) -> None:
    client = aiomcache.Client("127.0.0.1", relay.port, pool_size=2)
    async with connected(relay.port, pool_size=2) as connected_storage:
        storage = connected_storage if own else MemcachedStorage(client)
        assert await storage.read("nothing", None) is None
        relay.hold()
        holding = [asyncio.ensure_future(storage.read("nothing", None)) for _ in range(2)]
        waiting = [asyncio.ensure_future(storage.read("nothing", None)) for _ in range(2)]
        await asyncio.sleep(0)
        for task in holding:
            task.cancel()
        await asyncio.wait(holding)
        relay.hold(False)
        async with asyncio.timeout(1):
            assert await asyncio.gather(*waiting) == [None, None]
    await client.close()


async def test_many_at_once_share_few_connections(relay: Relay) -> None:
    async with connected(relay.port, pool_size=4) as storage:
        reads = [storage.read(f"nothing{number}", None) for number in range(200)]
        assert await asyncio.gather(*reads) == [None] * 200
        # aiomcache opens some more than it keeps when several begin at the same time.
        assert relay.connections <= 8


async def test_a_storm_of_cancellations(memcached_server: MemcachedServer) -> None:
    async with connected(memcached_server.port, pool_size=3) as storage:
        keys = [(await storage.save(record(n=n), HOUR)).key for n in range(40)]

        async def visit(number: int) -> None:
            for _ in range(5):
                stored = await storage.load(keys[number], ttl=HOUR)
                assert stored is not None
                assert stored.record.state == {"n": number}

        tasks = [asyncio.ensure_future(visit(number)) for number in range(40)]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0)
            if number % 3:
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [error for error in outcomes if error is not None]
        assert all(isinstance(error, asyncio.CancelledError) for error in errors)
        for number in range(40):
            await visit(number)


async def test_down_and_up_again() -> None:
    with start_memcached() as server:
        async with connected(server.port, pool_size=4) as storage:
            await asyncio.gather(*(storage.read("nothing", None) for _ in range(4)))
            server.stop()
            for operation in Entries(storage).operations.values():
                with pytest.raises(StorageUnavailable) as failed:
                    await operation()
                assert failed.value.__cause__ is not None
            server.start()
            entries = Entries(storage)
            await entries.write()
            await entries.check()


async def test_restarted_between_two_requests() -> None:
    """No turn of the event loop in between: it has not seen that the connections are dropped."""
    with start_memcached() as server:
        async with connected(server.port, pool_size=4) as storage:
            await asyncio.gather(*(storage.read("nothing", None) for _ in range(4)))
            server.stop()
            server.start()
            assert await storage.touch("nothing", 60.0) is False
            server.stop()
            server.start()
            assert await storage.read("nothing", None) is None


async def test_connections_that_are_dead_and_do_not_say_so(relay: Relay) -> None:
    """As behind a firewall that forgets: each is reset when it is used."""
    async with connected(relay.port, pool_size=4) as storage:
        await storage.read("nothing", None)
        assert relay.connections == 4
        relay.go_stale()
        assert await storage.touch("nothing", 60.0) is False


async def test_a_write_that_was_sent_twice_is_recognised(relay: Relay) -> None:
    async with connected(relay.port) as storage:
        await storage.read("nothing", None)
        relay.lose_replies = 1
        stored = await storage.save(record(n=1), HOUR)
        for number in (2, 3):  # without and with a cas token
            relay.lose_replies = 1
            stored = await storage.update(
                stored.key, record(n=number), HOUR, revision=stored.revision
            )
            loaded = await storage.load(stored.key)
            assert loaded is not None
            assert loaded.record.state == {"n": number}
            stored = loaded
        relay.lose_replies = 1
        assert await storage.update_ttl(stored.key, HOUR) == stored.key
        relay.lose_replies = 1
        await storage.delete(stored.key, revision=stored.revision)
        assert await storage.load(stored.key) is None


async def test_it_is_sent_twice_and_no_more(relay: Relay) -> None:
    async with connected(relay.port, pool_size=1) as storage:
        await storage.read("nothing", None)
        relay.lose_replies = 100
        with pytest.raises(StorageUnavailable):
            await storage.touch("nothing", 60.0)
        assert relay.lose_replies == 98


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_server_that_says_nothing_is_unavailable(operation: str) -> None:
    async with listening(silence) as port, connected(port, timeout=0.05) as storage:
        with pytest.raises(StorageUnavailable) as failed:
            await Entries(storage).operations[operation]()
        assert isinstance(failed.value.__cause__, TimeoutError)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"ERROR\r\n",
        b"VALUE other 0 6 1\r\nsecret\r\nEND\r\n",
        b"VALUE nothing 0 6 1\r\nsecret\r\nVALUE nothing 0 6 1\r\nsecret\r\nEND\r\n",
        b"secret" * 20_000,
        b"\r\n",
        b"EN",
    ],
)
async def test_something_else_on_its_port_is_unavailable(answer: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()

    async with listening(say) as port, connected(port, pool_size=1) as storage:
        with pytest.raises(StorageUnavailable) as failed:
            await storage.read("nothing", None)
        assert failed.value.__cause__ is not None
        assert "secret" not in str(failed.value)


# -- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "trips"),
    [
        ("load", 1),
        ("refresh", 1),
        ("save", 1),
        ("update", 1),
        ("update own", 2),
        ("touch", 1),
        ("delete", 1),
        # An end of our own is put in its place, then deleted.
        ("delete this", 2),
    ],
)
async def test_round_trips(relay: Relay, operation: str, trips: int) -> None:
    async with connected(relay.port, pool_size=1) as storage:
        saved = await storage.save(record(n=1), HOUR)
        loaded = await storage.load(saved.key)
        assert loaded is not None
        operations: dict[str, Callable[[], Awaitable[object]]] = {
            "load": lambda: storage.load(saved.key),
            "refresh": lambda: storage.load(saved.key, ttl=HOUR),
            "save": lambda: storage.save(record(n=2), HOUR),
            "update": lambda: storage.update(
                saved.key, record(n=2), HOUR, revision=loaded.revision
            ),
            # A write is not told the cas token of what it wrote.
            "update own": lambda: storage.update(
                saved.key, record(n=2), HOUR, revision=saved.revision
            ),
            "touch": lambda: storage.update_ttl(saved.key, HOUR),
            "delete": lambda: storage.delete(saved.key),
            "delete this": lambda: storage.delete(saved.key, revision=loaded.revision),
        }
        relay.trips = 0
        assert await operations[operation]()
        assert relay.trips == trips


# -- what memcached does --------------------------------------------------------------------------


async def test_a_refresh_leaves_the_revision_as_it_is(storage: MemcachedStorage) -> None:
    saved = await storage.save(record(n=1), HOUR)
    loaded = await storage.load(saved.key, ttl=HOUR)
    assert loaded is not None
    await storage.update_ttl(saved.key, HOUR)
    await storage.load(saved.key, ttl=HOUR)
    await storage.update(saved.key, record(n=2), HOUR, revision=loaded.revision)


async def test_what_was_removed_is_gone_at_once(storage: MemcachedStorage) -> None:
    """An end of our own that is put in its place stands in for a conditional delete."""
    for loaded_first in (True, False):
        saved = await storage.save(record(n=1), HOUR)
        revision = saved.revision
        if loaded_first:
            loaded = await storage.load(saved.key)
            assert loaded is not None
            revision = loaded.revision
        assert await storage.delete(saved.key, revision=revision) is True
        assert await storage.load(saved.key) is None
        assert await storage.load(saved.key, ttl=HOUR) is None
        assert await storage.update_ttl(saved.key, HOUR) is None
        assert await storage.delete(saved.key, revision=revision) is False
        assert await storage.delete(saved.key) is False
        with pytest.raises(SessionGone):
            await storage.update(saved.key, record(n=2), HOUR, revision=revision)


@pytest.mark.parametrize("loaded_first", [True, False])
async def test_an_end_that_was_sent_twice_is_recognised(relay: Relay, loaded_first: bool) -> None:
    async with connected(relay.port, pool_size=1) as storage:
        stored = await storage.save(record(n=1), HOUR)
        if loaded_first:
            found = await storage.load(stored.key)
            assert found is not None
            stored = found
        relay.lose_replies, relay.lose_only = 1, b"cas"
        assert await storage.delete(stored.key, revision=stored.revision) is True
        assert relay.lose_replies == 0
        assert await storage.delete(stored.key) is False


async def test_an_end_that_cannot_be_cleared_away_is_an_end(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(relay.port, pool_size=1) as storage:
        stored = await storage.save(record(n=1), HOUR)
        relay.lose_replies, relay.lose_only = 100, b"delete"
        assert await storage.delete(stored.key, revision=stored.revision) is True
        relay.lose_replies = 0
        assert "stays until its TTL is over" in caplog.text


async def test_an_end_in_the_place_of_a_session_is_none(storage: MemcachedStorage) -> None:
    stored = await storage.save(record(n=1), HOUR)
    name = storage.name_of(stored.key)
    assert name is not None
    assert isinstance(stored.revision, Version)
    assert await storage.replace(name, ENDED + b"x" * 16, 60.0, stored.revision)
    assert await storage.load(stored.key) is None
    assert await storage.load(stored.key, ttl=HOUR) is None
    with pytest.raises(SessionGone):
        await storage.update(stored.key, record(n=2), HOUR, revision=stored.revision)
    assert await storage.delete(stored.key, revision=stored.revision) is False


async def test_without_a_token_the_stamp_decides(storage: MemcachedStorage) -> None:
    first = await storage.save(record(n=1), HOUR)
    second = await storage.update(first.key, record(n=2), HOUR, revision=first.revision)
    with pytest.raises(SessionConflict):
        await storage.update(first.key, record(n=3), HOUR, revision=first.revision)
    with pytest.raises(SessionConflict):
        await storage.delete(first.key, revision=first.revision)
    assert await storage.delete(first.key, revision=second.revision) is True


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (0.001, 1),
        (1.0, 1),
        (59.2, 60),
        (3600.0, 3600),
        (30 * DAY, 30 * DAY),
        (30 * DAY + 0.5, 30 * DAY + 1),
        (365 * DAY, 365 * DAY),
    ],
)
async def test_lifetimes_are_seconds_rounded_up(
    storage: MemcachedStorage, memcached_server: MemcachedServer, ttl: float, seconds: float
) -> None:
    name, value = f"{storage.key_prefix}name", STAMP + b"value"

    def left() -> bool:
        # Whole seconds, by two clocks of which each may have begun another one.
        return seconds - 2 <= seconds_left(memcached_server, name) <= seconds + 2

    assert await storage.add(name, value, ttl)
    if ttl < 2:
        return  # it may be over any moment
    assert left()
    await storage.touch(name, 10.0)
    assert await storage.touch(name, ttl)
    assert left()
    await storage.touch(name, 10.0)
    assert await storage.read(name, ttl)
    assert left()
    await storage.touch(name, 10.0)
    assert await storage.replace(name, value, ttl, Version(STAMP))
    assert left()


async def test_a_lifetime_of_centuries(storage: MemcachedStorage) -> None:
    saved = await storage.save(record(n=1), timedelta(days=365 * 300))
    assert await storage.update_ttl(saved.key, timedelta.max)
    assert await storage.load(saved.key, ttl=timedelta.max)


async def test_too_large_for_the_server(memcached_server: MemcachedServer) -> None:
    async with connected(memcached_server.port, pool_size=1) as storage:
        entries = Entries(storage)
        await entries.write()
        saved = await storage.save(record(n=1), HOUR)
        large = record(n="x" * (1 << 20))
        loaded = await storage.load(saved.key)
        assert loaded is not None
        for revision in (saved.revision, loaded.revision):
            with pytest.raises(SerializationError, match=r"takes 10\d{5} bytes.*1 MiB.*keep less"):
                await storage.update(saved.key, large, HOUR, revision=revision)
            # What was there stands, in the same revision.
            assert await storage.load(saved.key) == loaded
        with pytest.raises(SerializationError):
            await storage.save(large, HOUR)
        await entries.check()


async def test_the_server_decides_what_is_too_large() -> None:
    with start_memcached("-I", "4m") as server:
        async with connected(server.port) as storage:
            saved = await storage.save(record(n="x" * (3 << 20)), HOUR)
            loaded = await storage.load(saved.key)
            assert loaded is not None
            assert len(loaded.record.state["n"]) == 3 << 20


async def test_a_full_server_that_does_not_evict_is_unavailable() -> None:
    with start_memcached("-m", "2", "-M") as server:
        async with connected(server.port, pool_size=1) as storage:
            saved = await storage.save(record(n=1), HOUR)
            loaded = await storage.load(saved.key)
            assert loaded is not None
            large = record(n="x" * 100_000)

            async def fill() -> None:
                for _ in range(100):
                    await storage.save(large, HOUR)

            with pytest.raises(StorageUnavailable, match="out of memory"):
                await fill()
            with pytest.raises(StorageUnavailable, match="out of memory"):
                await storage.update(saved.key, large, HOUR, revision=loaded.revision)
            assert await storage.load(saved.key) == loaded


async def test_a_server_without_cas_is_refused() -> None:
    """There, every compare-and-set would succeed."""
    with start_memcached("-C") as server:
        async with connected(server.port) as storage:
            saved = await storage.save(record(n=1), HOUR)
            with pytest.raises(StorageUnavailable, match="-C"):
                await storage.update(saved.key, record(n=2), HOUR, revision=saved.revision)
            loaded = await storage.load(saved.key)
            assert loaded is not None
            with pytest.raises(StorageUnavailable, match="-C"):
                await storage.delete(saved.key, revision=loaded.revision)


# -- making one -----------------------------------------------------------------------------------


async def test_the_users_client_stays_open(client: aiomcache.Client, relay: Relay) -> None:
    client = aiomcache.Client("127.0.0.1", relay.port, pool_size=1)
    storage = MemcachedStorage(client, pool_size=1)
    await storage.read("nothing", None)
    await storage.close()
    assert await client.get(b"nothing") is None
    assert relay.connections == 1
    await client.close()


async def test_its_own_client_is_closed(relay: Relay) -> None:
    storage = MemcachedStorage.connect("127.0.0.1", relay.port, pool_size=1)
    await storage.read("nothing", None)
    await storage.close()
    await storage.close()
    await storage.read("nothing", None)  # it opens another
    assert relay.connections == 2
    await storage.close()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"host": None}, TypeError, "host must be a str"),
        ({"host": ""}, ValueError, "host must be"),
        ({"port": "11211"}, TypeError, "port must be an int"),
        ({"port": True}, TypeError, "port must be an int"),
        ({"port": 0}, ValueError, "from 1 to 65535, not 0"),
        ({"port": 65536}, ValueError, "from 1 to 65535, not 65536"),
        ({"pool_size": 0}, ValueError, "pool_size must be at least 1, not 0"),
        ({"pool_size": 2.0}, TypeError, "pool_size must be an int, not float"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number of seconds, not 0"),
        ({"timeout": -1.0}, ValueError, "timeout must be"),
        ({"timeout": float("nan")}, ValueError, "timeout must be"),
        ({"timeout": float("inf")}, ValueError, "timeout must be"),
        ({"timeout": None}, TypeError, "timeout must be seconds, not NoneType"),
        ({"timeout": True}, TypeError, "timeout must be seconds, not bool"),
        ({"key_prefix": "a b"}, ValueError, "key_prefix"),
        ({"clock": 1}, TypeError, "clock"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        MemcachedStorage.connect(**{"host": "localhost", **options})


@pytest.mark.parametrize("client", [None, "localhost", object()])
def test_a_client_that_is_none(client: Any) -> None:
    with pytest.raises(TypeError, match=r"client must be an aiomcache\.Client, not "):
        MemcachedStorage(client)


async def test_large_reads_and_writes_at_once_do_not_wait_for_each_other(
    memcached_server: MemcachedServer,
) -> None:
    """Neither side may stop reading while it waits for the other to read."""
    async with connected(memcached_server.port, pool_size=1, timeout=10.0) as storage:
        large = record(text="x" * 120_000)
        saved = [await storage.save(large, HOUR) for _ in range(40)]
        reads = [storage.load(each.key) for each in saved]
        writes = [storage.save(large, HOUR) for _ in range(40)]
        first = asyncio.ensure_future(storage.read("nothing", None))
        replies = await asyncio.gather(*reads, *writes, first)
        assert None not in replies[:-1]
