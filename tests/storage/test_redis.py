"""What is particular to Redis, its client, and the way there."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
import redis.asyncio as redis
from redis.asyncio.sentinel import Sentinel

from aiohttp_sess import (
    DeserializationError,
    SessionConflict,
    SessionGone,
    SessionRecord,
    StorageUnavailable,
)
from aiohttp_sess.storage import SessionKey, Version
from aiohttp_sess.storage.redis import RedisStorage

from ..servers import RedisServer, Server, free_port, start_redis
from .faults import Entries, Relay, each_cancellation, listening, silence

HOUR = timedelta(hours=1)
STAMP = b"0123456789abcdef"
OPERATIONS = ["read", "refresh", "add", "replace", "touch", "remove"]


def prefix() -> str:
    """Names that no other test has."""
    return f"test-{secrets.token_hex(8)}:"


def record(**state: Any) -> SessionRecord:
    return SessionRecord(state, created=time.time())


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[RedisStorage]:
    storage = RedisStorage.from_url(url, **{"key_prefix": prefix(), **options})
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture
async def storage(redis_server: RedisServer) -> AsyncIterator[RedisStorage]:
    async with connected(redis_server.url) as storage:
        yield storage


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[redis.Redis]:
    """To look at Redis from beside the storage."""
    async with redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[Relay]:
    async with Relay(redis_server.port).running() as relay:
        yield relay


@contextmanager
def start_sentinel(master: RedisServer) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="sentinel-") as folder:
        path = Path(folder) / "sentinel.conf"  # it writes there what it learns
        path.write_text(f"sentinel monitor main 127.0.0.1 {master.port} 1\n")
        server = Server(
            lambda port: ["redis-server", str(path), "--sentinel", "--port", str(port)], master.who
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


# -- clients --------------------------------------------------------------------------------------


CLIENTS: dict[str, Callable[[RedisServer], Any]] = {
    "default": lambda server: redis.from_url(server.url),
    "blocking pool": lambda server: redis.Redis.from_pool(
        redis.BlockingConnectionPool.from_url(server.url)
    ),
    "text": lambda server: redis.from_url(server.url, decode_responses=True),
    "text in latin-1": lambda server: redis.from_url(
        server.url, decode_responses=True, encoding="latin-1"
    ),
    "single connection": lambda server: redis.Redis(
        port=server.port, single_connection_client=True
    ),
    "RESP3": lambda server: redis.from_url(server.url, protocol=3),
    "RESP2": lambda server: redis.from_url(server.url, protocol=2),
}


async def use(storage: RedisStorage) -> None:
    """All that a storage does, once."""
    saved = await storage.save(record(n="ÿ€😀"), HOUR)
    loaded = await storage.load(saved.key, ttl=HOUR)
    assert loaded is not None
    assert loaded.record.state == {"n": "ÿ€😀"}
    for number in range(3):
        saved = await storage.update(saved.key, record(n=number), HOUR, revision=saved.revision)
    with pytest.raises(SessionConflict):
        await storage.update(saved.key, record(n=9), HOUR, revision=loaded.revision)
    with pytest.raises(SessionConflict):
        await storage.delete(saved.key, revision=loaded.revision)
    loaded = await storage.load(saved.key)
    assert loaded is not None
    assert loaded.record.state == {"n": 2}
    assert await storage.update_ttl(saved.key, HOUR) == saved.key
    assert await storage.delete(saved.key, revision=saved.revision) is True
    assert await storage.delete(saved.key) is False
    assert await storage.load(saved.key) is None
    assert await storage.update_ttl(saved.key, HOUR) is None
    with pytest.raises(SessionGone):
        await storage.update(saved.key, record(n=9), HOUR, revision=saved.revision)


@pytest.mark.parametrize("kind", CLIENTS)
async def test_any_client_will_do(redis_server: RedisServer, kind: str) -> None:
    async with CLIENTS[kind](redis_server) as client:
        await use(RedisStorage(client, key_prefix=prefix()))


async def test_a_cluster_will_do(cluster_server: RedisServer) -> None:
    async with redis.RedisCluster.from_url(cluster_server.url) as client:
        await use(RedisStorage(client))


async def test_a_master_that_sentinels_watch_will_do(redis_server: RedisServer) -> None:
    with start_sentinel(redis_server) as server:
        make: Callable[..., Any] = Sentinel  # redis-py does not type it
        sentinel = make([(server.host, server.port)])
        async with sentinel.master_for("main") as client:
            await use(RedisStorage(client, key_prefix=prefix()))
        for one in sentinel.sentinels:
            await one.aclose()


async def test_a_unix_socket_will_do(redis_server: RedisServer) -> None:
    async with connected(redis_server.unix_url) as storage:
        await use(storage)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
async def test_garbage_through_a_client_for_text(redis_server: RedisServer, encoding: str) -> None:
    async with connected(redis_server.url, decode_responses=True, encoding=encoding) as storage:
        saved = await storage.save(record(n="ÿ€"), HOUR)
        name = storage.name_of(saved.key)
        assert name is not None
        await storage.remove(name)
        await storage.add(name, b"\xff" * 100, 60.0)
        with pytest.raises(DeserializationError) as refused:
            await storage.load(saved.key)
        # It can be replaced, as any other.
        await storage.update(saved.key, record(n="ÿ€"), HOUR, revision=refused.value.revision)
        loaded = await storage.load(saved.key)
        assert loaded is not None
        assert loaded.record.state == {"n": "ÿ€"}


# -- promise 3: a reply is never taken for another's ----------------------------------------------


ONE_CONNECTION: dict[str, Callable[[RedisServer], Any]] = {
    "default": lambda server: redis.from_url(server.url, max_connections=1),
    "blocking pool": lambda server: redis.Redis.from_pool(
        redis.BlockingConnectionPool.from_url(server.url, max_connections=1)
    ),
    "text": lambda server: redis.from_url(server.url, max_connections=1, decode_responses=True),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
async def test_cancelled_anywhere_it_leaves_no_reply_behind(
    redis_server: RedisServer, operation: str, cold: bool
) -> None:
    async with connected(redis_server.url, max_connections=1) as storage:
        entries = Entries(storage)
        await entries.write()
        async for _ in each_cancellation(entries.operations[operation]):
            await entries.check()
            if cold:  # so that the next one is cancelled while it connects
                await storage.close()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ONE_CONNECTION)
async def test_a_users_client_leaves_no_reply_behind(
    redis_server: RedisServer, kind: str, operation: str
) -> None:
    async with ONE_CONNECTION[kind](redis_server) as client:
        entries = Entries(RedisStorage(client, key_prefix=prefix()))
        await entries.write()
        async for _ in each_cancellation(entries.operations[operation], heeded=False):
            await entries.check()


async def test_a_late_reply_is_nobodys(relay: Relay) -> None:
    url = f"redis://127.0.0.1:{relay.port}"
    async with connected(url, max_connections=1, timeout=0.05) as storage:
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


# -- connections ----------------------------------------------------------------------------------


async def test_many_at_once_share_few_connections(relay: Relay) -> None:
    async with connected(f"redis://127.0.0.1:{relay.port}", max_connections=4) as storage:
        reads = [storage.read(f"nothing{number}", None) for number in range(200)]
        assert await asyncio.gather(*reads) == [None] * 200
        assert relay.connections <= 4


async def test_a_users_pool_that_is_exhausted_is_unavailable(redis_server: RedisServer) -> None:
    async with redis.from_url(redis_server.url, max_connections=1) as client:
        storage = RedisStorage(client)
        take: Callable[..., Awaitable[Any]] = client.connection_pool.get_connection
        taken = await take()
        with pytest.raises(StorageUnavailable):
            await storage.read("nothing", None)
        await client.connection_pool.release(taken)
        assert await storage.read("nothing", None) is None


async def test_nobody_waits_for_a_connection_that_is_free(relay: Relay) -> None:
    """Whatever the moment at which one that waits before it is cancelled."""
    async with connected(f"redis://127.0.0.1:{relay.port}", max_connections=1) as storage:
        await storage.read("nothing", None)
        for turns in range(20):
            relay.hold()
            first, second, third = (
                asyncio.ensure_future(storage.read("nothing", None)) for _ in range(3)
            )
            await asyncio.sleep(0)
            relay.hold(False)
            await asyncio.wait([first])
            for _ in range(turns):
                await asyncio.sleep(0)
            second.cancel()
            async with asyncio.timeout(1):
                assert await third is None
            await asyncio.wait([second])


async def test_a_storm_of_cancellations(redis_server: RedisServer) -> None:
    async with connected(redis_server.url, max_connections=3) as storage:
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
    with start_redis() as server:
        async with connected(server.url) as storage:
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
    with start_redis() as server:
        async with connected(server.url) as storage:
            await asyncio.gather(*(storage.read("nothing", None) for _ in range(4)))
            server.stop()
            server.start()
            assert await storage.touch("nothing", 60.0) is False
            server.stop()
            server.start()
            assert await storage.read("nothing", None) is None


async def test_a_connection_that_redis_drops() -> None:
    with start_redis() as server:
        async with connected(server.url) as storage:
            saved = await storage.save(record(n=1), HOUR)
            server.ask(b"CLIENT KILL TYPE normal SKIPME yes\r\n", b"\r\n")
            assert await storage.load(saved.key) is not None


async def test_a_write_that_was_sent_twice_is_recognised(relay: Relay) -> None:
    async with connected(f"redis://127.0.0.1:{relay.port}") as storage:
        await storage.read("nothing", None)
        relay.lose_replies = 1
        stored = await storage.save(record(n=1), HOUR)
        relay.lose_replies = 1
        stored = await storage.update(stored.key, record(n=2), HOUR, revision=stored.revision)
        loaded = await storage.load(stored.key)
        assert loaded is not None
        assert loaded.record.state == {"n": 2}
        relay.lose_replies = 1
        assert await storage.update_ttl(stored.key, HOUR) == stored.key
        relay.lose_replies = 1
        assert await storage.delete(stored.key, revision=stored.revision) is True
        assert await storage.load(stored.key) is None
        assert await storage.delete(stored.key, revision=stored.revision) is False


async def test_it_is_sent_twice_and_no_more(relay: Relay) -> None:
    async with connected(f"redis://127.0.0.1:{relay.port}") as storage:
        relay.lose_replies, relay.lose_only = 100, b"GETEX"
        with pytest.raises(StorageUnavailable):
            await storage.touch("nothing", 60.0)
        assert relay.lose_replies == 98


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_server_that_says_nothing_is_unavailable(operation: str) -> None:
    async with listening(silence) as port:
        url = f"redis://127.0.0.1:{port}"
        async with connected(url, timeout=0.05) as storage:
            with pytest.raises(StorageUnavailable) as failed:
                await Entries(storage).operations[operation]()
            assert isinstance(failed.value.__cause__, TimeoutError)
        async with redis.from_url(url) as client:
            with pytest.raises(StorageUnavailable):
                await Entries(RedisStorage(client, timeout=0.05)).operations[operation]()


async def test_a_users_many_retries_end_with_the_timeout() -> None:
    """redis-py's own default is ten of them, with pauses."""
    async with redis.Redis(port=free_port()) as client:
        storage = RedisStorage(client, timeout=0.1)
        with pytest.raises(StorageUnavailable, match=r"within 0\.1 seconds"):
            await storage.read("nothing", None)


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    client = redis.RedisCluster(host="127.0.0.1", port=free_port())
    with pytest.raises(StorageUnavailable):
        await RedisStorage(client).read("nothing", None)
    await client.aclose()


