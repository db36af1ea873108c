"""Commands to one Redis that leave as one: each gets the answer that it gets alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from redis._parsers import BaseParser, _AsyncRESP2Parser, _AsyncRESP3Parser
from redis.exceptions import InvalidResponse, NoPermissionError, ReadOnlyError, ResponseError

from aiohttp_sess import StorageUnavailable
from aiohttp_sess.storage import Version
from aiohttp_sess.storage.merged import Command, merged
from aiohttp_sess.storage.redis import RedisStorage
from aiohttp_sess.storage.scripts import REPLACE

from ..servers import HOST, RedisServer, free_port, start_redis
from .watched import OTHER, STAMP, Watched, at_once, queued, reads, values, watched, written


@pytest.fixture
async def both(redis_server: RedisServer) -> AsyncIterator[tuple[RedisStorage, Watched]]:
    async with watched(redis_server) as both:
        yield both


async def test_reads_are_one_command(both: tuple[RedisStorage, Watched]) -> None:
    storage, client = both
    names = await written(storage, 3)
    asked = [names[2], "nothing", names[0], names[2], names[1], "nothing either"]
    client.sent.clear()
    entries = await at_once(storage, *reads(storage, asked))
    assert client.sent == [["MGET"]]
    found = [None if entry is None else entry.value[16:] for entry in entries]
    assert found == [b"2", None, b"0", b"2", b"1", None]


async def test_another_type_is_nothing_among_many(both: tuple[RedisStorage, Watched]) -> None:
    storage, client = both
    names = await written(storage, 2)
    await client.delete(names[0])
    await client.rpush(names[0], "no string")
    entries = await at_once(storage, *reads(storage, names))
    assert [entry and entry.value for entry in entries] == [None, STAMP + b"1"]
    with pytest.raises(StorageUnavailable):
        await storage.read(names[0], None)


def test_what_is_a_users_is_in_no_repr() -> None:
    commands: list[Command] = [
        (("SET", "secret", b"secret"), {}),
        (("EVALSHA", REPLACE.sha1, 1, "secret too", STAMP, b"secret", 60), {}),
        (("EVALSHA", REPLACE.sha1, 1, "secret as well", STAMP, b"secret", 60), {}),
    ]
    sent = merged(commands, in_full=False)
    assert repr(sent) == "[<Merged EVALSHA for 2>, <Merged SET for 1>]"


async def test_one_read_stays_what_it_is(both: tuple[RedisStorage, Watched]) -> None:
    storage, client = both
    await storage.read("nothing", None)
    await at_once(storage, storage.read("nothing", None))
    await at_once(storage, storage.read("nothing", None), storage.remove("nothing"))
    assert client.sent == [["GET"], ["GET"], ["GET", "DEL"]]


async def test_replacements_are_one_command(both: tuple[RedisStorage, Watched]) -> None:
    storage, client = both
    names = [*await written(storage, 3), "nothing"]
    versions = [STAMP, OTHER, STAMP, STAMP]
    client.sent.clear()
    outcomes = await at_once(
        storage,
        *(
            storage.replace(name, OTHER + b"new", 60.0, Version(stamp))
            for name, stamp in zip(names, versions, strict=True)
        ),
    )
    assert outcomes == [True, False, True, False]
    # It may be elsewhere, so what is missing is asked for by itself.
    assert client.sent == [["EVALSHA"], ["EVALSHA"]]
    assert await values(storage, names) == [OTHER + b"new", STAMP + b"1", OTHER + b"new", None]
    assert 59_000 < await client.pttl(names[0]) <= 60_000


async def test_each_gets_its_own_value_and_its_own_ttl(
    both: tuple[RedisStorage, Watched],
) -> None:
    storage, client = both
    names = await written(storage, 5)
    new = [OTHER, b"", OTHER + bytes(range(256)), b"7 7 ", OTHER + b"\r\n" * 9]
    ttls = [1000.0 * 10**n for n in range(5)]
    versions = [STAMP, STAMP, STAMP, OTHER, STAMP]
    client.sent.clear()
    outcomes = await at_once(
        storage,
        *(
            storage.replace(name, value, ttl, Version(stamp))
            for name, value, ttl, stamp in zip(names, new, ttls, versions, strict=True)
        ),
    )
    assert outcomes == [True, True, True, False, True]
    assert client.sent == [["EVALSHA"]]
    assert await values(storage, names) == [*new[:3], STAMP + b"3", new[4]]
    for name, ttl, done in zip(names, ttls, outcomes, strict=True):
        assert 0 <= 1000 * (ttl if done else 60.0) - await client.pttl(name) < 1000 * 10


async def test_what_is_shorter_than_a_stamp_is_not_taken_for_its_neighbours(
    both: tuple[RedisStorage, Watched],
) -> None:
    storage, client = both
    names = await written(storage, 4)
    for name in names[1:3]:
        await client.set(name, b"short", px=60_000)
    stamps = [STAMP, b"short", b"other", STAMP]
    client.sent.clear()
    outcomes = await at_once(
        storage,
        *(
            storage.replace(name, OTHER, 60.0, Version(stamp))
            for name, stamp in zip(names, stamps, strict=True)
        ),
    )
    assert outcomes == [True, True, False, True]
    assert client.sent == [["EVALSHA"] * 3]
    assert await values(storage, names) == [OTHER, OTHER, b"short", OTHER]


async def test_all_kinds_at_once(both: tuple[RedisStorage, Watched]) -> None:
    storage, client = both
    names = await written(storage, 8)
    new = f"{storage.key_prefix}new"
    client.sent.clear()
    outcomes = await at_once(
        storage,
        storage.remove(names[0]),
        storage.read(names[1], None),
        storage.replace(names[2], OTHER, 60.0, Version(STAMP)),
        storage.read(names[3], 60.0),
        storage.add(new, b"new", 60.0),
        storage.read(names[4], None),
        storage.replace(names[5], OTHER, 60.0, Version(OTHER)),
        storage.add(names[6], b"new", 60.0),
        storage.remove("nothing"),
    )
    assert client.sent == [["MGET", "EVALSHA", "DEL", "GETEX", "SET", "SET", "DEL"]]
    entries = {1: b"1", 3: b"3", 5: b"4"}
    for place, value in entries.items():
        assert outcomes[place].value == STAMP + value
    assert [outcomes[place] for place in (0, 2, 4, 6, 7, 8)] == [True, True, True, *[False] * 3]


async def test_commands_on_one_key_keep_their_order(both: tuple[RedisStorage, Watched]) -> None:
    storage, _ = both
    (name,) = await written(storage, 1)
    stamps = [STAMP, *(f"{n:016}".encode() for n in range(3))]
    outcomes = await at_once(
        storage,
        storage.read(name, None),
        *(storage.replace(name, b, 60.0, Version(a)) for a, b in pairwise(stamps)),
        storage.read(name, None),
        storage.remove(name),
        storage.read(name, None),
        storage.replace(name, b"", 60.0, Version(stamps[-1])),
        storage.add(name, STAMP, 60.0),
        storage.replace(name, OTHER, 60.0, Version(STAMP)),
        storage.read(name, None),
    )
    found = [getattr(outcome, "value", outcome) for outcome in outcomes]
    assert found[0] == STAMP + b"0"
    assert found[1:] == [True, True, True, stamps[-1], True, None, False, True, True, OTHER]


async def test_what_is_merged_does_not_overtake_the_rest(
    both: tuple[RedisStorage, Watched],
) -> None:
    storage, _ = both
    names = [*await written(storage, 2), f"{storage.key_prefix}new"]
    outcomes = await at_once(
        storage,
        *(storage.remove(name) for name in names[:2]),
        storage.add(names[2], STAMP, 60.0),
        *reads(storage, names),
        *(storage.replace(name, OTHER, 60.0, Version(STAMP)) for name in names),
    )
    assert [getattr(outcome, "value", outcome) for outcome in outcomes] == [
        *(True, True, True),
        *(None, None, STAMP),
        *(False, False, True),
    ]


async def test_an_error_is_that_of_one(both: tuple[RedisStorage, Watched]) -> None:
    storage, client = both
    names = await written(storage, 5)
    await client.delete(names[2])
    await client.rpush(names[2], "no string")
    replaced = [storage.replace(name, OTHER, 60.0, Version(STAMP)) for name in names]
    outcomes = await at_once(storage, *replaced, storage.read(names[2], 60.0))
    for outcome in (outcomes.pop(5), outcomes.pop(2)):
        assert isinstance(outcome, StorageUnavailable)
        assert isinstance(outcome.__cause__, ResponseError)
    names.pop(2)
    assert outcomes == [True] * 4
    assert await values(storage, names) == [OTHER] * 4


async def test_an_error_of_all_is_everybodys() -> None:
    with start_redis() as server:
        async with watched(server) as (storage, _):
            names = await written(storage, 3)
            server.ask(f"REPLICAOF {HOST} {free_port()}\r\n".encode(), b"\r\n")
            replaced = [storage.replace(name, OTHER, 60.0, Version(STAMP)) for name in names]
            outcomes = await at_once(storage, *replaced, *reads(storage, names))
            assert [type(outcome.__cause__) for outcome in outcomes[:3]] == [ReadOnlyError] * 3
            assert [outcome.value[:16] for outcome in outcomes[3:]] == [STAMP] * 3


async def test_a_script_that_the_server_forgot_is_sent_again(
    both: tuple[RedisStorage, Watched],
) -> None:
    storage, client = both
    names = await written(storage, 3)

    def same() -> Iterator[Awaitable[bool]]:
        return (storage.replace(name, STAMP, 60.0, Version(STAMP)) for name in names)

    await client.script_flush()
    client.sent.clear()
    assert await at_once(storage, *same()) == [True] * 3
    # In a batch, alone, and in full.
    assert client.sent[:2] == [["EVALSHA"], ["EVALSHA"] * 3]
    assert [name for sent in client.sent[2:] for name in sent] == ["EVAL"] * 3
    client.sent.clear()
    for _ in range(2):
        assert await at_once(storage, *same()) == [True] * 3
    assert client.sent == [["EVAL"], ["EVALSHA"]]


async def test_what_is_heavy_does_not_hold_up_the_rest(both: tuple[RedisStorage, Watched]) -> None:
    storage, client = both
    names = await written(storage, 6)
    light, heavy = OTHER, OTHER + b"x" * 200_000
    sizes = [light, light, heavy, light, heavy, light]
    client.sent.clear()
    outcomes = await at_once(
        storage,
        *(
            storage.replace(name, value, 60.0, Version(STAMP))
            for name, value in zip(names, sizes, strict=True)
        ),
    )
    assert outcomes == [True] * 6
    assert client.sent == [["EVALSHA"] * 2]  # four, and two
    assert await values(storage, names) == sizes


@pytest.mark.parametrize("count", [1, -1])
async def test_another_number_of_answers_is_an_error(redis_server: RedisServer, count: int) -> None:
    class Forgetful(Watched):
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            reply = await super().execute_command(*args, **options)
            return [*reply, None] if count > 0 and args[0] == "MGET" else reply[:count]

    async with watched(redis_server, Forgetful) as (storage, _):
        outcomes = await at_once(storage, *reads(storage, ["a", "b", "c"]))
        assert [type(outcome.__cause__) for outcome in outcomes] == [InvalidResponse] * 3


@pytest.mark.parametrize("turns", range(12))
async def test_to_cancel_one_touches_no_other(
    both: tuple[RedisStorage, Watched], turns: int
) -> None:
    storage, _ = both
    names = await written(storage, 8)
    calls = [*reads(storage, names)]
    calls += [storage.replace(name, OTHER, 60.0, Version(STAMP)) for name in names]
    with queued(storage):
        tasks = [asyncio.ensure_future(call) for call in calls]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks[1::2])
    assert [entry.value for entry in answers[:4]] == [STAMP + b"%d" % n for n in (1, 3, 5, 7)]
    assert answers[4:] == [True] * 4
    assert [value and value[:16] for value in await values(storage, names[1::2])] == [OTHER] * 4


@pytest.mark.parametrize("parser", [_AsyncRESP2Parser, _AsyncRESP3Parser])
async def test_hiredis_is_not_needed(redis_server: RedisServer, parser: type) -> None:
    protocol = 3 if parser is _AsyncRESP3Parser else 2
    async with watched(redis_server, protocol=protocol) as (storage, client):
        client.connection_pool.connection_kwargs["parser_class"] = parser
        names = await written(storage, 3)
        entries = await at_once(storage, *reads(storage, [*names, "nothing"]))
        assert [entry and entry.value[16:] for entry in entries] == [b"0", b"1", b"2", None]
        replaced = [storage.replace(n, OTHER, 60.0, Version(STAMP)) for n in [*names, "nothing"]]
        assert await at_once(storage, *replaced) == [True, True, True, False]
        assert client.connection_pool.connection_kwargs["parser_class"] is parser


# -- who cannot -----------------------------------------------------------------------------------


async def test_who_may_not_read_many_reads_each() -> None:
    with start_redis() as server:
        server.ask(b"ACL SETUSER limited on >right ~* &* +@all -mget\r\n", b"\r\n")
        async with watched(server, username="limited", password="right") as (storage, client):
            names = await written(storage, 3)
            with pytest.raises(NoPermissionError):
                await client.mget(names)
            client.sent.clear()
            for _ in range(2):
                entries = await at_once(storage, *reads(storage, names))
                assert [entry.value[16:] for entry in entries] == [b"0", b"1", b"2"]
            assert client.sent == [["MGET"], ["GET"] * 3, ["GET"] * 3]


@pytest.mark.parametrize("known", [True, False])
async def test_a_server_whose_keys_are_apart(
    cluster_server: RedisServer, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy: the client does not know that it is a cluster.

    Nor does one of redis-py 5 know the class of the error.
    """
    if not known:
        monkeypatch.delitem(BaseParser.EXCEPTION_CLASSES, "CROSSSLOT", raising=False)
    async with watched(cluster_server) as (storage, client):
        names = await written(storage, 8)
        entries = await at_once(storage, *reads(storage, names))
        assert [entry.value[:16] for entry in entries] == [STAMP] * 8
        replaced = [storage.replace(name, OTHER, 60.0, Version(STAMP)) for name in names]
        client.sent.clear()
        assert await at_once(storage, *replaced) == [True] * 8
        assert client.sent == [["EVALSHA"] * 8]


async def test_in_a_cluster_each_is_asked_for(
    cluster: RedisStorage, nodes: list[RedisServer]
) -> None:
    names = await written(cluster, 20)
    entries = await at_once(cluster, *reads(cluster, names))
    assert [entry.value[16:] for entry in entries] == [b"%d" % n for n in range(20)]
    replaced = [cluster.replace(name, OTHER, 60.0, Version(STAMP)) for name in names]
    assert await at_once(cluster, *replaced) == [True] * 20
    assert await values(cluster, names) == [OTHER] * 20
    said = [node.ask(b"INFO commandstats\r\n", b"\r\n\r\n") for node in nodes]
    assert not any(b"cmdstat_mget" in each for each in said)
    assert all(b"cmdstat_get:" in each for each in said)
