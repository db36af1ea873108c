"""The session record and its wire format."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_sess import (
    BrowserSession,
    DeserializationError,
    PersistentSession,
    SessionRecord,
    TtlExtensionPolicy,
)
from aiohttp_sess.config import Lifecycle
from aiohttp_sess.lifetime import lifecycle_of, lifetime_of
from aiohttp_sess.record import (
    EncodedState,
    Lifetime,
    decode_record,
    encode_record,
    new_id,
    record_of,
)

TAG = "0123456789abcdef0123456789abcdef"

RECORD = SessionRecord(
    {"user": "Ferris 🦀", "visits": 3, "cart": [{"tea": 1.5}]},
    created=1700000000.25,
    deadline=1700086400.0,
    lifetime=Lifetime(True, 604800.0, True, None),
    owner="user-42",
    cookie="__Host-id",
    id="AAAAAAAAAAAAAAAA",
)
RECORD_BYTES = (
    '[1,"0123456789abcdef0123456789abcdef","__Host-id","AAAAAAAAAAAAAAAA",1700000000.25,'
    '1700086400.0,[true,604800.0,true,null],"user-42",'
    '{"user":"Ferris 🦀","visits":3,"cart":[{"tea":1.5}]}]'
).encode()
BARE = SessionRecord(created=0.0, id="BBBBBBBBBBBBBBBB")
BARE_BYTES = b'[1,"","","BBBBBBBBBBBBBBBB",0.0,null,null,null,{}]'

EXTENDED = replace(
    RECORD,
    lifetime=Lifetime(True, 604800.0, True, None, 3600.0, 0.25),
    label="Firefox on Linux",
    authenticated=1700000001.0,
    issued=1700000002.0,
    refreshed=1700000003.0,
)
EXTENDED_BYTES = RECORD_BYTES.replace(b"[1,", b"[2,").replace(
    b"true,null]", b"true,null,3600.0,0.25]"
)[:-1] + (
    b',{"label":"Firefox on Linux","authenticated":1700000001.0,"issued":1700000002.0,'
    b'"refreshed":1700000003.0}]'
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.floats(0, 1e11)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LIFETIMES = st.builds(
    Lifetime,
    st.booleans(),
    st.floats(1, 1e9),
    st.booleans(),
    st.none() | st.floats(1, 1e9),
    st.none() | st.floats(1, 1e9),
    st.floats(0, 1, exclude_max=True),
)
RECORDS = st.builds(
    SessionRecord,
    state=st.dictionaries(st.text(), JSON, max_size=4),
    created=TIMES,
    deadline=st.none() | TIMES,
    lifetime=st.none() | LIFETIMES,
    owner=st.none() | st.text(),
    cookie=st.text(),
    id=st.text(),
    label=st.none() | st.text(),
    authenticated=st.none() | TIMES,
    issued=st.none() | TIMES,
    refreshed=st.none() | TIMES,
)


def wire(at: int | None = None, put: Any = None, *, size: int = 9) -> bytes:
    """A record's bytes with something else at one place, or of another length."""
    values = [*json.loads(BARE_BYTES), "more"][:size]
    if at is not None:
        values[at] = put
    return json.dumps(values).encode()


# -- the format -----------------------------------------------------------------------------------


def test_the_wire_format_is_version_1() -> None:
    assert encode_record(RECORD, TAG) == RECORD_BYTES
    assert encode_record(BARE) == BARE_BYTES


def test_what_has_more_to_say_is_version_2() -> None:
    assert encode_record(EXTENDED, TAG) == EXTENDED_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"label": ""},
        {"authenticated": 0.0},
        {"issued": 0.0},
        {"refreshed": 0.0},
        {"lifetime": Lifetime(True, 60.0, True, None, 3600.0)},
        {"lifetime": Lifetime(True, 60.0, True, None, None, 0.5)},
    ],
)
def test_each_of_it_makes_version_2(change: dict[str, Any]) -> None:
    record = replace(BARE, **change)
    data = encode_record(record)
    assert data.startswith(b"[2,")
    assert decode_record(data) == record


def test_records_of_this_release_can_be_read_for_ever() -> None:
    assert decode_record(RECORD_BYTES, TAG) == RECORD
    assert decode_record(BARE_BYTES) == BARE
    assert decode_record(EXTENDED_BYTES, TAG) == EXTENDED


def test_any_client_can_read_and_write_it() -> None:
    spaced = json.dumps(json.loads(RECORD_BYTES), indent=1, sort_keys=True)
    assert decode_record(spaced.encode(), TAG) == RECORD


def test_whole_numbers_are_times_too() -> None:
    record = decode_record(b'[1,"","","B",1700000000,1700000001,[true,60,true,3600],null,{}]')
    assert (record.created, record.deadline) == (1700000000.0, 1700000001.0)
    assert record.lifetime == Lifetime(True, 60.0, True, 3600.0)


@given(record=RECORDS, tag=st.text())
def test_a_record_comes_back(record: SessionRecord, tag: str) -> None:
    data = encode_record(record, tag)
    decoded = decode_record(data, tag)
    assert decoded == record
    # And is written again as it was, value for value.
    assert encode_record(decoded, tag) == data


