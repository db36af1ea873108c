"""What is counted and measured, as OpenTelemetry's SDK collects it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from aiohttp_sess import (
    BrowserSession,
    CookieConfig,
    Session,
    SessionGone,
    SessionRecord,
    setup,
)
from aiohttp_sess.otel import instrument
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage, SessionKey
from aiohttp_sess.storage.memcached import MemcachedStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..apps import HANDLE, application, memory
from ..browser import serve
from ..races.lab import GatedStorage, Lab, purge
from ..servers import MemcachedServer, RedisServer
from .meter import OUTCOME, Meter

KIND = {"aiohttp_sess.kind": "id"}
NAMES = (
    "sessions.created",
    "sessions.loaded",
    "sessions.renewed",
    "sessions.rotated",
    "sessions.purged",
    "keys.rejected",
    "conflicts",
    "storage.failures",
)


async def test_sessions_are_counted(storage: AbstractStorage, meter: Meter) -> None:
    app = application(storage, secret_key="a secret key of at least 32 bytes, for tests")
    instrument(app[HANDLE], meter.provider)
    async with serve(app) as server:
        for path in ("/write", "/write", "/read", "/renew", "/purge", "/write"):
            assert (await server.get(path)).status == 200
        await server.get("/read", cookies={"id": "forged"})
    counts = {name: meter.counts(f"aiohttp_sess.{name}") for name in NAMES}
    assert counts == {
        "sessions.created": [(KIND, 2)],
        "sessions.loaded": [(KIND, 4)],
        "sessions.renewed": [(KIND, 1)],
        "sessions.rotated": [],
        "sessions.purged": [(KIND, 1)],
        "keys.rejected": [(KIND, 1)],
        "conflicts": [],
        "storage.failures": [],
    }
    if storage.server_side:
        assert meter.operations() == {
            ("load", "done"): 4,
            ("save", "done"): 3,
            ("update", "done"): 1,
            ("delete", "done"): 2,
        }
    else:
        assert meter.operations() == {}


@pytest.mark.parametrize("backend", [MemoryStorage, MemcachedStorage])
async def test_what_only_some_storages_do_is_timed(
    backend: type[AbstractStorage], memcached_server: MemcachedServer, meter: Meter
) -> None:
    storage: AbstractStorage
    if backend is MemoryStorage:
        storage = MemoryStorage()
    else:
        storage = MemcachedStorage.connect(memcached_server.host, memcached_server.port)
    app = web.Application()
    handle = setup(app, storage, lifecycle=BrowserSession(rotate_every=timedelta(seconds=60)))
    instrument(handle, meter.provider)
    record = SessionRecord({"n": 1}, owner="ferris", cookie="id")
    hour = timedelta(hours=1)
    stored = await storage.save(record, hour)
    moved = await storage.rotate(
        stored.key, record, hour, revision=stored.revision, grace=timedelta(seconds=30)
    )
    await storage.renew(moved, record, hour)
    await storage.end_sessions("ferris", "id")
    with pytest.raises(SessionGone):
        await storage.rotate(
            moved.key, record, hour, revision=moved.revision, grace=timedelta(seconds=30)
        )
    timed = meter.operations()
    if storage.lists_sessions:
        await storage.sessions_of("ferris", "id")
        assert (
            await storage.limit_sessions(await storage.save(record, hour), 0, refuse=True) is None
        )
        timed = meter.operations()
        assert timed["renew", "done"] == timed["sessions_of", "done"] == 1
        assert timed["limit_sessions", "done"] == 1
    else:
        assert timed["save", "done"] == 2, "it renews by that"
        assert {name for name, _ in timed} == {"save", "rotate", "end_sessions"}
    assert timed["rotate", "done"] == timed["rotate", "missing"] == 1
    assert timed["end_sessions", "done"] == 1
    await storage.close()


async def test_a_cookie_storage_is_timed_where_it_has_somebody_to_ask(meter: Meter) -> None:
    storage = CookieStorage(revocations=MemoryStorage())
    app = application(storage, secret_key="a secret key of at least 32 bytes, for tests")
    instrument(app[HANDLE], meter.provider)
    async with serve(app) as server:
        for path in ("/write", "/read", "/purge"):
            assert (await server.get(path)).status == 200
    timed = meter.operations()
    assert timed == {("save", "done"): 1, ("load", "done"): 2, ("delete", "done"): 1}


async def test_names_units_and_buckets(redis_server: RedisServer, meter: Meter) -> None:
    app = application(RedisStorage.from_url(redis_server.url, key_prefix="units:"))
    instrument(app[HANDLE], meter.provider)
    async with serve(app) as server:
        await server.get("/write")
        await server.get("/read")
    metrics = meter.metrics()
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "aiohttp_sess.sessions.created": "{session}",
        "aiohttp_sess.sessions.loaded": "{session}",
        "aiohttp_sess.websockets.bound": "{websocket}",
        "db.client.operation.duration": "s",
    }
    assert all(metric.description for metric in metrics.values())
    for point in metrics["db.client.operation.duration"].data.data_points:
        assert isinstance(point, HistogramDataPoint)
        assert list(point.explicit_bounds) == [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
        assert 0 < point.sum < 5
        assert dict(point.attributes or {}) in [
            {"db.system.name": "redis", "db.operation.name": name, OUTCOME: "done"}
            for name in ("load", "save")
        ]


async def test_failures_are_counted_by_what_caused_them(meter: Meter) -> None:
    storage = memory()
    app = application(storage)
    instrument(app[HANDLE], meter.provider)
    async with serve(app) as server:
        await server.get("/write")
        storage.down = {"load"}
        assert (await server.get("/read")).status == 500
        storage.down = {"update"}
        assert (await server.get("/write")).status == 500
        await server.get("/read", cookies={"id": "a" * 43})
    cause = {"error.type": "ConnectionRefusedError"}
    assert meter.counts("aiohttp_sess.storage.failures") == [
        ({**KIND, "aiohttp_sess.operation": name, **cause}, 1) for name in ("load", "save")
    ]
    failed = [
        attributes
        for attributes, _ in meter.counts("db.client.operation.duration")
        if attributes[OUTCOME] == "failed"
    ]
    assert failed == [
        {"db.system.name": "recorded", "db.operation.name": name, OUTCOME: "failed", **cause}
        for name in ("load", "update")
    ]
    assert meter.operations()["load", "missing"] == 1


async def test_conflicts_and_late_changes(meter: Meter) -> None:
    lab = Lab(GatedStorage(MemoryStorage()))
    instrument(lab.handle, meter.provider)

    async def write(session: Session) -> None:
        session["n"] = 1

    async with lab.running():
        cookie = await lab.begin(n=0)
        slow = await lab.slow(write, cookie)
        await lab.request(write, cookie)
        await slow.go_on()
        lab.handle.conflict_timeout = 0
        slow = await lab.slow(write, cookie)
        await lab.request(write, cookie)
        assert (await slow.go_on()).status == 500
        slow = await lab.slow(write, cookie)
        await lab.request(purge, cookie)
        await slow.go_on()
    assert meter.counts("aiohttp_sess.conflicts") == [
        ({**KIND, "aiohttp_sess.given_up": given_up}, 1) for given_up in (False, True)
    ]
    ended = {**KIND, "aiohttp_sess.cause": "ended"}
    assert meter.counts("aiohttp_sess.late_changes") == [(ended, 1)]
    assert meter.operations()["update", "conflict"] == 2
    assert meter.operations()["update", "missing"] == 1


async def test_bound_websockets_and_those_whose_session_vanished(meter: Meter) -> None:
    storage = MemoryStorage()
    lab = Lab(GatedStorage(storage))
    second = setup(lab.app, storage, cookie=CookieConfig(name="second"))
    for handle in (lab.handle, second):
        instrument(handle, meter.provider)
    bound = "aiohttp_sess.websockets.bound"
    async with lab.running():
        cookie = await lab.begin(n=0)
        async with lab.socket(cookie, every=0.01) as socket:
            none = ({"aiohttp_sess.kind": "second"}, 0)
            assert meter.counts(bound) == [(KIND, 1), none]
            await storage.delete(SessionKey(cookie))
            await socket.receive()
        while len(lab.handle.sockets):
            await asyncio.sleep(0)
        assert meter.counts(bound) == [(KIND, 0), none]
    vanished = {**KIND, "aiohttp_sess.cause": "vanished"}
    assert meter.counts("aiohttp_sess.sessions.expired") == [(vanished, 1)]


async def test_cancelled_load_is_timed(meter: Meter) -> None:
    storage = memory()
    app = application(storage)
    instrument(app[HANDLE], meter.provider)
    async with serve(app, handler_cancellation=True) as server:
        await server.get("/write")
        gate = storage.hold("load")
        async with server.wire() as wire:
            wire.send("/read", server.id)
            await gate.reached.wait()
        await gate.left.wait()
        await server.stop()
    assert meter.operations()["load", "cancelled"] == 1
