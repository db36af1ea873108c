"""The working copy of a record: what is saved, what came meanwhile, and what is done again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from aiohttp_sess import Session, SessionRecord, SessionStatus, SessionValueError, StateKey
from aiohttp_sess.changes import Changes
from aiohttp_sess.operations import Snapshot, Update
from aiohttp_sess.record import EncodedState, Lifetime, decode_record, encode_record

UNCHANGED, CHANGED = SessionStatus.UNCHANGED, SessionStatus.CHANGED
RENEWED, PURGED = SessionStatus.RENEWED, SessionStatus.PURGED

NOW = 1_700_000_000.0


@dataclass
class Cart:
    items: list[str]
    note: str = ""


CART = StateKey("cart", Cart)


def increment(number: int) -> int:
    return number + 1


def record(state: Mapping[str, Any], **fields: Any) -> SessionRecord:
    """A record as a storage gives it back."""
    return decode_record(encode_record(SessionRecord(dict(state), created=5.0, **fields)))


def loaded(**state: Any) -> Changes:
    """The working copy of a record that was loaded."""
    return Changes(record(state, cookie="id"), stored=True, clock=lambda: NOW)


def fresh() -> Changes:
    """The working copy of a session that begins."""
    return Changes(SessionRecord(cookie="id"), stored=False, clock=lambda: NOW)


def state(changes: Changes) -> dict[str, Any]:
    """The state as it would be saved now."""
    return dict(changes.snapshot().record.state)


def save(changes: Changes, meanwhile: Callable[[Changes], object] = id) -> SessionRecord:
    """Save, with something that is done to the session while the storage works."""
    saved = changes.snapshot()
    meanwhile(changes)
    stored = decode_record(encode_record(saved.record))
    changes.settle(saved, stored)
    return stored


# -- what is to be saved --------------------------------------------------------------------------


def test_a_loaded_session_is_unchanged() -> None:
    changes = loaded(a=1)
    assert changes.due is changes.status is UNCHANGED
    assert changes.stored
    assert changes.created == 5.0
    assert changes.owner is None and changes.lifetime is None


def test_a_fresh_session_is_worth_saving_once_there_is_something_in_it() -> None:
    changes = fresh()
    assert not changes.worth_saving
    assert not changes.stored
    changes.set("a", None)
    assert changes.worth_saving
    changes.delete("a")
    assert not changes.worth_saving
    changes.set_field("owner", "user-42")
    assert changes.worth_saving


CHANGES: list[Callable[[Changes], object]] = [
    lambda changes: changes.set("a", 2),
    lambda changes: changes.set("b", 1),
    lambda changes: changes.delete("a"),
    lambda changes: changes.clear(),
    lambda changes: changes.update(Update("a", increment, ())),
    lambda changes: changes.update(Update("b", increment, (1,))),
    lambda changes: changes.force(),
    lambda changes: changes.set_field("owner", "user-42"),
    lambda changes: changes.set_field("lifetime", Lifetime(True, 60.0, False, None)),
    lambda changes: changes.get("list").append(1),
    lambda changes: changes.get(StateKey("list", list)).append(1),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_due_and_told(change: Callable[[Changes], object]) -> None:
    changes = loaded(a=1, list=[])
    change(changes)
    assert changes.due is changes.status is CHANGED
    save(changes)
    assert changes.due is UNCHANGED
    assert changes.status is CHANGED


def test_reading_is_no_change() -> None:
    changes = loaded(a=1, list=[{"b": [1]}], cart={"items": []})
    for name in changes:
        changes.get(name)
    changes.get(CART)
    assert "a" in changes and len(changes) == 3
    assert changes.update(Update("missing", increment, ())) is None
    with pytest.raises(KeyError):
        changes.get("missing")
    with pytest.raises(KeyError):
        changes.delete("missing")
    assert changes.due is UNCHANGED


# -- status ---------------------------------------------------------------------------------------


def test_renewed_stays_renewed_when_state_changes_later() -> None:
    changes = loaded(a=1)
    changes.renew()
    changes.set("a", 2)
    assert changes.due is changes.status is RENEWED
    save(changes)
    assert changes.due is UNCHANGED
    assert changes.status is RENEWED
    changes.set("a", 3)
    assert changes.due is CHANGED
    assert changes.status is RENEWED
    save(changes)
    assert changes.status is RENEWED


def test_purged_outdoes_everything() -> None:
    for before in (*CHANGES, Changes.renew):
        changes = loaded(a=1, list=[])
        before(changes)
        changes.purge()
        changes.set("a", 2)
        changes.renew()
        assert changes.due is changes.status is PURGED


@pytest.mark.parametrize("again", [*CHANGES, Changes.renew, Changes.purge])
def test_the_status_of_what_was_saved_sticks(again: Callable[[Changes], object]) -> None:
    changes = loaded()
    changes.purge()
    changes.set("a", 1)
    changes.set("list", [])
    save(changes)
    assert changes.due is UNCHANGED
    assert changes.status is PURGED
    again(changes)
    assert changes.status is PURGED


# -- renewal and purge ----------------------------------------------------------------------------


def test_a_renewal_keeps_all_but_the_id_and_says_when_it_was() -> None:
    changes = loaded(a=1)
    before = changes.snapshot().record
    changes.renew()
    after = changes.snapshot().record
    assert after.id != before.id
    assert after.authenticated == NOW
    assert dataclasses.replace(after, id=before.id, authenticated=None) == before
    assert changes.renewing


def test_a_renewal_that_cannot_be_leaves_the_id_as_it_was() -> None:
    changes = loaded()
    before = changes.id
    changes.renew()
    changes.renew()
    changes.cancel_renewal()
    assert changes.id == before
    assert changes.due is UNCHANGED
    changes.cancel_renewal()
    assert changes.id == before


def test_a_purge_begins_a_fresh_session() -> None:
    changes = loaded(a=1)
    changes.set_field("owner", "user-42")
    changes.set_field("lifetime", Lifetime(True, 60.0, False, None))
    changes.renew()
    changes.force()
    before = changes.id
    changes.purge()
    assert changes.purging and changes.stored and not changes.renewing
    assert not changes.worth_saving
    assert (changes.owner, changes.lifetime, changes.created) == (None, None, NOW)
    assert changes.id != before
    changes.set("b", 1)
    saved = changes.snapshot()

    assert saved.record.state == {"b": 1}
    assert saved.record.cookie == "id"  # its session cookie stays the same
    assert saved.record.deadline is None


def test_what_was_handed_out_before_a_purge_is_not_part_of_the_fresh_session() -> None:
    changes = loaded(list=[])
    value = changes.get("list")
    changes.purge()
    value.append("late")
    assert state(changes) == {}


def test_once_the_storage_has_let_go_the_fresh_session_goes_on() -> None:
    changes = loaded(a=1)
    changes.purge()
    changes.ended()
    assert not changes.stored and not changes.purging
    assert changes.status is PURGED and changes.due is UNCHANGED
    changes.set("b", 1)
    assert changes.worth_saving
    assert changes.due is CHANGED
    assert state(changes) == {"b": 1}


# -- while it is being saved ----------------------------------------------------------------------


def test_what_was_saved_is_not_saved_again() -> None:
    changes = fresh()
    changes.set("a", 1)
    changes.set_field("owner", "user-42")
    changes.force()
    stored = save(changes)
    assert changes.stored
    assert changes.due is UNCHANGED
    assert changes.owner == "user-42"
    assert changes.snapshot().record == stored
    assert not changes.snapshot().operations


def clear_and_set(changes: Changes) -> None:
    changes.clear()
    changes.set("b", 2)


def delete_and_set(changes: Changes) -> None:
    changes.delete("a")
    changes.set("a", 1)


MEANWHILE: list[tuple[Callable[[Changes], object], dict[str, Any]]] = [
    (lambda changes: changes.set("a", 2), {"a": 2, "n": 1, "list": ["x"]}),
    (lambda changes: changes.set("b", 2), {"a": 1, "n": 1, "list": ["x"], "b": 2}),
    (lambda changes: changes.delete("a"), {"n": 1, "list": ["x"]}),
    (lambda changes: changes.clear(), {}),
    (clear_and_set, {"b": 2}),
    (lambda changes: changes.update(Update("n", increment, ())), {"a": 1, "n": 2, "list": ["x"]}),
    (lambda changes: changes.update(Update("a", increment, ())), {"a": 2, "n": 1, "list": ["x"]}),
    (
        lambda changes: changes.update(Update("b", increment, (7,))),
        {"a": 1, "n": 1, "list": ["x"], "b": 7},
    ),
    (lambda changes: changes.get("list").append("y"), {"a": 1, "n": 1, "list": ["x", "y"]}),
    (lambda changes: changes.set("list", ["y"]), {"a": 1, "n": 1, "list": ["y"]}),
    (delete_and_set, {"n": 1, "list": ["x"], "a": 1}),
]


@pytest.mark.parametrize(("deed", "after"), MEANWHILE)
def test_what_is_done_meanwhile_is_saved_next(
    deed: Callable[[Changes], object], after: dict[str, Any]
) -> None:
    changes = loaded(a=0, n=0, list=[], gone=1)
    changes.set("a", 1)
    changes.update(Update("n", increment, ()))
    changes.get("list").append("x")
    changes.delete("gone")
    stored = save(changes, meanwhile=deed)
    assert stored.state == {"a": 1, "n": 1, "list": ["x"]}
    assert changes.due is CHANGED
    assert state(changes) == after
    # Done again on what was saved it is the same: nothing lost, and nothing done twice.
    changes.rebase(stored)
    assert state(changes) == after
    assert save(changes).state == after
    assert changes.due is UNCHANGED


def test_what_was_saved_is_not_done_again_on_a_later_record() -> None:
    changes = loaded(n=0)
    changes.update(Update("n", increment, ()))
    changes.set("a", 1)
    save(changes, meanwhile=lambda changes: changes.update(Update("n", increment, ())))
    changes.rebase(record({"n": 100, "a": 100}))
    assert state(changes) == {"n": 101, "a": 100}


def test_values_stay_watched_after_a_save() -> None:
    changes = loaded(list=[])
    value = changes.get("list")
    value.append(1)
    save(changes)
    assert changes.get("list") is value
    value.append(2)
    assert changes.due is CHANGED
    assert save(changes).state == {"list": [1, 2]}


def test_a_second_clear_meanwhile_is_saved_next() -> None:
    changes = loaded(z=1)
    changes.clear()
    changes.set("a", 1)
    stored = save(changes, meanwhile=Changes.clear)
    assert stored.state == {"a": 1}
    assert changes.due is CHANGED
    assert save(changes).state == {}


def test_a_purge_meanwhile_is_done_next() -> None:
    changes = fresh()
    changes.set("a", 1)
    changes.set_field("owner", "user-42")
    save(changes, meanwhile=Changes.purge)
    assert changes.due is PURGED
    assert changes.stored  # there is something to end now
    assert not changes.worth_saving
    assert changes.owner is None
    assert state(changes) == {}


def test_what_is_written_after_a_purge_meanwhile_is_saved_next() -> None:
    def deed(changes: Changes) -> None:
        changes.purge()
        changes.set("b", 2)
        changes.set_field("owner", "user-43")

    changes = loaded(a=0)
    changes.set("a", 1)
    changes.renew()
    save(changes, meanwhile=deed)
    assert changes.due is PURGED
    assert (state(changes), changes.owner) == ({"b": 2}, "user-43")
    save(changes)
    assert changes.due is UNCHANGED


def test_a_second_purge_meanwhile_is_done_next() -> None:
    changes = loaded(a=1)
    changes.purge()
    changes.set("b", 2)
    changes.set_field("owner", "user-42")
    ended = changes.id
    save(changes, meanwhile=Changes.purge)
    assert changes.due is PURGED
    assert changes.stored
    assert state(changes) == {}
    assert changes.owner is None
    assert changes.id != ended


def test_a_renewal_meanwhile_is_done_next() -> None:
    changes = loaded(a=0)
    changes.set("a", 1)
    before = changes.id
    stored = save(changes, meanwhile=Changes.renew)
    assert stored.id == before
    assert changes.due is RENEWED
    assert changes.id != before
    assert changes.snapshot().record.id == changes.id
    renewed = save(changes)
    assert renewed.id == changes.id
    assert changes.due is UNCHANGED and changes.status is RENEWED


def test_a_renewal_is_done_once() -> None:
    changes = loaded(a=0)
    changes.renew()
    stored = save(changes, meanwhile=lambda changes: changes.set("a", 1))
    assert changes.due is CHANGED
    assert changes.id == stored.id


def test_an_owner_that_is_set_meanwhile_is_saved_next() -> None:
    changes = loaded()
    changes.set_field("owner", "user-42")
    stored = save(changes, meanwhile=lambda changes: changes.set_field("owner", "user-43"))
    assert stored.owner == "user-42"
    assert (changes.owner, changes.due) == ("user-43", CHANGED)
    assert save(changes).owner == "user-43"
    assert changes.due is UNCHANGED


def test_an_owner_that_is_taken_away_meanwhile_is_not_saved_next() -> None:
    changes = loaded()
    changes.set_field("owner", "user-42")
    save(changes, meanwhile=lambda changes: changes.set_field("owner", None))
    assert (changes.owner, changes.due) == (None, CHANGED)
    assert save(changes).owner is None


def test_a_lifetime_that_is_set_meanwhile_is_saved_next() -> None:
    lifetime = Lifetime(True, 60.0, True, None)
    changes = loaded()
    changes.set("a", 1)
    stored = save(changes, meanwhile=lambda changes: changes.set_field("lifetime", lifetime))
    assert stored.lifetime is None
    assert changes.due is CHANGED
    assert save(changes).lifetime == lifetime


def test_forced_meanwhile() -> None:
    changes = loaded()
    changes.set("a", 1)
    save(changes, meanwhile=Changes.force)
    assert changes.due is CHANGED
    save(changes)
    assert changes.due is UNCHANGED


def test_a_snapshot_stays_as_it_is() -> None:
    changes = loaded(list=[], n=0)
    changes.get("list").append(1)
    changes.update(Update("n", increment, ()))
    changes.set_field("owner", "user-42")
    saved = changes.snapshot()
    changes.get("list").append(2)
    changes.update(Update("n", increment, ()))
    changes.set_field("owner", "user-43")
    changes.renew()
    changes.purge()
    assert saved.record.state == {"list": [1], "n": 1}
    assert saved.fields == {"owner": "user-42"}
    assert (saved.renewals, saved.purges, saved.forces) == (0, 0, 0)
    assert len(saved.operations._by_name) == 2


def test_a_snapshot_has_every_field_of_the_record() -> None:
    """None is lost with a write that is about another one."""
    record = SessionRecord(
        {"n": 1}, 1.0, 2.0, Lifetime(True, 60.0, True, None), "owner", "id", "public", "label",
        3.0, 4.0, 5.0,
    )  # fmt: skip
    assert all(getattr(record, field.name) for field in dataclasses.fields(record))
    changes = Changes(record, stored=True, clock=lambda: NOW)
    assert changes.snapshot(2.0).record == record


def test_a_snapshot_shows_no_values() -> None:
    """ASVS 16.2.5."""
    changes = loaded(a="hunter2")
    changes.set("a", "hunter2")
    changes.set_field("lifetime", Lifetime(True, 60.0, True, None))
    assert "hunter2" not in repr(changes.snapshot()) + repr(changes)


# -- done again on a later record -----------------------------------------------------------------


def test_a_rebase_does_this_requests_own_operations_only() -> None:
    changes = loaded(read=1, written=1, deleted=1, counted=1, nested=[], cart={"items": []})
    changes.get("read")
    changes.get(CART)
    changes.set("written", 2)
    changes.delete("deleted")
    changes.update(Update("counted", increment, ()))
    changes.get("nested").append("mine")
    latest = record(
        {
            "read": 9,
            "written": 9,
            "deleted": 9,
            "counted": 9,
            "nested": ["theirs"],
            "cart": {"items": ["theirs"]},
            "new": 9,
        }
    )
    changes.rebase(latest)
    assert state(changes) == {
        "read": 9,
        "written": 2,
        "counted": 10,
        "nested": ["mine"],
        "cart": {"items": ["theirs"]},
        "new": 9,
    }
    assert changes.get(CART) == Cart(["theirs"])
    assert changes.due is CHANGED


@pytest.mark.parametrize("since", [False, True])
def test_what_is_done_after_a_rebase_is_not_in_what_it_saves(since: bool) -> None:
    changes = loaded(n=1)
    changes.set("a", 1)
    saved = changes.snapshot()
    if since:  # which can no more be done
        changes.update(Update("n", increment, ()))
    saved = changes.rebase(record({}), saved)
    changes.set("b", 1)
    assert saved.record.state == {"a": 1}
    assert state(changes) == {"a": 1, "b": 1}


def test_a_rebase_of_nothing_takes_the_latest() -> None:
    changes = loaded(a=1, b=[])
    value = changes.get("b")
    latest = record({"a": 2, "b": [1]}, owner="user-42", cookie="id")
    changes.rebase(latest)
    assert changes.snapshot().record == latest
    assert changes.due is UNCHANGED
    # What was handed out is out of date; it neither counts nor is handed out again.
    value.append("late")
    assert changes.due is UNCHANGED
    assert changes.get("b") == [1]


def test_what_others_left_alone_stays_watched_after_a_rebase() -> None:
    changes = loaded(list=["a"], cart={"items": [], "note": ""})
    value, cart = changes.get("list"), changes.get(CART)
    changes.set("x", 1)
    changes.rebase(record({"list": ["a"], "cart": {"items": [], "note": ""}, "y": 1}))
    assert changes.get("list") is value
    assert changes.get(CART) is cart
    value.append("b")
    cart.items.append("tea")
    assert state(changes) == {
        "list": ["a", "b"],
        "cart": {"items": ["tea"], "note": ""},
        "x": 1,
        "y": 1,
    }


def test_updates_count_exactly_however_often_it_is_rebased() -> None:
    calls: list[int] = []

    def counted(number: int) -> int:
        calls.append(number)
        return number + 1

    changes = loaded(n=0)
    for _ in range(3):
        changes.update(Update("n", counted, ()))
    for latest in (10, 20, 30):
        changes.rebase(record({"n": latest}))
        assert state(changes) == {"n": latest + 3}
    assert calls == [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]


def test_owner_and_lifetime_of_this_request_outlast_a_rebase() -> None:
    lifetime = Lifetime(True, 60.0, True, None)
    changes = loaded()
    changes.set_field("owner", "mine")
    changes.rebase(record({}, owner="theirs", lifetime=lifetime))
    assert (changes.owner, changes.lifetime) == ("mine", lifetime)
    changes = loaded()
    changes.set("a", 1)
    changes.rebase(record({}, owner="theirs"))
    assert changes.owner == "theirs"


def test_a_renewal_outlasts_a_rebase() -> None:
    changes = loaded()
    changes.renew()
    renewed = changes.id
    latest = record({"a": 1})
    changes.rebase(latest)
    assert changes.id == renewed != latest.id
    assert changes.due is RENEWED
    assert state(changes) == {"a": 1}


def test_a_clear_outlasts_a_rebase() -> None:
    changes = loaded(a=1)
    changes.clear()
    changes.set("b", 1)
    changes.rebase(record({"a": 2, "c": 2}))
    assert state(changes) == {"b": 1}
    assert save(changes).state == {"b": 1}
    # But not the save: what others write from then on stays.
    changes.rebase(record({"b": 1, "c": 2}))
    assert state(changes) == {"b": 1, "c": 2}


def test_a_change_in_place_is_an_assignment_of_the_whole_value() -> None:
    changes = loaded(nested={"a": 1})
    changes.get("nested")["b"] = 2
    changes.rebase(record({"nested": {"a": 1, "c": 3}}))
    assert state(changes) == {"nested": {"a": 1, "b": 2}}


def test_an_update_that_fails_on_the_latest_value_says_so() -> None:
    changes = loaded(n=1)
    changes.update(Update("n", lambda n: 10 // n, ()))
    with pytest.raises(ZeroDivisionError):
        changes.rebase(record({"n": 0}))
    with pytest.raises(TypeError):
        changes.rebase(record({"n": "another type"}))


# -- started over ---------------------------------------------------------------------------------


def test_a_reset_forgets_what_was_not_saved() -> None:
    changes = loaded(a=1, list=[])
    value = changes.get("list")
    value.append(1)
    changes.set("a", 2)
    changes.set_field("owner", "user-42")
    changes.renew()
    changes.force()
    latest = record({"b": 1}, cookie="id")
    changes.reset(latest)
    assert changes.snapshot().record == latest
    assert changes.due is UNCHANGED
    value.append(2)
    assert state(changes) == {"b": 1}


def test_a_reset_forgets_what_could_never_be_saved() -> None:
    changes = loaded(list=[])
    changes.get("list").append(())
    changes.reset(record({"b": 1}))
    assert state(changes) == {"b": 1}
    assert changes.due is UNCHANGED


def test_a_purge_forgets_what_could_never_be_saved() -> None:
    changes = loaded(list=[])
    changes.get("list").append(())
    changes.purge()
    assert changes.due is PURGED
    assert state(changes) == {}


# -- mixed keys, and what is refused --------------------------------------------------------------


def test_typed_and_untyped_access_to_one_name_see_each_other() -> None:
    changes = loaded(cart={"items": [], "note": ""})
    plain, cart = changes.get("cart"), changes.get(CART)
    plain["items"].append("a")
    assert changes.get(CART).items == ["a"]
    changes.get(CART).items.append("b")
    assert changes.get("cart")["items"] == ["a", "b"]
    changes.get("cart")["items"].append("c")
    changes.get(CART).note = "d"
    assert changes.get("cart")["note"] == "d"
    assert cart is not changes.get(CART)
    assert state(changes) == {"cart": {"items": ["a", "b", "c"], "note": "d"}}


def test_a_change_by_one_key_is_not_lost_by_reading_with_another() -> None:
    changes = loaded(cart={"items": [], "note": ""})
    changes.get("cart")
    changes.get(CART).note = "hurry"
    assert changes.get("cart")["note"] == "hurry"
    changes.get("cart")["items"].append("tea")
    assert state(changes) == {"cart": {"items": ["tea"], "note": "hurry"}}


def test_a_change_in_place_is_seen_by_a_typed_update() -> None:
    changes = loaded(cart={"items": [], "note": ""})
    changes.get("cart")["items"].append("a")
    changes.update(Update(CART, lambda cart: dataclasses.replace(cart, note="b"), ()))
    assert state(changes) == {"cart": {"items": ["a"], "note": "b"}}


def test_the_outcome_of_an_update_is_watched() -> None:
    changes = loaded(list=["a"])
    outcome = changes.update(Update("list", lambda old: [*old, "b"], ()))
    assert outcome == ["a", "b"]
    assert changes.get("list") is outcome
    outcome.append("c")
    assert state(changes) == {"list": ["a", "b", "c"]}


def test_keys_of_any_kind_can_be_asked_for() -> None:
    changes = loaded(cart={"items": []})
    assert "cart" in changes and CART in changes
    assert StateKey("missing", int) not in changes
    odd: list[object] = [None, 7, (), [], {}, b"cart", float("nan"), StateKey, object()]
    assert not any(key in changes for key in odd)


def test_a_value_that_is_not_json_is_told_when_it_is_to_be_saved() -> None:
    changes = loaded(list=[])
    changes.get("list").append({1, 2})
    for look in (Changes.snapshot, Changes.notice, lambda changes: changes.due):
        with pytest.raises(SessionValueError, match=r"session\['list'\]: a value of type set"):
            look(changes)
    changes.get("list").clear()
    assert changes.due is UNCHANGED


# -- each change is told --------------------------------------------------------------------------


@pytest.mark.parametrize("change", [*CHANGES[:-2], Changes.renew, Changes.purge])
def test_each_change_is_told_if_asked_to(change: Callable[[Changes], object]) -> None:
    told: list[bool] = []
    changes = loaded(a=1)
    change(changes)
    changes.on_change = lambda _: told.append(True)
    for name in changes:
        changes.get(name)
    assert changes.status is not UNCHANGED
    assert not told
    changes = loaded(a=1)
    changes.on_change = lambda _: told.append(True)
    change(changes)
    assert told


# -- a model --------------------------------------------------------------------------------------

Deed = tuple[str, str, int]  # (what, name, value)

NAMES = st.sampled_from("ab")
VALUES = st.integers(0, 9)


def do(log: list[Deed], start: Mapping[str, int]) -> dict[str, int]:
    """What becomes of a state by what is in a log."""
    now = dict(start)
    for what, name, value in log:
        if what == "set":
            now[name] = value
        elif what == "delete":
            now.pop(name, None)
        elif what == "add" and name in now:
            now[name] += value
        elif what == "add or set":
            now[name] = now[name] + value if name in now else value
        elif what == "clear":
            now.clear()
    return now


class Parallel(RuleBasedStateMachine):
    """One request that saves now and then while it works on, and others that write in between.

    The model keeps every deed in a log. Saving takes as much of the log as there was when the save
    began; a rebase does all that is left on the latest state.
    """

    @initialize(start=st.dictionaries(NAMES, VALUES))
    def load(self, start: dict[str, int]) -> None:
        self.changes = loaded(**start)
        self.stored: SessionRecord | None = self.changes.snapshot().record
        self.base: dict[str, int] = start
        self.log: list[Deed] = []
        self.era = 0  # how often it was purged
        self.owner: str | None = None
        self.due = False  # whether there was a purge since
        self.saving: tuple[Snapshot, int, int] | None = None

    @rule(name=NAMES, value=VALUES)
    def set(self, name: str, value: int) -> None:
        self.changes.set(name, value)
        self.log.append(("set", name, value))

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name in do(self.log, self.base):
            self.changes.delete(name)
            self.log.append(("delete", name, 0))

    @rule(name=NAMES, value=VALUES)
    def add(self, name: str, value: int) -> None:
        there = name in do(self.log, self.base)
        outcome = self.changes.update(Update(name, lambda old: old + value, ()))
        if there:
            self.log.append(("add", name, value))
        assert outcome == do(self.log, self.base).get(name)

    @rule(name=NAMES, value=VALUES)
    def add_or_set(self, name: str, value: int) -> None:
        self.changes.update(Update(name, lambda old: old + value, (value,)))
        self.log.append(("add or set", name, value))

    @rule()
    def clear(self) -> None:
        self.changes.clear()
        self.log = [*self.log, ("clear", "", 0)]

    @rule(owner=st.none() | st.sampled_from(["user-42", "user-43"]))
    def own(self, owner: str | None) -> None:
        Session(self.changes).owner = owner
        self.owner = owner

    @rule()
    def renew(self) -> None:
        self.changes.renew()

    @rule()
    def purge(self) -> None:
        self.changes.purge()
        self.base, self.log, self.owner = {}, [], None
        self.era += 1
        self.due = True

    @precondition(lambda self: self.saving is None)
    @rule()
    def begin_to_save(self) -> None:
        self.saving = self.changes.snapshot(), len(self.log), self.era

    @precondition(lambda self: self.saving is not None)
    @rule()
    def saved(self) -> None:
        assert self.saving is not None
        snapshot, done, era = self.saving
        self.saving = None
        self.stored = decode_record(encode_record(snapshot.record))
        self.changes.settle(snapshot, self.stored)
        if era == self.era:
            self.base, self.log, self.due = dict(self.stored.state), self.log[done:], False

    @precondition(lambda self: not self.due)
    @rule(latest=st.dictionaries(NAMES, VALUES))
    def lose_to_another(self, latest: dict[str, int]) -> None:
        """Another request saved first: it is all to be done again."""
        self.saving = None
        assert self.stored is not None
        self.stored = dataclasses.replace(self.stored, state=EncodedState.of(latest))
        self.changes.rebase(self.stored)
        self.base = latest

    @invariant()
    def nothing_is_lost_and_nothing_doubled(self) -> None:
        snapshot = self.changes.snapshot()
        assert snapshot.record.state == do(self.log, self.base)
        assert self.changes.owner == self.owner
        assert (self.changes.due is PURGED) == self.due
        if self.log:
            assert self.changes.due is not UNCHANGED
        elif self.changes.due is UNCHANGED:
            assert self.saving is not None or self.stored == snapshot.record


TestParallel = Parallel.TestCase
TestParallel.settings = settings(stateful_step_count=30)
