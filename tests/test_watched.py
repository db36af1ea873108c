"""Values that are handed out are watched: what is changed in place is noticed, and nothing else."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_sess import SessionValueError, StateKey
from aiohttp_sess.watched import WatchedState, split

from .test_record import JSON


@dataclasses.dataclass
class Cart:
    items: list[str]
    coupons: dict[str, int] = dataclasses.field(default_factory=dict)


class Seat(msgspec.Struct):
    row: int = 0
    neighbours: list[str] = msgspec.field(default_factory=list)


class Prefs(TypedDict):
    themes: list[str]


CART = StateKey("x", Cart)
SEAT = StateKey("x", Seat)
PREFS = StateKey("x", Prefs)
WHEN = StateKey("x", datetime.datetime)
ID = StateKey("x", uuid.UUID)
TAGS = StateKey("x", set[str])


def state(**raw: str) -> WatchedState:
    """A state of JSON texts."""
    return WatchedState({name: msgspec.Raw(text.encode()) for name, text in raw.items()})


def texts(watched: WatchedState) -> dict[str, str]:
    """The JSON texts of a state."""
    return {name: bytes(raw).decode() for name, raw in watched.raw.items()}


# -- only reading ---------------------------------------------------------------------------------

SPELLINGS = [
    "[1, 2]",
    "[\n1,\t2 ]",
    '{"b": 1, "a": [ ]}',
    "[1.0e1]",
    "[10.0, 1e2, 1E+2, -0.0, -0]",
    '["\\u0041\\/\\u00e9"]',
    '{"\\u0041": 1}',
    '{"a":1,"a":2}',
    "[9007199254740993, 18446744073709551616, 123456789012345678901234567890]",
    "[0.1000000000000000055511151231257827, 5e-324, 1.7976931348623157e308]",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_only_reading_is_no_change_however_the_json_is_spelled(text: str) -> None:
    watched = state(x=text)
    value = watched.get("x")
    assert value == msgspec.json.decode(text)
    for _ in range(2):
        assert list(watched.changed_in_place()) == []
        assert texts(watched) == {"x": text}  # not even spelled in another way
    assert watched.get("x") is value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (CART, '{ "coupons" : {}, "items": ["tea"], "more": 7 }'),
        (CART, '{"items":[]}'),
        (SEAT, "{}"),
        (PREFS, '{"themes": ["dark"]}'),
        (WHEN, '"2020-01-02T03:04:05+00:00"'),
        (WHEN, '"2020-01-02 03:04:05.100000"'),
        (ID, '"00000000000000000000000000000007"'),
        (TAGS, '["b", "a", "b"]'),
        (StateKey("x", dict[str, float]), '{"a": 1}'),
    ],
    ids=str,
)
def test_only_reading_is_no_change_of_a_typed_value(key: StateKey[Any], text: str) -> None:
    watched = state(x=text)
    value = watched.get(key)
    assert list(watched.changed_in_place()) == []
    assert texts(watched) == {"x": text}
    assert watched.get(key) is value


@given(value=JSON, indent=st.none() | st.integers(0, 3))
def test_only_reading_is_never_a_change(value: Any, indent: int | None) -> None:
    text = msgspec.json.format(msgspec.json.encode(value), indent=indent or 0)
    watched = WatchedState({"x": msgspec.Raw(text)})
    assert watched.get("x") == value
    assert list(watched.changed_in_place()) == []


def test_what_is_undone_is_no_change() -> None:
    watched = state(x='{"a": [1, 2]}')
    value = watched.get("x")
    value["a"].append(3)
    value["b"] = 1
    value["a"].pop()
    del value["b"]
    assert list(watched.changed_in_place()) == []
    assert texts(watched) == {"x": '{"a": [1, 2]}'}


@pytest.mark.parametrize("text", ["1", "1.5", '"a"', "true", "null"])
def test_what_cannot_be_changed_in_place_is_not_watched(text: str) -> None:
    watched = state(x=text)
    watched.get("x")
    assert "x" not in watched.handed_out


# -- changes in place -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "change", "after"),
    [
        ('["a"]', lambda value: value.append("b"), '["a","b"]'),
        ('["b","a"]', lambda value: value.sort(), '["a","b"]'),
        ("[1]", lambda value: value.__setitem__(0, 1.0), "[1.0]"),
        ("[1]", lambda value: value.__setitem__(0, True), "[true]"),
        ("[0.0]", lambda value: value.__setitem__(0, -0.0), "[-0.0]"),
        ('{"a":{"b":[{}]}}', lambda v: v["a"]["b"][0].update(c=1), '{"a":{"b":[{"c":1}]}}'),
        ('{"a":1,"b":2}', lambda value: value.pop("a"), '{"b":2}'),
        ("[[]]", lambda value: value[0].append([]), "[[[]]]"),
        # Its order is part of an object, as iteration shows it.
        ('{"a":1,"b":2}', lambda value: value.update(a=value.pop("a")), '{"b":2,"a":1}'),
    ],
)
def test_a_change_in_place_is_noticed_once(
    text: str, change: Callable[[Any], object], after: str
) -> None:
    watched = state(x=text, y="[]")
    value = watched.get("x")
    watched.get("y")
    change(value)
    assert list(watched.changed_in_place()) == ["x"]
    assert texts(watched) == {"x": after, "y": "[]"}
    assert list(watched.changed_in_place()) == []
    # And it is still watched.
    assert watched.get("x") is value
    value.clear()
    assert list(watched.changed_in_place()) == ["x"]


@pytest.mark.parametrize(
    ("key", "text", "change", "after"),
    [
        (CART, '{"items":[]}', lambda v: v.items.append("tea"), '{"items":["tea"],"coupons":{}}'),
        (CART, '{"items":[]}', lambda v: setattr(v, "items", ["tea"]), None),
        (CART, '{"items":[]}', lambda v: v.coupons.update(a=1), '{"items":[],"coupons":{"a":1}}'),
        (SEAT, "{}", lambda v: setattr(v, "row", 3), '{"row":3,"neighbours":[]}'),
        (SEAT, "{}", lambda v: v.neighbours.append("a"), '{"row":0,"neighbours":["a"]}'),
        (PREFS, '{"themes": []}', lambda v: v["themes"].append("dark"), '{"themes":["dark"]}'),
        (TAGS, '["a"]', lambda v: v.discard("a"), "[]"),
        (StateKey("x", list[Seat]), "[{}]", lambda v: setattr(v[0], "row", 3), None),
    ],
)
def test_a_change_in_place_of_a_typed_value_is_noticed(
    key: StateKey[Any], text: str, change: Callable[[Any], object], after: str | None
) -> None:
    watched = state(x=text)
    value = watched.get(key)
    change(value)
    assert list(watched.changed_in_place()) == ["x"]
    if after is not None:
        assert texts(watched) == {"x": after}
    assert key.decode(watched.raw["x"]) == value
    assert list(watched.changed_in_place()) == []
    assert watched.get(key) is value


@pytest.mark.parametrize("key", [WHEN, ID], ids=str)
def test_what_looks_mutable_and_is_not_stays_as_it_is(key: StateKey[Any]) -> None:
    value = {WHEN: datetime.datetime(2020, 1, 2), ID: uuid.UUID(int=7)}[key]
    watched = state()
    watched.put(key, key.encode(value), value)
    assert watched.get(key) is value
    assert list(watched.changed_in_place()) == []


def test_an_assigned_value_is_watched_itself() -> None:
    watched = state()
    value = ["tea"]
    watched.put("x", msgspec.Raw(b'["tea"]'), value)
    assert watched.get("x") is value
    assert list(watched.changed_in_place()) == []
    value.append("milk")
    assert list(watched.changed_in_place()) == ["x"]


def test_only_one_name_is_looked_at_where_one_is_given() -> None:
    watched = state(x="[]", y="[]")
    for name in ("x", "y"):
        watched.get(name).append(1)
    assert list(watched.changed_in_place("y")) == ["y"]
    assert texts(watched) == {"x": "[]", "y": "[1]"}
    assert list(watched.changed_in_place()) == ["x"]


@pytest.mark.parametrize("wrong", [(), {1: 2}, float("nan"), "\ud800", object()], ids=repr)
def test_what_is_not_json_is_refused_when_it_is_noticed(wrong: Any) -> None:
    watched = state(x='["before"]')
    value = watched.get("x")
    value.append(wrong)
    for _ in range(2):
        with pytest.raises(SessionValueError, match=r"session\['x'\]"):
            list(watched.changed_in_place())
        assert texts(watched) == {"x": '["before"]'}
    value.pop()
    assert list(watched.changed_in_place()) == []


def test_what_is_put_into_itself_is_refused_when_it_is_noticed() -> None:
    watched = state(x="[]")
    value = watched.get("x")
    value.append(value)
    with pytest.raises(SessionValueError, match="in itself"):
        list(watched.changed_in_place())


def test_what_is_not_of_its_type_is_refused_when_it_is_noticed() -> None:
    watched = state(x='{"items":[]}')
    watched.get(CART).items.append(7)
    with pytest.raises(SessionValueError, match="takes a Cart"):
        list(watched.changed_in_place())
    assert texts(watched) == {"x": '{"items":[]}'}


# -- no longer watched ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "let_go",
    [
        lambda watched: watched.put("x", msgspec.Raw(b"[1]")),
        lambda watched: watched.put(CART, msgspec.Raw(b"[1]")),
        lambda watched: watched.delete("x"),
        lambda watched: watched.clear(),
    ],
)
def test_a_value_that_was_replaced_is_not_watched(
    let_go: Callable[[WatchedState], None],
) -> None:
    watched = state(x="[]")
    value = watched.get("x")
    let_go(watched)
    value.append("late")
    assert "x" not in watched.handed_out
    assert list(watched.changed_in_place()) == []
    assert texts(watched) in ({"x": "[1]"}, {})


def test_a_value_that_another_request_wrote_is_not_watched() -> None:
    watched = state(x="[]", y="[]", z="[]")
    values = {name: watched.get(name) for name in "xyz"}
    watched.take_over(state(x="[]", y="[1]"))
    for value in values.values():
        value.append("late")
    assert list(watched.changed_in_place()) == ["x"]
    assert texts(watched) == {"x": '["late"]', "y": "[1]"}
    assert watched.get("y") == [1]


def test_deleting_nothing_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="x"):
        state().delete("x")


def test_the_state_it_was_made_from_stays_as_it_is() -> None:
    raw = {"x": msgspec.Raw(b"[]")}
    watched = WatchedState(raw)
    watched.get("x").append(1)
    assert list(watched.changed_in_place()) == ["x"]
    watched.put("y", msgspec.Raw(b"1"))
    watched.delete("x")
    assert raw == {"x": msgspec.Raw(b"[]")}


# -- one name by several keys ---------------------------------------------------------------------


def test_the_same_key_gives_the_same_object_and_another_another() -> None:
    watched = state(x='{"items":[]}')
    assert watched.get("x") is watched.get("x")
    assert watched.get(CART) is watched.get(CART)
    assert watched.get(CART) == Cart([])
    assert watched.get(StateKey("x", Cart)) is not watched.get(CART)
    assert list(watched.changed_in_place()) == []


def test_of_one_name_by_two_keys_the_changed_one_counts() -> None:
    for first, second in ((CART, "x"), ("x", CART)):
        watched = state(x='{"items":[]}')
        one, other = watched.get(first), watched.get(second)
        items = other["items"] if isinstance(other, dict) else other.items
        items.append("tea")
        assert list(watched.changed_in_place()) == ["x"]
        assert watched.get("x")["items"] == watched.get(CART).items == ["tea"]
        # The unchanged one is out of date now, and is not handed out any more.
        assert watched.get(second) is other
        assert watched.get(first) is not one


# -- reading --------------------------------------------------------------------------------------


def test_decoding_gives_a_fresh_copy_that_is_not_watched() -> None:
    watched = state(x="[]")
    watched.decode("x").append(1)
    assert watched.decode("x") == []
    assert "x" not in watched.handed_out
    assert list(watched.changed_in_place()) == []


def test_what_is_missing_is_a_key_error() -> None:
    for key in ("x", CART):
        with pytest.raises(KeyError, match="x"):
            state().get(key)


UNREADABLE = [
    "1" * 5000,
    "[1" + "0" * 5000 + "]",
    "1e999",
    "[-1E400]",
    "[" * 100_000 + "]" * 100_000,
]


@pytest.mark.parametrize("text", UNREADABLE, ids=["int", "ints", "float", "floats", "deep"])
def test_a_value_that_cannot_be_read_is_not_there(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """ASVS 1.5.2, 16.2.5: a warning without the value, as for a record that cannot be read."""
    watched = state(x=text)
    with pytest.raises(KeyError) as info:
        watched.get("x")
    assert info.value.args == ("x",)
    (record,) = caplog.records
    assert record.getMessage() == "the stored value of session['x'] cannot be read"
    assert (record.levelname, record.exc_info) == ("WARNING", None)


@pytest.mark.parametrize("key", [None, 7, b"x", ("x",), object()], ids=repr)
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(SessionValueError, match=f"not {type(key).__name__}"):
        split(key)


def test_a_key_is_a_name_and_perhaps_a_type() -> None:
    assert split("x") == ("x", None)
    assert split(CART) == ("x", CART)
