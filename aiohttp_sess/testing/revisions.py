"""Two clients at once: a write that was overtaken is refused, and one of many wins."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from ..errors import SessionConflict, SessionGone
from ..storage.interface import AbstractStorage, StoredRecord
from .capabilities import HOUR, Capabilities, needs

__all__ = ("RevisionCases",)

_MANY = 8


class RevisionCases(Capabilities):
    """What a revision is for."""

    async def test_update_refuses_a_revision_that_was_replaced(
        self, storage: AbstractStorage
    ) -> None:
        stored = await storage.save(self.new_record(storage, by="nobody"), HOUR)
        winner = dataclasses.replace(stored.record, state={"by": "the winner"})
        loser = dataclasses.replace(stored.record, state={"by": "the loser"})
        won = await storage.update(stored.key, winner, HOUR, revision=stored.revision)
        if not self.detects_conflicts:
            last = await storage.update(stored.key, loser, HOUR, revision=stored.revision)
            loaded = await self.found(storage, last.key)
            assert loaded.record == loser
            return
        with pytest.raises(SessionConflict):
            await storage.update(stored.key, loser, HOUR, revision=stored.revision)
        loaded = await self.found(storage, won.key)
        assert loaded.record == winner
        # The loser takes the latest and tries again.
        await storage.update(loaded.key, loser, HOUR, revision=loaded.revision)
        loaded = await self.found(storage, won.key)
        assert loaded.record == loser

    @needs("detects_conflicts")
    async def test_a_write_of_the_same_record_is_a_new_revision(
        self, storage: AbstractStorage
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        await storage.update(stored.key, stored.record, HOUR, revision=stored.revision)
        with pytest.raises(SessionConflict):
            await storage.update(stored.key, stored.record, HOUR, revision=stored.revision)

    @needs("detects_conflicts")
    async def test_delete_refuses_a_revision_that_was_replaced(
        self, storage: AbstractStorage
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=1), HOUR)
        record = dataclasses.replace(stored.record, state={"n": 2})
        await storage.update(stored.key, record, HOUR, revision=stored.revision)
        with pytest.raises(SessionConflict):
            await storage.delete(stored.key, revision=stored.revision)
        loaded = await self.found(storage, stored.key)
        assert loaded.record == record
        assert await storage.delete(stored.key, revision=loaded.revision) is True
        assert await storage.load(stored.key) is None

    @needs("keyed")
    async def test_a_record_tells_which_writings_it_includes(
        self, storage: AbstractStorage
    ) -> None:
        """So that a write without a reply can be found to have been done."""
        saved = await storage.save(self.new_record(storage, n=1), HOUR)
        first = await storage.update(saved.key, saved.record, HOUR, revision=saved.revision)
        second = await storage.update(saved.key, saved.record, HOUR, revision=first.revision)
        latest = await self.found(storage, saved.key)
        assert storage.includes(latest.revision, second.revision)
        assert storage.includes(latest.revision, first.revision)
        assert not storage.includes(first.revision, second.revision)

    @needs("detects_conflicts")
    async def test_of_parallel_updates_one_wins(self, storage: AbstractStorage) -> None:
        stored = await storage.save(self.new_record(storage, by=-1), HOUR)
        outcomes = await asyncio.gather(
            *(
                storage.update(
                    stored.key,
                    dataclasses.replace(stored.record, state={"by": n}),
                    HOUR,
                    revision=stored.revision,
                )
                for n in range(_MANY)
            ),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, StoredRecord)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, SessionConflict)]
        assert (len(won), len(lost)) == (1, _MANY - 1), outcomes
        loaded = await self.found(storage, stored.key)
        assert loaded.record == won[0].record
        # The winner's revision is the one that is there.
        await storage.update(stored.key, stored.record, HOUR, revision=won[0].revision)

    @needs("ends_sessions_early")
    async def test_of_parallel_ends_one_does_it(self, storage: AbstractStorage) -> None:
        for conditional in (False, self.detects_conflicts):
            stored = await storage.save(self.new_record(storage, n=1), HOUR)
            revision = stored.revision if conditional else None
            outcomes = await asyncio.gather(
                *(storage.delete(stored.key, revision=revision) for _ in range(_MANY))
            )
            assert sorted(outcomes) == [False] * (_MANY - 1) + [True]
            assert await storage.load(stored.key) is None

    @needs("ends_sessions_early", "detects_conflicts")
    async def test_of_an_update_and_an_end_at_once_one_wins(self, storage: AbstractStorage) -> None:
        for n in range(_MANY):
            stored = await storage.save(self.new_record(storage, n=n), HOUR)
            key, record, revision = stored
            update = storage.update(key, record, HOUR, revision=revision)
            delete = storage.delete(key, revision=revision)
            if n % 2:
                updated, ended = await asyncio.gather(update, delete, return_exceptions=True)
            else:
                ended, updated = await asyncio.gather(delete, update, return_exceptions=True)
            loaded = await storage.load(key)
            if isinstance(updated, StoredRecord):
                assert isinstance(ended, SessionConflict), ended
                assert loaded is not None
            else:
                assert isinstance(updated, SessionGone), updated
                assert ended is True
                assert loaded is None

    @needs("ends_sessions_early")
    async def test_a_refresh_and_an_end_at_once_bring_nothing_back(
        self, storage: AbstractStorage
    ) -> None:
        for n in range(_MANY):
            stored = await storage.save(self.new_record(storage, n=n), HOUR)
            calls = [
                storage.update_ttl(stored.key, HOUR),
                storage.load(stored.key, ttl=HOUR),
                storage.delete(stored.key),
            ]
            outcomes = await asyncio.gather(*calls[n % 3 :], *calls[: n % 3])
            assert True in outcomes, "it was not ended"
            assert await storage.load(stored.key) is None
            assert await storage.update_ttl(stored.key, HOUR) is None

    async def test_parallel_saves_have_keys_of_their_own(self, storage: AbstractStorage) -> None:
        saved = await asyncio.gather(
            *(storage.save(self.new_record(storage, n=n), HOUR) for n in range(_MANY))
        )
        assert len({stored.key for stored in saved}) == _MANY
        loaded = await asyncio.gather(*(storage.load(stored.key) for stored in saved))
        assert [found and found.record for found in loaded] == [stored.record for stored in saved]

    async def test_a_call_that_is_cancelled_leaves_no_reply_to_the_next(
        self, storage: AbstractStorage
    ) -> None:
        mine = await storage.save(self.new_record(storage, whose="mine"), HOUR)
        yours = await storage.save(self.new_record(storage, whose="yours"), HOUR)
        for turns in range(2 * _MANY):
            call = asyncio.ensure_future(storage.load(mine.key))
            for _ in range(turns):  # so that each time it is somewhere else when it is cancelled
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            loaded = await self.found(storage, yours.key)
            assert loaded.record == yours.record
        found = await asyncio.gather(*(storage.load(yours.key) for _ in range(2 * _MANY)))
        assert {stored and stored.record.id for stored in found} == {yours.record.id}

    @needs("server_side")
    async def test_an_update_that_is_cancelled_was_done_or_was_not(
        self, storage: AbstractStorage
    ) -> None:
        stored = await storage.save(self.new_record(storage, n=0), HOUR)
        for turns in range(2 * _MANY):
            record = dataclasses.replace(stored.record, state={"n": turns})
            call = asyncio.ensure_future(
                storage.update(stored.key, record, HOUR, revision=stored.revision)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            loaded = await self.found(storage, stored.key)
            assert loaded.record in (stored.record, record)
            # Whichever it was, the session goes on from there. What was cancelled may still be on
            # its way to the backend, and is then what came last.
            stored = await self._update_until_it_wins(storage, loaded)

    async def _update_until_it_wins(
        self, storage: AbstractStorage, stored: StoredRecord
    ) -> StoredRecord:
        for _ in range(_MANY):
            try:
                return await storage.update(
                    stored.key, stored.record, HOUR, revision=stored.revision
                )
            except SessionConflict:
                latest = await storage.load(stored.key)
                assert latest is not None
                stored = latest
        raise AssertionError("the storage answers a revision that it then refuses")
