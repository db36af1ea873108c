"""The values that a session state may hold, and those that it refuses."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import traceback
import typing
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given

from aiohttp_sess import Session, SessionRecord, SessionValueError, StateKey
from aiohttp_sess.record import decode_record, encode_record
from aiohttp_sess.values import IMMUTABLE, check_name, decode_value, encode_value

from .test_record import JSON

SECRET = "hunter2"  # what no message may show
UTC = datetime.UTC


@dataclasses.dataclass
class Cart:
    items: list[str]
    note: str | None = None


class Seat(msgspec.Struct):
    row: int
    taken: bool = False


class Prefs(TypedDict):
    theme: str


class Color(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    SMALL = "small"


def nested(depth: int, leaf: Any = 1) -> Any:
    """Lists in lists."""
    for _ in range(depth):
        leaf = [leaf]
    return leaf


def in_itself(make: Callable[[Any], Any]) -> Any:
    """A list that holds itself, wrapped."""
    inner: list[Any] = []
    inner.append(make(inner))
    return inner


# -- untyped values -------------------------------------------------------------------------------


@given(value=JSON)
def test_json_comes_back_as_it_was(value: Any) -> None:
    session = Session()
    session["x"] = value
    assert session["x"] == value
    record = decode_record(encode_record(session._changes.snapshot().record))
    assert record.state["x"] == value
    assert repr(record.state["x"]) == repr(value)  # 1 is no 1.0 and no True


@pytest.mark.parametrize(
    "value",
    [
        2**53 + 1,
        2**64,
        -(2**64),
        10**4000,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        0.1 + 0.2,
        "\0\x1f\x7f\u2028🦀",
        {"": {"": []}},
        nested(100),
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:10]!a}",
)
def test_json_at_its_edges(value: Any) -> None:
    assert repr(decode_value(encode_value("x", value))) == repr(value)


def test_what_compares_equal_to_json_is_json() -> None:
    for value, plain in (
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Size.SMALL, "small"),
        ({Size.SMALL: 1}, {"small": 1}),
    ):
        assert decode_value(encode_value("x", value)) == plain


NOT_JSON: dict[str, tuple[Any, str]] = {
    "tuple": ((SECRET,), "a value of type tuple is not JSON; use a list"),
    "set": ({SECRET}, "a value of type set is not JSON; use a list"),
    "frozenset": (frozenset([SECRET]), "a value of type frozenset is not JSON; use a list"),
    "bytes": (SECRET.encode(), "a value of type bytes is not JSON; use text, say base64"),
    "bytearray": (bytearray(b"hunter2"), "a value of type bytearray is not JSON"),
    "deque": (deque([SECRET]), "a value of type deque is not JSON"),
    "nan": (float("nan"), "an infinite or undefined float is not JSON"),
    "inf": (float("inf"), "an infinite or undefined float is not JSON"),
    "-inf": (float("-inf"), "an infinite or undefined float is not JSON"),
    "datetime": (datetime.datetime(2020, 1, 1, tzinfo=UTC), "type datetime is not JSON; see State"),
    "date": (datetime.date(2020, 1, 1), "a value of type date is not JSON; see StateKey"),
    "timedelta": (datetime.timedelta(1), "a value of type timedelta is not JSON; see StateKey"),
    "uuid": (uuid.UUID(int=7), "a value of type UUID is not JSON; see StateKey"),
    "decimal": (decimal.Decimal("1.5"), "a value of type Decimal is not JSON; see StateKey"),
    "enum": (Color.RED, "a value of type Color is not JSON; see StateKey"),
    "dataclass": (Cart([SECRET]), "a value of type Cart is not JSON; see StateKey"),
    "struct": (Seat(1), "a value of type Seat is not JSON; see StateKey"),
    "raw": (msgspec.Raw(b'"hunter2"'), "a value of type Raw is not JSON"),
    "object": (object(), "a value of type object is not JSON"),
    "class": (Cart, "a value of type type is not JSON"),
    "function": (nested, "a value of type function is not JSON"),
    "exception": (ValueError(SECRET), "a value of type ValueError is not JSON"),
    "complex": (1j, "a value of type complex is not JSON"),
    "range": (range(3), "a value of type range is not JSON"),
    "int-key": ({1: SECRET}, "a key of type int is not JSON; keys are str"),
    "none-key": ({None: SECRET}, "a key of type NoneType is not JSON; keys are str"),
    "bytes-key": ({b"hunter2": 1}, "a key of type bytes is not JSON; keys are str"),
    "tuple-key": ({("hunter2",): 1}, "a key of type tuple is not JSON; keys are str"),
    "surrogate": (f"{SECRET}\ud800", "a str holds half a surrogate pair"),
    "escaped": (f"{SECRET}\udcff", "a str holds half a surrogate pair"),
    "digits": (10**4300, "an int has too many digits"),
    "more-digits": (-(10**20_000), "an int has too many digits"),
    "inner-tuple": ([SECRET, {"a": [(SECRET,)]}], r"type tuple at \[1\]\['a'\]\[0\] is not JSON"),
    "inner-nan": ({"a": [1.5, float("nan")]}, r"undefined float at \['a'\]\[1\] is not JSON"),
    "inner-key": ([SECRET, {"a": {1: SECRET}}], r"a key of type int at \[1\]\['a'\] is not JSON"),
    "inner-str": ([SECRET, f"{SECRET}\ud800"], r"a str at \[1\] holds half a surrogate pair"),
    "inner-int": ([None, True, 10**4300], r"an int at \[2\] has too many digits"),
    "inner-set": ({"a": set()}, r"a value of type set at \['a'\] is not JSON; use a list"),
    "empty-tuple": ([{"b": SECRET}, [], ()], r"a value of type tuple at \[2\] is not JSON"),
    "in-itself": (in_itself(lambda inner: inner), "nested too deep, or in itself"),
    "in-itself-deeper": (in_itself(lambda inner: {"a": [inner]}), "nested too deep, or in itself"),
    "in-itself-and-not-json": ([(), in_itself(lambda inner: inner)], "nested too deep|type tuple"),
    "5000-deep": (nested(5_000), "nested too deep, or in itself"),
    "100000-deep": (nested(100_000), "nested too deep, or in itself"),
}


@pytest.mark.parametrize("what", NOT_JSON)
def test_what_is_not_json_is_refused(what: str) -> None:
    value, message = NOT_JSON[what]
    session = Session()
    session["kept"] = session["x"] = ["before"]
    before = session._changes.snapshot()
    for assign in (session.__setitem__, session.setdefault, lambda *pair: session.update([pair])):
        name = "y" if assign == session.setdefault else "x"
        with pytest.raises(SessionValueError, match=message) as info:
            assign(name, value)
        assert f"session['{name}']" in str(info.value)
        assert SECRET not in "".join(traceback.format_exception(info.value))
    assert session == {"kept": ["before"], "x": ["before"]}
    after = session._changes.snapshot()
    assert after.record == before.record
    assert after.operations._by_name == before.operations._by_name


@pytest.mark.parametrize("key", ["k" * 200_000, "4111-1111-1111", "hunter2 hunter2", "\ud800"])
def test_a_message_shows_no_keys_that_may_be_data(key: str) -> None:
    with pytest.raises(SessionValueError) as info:
        Session()["x"] = {"field": [{key: ["\ud800"]}]}
    assert str(info.value).endswith("at ['field'][0][…][0] holds half a surrogate pair") or (
        key == "\ud800"
    )
    assert key not in str(info.value)
    assert len(str(info.value)) < 300


@pytest.mark.parametrize("depth", range(100, 1100, 10))
def test_however_deep_it_is_it_is_refused_by_the_right_error(depth: int) -> None:
    value: object = "\ud800"
    for _ in range(depth):
        value = [value]
    with pytest.raises(SessionValueError) as info:
        Session()["x"] = value
    assert len(str(info.value)) < 300


def test_what_is_wrong_is_found_in_what_is_shared_and_in_itself() -> None:
    shared: list[object] = []
    value: list[object] = [shared, shared]
    value += [value, {1: 2}]
    with pytest.raises(SessionValueError):
        Session()["x"] = value


@pytest.mark.parametrize("depth", [500, 900, 990, 1_500, 5_000, 20_000])
def test_what_is_deep_and_no_json_is_refused(depth: int) -> None:
    """Whatever the interpreter's limits on recursion are."""
    with pytest.raises(SessionValueError):
        encode_value("x", nested(depth, ()))


