"""A storage that notes what is asked of another; it waits at gates, and fails as it is told."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import Entry, KeyedStorage, Version

from .apps import Gate


class Noted(KeyedStorage):
    """``exchanges`` are the calls that left together, in their order; ``written`` the TTLs by name,
    in seconds; ``down`` the calls that fail, ``gates`` those that wait.

    :param inner: the storage that does the work.
    """

    def __init__(self, inner: KeyedStorage) -> None:
        super().__init__(key_prefix=inner.key_prefix, clock=inner.clock)
        self.inner = inner
        self.exchanges: list[list[str]] = []
        self.written: dict[str, float] = {}
        self.names: set[str] = set()
        self.down: set[str] = set()
        self.gates: dict[str, Gate] = {}
        self.closed = 0
        self._together: list[str] | None = None

    def hold(self, call: str) -> Gate:
        """Hold the next call of a method, before it does anything, until the gate is opened."""
        gate = self.gates[call] = Gate()
        return gate

    async def _pass(self, call: str, name: str) -> None:
        self.names.add(name)
        if self._together is None:
            self.exchanges.append([call])
        else:
            self._together.append(call)
        gate = self.gates.pop(call, None)
        if gate is not None:
            await gate.pass_through()
        if call in self.down:
            raise StorageUnavailable(f"no answer to {call}") from ConnectionRefusedError("it")

    async def together(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        self._together = []
        self.exchanges.append(self._together)
        try:
            return await self.inner.together(*calls)
        finally:
            self._together = None

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        await self._pass("read", name)
        return await self.inner.read(name, ttl)

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        await self._pass("add", name)
        done = await self.inner.add(name, value, ttl)
        if done:
            self.written[name] = ttl
        return done

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        await self._pass("replace", name)
        done = await self.inner.replace(name, value, ttl, version)
        if done:
            self.written[name] = ttl
        return done

    async def remove(self, name: str) -> bool:
        await self._pass("remove", name)
        return await self.inner.remove(name)

    async def close(self) -> None:
        self.closed += 1
        await self.inner.close()
