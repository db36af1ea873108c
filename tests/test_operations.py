"""What a request did to the state, done again on a later one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from aiohttp_sess import SessionRecord, SessionValueError, StateKey
from aiohttp_sess.changes import Changes
from aiohttp_sess.operations import Operations, Update
from aiohttp_sess.values import encode_value
from aiohttp_sess.watched import WatchedState


def increment(number: int) -> int:
    return number + 1


def state(**values: Any) -> WatchedState:
    """A state of these values."""
    return WatchedState({name: encode_value(name, value) for name, value in values.items()})


def values(watched: WatchedState) -> dict[str, Any]:
    """The values of a state."""
    return {name: msgspec.json.decode(raw) for name, raw in watched.raw.items()}


class Doer:
    """Does things to a state, and keeps book of them."""

    def __init__(self, **start: Any) -> None:
        self.changes = Changes(SessionRecord(start), stored=True, clock=time.time)

    @property
    def operations(self) -> Operations:
        return self.changes._operations

    @property
    def values(self) -> dict[str, Any]:
        return values(self.changes._state)

    def set(self, name: str, value: Any) -> None:
        self.changes.set(name, value)

    def delete(self, name: str) -> None:
        self.changes.delete(name)

    def update(self, name: str, function: Callable[[Any], Any]) -> None:
        self.changes.update(Update(name, function, ()))

    def increment(self, name: str, *default: int) -> None:
        self.changes.update(Update(name, increment, default))

    def clear(self) -> None:
        self.changes.clear()

    def again_on(self, **latest: Any) -> dict[str, Any]:
        """What becomes of another request's state when all of it is done again."""
        later = state(**latest)
        self.operations.apply(later)
        return values(later)


# -- updates --------------------------------------------------------------------------------------


def test_an_update_computes_from_what_is_there() -> None:
    watched = state(n=1)
    assert Update("n", increment, ()).apply(watched)
    assert Update("n", increment, (7,)).apply(watched)
    assert values(watched) == {"n": 3}


def test_an_update_of_nothing_does_nothing_or_sets_the_default() -> None:
    watched = state()
    assert not Update("n", increment, ()).apply(watched)
    assert values(watched) == {}
    assert Update("n", increment, (7,)).apply(watched)
    assert values(watched) == {"n": 7}


def test_none_is_a_value_and_a_default() -> None:
    watched = state(n=None)
    assert Update("n", lambda old: [old], ()).apply(watched)
    assert Update("m", increment, (None,)).apply(watched)
    assert values(watched) == {"n": [None], "m": None}


def test_the_function_gets_a_copy() -> None:
    watched = state(cart=["tea"])
    seen: list[list[str]] = []

    def fail(cart: list[str]) -> list[str]:
        seen.append(cart)
        cart.append("milk")
        raise LookupError("sold out")

    for _ in range(2):
        with pytest.raises(LookupError, match="sold out"):
            Update("cart", fail, ()).apply(watched)
        assert values(watched) == {"cart": ["tea"]}
    assert seen[0] is not seen[1]


def test_an_outcome_that_is_not_json_leaves_the_value_as_it_was() -> None:
    watched = state(n=1)
    for function in (lambda old: (old,), lambda old: {1: old}, lambda old: float("nan")):
        with pytest.raises(SessionValueError, match=r"session\['n'\]"):
            Update("n", function, ()).apply(watched)
    with pytest.raises(SessionValueError, match=r"session\['m'\]"):
        Update("m", increment, ((),)).apply(watched)
    assert values(watched) == {"n": 1}


def test_a_typed_update_gets_and_gives_its_type() -> None:
    @dataclasses.dataclass
    class Point:
        x: int

    key = StateKey("p", Point)
    watched = state(p={"x": 1}, other=1)
    Update(key, lambda point: dataclasses.replace(point, x=point.x + 1), ()).apply(watched)
    assert values(watched)["p"] == {"x": 2}
    with pytest.raises(SessionValueError, match="takes a Point"):
        Update(key, lambda point: point.x, ()).apply(watched)
    with pytest.raises(SessionValueError, match="holds a value that is no Point"):
        Update(StateKey("other", Point), lambda point: point, ()).apply(watched)
    assert values(watched) == {"p": {"x": 2}, "other": 1}


# -- done again -----------------------------------------------------------------------------------


def test_nothing_done_is_nothing_to_do() -> None:
    doer = Doer(a=1)
    assert not doer.operations
    doer.increment("missing")
    assert not doer.operations
    assert doer.again_on(a=2, b=3) == {"a": 2, "b": 3}


def test_other_names_stay_as_the_other_request_left_them() -> None:
    doer = Doer(a=1, b=1, c=1, d=1, gone=1)
    doer.set("a", 2)
    doer.delete("b")
    doer.increment("c")
    assert doer.operations
    assert doer.again_on(a=9, b=9, c=9, e=9) == {"a": 2, "c": 10, "e": 9}
    assert doer.again_on() == {"a": 2}