def test_what_was_accepted_is_read_again_however_deep_the_stack_is() -> None:
    """Or one deep value would cost the whole session at the next request."""

    def load(frames: int) -> SessionRecord:
        return load(frames - 1) if frames else decode_record(data)

    for depth in (100, 200, 400, 600, 800, 900):
        session = Session()
        try:
            session["x"] = nested(depth)
        except SessionValueError:
            continue
        data = encode_record(session._changes.snapshot().record)
        assert load(200).state == {"x": nested(depth)}


class Odd(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class OddList(list[Any]):
    def __eq__(self, other: object) -> bool:
        return False


class OddDict(dict[str, Any]):
    def __eq__(self, other: object) -> bool:
        return False


@pytest.mark.parametrize("value", [Odd(SECRET), OddList([SECRET]), OddDict(a=SECRET)])
def test_what_is_not_equal_to_itself_is_refused_with_a_reason(value: Any) -> None:
    with pytest.raises(SessionValueError, match=r"session\['x'\]: the value is not JSON"):
        encode_value("x", value)
    with pytest.raises(SessionValueError, match=r"session\['x'\]: \w+") as info:
        encode_value("x", [1, value])
    assert SECRET not in str(info.value)


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x", "", "a b", "ключ", "🦀", "\0", "a" * 1000])
def test_any_text_is_a_name(name: str) -> None:
    session = Session()
    session[name] = 1
    assert check_name(name) == name
    assert list(decode_record(encode_record(session._changes.snapshot().record)).state) == [name]


@pytest.mark.parametrize("name", [None, 1, b"x", ("x",), 1.5, ["x"], str])
def test_what_is_no_text_is_no_name(name: Any) -> None:
    session = Session()
    message = f"a str or a StateKey, not {type(name).__name__}"
    for use in (
        lambda: session.__setitem__(name, 1),
        lambda: session[name],
        lambda: session.__delitem__(name),
        lambda: session.update_value(name, lambda old: old, default=1),
        lambda: StateKey(name, int),
        lambda: check_name(name),
    ):
        with pytest.raises(SessionValueError, match=message):
            use()
    assert len(session) == 0


def test_half_a_surrogate_pair_is_no_name() -> None:
    session = Session()
    for use in (
        lambda: session.__setitem__("a\ud800", 1),
        lambda: session.update_value("a\ud800", lambda old: old, default=1),
        lambda: StateKey("a\ud800", int),
    ):
        with pytest.raises(SessionValueError, match="holds half a surrogate pair"):
            use()
    assert len(session) == 0


# -- typed values ---------------------------------------------------------------------------------

TYPED: list[tuple[Any, Any, bytes]] = [
    (int, 7, b"7"),
    (Cart, Cart(["tea"]), b'{"items":["tea"],"note":null}'),
    (Seat, Seat(3, True), b'{"row":3,"taken":true}'),
    (Prefs, Prefs(theme="dark"), b'{"theme":"dark"}'),
    (
        datetime.datetime,
        datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        b'"2020-01-02T03:04:05Z"',
    ),
    (datetime.timedelta, datetime.timedelta(minutes=1), b'"PT60S"'),
    (uuid.UUID, uuid.UUID(int=7), b'"00000000-0000-0000-0000-000000000007"'),
    (decimal.Decimal, decimal.Decimal("1.50"), b'"1.50"'),
    (Color, Color.RED, b'"red"'),
    (set[int], {3}, b"[3]"),
    (frozenset[str], frozenset(["a"]), b'["a"]'),
    (tuple[int, str], (1, "a"), b'[1,"a"]'),
    (bytes, b"\0\xff", b'"AP8="'),
    (list[Seat], [Seat(1)], b'[{"row":1,"taken":false}]'),
    (dict[int, str], {1: "a"}, b'{"1":"a"}'),
    (int | None, None, b"null"),
]


@pytest.mark.parametrize(("kind", "value", "raw"), TYPED, ids=[str(kind) for kind, *_ in TYPED])
def test_a_typed_value_comes_back_as_its_type(kind: Any, value: Any, raw: bytes) -> None:
    key = StateKey("x", kind)
    assert key.encode(value) == msgspec.Raw(raw)
    assert key.decode(msgspec.Raw(raw)) == value
    assert type(key.decode(key.encode(value))) is type(value)
    session = Session()
    session[key] = value
    record = decode_record(encode_record(session._changes.snapshot().record))
    assert record.state == {"x": msgspec.json.decode(raw)}


def type_names(parameter: Any) -> str:
    """An id for a parameter: not all of these values can be shown."""
    return (
        parameter if isinstance(parameter, str) and " " in parameter else type(parameter).__name__
    )


WRONG: list[tuple[Any, Any, str]] = [
    (int, SECRET, "takes a int, not this str"),
    (int, 1.5, "takes a int, not this float"),
    (int, True, "takes a int, not this bool"),
    (str, 7, "takes a str, not this int"),
    (Cart, {"items": 7}, "takes a Cart, not this dict"),
    (Cart, Cart([SECRET, 7]), r"takes a Cart, not this Cart with .* at \$"),  # type: ignore[list-item]
    (Cart, object(), "takes a Cart, not this object"),
    (list[int], [SECRET], "not this list"),
    (list[float], [float("nan")], "not this list"),
    (float, float("nan"), "takes a float, not this float"),
    (str, f"{SECRET}\ud800", "takes a str, not this str"),
    (int, 10**5000, "takes a int, not this int"),
    (list, in_itself(lambda inner: inner), "takes a list, not this list"),
    (list, nested(100_000), "takes a list, not this list"),
    (uuid.UUID, SECRET, "takes a UUID, not this str"),
    (Color, "blue", "takes a Color, not this str"),
]
# Its JSON would do, but after the next request it would be another value.
ALIKE: list[tuple[Any, Any, str]] = [
    (str, datetime.datetime(2020, 1, 1, tzinfo=UTC), "takes a str, not this datetime"),
    (str, uuid.UUID(int=7), "takes a str, not this UUID"),
    (str, b"hunter2", "takes a str, not this bytes"),
    (list, (SECRET,), "takes a list, not this tuple"),
    (list, {SECRET}, "takes a list, not this set"),
    (dict, Cart([SECRET]), "takes a dict, not this Cart"),
    (Cart, {"items": [SECRET]}, "takes a Cart, not this dict"),
    (uuid.UUID, str(uuid.UUID(int=7)), "takes a UUID, not this str"),
    (float | None, float("nan"), "not this float"),
]


@pytest.mark.parametrize(("kind", "value", "message"), WRONG + ALIKE, ids=type_names)
def test_a_value_of_another_type_is_refused(kind: Any, value: Any, message: str) -> None:
    key = StateKey("x", kind)
    session = Session()
    session["x"] = "before"
    with pytest.raises(SessionValueError, match=message) as info:
        session[key] = value
    assert "session['x']" in str(info.value)
    assert SECRET not in str(info.value)
    assert info.value.__cause__ is None and info.value.__suppress_context__
    assert session == {"x": "before"}


def test_a_subclass_is_of_its_type() -> None:
    session = Session()
    session[StateKey("a", dict)] = OrderedDict(a=1)
    session[StateKey("b", str)] = Size.SMALL
    session[StateKey("c", object)] = 1
    session[StateKey[float]("d", float)] = 7  # as Python's own type system has it
    assert session == {"a": {"a": 1}, "b": "small", "c": 1, "d": 7}


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (int, b'"hunter2"'),
        (Cart, b'{"items":"hunter2"}'),
        (Cart, b'{"note":"hunter2"}'),
        (Color, b'"hunter2"'),
        (datetime.datetime, b'"hunter2"'),
        (list[int], b'["hunter2"]'),
        (uuid.UUID, b'"hunter2"'),
        (int, b"1" * 5000),
        (float, b"1e999"),
    ],
)
def test_a_stored_value_of_another_type_is_not_handed_out(kind: Any, raw: bytes) -> None:
    with pytest.raises(SessionValueError, match=r"session\['x'\] holds a value that is no") as info:
        StateKey("x", kind).decode(msgspec.Raw(raw))
    assert SECRET not in str(info.value)
    assert info.value.__suppress_context__


