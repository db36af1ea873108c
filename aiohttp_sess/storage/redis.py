"""The storage in Redis: one key a session, one round trip an operation on bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Self

from ..errors import StorageUnavailable
from .entry import Entry, Version
from .interface import checked_timeout

try:
    import redis
    from redis.asyncio import ConnectionPool, Redis, RedisCluster
    from redis.asyncio.connection import parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.client import NEVER_DECODE
    from redis.exceptions import RedisClusterException, RedisError

    from .pipelines import Pipelines
    from .redis_index import RedisIndex
    from .scripts import REMOVE, REPLACE
except ImportError as error:
    raise ImportError(
        'RedisStorage needs redis-py: pip install "aiohttp-sess[redis]"', name=error.name
    ) from error

__all__ = ("RedisStorage",)

_FAILURES = (RedisError, RedisClusterException, OSError)  # TimeoutError is an OSError
_NEEDED = ("execute_command", "pipeline")


class RedisStorage(RedisIndex):
    """Keeps records in Redis 6.2 or newer, or in a server that speaks its language.

    :param client: of ``redis.asyncio``: a single Redis, a Sentinel's ``master_for``, a cluster. It
        stays yours: the storage never closes it. When to try again after a dropped connection is
        up to it. At most 4 of its connections are in use at once, and commands of concurrent
        requests leave as one pipeline. Reads that refresh no TTL are mostly one command, and so are
        updates, unless it is a cluster's.
    :param key_prefix: what the names of its keys begin with.
    :param timeout: seconds that an operation may take, waiting for a connection included.
    :param clock: the time now, Unix time in seconds; the TTL of a key goes by the server's own.

    A Redis user with an access list needs ``GET``, ``GETEX``, ``SET``, ``DEL``, ``EVAL``,
    ``EVALSHA``, and ``GETRANGE`` inside of scripts; ``MGET``, without which it goes on, but slower;
    and for sessions that have an owner ``EXISTS``, ``PTTL``, ``ZREM``, and inside of scripts
    ``PEXPIRE``, ``TIME``, ``ZADD``, ``ZCARD``, ``ZRANGE`` and ``ZSCORE``.

    Limitations:

    - Under an eviction policy, Redis at its ``maxmemory`` ends sessions early, ``volatile-*``
      included, as they all have a TTL. Under ``noeviction`` it refuses to write instead, which is a
      `StorageUnavailable`.
    - Replicas follow a moment later. A failover in that moment takes the last writes back: a
      session that just began is gone, and one that just ended is there again, until its TTL is
      over. Reading from replicas does the same all the time: do not.
    - The index of an owner's sessions can be evicted, too. They go on, and each is in it again when
      its TTL next starts anew; in a process that has just seen it in there, from 5 minutes on.
    - A restart keeps what Redis persists, which may be nothing.
    """

    def __init__(
        self,
        client: Redis | RedisCluster,
        *,
        key_prefix: str = "session:",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key_prefix=key_prefix, clock=clock)
        missing = [name for name in _NEEDED if not callable(getattr(client, name, None))]
        if missing or isinstance(client, (type, redis.Redis, redis.RedisCluster)):
            raise TypeError(
                "client must be one of redis.asyncio, such as redis.asyncio.Redis, not "
                f"{type(client).__module__}.{type(client).__name__}"
            )
        self.timeout = checked_timeout(timeout)
        self._client = client
        self._owns_client = False
        self._pipelines = Pipelines(client, timeout=self.timeout)
        self._pipelines.failure = self._failure

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        key_prefix: str = "session:",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
        **client_options: Any,
    ) -> Self:
        """A storage with a client of its own, which `close` closes.

        A command whose connection was dropped is sent once more.

        :param url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py reads it.
        :param client_options: for the client's connections, such as ``password`` or
            ``ssl_ca_certs``.
        :raises ValueError: for a URL that is none; its text, which may hold a password, is not in
            the message.
        :raises TypeError: for an option that redis-py does not know.
        """
        options = {
            # The storage's own timeout is around everything; redis-py's costs a task per write.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            **client_options,
        }
        if not isinstance(url, str):
            raise TypeError(f"url must be a str, not {type(url).__name__}")
        try:
            parse_url(url)
        except ValueError:
            raise ValueError(
                "url must be redis://host:port/db, rediss://… or unix:///path; what is special in "
                "its password must be percent-encoded"
            ) from None
        pool: ConnectionPool = ConnectionPool.from_url(url, **options)
        # It connects to nothing yet, but finds an unknown option now and not at the first request.
        check: Callable[[], object] = pool.make_connection
        check()
        client: Redis = Redis.from_pool(pool)
        storage = cls(client, key_prefix=key_prefix, timeout=timeout, clock=clock)
        storage._owns_client = True
        return storage

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        command = ("GET", name) if ttl is None else ("GETEX", name, "PX", _milliseconds(ttl))
        # As bytes, also from a client with decode_responses=True.
        value = await self._ask(*command, **{NEVER_DECODE: True})
        return None if value is None else Entry(value)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return bool(await self._ask("SET", name, value, "PX", _milliseconds(ttl), "NX"))

    def replace(
        self, name: str, value: bytes, ttl: float, version: Version
    ) -> Coroutine[Any, Any, bool]:
        return self._run(REPLACE, name, version.stamp, value, _milliseconds(ttl))

    async def remove(self, name: str) -> bool:
        return bool(await self._ask("DEL", name))

    def remove_version(self, name: str, version: Version) -> Coroutine[Any, Any, bool]:
        # Also where Redis is full, and takes nothing in the place of the entry.
        return self._run(REMOVE, name, version.stamp)

    async def together(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        with self._pipelines.together():
            return await super().together(*calls)

    async def close(self) -> None:
        await self.finish()
        await self._pipelines.close()
        if self._owns_client:
            try:
                async with asyncio.timeout(self.timeout):
                    await self._client.aclose()
            except _FAILURES as error:
                raise self._failure(error)  # noqa: B904  # it has its cause

    def _ask(self, *command: Any, **options: Any) -> Awaitable[Any]:
        return self._pipelines.send(*command, **options)

    def _ask_all(self, commands: Sequence[tuple[Any, ...]], **options: Any) -> Awaitable[list[Any]]:
        return self._pipelines.send_all(commands, **options)

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, TimeoutError):
            said = f"Redis did not answer within {self.timeout} seconds"
        elif isinstance(error, _FAILURES):  # without its text, which may hold a name
            said = f"Redis is not usable: {type(error).__name__}"
        else:
            return error
        unavailable = StorageUnavailable(said)
        unavailable.__cause__ = error
        return unavailable


def _milliseconds(ttl: float) -> int:
    return max(1, round(ttl * 1000))
