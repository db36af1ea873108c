"""The storage in memcached: one key a session, one round trip an operation on bytes."""

from __future__ import annotations

import math
import time
from asyncio import LimitOverrunError
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self

from ..errors import SerializationError, StorageUnavailable
from .entry import STAMP_LENGTH, Entry, Version
from .epoch import EpochStorage
from .interface import checked_timeout

try:
    from aiomcache import Client, ClientException, FlagClient

    from .exchanges import READ, TOO_LARGE, Exchanges, Reply, Request
except ImportError as error:
    raise ImportError(
        'MemcachedStorage needs aiomcache: pip install "aiohttp-sess[memcached]"', name=error.name
    ) from error

__all__ = ("MemcachedStorage",)

_MONTH = 30 * 24 * 60 * 60  # seconds; memcached takes more than this for a Unix time
_LAST_SECOND = 2**31 - 1  # memcached reads times as 32 bits

_FAILURES = (ClientException, EOFError, LimitOverrunError, OSError)


class MemcachedStorage(EpochStorage):
    """Keeps records in memcached.

    :param client: an ``aiomcache.Client``. It stays yours: the storage never closes it. Let nothing
        else use it, as aiomcache's own commands hand their reply to the next when they are
        cancelled.
    :param pool_size: how many connections may be used, at most 4: what the client was given as
        ``pool_size``, or as ``pool_minsize`` if that is less, since it does not open more. By
        default aiomcache's own default. Commands of concurrent requests share them.
    :param key_prefix: what the names of its entries begin with.
    :param timeout: seconds within which memcached must answer, waiting for a connection included.
    :param clock: the time now, Unix time in seconds; the TTL of an entry goes by the server's own.

    Limitations:

    - memcached is a cache. When its memory is full it evicts what nobody asked for lately, which
      ends those sessions early, and a restart ends them all.
    - Its TTLs are whole seconds, of which the current one counts as the first. They are rounded
      up, so an idle session may end up to a second early, or late.
    - It cannot list the sessions of an owner, and ends all of them, or all but one, by an entry
      that each owner has. To look at that takes one more round trip, for each load and each write
      of a session that has an owner. Should memcached evict it, that owner's sessions end. A
      request that purges a session which was ended so erases the cookie all the same.
    - A record takes at most 1 MiB, or what the server's option ``-I`` says: a larger one is a
      `SerializationError`.
    """

    def __init__(
        self,
        client: FlagClient[Any],
        *,
        pool_size: int = 2,
        key_prefix: str = "session:",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key_prefix=key_prefix, clock=clock)
        if not isinstance(client, FlagClient):
            raise TypeError(f"client must be an aiomcache.Client, not {type(client).__name__}")
        _check_int("pool_size", pool_size, at_most=None)
        self.timeout = checked_timeout(timeout)
        self._client = client
        self._owns_client = False
        self._exchanges = Exchanges(client, timeout=self.timeout, pool_size=pool_size)
        self._exchanges.failure = self._failure

    @classmethod
    def connect(
        cls,
        host: str,
        port: int = 11211,
        *,
        pool_size: int = 4,
        key_prefix: str = "session:",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """A storage with a client of its own, which `close` closes.

        :param pool_size: how many connections it has, of which at most 4 are used; the first
            command opens them all.
        """
        if not isinstance(host, str):
            raise TypeError(f"host must be a str, not {type(host).__name__}")
        if not host:
            raise ValueError("host must be a host name or an IP address, not empty")
        _check_int("port", port, at_most=65535)
        client = Client(host, port, pool_size=pool_size)
        storage = cls(
            client, pool_size=pool_size, key_prefix=key_prefix, timeout=timeout, clock=clock
        )
        storage._owns_client = True
        return storage

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        key = name.encode()
        request, replies = b"%b%b\r\n" % (READ, key), 1
        if ttl is not None:
            # In one packet: one round trip.
            request, replies = b"%btouch %b %d\r\n" % (request, key, _exptime(ttl)), 2
        found = (await self._ask(key, request, replies))[0]
        return None if found.token is None else Entry(found.value, found.token)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return await self._store(b"add", name, value, _exptime(ttl))

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        token = await self._token(name, version)
        return token is not None and await self._store(b"cas", name, value, _exptime(ttl), token)

    async def remove(self, name: str) -> bool:
        key = name.encode()
        (reply,) = await self._ask(key, b"delete %b\r\n" % key)
        return reply.status == b"DELETED"

    async def together(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        with self._exchanges.together():
            return await super().together(*calls)

    async def close(self) -> None:
        await self._exchanges.close()
        if self._owns_client:
            await self._client.close()

    async def _token(self, name: str, version: Version) -> int | None:
        """The cas token of this version; None where it is not there any more."""
        token: int | None = version.token
        if token is None:  # we wrote it, and memcached does not tell the token of what it stores
            entry = await self.read(name, None)
            if entry is None or entry.value[:STAMP_LENGTH] != version.stamp:
                return None
            token = entry.token
        if token == 0:
            raise StorageUnavailable("memcached runs without cas: start it without the option -C")
        return token

    async def _store(
        self, command: bytes, name: str, value: bytes, exptime: int, token: int | None = None
    ) -> bool:
        key = name.encode()
        only_if = b"" if token is None else b" %d" % token
        line = b"%b %b 0 %d %d%b\r\n" % (command, key, exptime, len(value), only_if)
        (reply,) = await self._ask(key, line + value + b"\r\n")
        if reply.status == TOO_LARGE:
            raise SerializationError(
                f"the session record takes {len(value)} bytes, more than the server's limit for an "
                "item (1 MiB, or its option -I): keep less in the session, or raise that limit"
            )
        return reply.status == b"STORED"

    def _ask(self, key: bytes, request: bytes, replies: int = 1) -> Awaitable[list[Reply]]:
        return self._exchanges.ask(Request(key, request, replies))

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, TimeoutError):
            said = f"memcached did not answer within {self.timeout} seconds"
        elif isinstance(error, _FAILURES):
            said = f"memcached is not usable: {str(error) or type(error).__name__}"
        else:
            return error
        unavailable = StorageUnavailable(said)
        unavailable.__cause__ = error
        return unavailable


def _exptime(ttl: float) -> int:
    seconds = max(1, math.ceil(ttl))
    # By the real time: it is the server's clock that this is compared with.
    return seconds if seconds <= _MONTH else min(int(time.time()) + seconds, _LAST_SECOND)


def _check_int(name: str, value: int, *, at_most: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1 or (at_most is not None and value > at_most):
        limits = "at least 1" if at_most is None else f"from 1 to {at_most}"
        raise ValueError(f"{name} must be {limits}, not {value}")