def test_the_last_word_on_a_name_counts() -> None:
    doer = Doer(a=1, b=1)
    doer.set("a", 2)
    doer.delete("a")
    doer.delete("b")
    doer.set("b", 3)
    assert doer.again_on(a=9, b=9) == {"b": 3}


def test_updates_add_up() -> None:
    doer = Doer(n=0)
    for _ in range(3):
        doer.increment("n")
    assert doer.values == {"n": 3}
    assert doer.again_on(n=10) == {"n": 13}
    assert doer.again_on() == {}


def test_the_default_counts_where_the_other_request_deleted() -> None:
    doer = Doer()
    for _ in range(3):
        doer.increment("n", 100)
    assert doer.values == {"n": 102}
    assert doer.again_on() == {"n": 102}
    assert doer.again_on(n=10) == {"n": 13}


def test_an_update_of_what_this_request_set_is_no_longer_one() -> None:
    doer = Doer(a=0, b=0)
    doer.set("a", 10)
    doer.increment("a")
    doer.delete("b")
    doer.increment("b", 5)
    doer.increment("b")
    assert doer.again_on(a=99, b=99) == {"a": 11, "b": 6}


def test_what_came_before_a_set_or_delete_is_not_done_again() -> None:
    doer = Doer(a=0, b=0)
    for name in ("a", "b"):
        doer.increment(name)
    doer.set("a", 5)
    doer.delete("b")
    assert doer.again_on(a=99, b=99) == {"a": 5}


def test_a_clear_empties_what_the_other_request_wrote() -> None:
    doer = Doer(a=1)
    doer.set("b", 1)
    doer.clear()
    assert doer.operations
    assert doer.again_on(a=9, b=9, c=9) == {}
    doer.set("d", 1)
    doer.increment("e", 1)
    doer.increment("e")
    assert doer.again_on(a=9, d=9, e=9) == {"d": 1, "e": 2}


def test_a_function_that_fails_when_it_is_called_again_says_so() -> None:
    doer = Doer(n=1)
    doer.update("n", lambda n: 1 // n)
    with pytest.raises(ZeroDivisionError):
        doer.again_on(n=0)


# -- saved meanwhile ------------------------------------------------------------------------------


def test_a_copy_knows_nothing_of_what_is_done_later() -> None:
    doer = Doer(n=0)
    doer.increment("n")
    doer.set("a", 1)
    copy = doer.operations.copy()
    doer.increment("n")
    doer.set("a", 2)
    doer.set("b", 1)
    doer.clear()
    later = state(n=10)
    copy.apply(later)
    assert values(later) == {"n": 11, "a": 1}


def test_what_was_done_is_forgotten() -> None:
    doer = Doer(n=0, d=0)
    doer.set("a", 1)
    doer.delete("d")
    doer.increment("n")
    doer.operations.forget(doer.operations.copy())
    assert not doer.operations
    doer.clear()
    doer.operations.forget(doer.operations.copy())
    assert not doer.operations


def test_what_was_done_later_is_not_forgotten() -> None:
    doer = Doer(n=0, a=0, b=0, c=0, d=0)
    for name in "abcd":
        doer.set(name, 1)
    doer.increment("n")
    copy = doer.operations.copy()
    doer.set("a", 2)
    doer.delete("b")
    doer.increment("n")
    doer.set("e", 1)
    doer.operations.forget(copy)
    assert doer.again_on(n=10, a=1, b=1, c=9, d=9) == {"n": 11, "a": 2, "c": 9, "d": 9, "e": 1}


def test_an_update_of_what_was_set_is_one_again_once_that_is_saved() -> None:
    """Else an update of another request, between two saves of this one, would be lost."""
    doer = Doer()
    doer.set("n", 1)
    copy = doer.operations.copy()
    doer.increment("n")
    doer.operations.forget(copy)
    assert doer.again_on(n=1) == {"n": 2}
    assert doer.again_on(n=2) == {"n": 3}


def test_an_update_after_a_clear_is_one_again_once_that_is_saved() -> None:
    doer = Doer(n=7)
    doer.clear()
    doer.increment("n", 1)
    copy = doer.operations.copy()
    doer.increment("n")
    doer.operations.forget(copy)
    assert doer.again_on(n=1) == {"n": 2}
    assert doer.again_on(n=2) == {"n": 3}


def test_a_clear_is_not_forgotten_with_what_came_before_it() -> None:
    doer = Doer(a=1)
    doer.set("b", 1)
    copy = doer.operations.copy()
    doer.clear()
    doer.set("c", 1)
    doer.operations.forget(copy)
    assert doer.again_on(a=1, b=1) == {"c": 1}


def test_a_second_clear_is_not_forgotten_with_the_first() -> None:
    doer = Doer(a=1)
    doer.clear()
    doer.set("b", 1)
    copy = doer.operations.copy()
    doer.clear()
    doer.operations.forget(copy)
    assert doer.operations
    assert doer.again_on(b=1) == {}
