"""How a handle is instrumented."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import CookieConfig, SessionHandle, otel, setup
from aiohttp_sess.otel import instrument
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage
from aiohttp_sess.storage.redis import RedisStorage

from ..apps import HANDLE, application, memory
from ..browser import serve
from .meter import Meter


async def test_storage_that_handles_share_is_timed_once(meter: Meter) -> None:
    storage = memory()
    app = application(storage)
    second = setup(app, storage, cookie=CookieConfig(name="second"))
    for handle in (app[HANDLE], second):
        instrument(handle, meter.provider)
    assert app[HANDLE].storage is second.storage is storage
    async with serve(app) as server:
        await server.get("/write")
    assert meter.operations() == {("save", "done"): 1}
    assert storage.calls == ["save", "close"]


async def test_what_is_not_instrumented_is_not_touched() -> None:
    app = application(MemoryStorage())
    assert not vars(app[HANDLE].storage).keys() & {"load", "save", "update", "delete"}
    assert not app[HANDLE].events.created


async def test_instrument_says_what_is_wrong(meter: Meter) -> None:
    app = application(MemoryStorage())
    wrong: Any = app
    with pytest.raises(TypeError, match="what setup"):
        instrument(wrong, meter.provider)
    instrument(app[HANDLE], meter.provider)
    with pytest.raises(RuntimeError, match="already"):
        instrument(app[HANDLE], meter.provider)
    late = application(MemoryStorage())
    async with serve(late):
        with pytest.raises(RuntimeError, match="right after setup"):
            instrument(late[HANDLE], meter.provider)


def test_a_handle_that_is_gone_is_let_go(meter: Meter) -> None:
    app = application(MemoryStorage())
    instrument(app[HANDLE], meter.provider)
    handle = weakref.ref(app[HANDLE])
    del app
    gc.collect()
    assert handle() is None
    assert meter.counts("aiohttp_sess.websockets.bound") == []


def test_without_a_provider_it_is_the_global_one() -> None:
    """Of which there is none here: nothing is kept, nothing fails."""
    app = application(CookieStorage())
    instrument(app[HANDLE])


@pytest.mark.parametrize(
    ("bases", "name", "system"),
    [
        ((RedisStorage,), "OurStorage", "redis"),
        ((MemoryStorage,), "SqliteStorage", "sqlite"),
        ((MemoryStorage,), "Storage", "storage"),
    ],
)
def test_system_is_told_by_the_class(bases: tuple[type, ...], name: str, system: str) -> None:
    kind = type(name, bases, {})
    storage: AbstractStorage = object.__new__(kind)
    assert otel._system(storage) == system


def test_metrics_are_read_in_a_thread_while_handles_are_instrumented(meter: Meter) -> None:
    handles: list[SessionHandle] = []
    failures: list[Exception] = []
    done = threading.Event()

    def export() -> None:
        while not done.is_set():
            try:
                list(otel._bound(meter.provider))
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=export)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(300):
            handles.append(setup(web.Application(), MemoryStorage()))
            instrument(handles[-1], meter.provider)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert failures == []