def test_a_stored_value_that_is_too_deep_is_not_handed_out() -> None:
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(SessionValueError):
        StateKey("x", list).decode(deep)


def test_a_type_that_json_cannot_hold_is_refused_at_once() -> None:
    with pytest.raises(TypeError):
        StateKey("x", typing.cast(type, int | str | uuid.UUID))


def test_a_key_shows_its_name_and_type() -> None:
    assert repr(StateKey("cart", Cart)) == "StateKey('cart', Cart)"
    assert repr(StateKey("n", typing.cast("type[int | None]", int | None))) == (
        "StateKey('n', int | None)"
    )


@pytest.mark.parametrize(
    ("value", "mutable"),
    [
        *((value, False) for value in ("a", 1, 1.5, True, None)),
        ([], True),
        ({}, True),
        (set(), True),
        (Cart([]), True),
        (datetime.date(2020, 1, 1), True),
    ],
)
def test_what_can_be_changed_in_place(value: Any, mutable: bool) -> None:
    assert isinstance(value, IMMUTABLE) is not mutable


def test_a_type_need_not_be_a_class() -> None:
    key: StateKey[str | None] = StateKey("a", str | None)
    assert key.decode(key.encode(None)) is None
    session = Session()
    session[StateKey("n", int)] = 1
    assert StateKey("n", int) in session
