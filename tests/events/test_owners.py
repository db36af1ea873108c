"""Sessions that are ended with others of their owner are told of as purged."""

from __future__ import annotations

from aiohttp_sess import end_sessions, sessions_of
from aiohttp_sess.events import Event, Purged

from ..test_owners import OWNER, lab_of, new_login
from .conftest import Listen


def purged(heard: list[Event]) -> list[str | None]:
    return [event.id for event in heard if isinstance(event, Purged)]


async def test_what_a_limit_ends(listen: Listen) -> None:
    lab = lab_of(max_sessions_per_owner=1)
    heard = listen(lab.handle)
    async with lab.running():
        await new_login(lab)
        (first,) = await sessions_of(lab.app, OWNER)
        await new_login(lab)
        await lab.handle.events.drain()
        assert purged(heard) == [first.id]


async def test_what_is_ended_for_an_owner(listen: Listen) -> None:
    lab = lab_of()
    heard = listen(lab.handle)
    async with lab.running():
        await new_login(lab), await new_login(lab)
        ids = {each.id for each in await sessions_of(lab.app, OWNER)}
        assert await end_sessions(lab.app, OWNER) == 2
        assert await end_sessions(lab.app, OWNER) == 0
        await lab.handle.events.drain()
        assert set(purged(heard)) == ids
        assert len(purged(heard)) == 2