def test_what_is_not_touched_is_written_as_it_was_spelled() -> None:
    data = b'[1,"","","B",0.0,null,null,null,{"x": [ 1.0e1,"\\u0041" ]}]'
    assert b'[ 1.0e1,"\\u0041" ]' in encode_record(decode_record(data))


def test_of_a_name_twice_the_last_counts() -> None:
    """ASVS 1.5.2."""
    data = b'[1,"","","B",0.0,null,null,null,{"x":1,"x":2}]'
    assert decode_record(data).state == {"x": 2}


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 3, -1, 10**9])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(DeserializationError, match=f"of version {version}, this release reads 1"):
        decode_record(wire(0, version))


@pytest.mark.parametrize("tag", ["", TAG[:-1], TAG.upper(), TAG + "0"])
def test_the_record_of_another_key_is_refused(tag: str) -> None:
    with pytest.raises(DeserializationError, match="belongs to another session key"):
        decode_record(RECORD_BYTES, tag)


OF_ANOTHER_TYPE: dict[int, list[Any]] = {
    0: [None, "1", 1.5, [1]],
    1: [None, 1, []],
    2: [None, 1, {}],
    3: [None, 7],
    4: [None, "0", True, []],
    5: ["0", False],
    6: [1, {}, [], [True, 60, True], ["yes", 60, True, None], [True, "60", True, None]],
    7: [7, [], False],
    8: [None, [], "x", 7],
}


@pytest.mark.parametrize(
    ("at", "put"), [(at, put) for at, wrong in OF_ANOTHER_TYPE.items() for put in wrong]
)
def test_a_field_of_another_type_is_refused(at: int, put: Any) -> None:
    with pytest.raises(DeserializationError, match="not a session record of version 1"):
        decode_record(wire(at, put))


@pytest.mark.parametrize("size", [0, 1, 8, 10])
def test_a_field_more_or_less_is_refused(size: int) -> None:
    """A reader that dropped what it does not know would lose it with its next write."""
    with pytest.raises(DeserializationError):
        decode_record(wire(size=size))


@pytest.mark.parametrize(
    "data",
    [
        BARE_BYTES.replace(b"[1,", b"[2,"),
        BARE_BYTES[:-1] + b",{}]",
        BARE_BYTES.replace(b"[1,", b"[2,")[:-1] + b',{"unknown":1}]',
        BARE_BYTES.replace(b"[1,", b"[2,")[:-1] + b',{"issued":-1}]',
        BARE_BYTES.replace(b"[1,", b"[2,")[:-1] + b',{"issued":"0"}]',
        BARE_BYTES.replace(b"[1,", b"[2,")[:-1] + b",null]",
    ],
)
def test_what_is_neither_version_is_refused(data: bytes) -> None:
    with pytest.raises(DeserializationError):
        decode_record(data)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0",
        b"null",
        b"{}",
        b"[1",
        BARE_BYTES[:-1],
        BARE_BYTES + b"x",
        BARE_BYTES * 2,
        b"\xff" + BARE_BYTES,
        BARE_BYTES.decode().encode("utf-16"),
        wire(8, {"x": "é"}).replace(b"\\u00e9", b"\xe9"),  # a value that is not UTF-8
        wire(8, {"x": 7}).replace(b"7", b"NaN"),
        wire(8, {"x": 7}).replace(b"7", b"["),
        wire(8, {"x": 7}).replace(b"7", b"01"),
        wire(8, {"x": 7}).replace(b"7", b'"\\ud800"'),  # half a surrogate pair
        wire(4, 7).replace(b"7", b"1e999"),
        wire(4, 7).replace(b"7", b"1" * 5000),
        b"[" * 100_000,
        wire(8, {"x": 7}).replace(b"7", b"[" * 100_000 + b"]" * 100_000),
        b"\x80\x04cos\nsystem\n(S'true'\ntR.",  # a pickle
    ],
    ids=range(20),
)
def test_garbage_is_refused(garbage: bytes) -> None:
    """ASVS 1.5.2: never another exception, and nothing that takes long."""
    with pytest.raises(DeserializationError) as info:
        decode_record(garbage)
    assert info.value.revision is None


@given(data=st.binary())
def test_random_bytes_are_refused(data: bytes) -> None:
    """ASVS 1.5.2."""
    with pytest.raises(DeserializationError):
        decode_record(data)


@given(where=st.integers(0, len(RECORD_BYTES) - 1), byte=st.integers(0, 255))
def test_a_damaged_record_is_read_or_refused(where: int, byte: int) -> None:
    data = RECORD_BYTES[:where] + bytes([byte]) + RECORD_BYTES[where + 1 :]
    with suppress(DeserializationError):
        decode_record(data, TAG)


@pytest.mark.parametrize(
    "lifetime",
    [
        [True, 0, True, None],
        [True, 0.5, True, None],
        [False, -60, True, None],
        [True, 1e300, True, None],
        [True, 60, True, 0],
        [True, 60, True, -1],
        [False, 60, True, 1e300],
    ],
)
def test_a_lifetime_that_is_none_is_refused(lifetime: list[Any]) -> None:
    """ASVS 1.5.2: or every request of that session would fail."""
    with pytest.raises(DeserializationError):
        decode_record(wire(6, lifetime))


