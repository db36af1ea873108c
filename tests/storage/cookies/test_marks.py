"""A mark stays small, whoever ends a session that is not theirs."""

from __future__ import annotations

from aiohttp_sess.storage import CookieStorage
from aiohttp_sess.storage.marks import LONGEST, SessionMark

from .revoking import HOUR, record


def test_a_mark_names_so_many_owners_and_no_more() -> None:
    mark = SessionMark(60.0)
    for number in range(SessionMark.most_owners):
        mark = mark.ended_for(f"owner {number}", LONGEST)
        assert mark.ends(f"owner {number}") and not mark.ends("another")
    assert mark.ended_for("owner 0", LONGEST) is mark
    full = mark.ended_for("one more", LONGEST)
    assert full == SessionMark(LONGEST, ended=True)
    assert full.ended_for("and another", LONGEST) is full


async def test_the_first_that_ended_it_is_not_forgotten(storage: CookieStorage) -> None:
    """Or a session that was ended would be there again."""
    mine = await storage.save(record(storage, owner="ferris"), HOUR)
    await storage.end_sessions("ferris", "id", ids=[mine.record.id])
    for number in range(100):
        assert await storage.load(mine.key) is None
        await storage.end_sessions(f"owner {number}", "id", ids=[mine.record.id])
    assert await storage.load(mine.key) is None
