"""A storage that stops before or after any one of its operations on bytes, or fails there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import Entry, KeyedStorage, Version

from ..races.lab import Gate

T = TypeVar("T")


class Stepped(KeyedStorage):
    """See the module. ``steps`` are those that were done, ``names`` those of all its entries.

    :param inner: where the bytes are.
    """

    def __init__(self, inner: KeyedStorage) -> None:
        super().__init__(key_prefix=inner.key_prefix, clock=inner.clock)
        self.inner = inner
        self.steps: list[str] = []
        self.names: set[str] = set()
        self._gates: dict[str, tuple[Gate, bool, int]] = {}

    def hold(
        self,
        step: str,
        *,
        failure: Exception | None = None,
        after: bool = False,
        skip: int = 0,
    ) -> Gate:
        """Stop at the next such step but ``skip``, before it or ``after`` it is done.

        :param failure: what to raise then.
        """
        gate = Gate(failure)
        self._gates[step] = gate, after, skip
        return gate

    def fail(self, step: str, *, after: bool = False) -> None:
        """The next such step fails, be it ``after`` it is done."""
        self.hold(step, failure=StorageUnavailable("down"), after=after).opened.set()

    async def everything(self) -> dict[str, bytes]:
        """All that the backend holds, as far as it was ever told of it."""
        found = {name: await self.inner.read(name, None) for name in self.names}
        return {name: entry.value for name, entry in found.items() if entry is not None}

    async def read(self, name: str, ttl: float | None) -> Entry | None:
        return await self._step("read", name, lambda: self.inner.read(name, ttl))

    async def add(self, name: str, value: bytes, ttl: float) -> bool:
        return await self._step("add", name, lambda: self.inner.add(name, value, ttl))

    async def replace(self, name: str, value: bytes, ttl: float, version: Version) -> bool:
        return await self._step(
            "replace", name, lambda: self.inner.replace(name, value, ttl, version)
        )

    async def remove(self, name: str) -> bool:
        return await self._step("remove", name, lambda: self.inner.remove(name))

    async def close(self) -> None:
        await self.inner.close()

    async def _step(self, step: str, name: str, do: Callable[[], Awaitable[T]]) -> T:
        self.names.add(name)
        self.steps.append(step)
        gate, after, skip = self._gates.pop(step, (None, False, 0))
        if gate is None:
            return await do()
        if skip:
            self._gates[step] = gate, after, skip - 1
            return await do()
        answer = await do() if after else None
        gate.reached.set()
        await gate.opened.wait()
        if gate.failure is not None:
            raise gate.failure
        return await do() if answer is None else answer
