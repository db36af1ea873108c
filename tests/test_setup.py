"""What `setup` refuses, and what it leaves to be done when the application ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from aiohttp_sess import (
    BrowserSession,
    CookieConfig,
    CookieContentSecurity,
    SessionHandle,
    StorageUnavailable,
    get_session,
    setup,
)
from aiohttp_sess import turns as turns_module
from aiohttp_sess.storage import CookieStorage, MemoryStorage

from .apps import OTHER_SECRET, SECRET, Gate, application, memory
from .browser import serve
from .test_middleware import nest
from .wire import PATIENCE


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"app": object()}, TypeError, "app must be an aiohttp.web.Application"),
        ({"storage": {}}, TypeError, "storage must be an AbstractStorage"),
        ({"storage": MemoryStorage}, TypeError, "storage must be an AbstractStorage"),
        ({"cookie": "id"}, TypeError, "cookie must be a CookieConfig, not str"),
        ({"lifecycle": 3600}, TypeError, "lifecycle must be a BrowserSession or"),
        ({"lifecycle": BrowserSession}, TypeError, "lifecycle must be a BrowserSession or"),
        ({"storage": CookieStorage()}, ValueError, "CookieStorage .* pass a secret_key"),
        ({"secret_key": "short"}, ValueError, "at least 32 bytes .* generate-key"),
        ({"secret_key": b"k" * 31}, ValueError, "at least 32 bytes"),
        ({"secret_key": [SECRET, "short"]}, ValueError, "at least 32 bytes"),
        ({"secret_key": []}, ValueError, "empty list"),
        ({"secret_key": 7}, TypeError, "secret_key must be"),
        ({"secret_key": [7]}, TypeError, "bytes or str, not int"),
        (
            {"cookie": CookieConfig(content_security=CookieContentSecurity.SIGNED)},
            ValueError,
            "content_security asks for a seal",
        ),
    ],
)
def test_setup_refuses_what_cannot_work(
    wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    app = web.Application()
    given = {"app": app, "storage": MemoryStorage(), **wrong}
    with pytest.raises(error, match=message) as caught:
        setup(given.pop("app"), given.pop("storage"), **given)
    assert "short" not in str(caught.value)
    assert not app.middlewares
    assert not app.on_response_prepare


def test_setup_refuses_a_cookie_name_twice() -> None:
    app = web.Application()
    setup(app, MemoryStorage())
    with pytest.raises(ValueError, match="cookie 'id' already"):
        setup(app, MemoryStorage())
    assert len(app.middlewares) == 1


async def test_setup_refuses_an_application_that_runs() -> None:
    app = application(memory())
    async with serve(app):
        with pytest.raises(RuntimeError, match=r"before it starts"):
            setup(app, MemoryStorage(), cookie=CookieConfig(name="second"))


def test_setup_refuses_an_application_that_was_added_to_another() -> None:
    inner = web.Application()
    web.Application().add_subapp("/inner", inner)
    with pytest.raises(RuntimeError, match="sub-application"):
        setup(inner, MemoryStorage())


def test_setup_adds_one_middleware_and_one_signal() -> None:
    app = web.Application()
    handle = setup(app, MemoryStorage(), secret_key=[SECRET, OTHER_SECRET.encode()])
    assert isinstance(handle, SessionHandle)
    assert len(app.middlewares) == len(app.on_response_prepare) == 1
    assert (handle.cookie, handle.lifecycle) == (CookieConfig(), BrowserSession())


# -- the end ---------------------------------------------------------------------------------------


async def test_storages_are_closed_once_when_the_application_ends() -> None:
    storage, other = memory(), memory()
    app = application(storage)
    setup(app, storage, cookie=CookieConfig(name="second"))
    setup(app, other, cookie=CookieConfig(name="third"))
    async with serve(app) as server:
        await server.get("/write")
        assert storage.calls == ["save"]
    assert storage.calls == ["save", "close"]
    assert other.calls == ["close"]


@pytest.mark.parametrize("nested", [False, True])
async def test_storage_is_closed_after_the_last_save(nested: bool) -> None:
    """A save goes on although its client is gone; it is still under way when the cleanup begins."""
    storage = memory()
    app = application(storage)
    gate = storage.hold("save")

    async def open_at_the_end(app: web.Application) -> AsyncIterator[None]:
        yield
        assert storage.calls == ["save"]
        gate.opened.set()

    if nested:
        app = nest(app, application(storage, cookie=CookieConfig(name="inner")))
    app.cleanup_ctx.append(open_at_the_end)
    async with serve(app, handler_cancellation=True) as server, server.wire() as wire:
        wire.send("/inner/write" if nested else "/write")
        await gate.reached.wait()
    assert storage.done == ["save", "close"]


async def test_save_that_never_ends_holds_up_the_end_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "_DRAIN_TIMEOUT", 0.01)
    storage = memory()
    gate = storage.hold("save")
    app = application(storage)
    async with serve(app, handler_cancellation=True) as server, server.wire() as wire:
        wire.send("/write")
        await gate.reached.wait()
    assert storage.calls == ["save", "close"]
    await asyncio.wait_for(gate.left.wait(), PATIENCE)
    assert storage.done == ["close"]
    (line,) = server.logged(40)
    assert "still being saved" in line


class Stubborn(Gate):
    """Where a storage call waits also when it is cancelled."""

    async def pass_through(self) -> None:
        self.reached.set()
        while not self.opened.is_set():
            with suppress(asyncio.CancelledError):
                await self.opened.wait()
        self.left.set()


async def test_storages_that_hang_whatever_happens_hold_up_the_end_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound = 0.25  # seconds, twice: for saves to end, and for those that were cancelled
    monkeypatch.setattr(turns_module, "_DRAIN_TIMEOUT", bound)
    monkeypatch.setattr(turns_module, "_CLEAN_UP_TIMEOUT", bound)
    storage, other = memory(), memory()

    async def write_other(request: web.Request) -> web.Response:
        (await get_session(request, handle))["n"] = 1
        return web.Response()

    async def tell(app: web.Application) -> AsyncIterator[None]:
        yield
        begun.append(now())

    app = application(storage, {"/other": write_other})
    handle = setup(app, other, cookie=CookieConfig(name="other"))
    app.cleanup_ctx.append(tell)
    now, begun = asyncio.get_running_loop().time, list[float]()
    gates = [Stubborn(), Stubborn()]
    storage.gates["save"], other.gates["save"] = gates
    async with serve(app, handler_cancellation=True) as server:
        for path, gate in zip(("/write", "/other"), gates, strict=True):
            async with server.wire() as wire:
                wire.send(path)
                await gate.reached.wait()
        try:
            async with asyncio.timeout(PATIENCE):
                await server.stop()
            took = now() - begun[0]
        finally:
            for gate in gates:
                gate.opened.set()
        assert 2 * bound <= took < 3.5 * bound
        assert (storage.calls, other.calls) == (["save", "close"], ["save", "close"])
        assert len(server.logged(40)) == 2
        for gate in gates:
            await gate.left.wait()


async def test_storage_that_cannot_be_closed_keeps_no_other_open() -> None:
    class Stuck(MemoryStorage):
        async def close(self) -> None:
            raise StorageUnavailable("it does not close")

    storage = memory()
    app = application(storage)
    setup(app, Stuck(), cookie=CookieConfig(name="stuck"))
    runner = web.AppRunner(app)
    await runner.setup()
    with pytest.raises(StorageUnavailable):
        await runner.cleanup()
    assert storage.calls == ["close"]