# -- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "commands"),
    [
        ("load", "get"),
        ("refresh", "getex"),
        ("save", "set"),
        ("update", "evalsha"),
        ("touch", "getex"),
        ("delete", "del"),
        ("delete this", "evalsha del"),
    ],
)
async def test_commands_of_each_operation(operation: str, commands: str) -> None:
    with start_redis() as server:
        async with Relay(server.port).running() as relay:
            url = f"redis://127.0.0.1:{relay.port}"
            async with connected(url, max_connections=1) as storage:
                saved = await storage.save(record(n=1), HOUR)
                saved = await storage.update(saved.key, record(n=1), HOUR, revision=saved.revision)
                other = await storage.save(record(n=1), HOUR)
                await storage.delete(other.key, revision=other.revision)
                operations: dict[str, Callable[[], Awaitable[object]]] = {
                    "load": lambda: storage.load(saved.key),
                    "refresh": lambda: storage.load(saved.key, ttl=HOUR),
                    "save": lambda: storage.save(record(n=2), HOUR),
                    "update": lambda: storage.update(
                        saved.key, record(n=2), HOUR, revision=saved.revision
                    ),
                    "touch": lambda: storage.update_ttl(saved.key, HOUR),
                    "delete": lambda: storage.delete(saved.key),
                    "delete this": lambda: storage.delete(saved.key, revision=saved.revision),
                }
                async with redis.from_url(server.url) as client:
                    await client.config_resetstat()
                    relay.trips = 0
                    assert await operations[operation]()
                    assert relay.trips == len(commands.split())
                    calls = {
                        name.removeprefix("cmdstat_"): stat["calls"]
                        for name, stat in (await client.info("commandstats")).items()
                    }
        # What a script calls is not counted apart.
        inside = {"getrange", "set"} if "evalsha" in commands else set()
        beside = {"config|resetstat", "info", "client|setinfo", "hello"} | inside
        assert {name: calls[name] for name in calls.keys() - beside} == dict.fromkeys(
            commands.split(), 1
        )


