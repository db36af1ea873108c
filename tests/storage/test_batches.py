"""Commands that leave together, whatever the server is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from aiohttp_sess.storage.batches import Batches


class Echo(Batches[int]):
    """Echoes numbers; negative ones, and what leaves with them, once it is let go."""

    def __init__(self, *, timeout: float = 30.0) -> None:
        super().__init__(timeout=timeout, exchanges=4)
        self.batches: list[list[int]] = []
        self.speaks = asyncio.Event()

    async def exchange_one(self, command: int) -> int:
        (reply,) = await self.exchange([command])
        return reply

    async def exchange(self, commands: Sequence[int]) -> list[int]:
        self.batches.append(list(commands))
        await (self.speaks.wait() if min(commands) < 0 else asyncio.sleep(0))
        return list(commands)


async def test_what_comes_during_an_exchange_leaves_together_after_it() -> None:
    echo = Echo()
    assert await asyncio.gather(*(echo.ask(n) for n in range(5))) == [0, 1, 2, 3, 4]
    assert echo.batches == [[0], [1, 2, 3, 4]]


async def test_an_exchange_that_hangs_holds_nobody_up_and_keeps_nothing() -> None:
    echo = Echo()
    hung = asyncio.ensure_future(echo.ask(-1))
    await asyncio.sleep(0)
    for _ in range(50):
        assert await asyncio.gather(*(echo.ask(n) for n in range(3))) == [0, 1, 2]
    assert len(echo._unanswered) == 0
    assert not hung.done()
    echo.speaks.set()
    assert await hung == -1


async def test_those_behind_one_that_hangs_in_a_batch_are_forgotten_when_they_are_answered() -> (
    None
):
    echo = Echo()
    first = asyncio.ensure_future(echo.ask(-1))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(echo.ask(-2))  # leaves alone, after its patience, and hangs too
    while len(echo.batches) < 2:
        await asyncio.sleep(0)
    await asyncio.gather(*(echo.ask(n) for n in range(20)))
    assert len(echo._unanswered) == 1
    echo.speaks.set()
    assert (await first, await second) == (-1, -2)


async def test_who_waits_too_long_is_told_in_time() -> None:
    echo = Echo(timeout=0.05)
    asked = [asyncio.ensure_future(echo.ask(-n)) for n in range(1, 20)]
    await asyncio.wait(asked)
    assert all(isinstance(each.exception(), TimeoutError) for each in asked)
    assert await echo.ask(1) == 1
    await echo.close()
    assert echo._running == []


async def test_it_can_be_used_again_after_it_was_closed() -> None:
    echo = Echo(timeout=0.05)
    hung = asyncio.ensure_future(echo.ask(-1))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(echo.ask(-2))
    await asyncio.sleep(0)
    await echo.close()
    with pytest.raises(ConnectionAbortedError):
        await waiting
    again = [asyncio.ensure_future(echo.ask(-n)) for n in (3, 4)]
    await asyncio.wait([hung, *again])
    assert all(isinstance(each.exception(), TimeoutError) for each in (hung, *again))


async def test_a_wrong_number_of_replies_is_an_error_for_all() -> None:
    class Forgetful(Echo):
        async def exchange(self, commands: Sequence[int]) -> list[int]:
            replies = await super().exchange(commands)
            return replies[:1]

    echo = Forgetful()
    replies = await asyncio.gather(*(echo.ask(n) for n in range(3)), return_exceptions=True)
    assert replies[0] == 0
    assert [type(reply) for reply in replies[1:]] == [RuntimeError] * 2
    assert echo._running == []


async def test_who_has_several_commands_can_let_them_leave_together() -> None:
    echo = Echo()
    with echo.together():
        assert [*await asyncio.gather(echo.ask(1), echo.ask(2))] == [1, 2]
    assert await echo.ask(3) == 3
    assert echo.batches == [[1, 2], [3]]
    hung = asyncio.ensure_future(echo.ask(-1))
    await asyncio.sleep(0)
    with echo.together():
        assert [*await asyncio.gather(echo.ask(4), echo.ask(5))] == [4, 5]
    assert echo.batches[2:] == [[-1], [4, 5]]
    echo.speaks.set()
    await hung


async def test_commands_that_are_asked_together_leave_together() -> None:
    echo = Echo()
    assert await echo.ask_all([]) == []
    assert await echo.ask_all(range(300)) == list(range(300))
    assert [len(batch) for batch in echo.batches] == [128, 128, 44]
    assert len(echo._unanswered) == 0 and echo._running == []


async def test_one_that_fails_among_those_that_are_asked_together() -> None:
    class Refuses(Echo):
        async def exchange(self, commands: Sequence[int]) -> list[int]:
            replies: list[int] = await super().exchange(commands)
            return [ValueError(n) if n == 2 else n for n in replies]  # type: ignore[misc]

    echo = Refuses()
    with pytest.raises(ValueError, match="2"):
        await echo.ask_all(range(4))
    asked = asyncio.ensure_future(echo.ask_all([-1, -2]))
    while echo.batches[-1] != [-1, -2]:
        await asyncio.sleep(0)
    asked.cancel()
    echo.speaks.set()
    assert await echo.ask(1) == 1
    async with asyncio.timeout(10):
        while echo._unanswered:
            await asyncio.sleep(0)


async def test_one_alone_is_told_in_time_and_its_task_goes_on() -> None:
    echo = Echo(timeout=0.05)
    task = asyncio.current_task()
    assert task is not None
    for _ in range(3):  # the timer was set for the first, and is set anew for each
        assert await echo.ask(1) == 1
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await echo.ask(-1)
        assert asyncio.get_running_loop().time() - began >= 0.05
        assert task.cancelling() == 0
        await asyncio.sleep(0)
    assert echo._running == []


async def test_one_alone_that_is_cancelled_when_its_time_is_over_is_cancelled() -> None:
    class Late(Echo):
        async def exchange(self, commands: Sequence[int]) -> list[int]:
            try:
                return await super().exchange(commands)
            except asyncio.CancelledError:
                hung.cancel()
                raise

    echo = Late(timeout=0.05)
    hung = asyncio.ensure_future(echo.ask(-1))
    await asyncio.wait([hung])
    assert hung.cancelled()
    assert await echo.ask(1) == 1


async def test_a_cancellation_of_one_alone_is_no_timeout_of_its_own() -> None:
    echo = Echo()
    asked = asyncio.ensure_future(echo.ask(-1))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await echo.ask(-1)
    assert echo._running == []
    assert await echo.ask(1) == 1


async def test_one_that_comes_to_its_end_all_the_same_leaves_no_cancellation_behind() -> None:
    class Stubborn(Echo):
        async def exchange(self, commands: Sequence[int]) -> list[int]:
            try:
                return await super().exchange(commands)
            except asyncio.CancelledError:
                return list(commands)

    echo = Stubborn(timeout=0.02)
    assert await echo.ask(-1) == -1
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_an_exchange_that_took_too_long_is_ended() -> None:
    ended = []

    class Told(Echo):
        async def exchange(self, commands: Sequence[int]) -> list[int]:
            try:
                return await super().exchange(commands)
            except asyncio.CancelledError:
                ended.append(list(commands))
                raise

    echo = Told(timeout=0.05)
    asked = [asyncio.ensure_future(echo.ask(-n)) for n in range(1, 4)]
    await asyncio.wait(asked)
    assert all(isinstance(each.exception(), TimeoutError) for each in asked)
    async with asyncio.timeout(10):
        while echo._running:
            await asyncio.sleep(0.001)
    assert ended == [[-1], [-2, -3]]


async def test_one_alone_that_hangs_is_told_in_time_also_after_a_close() -> None:
    echo = Echo(timeout=0.05)
    hung = asyncio.ensure_future(echo.ask(-1))
    await asyncio.sleep(0)
    await echo.close()
    await asyncio.wait([hung], timeout=10)
    assert isinstance(hung.exception(), TimeoutError)
    assert await echo.ask(1) == 1
    await echo.close()
    assert echo._timer is None


def test_it_begins_anew_in_another_event_loop() -> None:
    echo = Echo(timeout=0.05)

    async def leave_something_behind() -> None:
        echo.speaks = asyncio.Event()
        for n in range(1, 4):
            asyncio.ensure_future(echo.ask(-n))  # noqa: RUF006
        await asyncio.sleep(0)

    async def ask() -> None:
        echo.speaks = asyncio.Event()
        assert await asyncio.gather(*(echo.ask(n) for n in range(5))) == [0, 1, 2, 3, 4]
        asked = [asyncio.ensure_future(echo.ask(-n)) for n in range(1, 4)]
        await asyncio.wait(asked, timeout=10)
        assert all(isinstance(each.exception(), TimeoutError) for each in asked)

    for _ in range(2):
        asyncio.run(leave_something_behind())
        asyncio.run(ask())


def test_what_is_finalised_after_its_loop_died_touches_nothing_of_the_next() -> None:
    echo = Echo(timeout=0.05)
    left = echo._ask_alone(-1)
    dead = asyncio.new_event_loop()
    task = dead.create_task(left)
    dead.run_until_complete(asyncio.sleep(0))
    dead.close()

    async def ask() -> None:
        echo.speaks = asyncio.Event()
        assert await echo.ask(1) == 1
        asked = asyncio.ensure_future(echo.ask(-2))
        await asyncio.sleep(0)
        left.close()  # as it is when nobody has it any more
        assert (echo._alone, len(echo._running)) == (asked, 1)
        await asyncio.wait([asked], timeout=10)
        assert isinstance(asked.exception(), TimeoutError)
        assert echo._running == []

    asyncio.run(ask())
    assert not task.done()
