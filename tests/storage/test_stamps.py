"""Stamps: each is another, in every process, whatever the application does to `random`."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator

from aiohttp_sess import SessionRecord
from aiohttp_sess.storage.entry import STAMP_LENGTH, encode_entry

DIGEST = "0" * 64


def stamps() -> Iterator[bytes]:
    """Stamps of this process."""
    while True:
        version, value = encode_entry(SessionRecord(), DIGEST)
        assert value.startswith(version.stamp)
        yield version.stamp


def some(number: int) -> list[bytes]:
    return [stamp for _, stamp in zip(range(number), stamps(), strict=False)]


def test_each_is_another_of_the_same_length() -> None:
    found = some(10_000)
    assert len(set(found)) == len(found)
    assert {len(stamp) for stamp in found} == {STAMP_LENGTH}


def test_an_application_that_seeds_random_changes_nothing() -> None:
    random.seed(0)
    first = some(1)
    random.seed(0)
    assert some(1) != first


def test_a_process_that_was_forked_has_its_own() -> None:
    """As workers of a server are that loads the application first."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"".join(some(1)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, STAMP_LENGTH)
    os.close(reading)
    os.close(writing)
    assert len(theirs) == STAMP_LENGTH
    assert theirs not in some(1)


def test_where_processes_cannot_fork_the_storages_are_there() -> None:
    script = "import os; del os.fork, os.register_at_fork; import aiohttp_sess.storage"
    subprocess.run([sys.executable, "-c", script], check=True)