async def test_a_script_is_sent_in_full_only_where_redis_does_not_have_it(relay: Relay) -> None:
    with start_redis() as server:
        async with connected(server.url) as storage:

            def calls() -> dict[str, int]:
                lines = server.ask(b"INFO commandstats\r\n", b"\r\n\r\n").decode().splitlines()
                names = ("eval", "evalsha")
                found = dict.fromkeys(names, 0)
                for line in lines:
                    name, _, rest = line.removeprefix("cmdstat_").partition(":calls=")
                    if name in names:
                        found[name] = int(rest.partition(",")[0])
                return found

            saved = await storage.save(record(n=0), HOUR)
            saved = await storage.update(saved.key, record(n=1), HOUR, revision=saved.revision)
            assert calls() == {"eval": 1, "evalsha": 0}
            saved = await storage.update(saved.key, record(n=2), HOUR, revision=saved.revision)
            assert calls() == {"eval": 1, "evalsha": 1}
            server.ask(b"SCRIPT FLUSH\r\n", b"\r\n")
            saved = await storage.update(saved.key, record(n=3), HOUR, revision=saved.revision)
            assert calls() == {"eval": 2, "evalsha": 2}
            saved = await storage.update(saved.key, record(n=4), HOUR, revision=saved.revision)
            assert calls() == {"eval": 2, "evalsha": 3}
            await storage.delete(saved.key, revision=saved.revision)
            assert calls() == {"eval": 2, "evalsha": 4}


