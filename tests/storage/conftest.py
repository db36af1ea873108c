"""Clusters of one and of three Redis servers, for all tests of storages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest
import redis.asyncio as redis

from aiohttp_sess.storage.redis import RedisStorage

from ..servers import HOST, RedisServer, start_redis

PATIENCE = 15.0  # seconds for servers to agree


def until(true: Callable[[], bool]) -> None:
    """Wait for servers to agree among themselves; nobody says when they do."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "the servers do not agree"
        time.sleep(0.02)


@pytest.fixture(scope="package")
def cluster_server() -> Iterator[RedisServer]:
    """A cluster of one."""
    with start_redis("--cluster-enabled", "yes") as server:
        server.ask(b"CLUSTER ADDSLOTSRANGE 0 16383\r\n", b"\r\n")
        # A new cluster hesitates for two seconds. WAIT, for a replica that never comes, takes
        # 20 milliseconds.
        for _ in range(500):
            if b"cluster_state:ok" in server.ask(b"CLUSTER INFO\r\n", b"\r\n\r\n"):
                break
            server.ask(b"WAIT 1 20\r\n", b"\r\n")
        yield server


@pytest.fixture(scope="package")
def nodes() -> Iterator[list[RedisServer]]:
    """Three masters, with a third of the slots each."""
    with ExitStack() as stack:
        # As long as they may be silent, they also hesitate before they believe in one another.
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500")
        nodes = [stack.enter_context(start_redis(*options)) for _ in range(3)]
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(nodes):
            first, last = bounds[number], bounds[number + 1] - 1
            commands = [
                f"CLUSTER ADDSLOTSRANGE {first} {last}",
                f"CLUSTER SET-CONFIG-EPOCH {number + 1}",
                f"CLUSTER MEET {HOST} {nodes[0].port}",
            ]
            for command in commands[: 3 if number else 2]:
                assert node.ask(f"{command}\r\n".encode(), b"\r\n") == b"+OK\r\n"

        def agreed(node: RedisServer) -> bool:
            said = node.ask(b"CLUSTER INFO\r\n", b"\r\n\r\n")
            return b"cluster_state:ok" in said and b"cluster_size:3" in said

        until(lambda: all(map(agreed, nodes)))
        for node in nodes:
            node.ask(b"CONFIG SET cluster-node-timeout 15000\r\n", b"\r\n")
        yield nodes


@pytest.fixture
async def cluster(nodes: list[RedisServer]) -> AsyncIterator[RedisStorage]:
    for node in nodes:
        node.ask(b"FLUSHALL\r\n", b"\r\n")
    async with redis.RedisCluster.from_url(nodes[0].url) as client:
        yield RedisStorage(client)