@pytest.mark.parametrize("created", [1e300, -1e300])
def test_a_time_that_is_none_is_refused(created: float) -> None:
    """ASVS 1.5.2: `Session.created` could not be read."""
    with pytest.raises(DeserializationError):
        decode_record(wire(4, created))


def test_messages_never_quote_a_record() -> None:
    """ASVS 16.2.5: they are logged."""
    wrong: list[Any] = [["hunter2"], {"hunter2": 1}]
    refused = [(at, put) for at in range(9) for put in wrong]
    refused += [(at, "hunter2") for at in (0, 1, 4, 5, 6, 8)]
    refused.remove((8, {"hunter2": 1}))  # a state
    for at, put in refused:
        with pytest.raises(DeserializationError) as info:
            decode_record(wire(at, put))
        shown = "".join(traceback.format_exception(info.value))
        assert "DeserializationError" in shown
        assert "hunter2" not in str(info.value)
        assert "MsgspecError" not in shown and "ValidationError" not in shown


# -- the record -----------------------------------------------------------------------------------


def test_a_fresh_record() -> None:
    before = time.time()
    record = SessionRecord()
    assert before <= record.created <= time.time()
    assert record.state == {}
    assert (record.deadline, record.lifetime, record.owner, record.cookie) == (None, None, None, "")
    assert record.id != SessionRecord().id


def test_public_ids_are_random() -> None:
    """ASVS 7.2.3 asks this of keys; ids are shown, so that they must say nothing."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(id) for id in ids} == {16}


def test_the_repr_of_a_record_shows_no_values() -> None:
    """ASVS 16.2.5."""
    for record in (RECORD, decode_record(RECORD_BYTES, TAG)):
        shown = f"{record!r} {record!s}"
        assert "AAAAAAAAAAAAAAAA" in shown
        for value in ("Ferris", "tea", "user-42"):
            assert value not in shown


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        RECORD.owner = "user-43"  # type: ignore[misc]  # what is tested


# -- encoded state --------------------------------------------------------------------------------


def test_encoded_state_is_a_mapping_of_its_values() -> None:
    state = EncodedState.of(RECORD.state)
    assert state == RECORD.state
    assert RECORD.state == state
    assert state == EncodedState.of(dict(state))
    assert list(state) == ["user", "visits", "cart"]
    assert len(state) == 3
    assert "user" in state and "missing" not in state
    assert state["visits"] == 3
    with pytest.raises(KeyError):
        state["missing"]


def test_encoded_state_gives_a_copy_each_time() -> None:
    state = EncodedState.of({"cart": ["tea"]})
    state["cart"].append("milk")
    assert state["cart"] == ["tea"]


def test_encoded_state_is_not_encoded_twice() -> None:
    state = EncodedState.of({"cart": ["tea"]})
    assert EncodedState.of(state) is state
    assert state.raw == {"cart": msgspec.Raw(b'["tea"]')}


def test_encoded_state_shows_names_only() -> None:
    assert repr(EncodedState.of({"b": "hunter2", "a": 1})) == "<EncodedState ['a', 'b']>"


def test_the_digits_of_an_int_are_bounded() -> None:
    """ASVS 1.5.2: reading a long number must not take long."""
    digits = b"1" * (sys.get_int_max_str_digits() + 1)
    state = decode_record(wire(8, {"x": 7}).replace(b"7", digits)).state
    with pytest.raises(msgspec.MsgspecError):
        state["x"]


# -- lifecycles in records ------------------------------------------------------------------------

# A float of seconds has no microseconds left at the far end.
SPANS = st.integers(1, 100_000 * 24 * 60 * 60).map(lambda seconds: timedelta(seconds=seconds))


@given(
    lifecycle=st.builds(
        lambda kind, *args: kind(*args),
        st.sampled_from([BrowserSession, PersistentSession]),
        SPANS,
        st.sampled_from(TtlExtensionPolicy),
        st.none() | SPANS,
    )
)
def test_a_lifecycle_comes_back_from_a_record(lifecycle: Lifecycle) -> None:
    record = SessionRecord(lifetime=lifetime_of(lifecycle))
    decoded = decode_record(encode_record(record))
    assert decoded.lifetime is not None
    assert lifecycle_of(decoded.lifetime) == lifecycle


def test_a_record_that_is_made_fast_is_like_any_other() -> None:
    values = (EncodedState.of({"n": 1}), 1.0, 2.0, None, "ann", "id", "x", "phone", 3.0, 4.0, 5.0)
    record = record_of(*values)
    assert type(record) is SessionRecord
    assert record == SessionRecord(*values)
    assert tuple(getattr(record, field.name) for field in dataclasses.fields(record)) == values
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.owner = "eve"  # type: ignore[misc]  # that is the point
    with pytest.raises(ValueError, match="not enough values"):
        record_of(*values[:-1])