# -- what Redis does ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "milliseconds"),
    [(0.00001, 1), (0.0015, 2), (59.9995, 60_000), (3600.0, 3_600_000), (1e10, 1e13)],
)
async def test_lifetimes_are_whole_milliseconds(
    storage: RedisStorage, client: redis.Redis, ttl: float, milliseconds: float
) -> None:
    name, value = f"{storage.key_prefix}name", STAMP + b"value"
    assert await storage.add(name, value, ttl)
    if milliseconds < 1000:
        return  # it may be over any moment

    async def left() -> bool:
        return milliseconds - 1000 < await client.pttl(name) <= milliseconds

    assert await left()
    await client.pexpire(name, 10)
    assert await storage.touch(name, ttl)
    assert await left()
    await client.pexpire(name, 10_000)
    assert await storage.read(name, ttl)
    assert await left()
    await client.pexpire(name, 10_000)
    assert await storage.replace(name, value, ttl, Version(STAMP))
    assert await left()


async def test_what_is_missing_matches_no_stamp(storage: RedisStorage) -> None:
    for stamp in (STAMP, b"0"):
        assert await storage.replace("missing", STAMP, 60.0, Version(stamp)) is False
    assert await storage.read("missing", None) is None


async def test_a_full_server_that_does_not_evict_is_unavailable() -> None:
    with start_redis() as server:
        async with connected(server.url) as storage:
            saved = await storage.save(record(n=1), HOUR)
            server.ask(b"CONFIG SET maxmemory 1 maxmemory-policy noeviction\r\n", b"\r\n")
            with pytest.raises(StorageUnavailable, match="OutOfMemoryError"):
                await storage.save(record(n=2), HOUR)
            with pytest.raises(StorageUnavailable):
                await storage.update(saved.key, record(n=2), HOUR, revision=saved.revision)
            loaded = await storage.load(saved.key)
            assert loaded is not None
            assert loaded.record.state == {"n": 1}
            assert await storage.delete(saved.key) is True


async def test_a_replica_is_unavailable_for_writing() -> None:
    with start_redis() as server:
        async with connected(server.url) as storage:
            saved = await storage.save(record(n=1), HOUR)
            server.ask(f"REPLICAOF 127.0.0.1 {free_port()}\r\n".encode(), b"\r\n")
            with pytest.raises(StorageUnavailable, match="ReadOnlyError"):
                await storage.save(record(n=2), HOUR)
            with pytest.raises(StorageUnavailable, match="ReadOnlyError"):
                await storage.update(saved.key, record(n=2), HOUR, revision=saved.revision)


