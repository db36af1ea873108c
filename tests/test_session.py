"""The session as a handler sees it: a mapping, its status, its owner, its lifecycle."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_sess import (
    BrowserSession,
    PersistentSession,
    Session,
    SessionRecord,
    SessionStatus,
    SessionValueError,
    StateKey,
    TtlExtensionPolicy,
)
from aiohttp_sess.changes import Changes
from aiohttp_sess.record import decode_record, encode_record
from aiohttp_sess.sockets import Binding, Socket

from .test_record import JSON

HOUR = timedelta(hours=1)


@dataclasses.dataclass
class Cart:
    items: list[str]


CART = StateKey("cart", Cart)
VISITS = StateKey("visits", int)
EMPTY = Cart([])


def loaded(state: dict[str, Any] | None = None, **fields: Any) -> Session:
    """A session that a storage holds."""
    record = decode_record(encode_record(SessionRecord(state or {}, **fields)))
    return Session(Changes(record, stored=True, clock=time.time))


def as_saved(session: Session) -> SessionRecord:
    """Its record, as it would be saved now."""
    return session._changes.snapshot().record


# -- a mapping ------------------------------------------------------------------------------------


def test_a_session_is_a_mutable_mapping() -> None:
    session = Session()
    assert isinstance(session, MutableMapping)
    session["a"] = 1
    session["b"] = [2]
    assert session["a"] == 1
    assert list(session) == ["a", "b"]
    assert len(session) == 2
    assert bool(session) and not Session()
    del session["a"]
    assert session == {"b": [2]}
    with pytest.raises(KeyError, match="a"):
        session["a"]
    with pytest.raises(KeyError, match="a"):
        del session["a"]


def test_get() -> None:
    session = loaded({"a": None, "n": 1, "cart": {"items": []}})
    assert session.get("a", 7) is None
    assert session.get("missing") is None
    assert session.get("missing", 7) == 7
    assert session.get("missing", default=7) == 7
    assert session.get(CART) == EMPTY
    assert session.get(VISITS) is None
    assert session.get(VISITS, 0) == 0
    assert session.status is SessionStatus.UNCHANGED


def test_pop() -> None:
    session = loaded({"a": 1, "b": None, "cart": {"items": ["tea"]}, "list": []})
    assert session.pop("a") == 1
    assert session.pop("b", 7) is None
    assert session.pop("missing", 7) == 7
    assert session.pop("missing", None) is None
    assert session.pop("missing", default=7) == 7
    assert session.pop(CART) == Cart(["tea"])
    assert session.pop(CART, None) is None
    for key in ("missing", CART):
        with pytest.raises(KeyError):
            session.pop(key)
    session.pop("list").append("late")
    assert as_saved(session).state == {}


def test_a_pop_of_nothing_is_no_change() -> None:
    session = loaded({"a": 1})
    session.pop("missing", None)
    assert session.status is SessionStatus.UNCHANGED


def test_popitem() -> None:
    session = loaded({"a": 1, "b": 2})
    assert session.popitem() in (("a", 1), ("b", 2))
    session.popitem()
    assert not session
    with pytest.raises(KeyError):
        session.popitem()
    assert session.status is SessionStatus.CHANGED


def test_setdefault() -> None:
    session = loaded({"a": 1, "none": None})
    assert session.setdefault("a", 2) == 1
    assert session.setdefault("none", 2) is None
    assert session.status is SessionStatus.UNCHANGED
    assert session.setdefault("b") is None
    assert session.setdefault(VISITS, 7) == 7
    basket = session.setdefault("basket", [])
    basket.append("tea")
    session.setdefault("basket", []).append("milk")
    session.setdefault(CART, Cart([])).items.append("tea")
    assert as_saved(session).state == {
        "a": 1,
        "none": None,
        "b": None,
        "visits": 7,
        "basket": ["tea", "milk"],
        "cart": {"items": ["tea"]},
    }


def test_update() -> None:
    session = loaded({"a": 1})
    session.update({"a": 2, "b": 3})
    session.update([("c", 4), ("d", 5)])
    session.update(e=6)
    session.update(Session(), f=7)
    session.update()
    assert session == {"a": 2, "b": 3, "c": 4, "d": 5, "e": 6, "f": 7}


def test_clear_goes_on_with_an_empty_session() -> None:
    session = loaded({"a": 1})
    before = session.id
    session.clear()
    assert session.empty and not session.new
    assert session.id == before
    assert session.status is SessionStatus.CHANGED


def test_views() -> None:
    session = loaded({"a": 1, "b": [2]})
    keys, values, items = session.keys(), session.values(), session.items()
    assert set(keys) == {"a", "b"}
    assert list(values) == [1, [2]]
    assert list(items) == [("a", 1), ("b", [2])]
    assert "a" in keys and ("a", 1) in items and [2] in values
    assert keys | {"c"} == {"a", "b", "c"}
    assert keys & {"a", "c"} == {"a"}
    session["c"] = 3
    assert len(keys) == len(values) == len(items) == 3
    assert session.status is SessionStatus.CHANGED


def test_it_can_be_made_a_dict() -> None:
    session = loaded({"a": 1, "b": [2]})
    spread: dict[str, Any] = {**session}
    for plain in (dict(session), spread, dict(session.items())):
        assert plain == {"a": 1, "b": [2]}
        assert type(plain) is dict
    assert dict(session) | {"a": 2} == {"a": 2, "b": [2]}
    assert session.status is SessionStatus.UNCHANGED


def test_equality_is_that_of_the_values() -> None:
    session = loaded({"a": 1, "b": [2]})
    assert session == {"b": [2], "a": 1}
    assert session == loaded({"a": 1, "b": [2]})
    assert session != {"a": 1}
    assert session != loaded()
    others: list[Any] = [7, [("a", 1), ("b", [2])]]
    assert session not in others
    with pytest.raises(TypeError, match="unhashable"):
        hash(session)


def test_anything_can_be_asked_for() -> None:
    session = loaded({"cart": {"items": []}, "1": 1, "None": 1})
    known: list[Any] = ["cart", CART]
    assert all(key in session for key in known)
    odd: list[Any] = [VISITS, None, 1, 1.5, (), [], {}, b"cart", str, StateKey, object(), session]
    for key in odd:
        assert key not in session


def test_an_unreadable_value_can_be_replaced_and_deleted() -> None:
    data = encode_record(SessionRecord({"a": 7, "b": 7})).replace(b":7", b":" + b"1" * 5000)
    session = Session(Changes(decode_record(data), stored=True, clock=time.time))
    assert session.get("a", "nothing") == "nothing"
    assert session.update_value("a", lambda old: old, default=1) == 1
    del session["b"]
    assert session == {"a": 1}


STATES = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(
    start=STATES,
    deeds=st.lists(
        st.tuples(
            st.sampled_from(["set", "del", "pop", "setdefault", "update", "clear", "popitem"]),
            st.sampled_from("abc"),
            JSON,
        ),
        max_size=8,
    ),
)
def test_it_does_what_a_dict_does(start: dict[str, Any], deeds: list[tuple[str, str, Any]]) -> None:
    session = loaded(start)
    model: dict[str, Any] = dict(start)

    def do(mapping: MutableMapping[str, Any], deed: str, key: str, value: Any) -> Any:
        try:
            match deed:
                case "set":
                    mapping[key] = value
                case "del":
                    del mapping[key]
                case "pop":
                    return mapping.pop(key)
                case "setdefault":
                    return mapping.setdefault(key, value)
                case "update":
                    return mapping.update({key: value, "z": 1})
                case "clear":
                    return mapping.clear()
                case "popitem":
                    # A dict's own takes the last; which one is not part of the interface.
                    return len(mapping.popitem()) if not mapping else None
        except KeyError:
            return KeyError

    for deed in deeds:
        assert do(session, *deed) == do(model, *deed)
        assert session == model
        assert len(session) == len(model)
        assert set(session) == set(model)
    assert as_saved(session).state == model


# -- update_value ---------------------------------------------------------------------------------


def test_update_value_answers_what_is_there_then() -> None:
    session = loaded({"n": 1})
    assert session.update_value("n", lambda n: n + 1) == 2
    assert session["n"] == 2
    assert session.status is SessionStatus.CHANGED


def test_update_value_of_nothing_does_nothing() -> None:
    session = loaded()
    assert session.update_value("n", lambda n: n + 1) is None
    assert session == {}
    assert session.status is SessionStatus.UNCHANGED


def test_update_value_of_nothing_sets_the_default() -> None:
    session = loaded()
    calls: list[Any] = []
    assert session.update_value("n", calls.append, default=7) == 7
    assert session.update_value("none", calls.append, default=None) is None
    assert session == {"n": 7, "none": None}
    assert calls == []


def test_update_value_takes_no_other_keyword() -> None:
    session = loaded({"n": 1})
    with pytest.raises(TypeError, match="defualt"):
        session.update_value("n", lambda n: n, defualt=1)  # type: ignore[call-overload]
    assert session.status is SessionStatus.UNCHANGED


def test_update_value_by_a_typed_key() -> None:
    session = loaded({"cart": {"items": ["tea"]}})
    cart = session.update_value(CART, lambda cart: Cart([*cart.items, "milk"]))
    assert cart == session[CART] == Cart(["tea", "milk"])
    assert session.update_value(VISITS, lambda n: n + 1, default=0) == 0
    assert session == {"cart": {"items": ["tea", "milk"]}, "visits": 0}


def test_update_value_sees_what_was_changed_in_place() -> None:
    session = loaded({"basket": ["tea"]})
    session["basket"].append("milk")
    assert session.update_value("basket", len) == 2


def test_a_function_that_raises_leaves_the_value_as_it_was() -> None:
    session = loaded({"basket": ["tea"]})

    def sold_out(basket: list[str]) -> list[str]:
        basket.append("milk")
        raise LookupError

    with pytest.raises(LookupError):
        session.update_value("basket", sold_out)
    with pytest.raises(SessionValueError):
        session.update_value("basket", tuple)
    assert session == {"basket": ["tea"]}
    assert session.status is SessionStatus.UNCHANGED


def test_a_default_is_copied() -> None:
    session = loaded()
    default: list[str] = []
    session.update_value("basket", len, default=default)
    default.append("late")
    assert session["basket"] == []
    session["basket"].append("tea")
    assert default == ["late"]


# -- what it is -----------------------------------------------------------------------------------


def test_a_session_stands_alone() -> None:
    before = datetime.now(UTC)
    session = Session()
    assert session.new and session.empty
    assert session.status is SessionStatus.UNCHANGED
    assert before - timedelta(seconds=1) <= session.created <= datetime.now(UTC)
    assert session.created.tzinfo is UTC
    assert session.owner is None
    assert session.lifecycle == BrowserSession()
    assert isinstance(session.id, str) and len(session.id) == 16


@pytest.mark.parametrize("deed", ["save", "reload", "bind"])
async def test_a_session_that_stands_alone_belongs_to_no_request(deed: str) -> None:
    session = Session()
    socket = cast(Socket, None)
    with pytest.raises(RuntimeError, match="stands alone: it belongs to no request"):
        await (session.bind(socket) if deed == "bind" else getattr(session, deed)())


class Committer:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def save(self) -> None:
        self.asked.append("save")

    async def reload(self) -> bool:
        self.asked.append("reload")
        return False

    async def bind(self, socket: Socket, check_every: float) -> Binding:
        self.asked.append(("bind", socket, check_every))

        async def alive(active: bool) -> bool:
            return True

        return Binding(socket, alive, lambda: None)


async def test_a_session_of_a_request_asks_it() -> None:
    committer = Committer()
    session = Session(committer=committer)
    socket = cast(Socket, object())
    await session.save()
    assert await session.reload() is False
    assert isinstance(await session.bind(socket), Binding)
    await session.bind(socket, check_every=1.5)
    assert committer.asked == ["save", "reload", ("bind", socket, 10.0), ("bind", socket, 1.5)]


def test_a_stored_session() -> None:
    session = loaded({"a": 1}, created=1_700_000_000.25, owner="user-42", id="I" * 16)
    assert not session.new and not session.empty
    assert session.created == datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)
    assert (session.id, session.owner) == ("I" * 16, "user-42")


def test_a_session_that_was_purged_is_new() -> None:
    session = loaded({"a": 1}, owner="user-42")
    before = session.id, session.created
    session.purge()
    assert session.new and session.empty
    assert session.status is SessionStatus.PURGED
    assert session.owner is None
    assert session.id != before[0] and session.created > before[1] - timedelta(seconds=1)
    session["b"] = 1
    assert session == {"b": 1}
    assert session.status is SessionStatus.PURGED


def test_invalidate_is_purge() -> None:
    session = loaded({"a": 1})
    session.invalidate()
    assert session.status is SessionStatus.PURGED
    assert session.new and session.empty


def test_a_session_that_was_renewed_is_the_same_session() -> None:
    """ASVS 7.2.4: under another key, and so with another id."""
    session = loaded({"a": 1}, owner="user-42")
    before = session.id
    created = session.created
    session.renew()
    assert session.status is SessionStatus.RENEWED
    assert not session.new
    assert session == {"a": 1}
    assert (session.owner, session.created) == ("user-42", created)
    assert session.id != before


def test_changed_counts_as_a_change() -> None:
    session = loaded({"a": 1})
    session.changed()
    assert session.status is SessionStatus.CHANGED
    assert as_saved(session).state == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session["nested"]["list"].append(1),
        lambda session: session["nested"].update(a=1),
        lambda session: session.get("nested").clear(),
        lambda session: next(iter(session.values())).clear(),
        lambda session: dict(session)["nested"]["list"].append(1),
        lambda session: session.setdefault("nested", {})["list"].append(1),
        lambda session: session[StateKey("nested", dict)].clear(),
    ],
)
def test_a_change_in_place_is_noticed(change: Callable[[Session], object]) -> None:
    session = loaded({"nested": {"list": []}})
    change(session)
    assert session.status is SessionStatus.CHANGED
    assert as_saved(session).state != {"nested": {"list": []}}


def test_an_attribute_that_does_not_exist_cannot_be_set() -> None:
    session = Session()
    with pytest.raises(AttributeError):
        session.user = "user-42"  # type: ignore[attr-defined]  # session["user"] was meant
    for name in ("status", "new", "empty", "created", "id"):
        with pytest.raises(AttributeError):
            setattr(session, name, None)


# -- owner and lifecycle --------------------------------------------------------------------------


def test_the_owner_is_kept_in_the_record() -> None:
    session = loaded()
    session.owner = "user-42"
    assert session.owner == "user-42"
    assert session.status is SessionStatus.CHANGED
    assert as_saved(session).owner == "user-42"
    session.owner = None
    assert as_saved(session).owner is None


def test_the_same_owner_is_no_change() -> None:
    session = loaded(owner="user-42")
    session.owner = "user-42"
    assert session.status is SessionStatus.UNCHANGED
    session = loaded()
    session.owner = None
    assert session.status is SessionStatus.UNCHANGED


@pytest.mark.parametrize("wrong", ["", 42, b"user-42", ["user-42"], "user\ud800"])
def test_what_is_no_owner_is_refused_at_once(wrong: Any) -> None:
    session = loaded(owner="user-42")
    with pytest.raises(TypeError):
        session.owner = wrong
    assert session.owner == "user-42"
    assert session.status is SessionStatus.UNCHANGED


REMEMBERED = PersistentSession(HOUR, TtlExtensionPolicy.ON_EVERY_REQUEST, timedelta(days=30))


@pytest.mark.parametrize("lifecycle", [REMEMBERED, BrowserSession(HOUR), PersistentSession()])
def test_a_lifecycle_of_its_own_is_kept_in_the_record(
    lifecycle: BrowserSession | PersistentSession,
) -> None:
    session = loaded()
    session.lifecycle = lifecycle
    assert session.lifecycle == lifecycle
    assert session.status is SessionStatus.CHANGED
    record = decode_record(encode_record(as_saved(session)))
    again = Session(Changes(record, stored=True, clock=time.time), lifecycle=BrowserSession())
    assert again.lifecycle == lifecycle
    again.lifecycle = lifecycle
    assert again.status is SessionStatus.UNCHANGED


def test_without_one_it_has_the_lifecycle_of_all() -> None:
    changes = Changes(SessionRecord(), stored=False, clock=time.time)
    assert Session(changes, lifecycle=REMEMBERED).lifecycle is REMEMBERED


@pytest.mark.parametrize("wrong", [None, 3600, HOUR, PersistentSession, "persistent"])
def test_what_is_no_lifecycle_is_refused_at_once(wrong: Any) -> None:
    session = loaded()
    with pytest.raises(TypeError, match="must be a BrowserSession or a PersistentSession, not "):
        session.lifecycle = wrong
    assert session.status is SessionStatus.UNCHANGED


# -- what it shows --------------------------------------------------------------------------------


def test_the_repr_shows_status_and_names_and_no_values() -> None:
    """ASVS 3.3.4, 16.2.5."""
    session = loaded({"b": "hunter2", "a": ["hunter2"]}, owner="hunter2", id="I" * 16)
    assert repr(session) == "<Session IIIIIIIIIIIIIIII unchanged ['a', 'b']>"
    session["c"] = "hunter2"
    assert f"{session!s}{session}" == 2 * "<Session IIIIIIIIIIIIIIII changed ['a', 'b', 'c']>"


def test_the_repr_of_what_cannot_be_saved_is_no_error() -> None:
    session = loaded({"list": []}, id="I" * 16)
    session["list"].append({"hunter2"})
    assert repr(session) == "<Session IIIIIIIIIIIIIIII changed ['list']>"
    with pytest.raises(SessionValueError, match=r"session\['list'\]") as info:
        session.status  # noqa: B018  # what is tested
    assert "hunter2" not in str(info.value)


def test_a_session_begins_empty() -> None:
    with pytest.raises(TypeError, match=r"session\.update"):
        Session({"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fn must be callable, not int"):
        Session().update_value("missing", 3)  # type: ignore[call-overload]
