"""Storages that several applications share are closed by the last one that ends."""

from __future__ import annotations

from contextlib import asynccontextmanager

from aiohttp import web

from aiohttp_sess import setup
from aiohttp_sess.cleanup import run_until_cleanup
from aiohttp_sess.storage import MemoryStorage


class Equal(MemoryStorage):
    """A user's own: all of them are equal, so they have no hash."""

    closed = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    async def close(self) -> None:
        self.closed += 1


async def test_it_is_told_apart_from_its_equals_and_closed_once() -> None:
    shared, own = Equal(), Equal()
    running = asynccontextmanager(run_until_cleanup)
    one, two = setup(web.Application(), shared), setup(web.Application(), shared)
    other = setup(web.Application(), own)
    async with running([one, two]):
        async with running([two, other]):
            pass
        assert (shared.closed, own.closed) == (0, 1)
    assert (shared.closed, own.closed) == (1, 1)