async def test_another_type_under_its_name_is_unavailable(
    storage: RedisStorage, client: redis.Redis
) -> None:
    saved = await storage.save(record(n=1), HOUR)
    name = storage.name_of(saved.key)
    assert name is not None
    await client.delete(name)
    await client.rpush(name, "not a record")
    for operation in (
        storage.load(saved.key),
        storage.load(saved.key, ttl=HOUR),
        storage.update(saved.key, record(n=2), HOUR, revision=saved.revision),
        storage.delete(saved.key, revision=saved.revision),
    ):
        with pytest.raises(StorageUnavailable) as failed:
            await operation
        assert isinstance(failed.value.__cause__, sync_redis.ResponseError)
        assert name not in str(failed.value)
    assert await storage.delete(saved.key) is True


async def test_no_password_is_told() -> None:
    password = "p4ssw0rd"
    with start_redis() as server:
        server.ask(b"CONFIG SET requirepass right\r\n", b"\r\n")
        attempts: list[tuple[str, dict[str, Any]]] = [
            (server.url, {}),
            (f"redis://:{password}@127.0.0.1:{server.port}", {}),
            (f"redis://user:{password}@127.0.0.1:{server.port}", {}),
            (server.url, {"password": password}),
            (f"redis://:{password}@127.0.0.1:{free_port()}", {}),
        ]
        for url, options in attempts:
            async with connected(url, **options) as storage:
                with pytest.raises(StorageUnavailable) as failed:
                    await storage.load(SessionKey.generate())
                assert password not in f"{storage!r} {failed.value} {failed.value.__cause__}"
        async with connected(f"redis://:right@127.0.0.1:{server.port}") as storage:
            await use(storage)


# -- making one -----------------------------------------------------------------------------------


async def test_the_users_client_stays_open(relay: Relay) -> None:
    async with redis.Redis(port=relay.port) as client:
        storage = RedisStorage(client)
        await storage.read("nothing", None)
        await storage.close()
        assert await client.get("nothing") is None
    assert relay.connections == 1


async def test_its_own_client_is_closed(relay: Relay) -> None:
    storage = RedisStorage.from_url(f"redis://127.0.0.1:{relay.port}")
    await storage.read("nothing", None)
    await storage.close()
    await storage.close()
    await storage.read("nothing", None)  # it opens another
    assert relay.connections == 2
    await storage.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:6379",
        "http://localhost",
        "redis://:p4ss/w0rd@localhost",
        "redis://:p4ss#w0rd@localhost",
        "redis://:p4ss?w0rd@localhost",
        "redis://user:p4ssw0rd@[localhost",
        "redis://localhost:p4ssw0rd",
        "redis://localhost?max_connections=p4ssw0rd",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="url must be redis://") as refused:
        RedisStorage.from_url(url)
    assert "p4ss" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"url": None}, TypeError, "url must be a str, not NoneType"),
        ({"url": b"redis://localhost"}, TypeError, "url must be a str, not bytes"),
        ({"pool_size": 3}, TypeError, "pool_size"),
        ({"url": "redis://localhost?pool_size=3"}, TypeError, "pool_size"),
        ({"max_connections": -1}, ValueError, "max_connections"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number of seconds, not 0"),
        ({"timeout": -1.0}, ValueError, "timeout must be"),
        ({"timeout": float("nan")}, ValueError, "timeout must be"),
        ({"timeout": float("inf")}, ValueError, "timeout must be"),
        ({"timeout": "5"}, TypeError, "timeout must be seconds, not str"),
        ({"timeout": True}, TypeError, "timeout must be seconds, not bool"),
        ({"key_prefix": "a b"}, ValueError, "key_prefix"),
        ({"clock": 1}, TypeError, "clock"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        RedisStorage.from_url(**{"url": "redis://localhost", **options})


@pytest.mark.parametrize(
    "client", [None, "redis://localhost", object(), sync_redis.Redis(), redis.Redis]
)
def test_a_client_that_is_none(client: Any) -> None:
    with pytest.raises(TypeError, match=r"client must be one of redis\.asyncio, .*, not "):
        RedisStorage(client)
