"""A browser that has two cookies of one name for one session, as when their path was changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from aiohttp_sess import BrowserSession
from aiohttp_sess.events import Event, Purged
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage

from .apps import HANDLE, SECRET, application, memory, states
from .browser import serve
from .events.test_told import tell_id


def revocable() -> AbstractStorage:
    return CookieStorage(revocations=MemoryStorage())


@pytest.mark.parametrize("storage", [MemoryStorage, revocable])
async def test_a_logout_erases_the_cookie_also_where_another_led_to_the_same_session(
    storage: Callable[[], AbstractStorage],
) -> None:
    app = application(storage(), {"/id": tell_id}, secret_key=SECRET)
    purged: list[Event] = []

    async def note(event: Purged) -> None:
        purged.append(event)

    app[HANDLE].events.purged.append(note)
    async with serve(app) as server, server.wire() as wire:
        await server.get("/write")
        older = server.id
        await server.get("/write")
        newer = server.id.removeprefix("Cookie: ")
        assert older.removeprefix("Cookie: ") != newer  # sealed anew
        session_id = (await server.get("/id")).text
        answer = await wire.get("/purge", f"{older}; {newer}")
        assert answer.cookie.attributes["max-age"] == "0"
        (event,) = purged  # of the session itself, not of another that was ended unseen
        assert event == Purged("id", session_id)
        for cookie in (older, f"Cookie: {newer}"):
            assert (await wire.get("/read", cookie)).json == {}


async def test_the_same_where_one_of_them_is_of_before_a_rotation() -> None:
    storage = memory()
    lifecycle = BrowserSession(rotate_every=timedelta(hours=1))
    async with serve(application(storage, lifecycle=lifecycle)) as server, server.wire() as wire:
        await server.get("/write")
        older = server.id
        storage.clock.advance(3600)
        await server.get("/read")
        newer = server.id.removeprefix("Cookie: ")
        assert older.removeprefix("Cookie: ") != newer
        answer = await wire.get("/purge", f"{older}; {newer}")
        assert answer.cookie.attributes["max-age"] == "0"
        assert await states(storage) == []
