"""The rules: what a status and a lifecycle mean for the storage and for the cookie."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_sess import BrowserSession, PersistentSession, SessionStatus, TtlExtensionPolicy
from aiohttp_sess.config import Lifecycle
from aiohttp_sess.lifecycle import (
    CookieStep,
    Plan,
    StorageStep,
    deadline,
    max_age,
    plan,
    plan_after_headers,
    refreshes_always,
    ttl_left,
)
from aiohttp_sess.lifetime import lifecycle_of, lifetime_of
from aiohttp_sess.record import Lifetime
from aiohttp_sess.status import stronger

UNCHANGED, CHANGED = SessionStatus.UNCHANGED, SessionStatus.CHANGED
RENEWED, PURGED = SessionStatus.RENEWED, SessionStatus.PURGED
SAVE, UPDATE, DELETE = StorageStep.SAVE, StorageStep.UPDATE, StorageStep.DELETE
RENEW, UPDATE_TTL = StorageStep.RENEW, StorageStep.UPDATE_TTL
KEEP, SET, ERASE = CookieStep.KEEP, CookieStep.SET, CookieStep.ERASE

BROWSER, PERSISTENT = BrowserSession(), PersistentSession()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOTHING = Plan((), KEEP)


# -- what a commit does ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", SessionStatus)
@pytest.mark.parametrize("refresh", [None, BROWSER, PERSISTENT])
def test_an_empty_new_session_costs_nothing(
    status: SessionStatus, refresh: Lifecycle | None
) -> None:
    assert plan(status, stored=False, worth_saving=False, refresh=refresh) == NOTHING


@pytest.mark.parametrize("status", SessionStatus)
@pytest.mark.parametrize("refresh", [None, BROWSER, PERSISTENT])
def test_a_new_session_with_something_in_it_is_saved(
    status: SessionStatus, refresh: Lifecycle | None
) -> None:
    """Also one that was renewed or purged before there was anything to renew or to end."""
    assert plan(status, stored=False, worth_saving=True, refresh=refresh) == Plan((SAVE,), SET)


@pytest.mark.parametrize("worth_saving", [False, True])
@pytest.mark.parametrize(
    ("status", "refresh", "expected"),
    [
        (UNCHANGED, None, NOTHING),
        (UNCHANGED, BROWSER, Plan((UPDATE_TTL,), KEEP)),
        (UNCHANGED, PERSISTENT, Plan((UPDATE_TTL,), SET)),
        *((CHANGED, refresh, Plan((UPDATE,), SET)) for refresh in (None, BROWSER, PERSISTENT)),
        *((RENEWED, refresh, Plan((RENEW,), SET)) for refresh in (None, BROWSER, PERSISTENT)),
    ],
)
def test_a_session_that_is_stored(
    status: SessionStatus, refresh: Lifecycle | None, expected: Plan, worth_saving: bool
) -> None:
    assert plan(status, stored=True, worth_saving=worth_saving, refresh=refresh) == expected


@pytest.mark.parametrize("refresh", [None, BROWSER, PERSISTENT])
def test_a_session_that_was_purged_is_ended_and_its_cookie_erased(
    refresh: Lifecycle | None,
) -> None:
    """ASVS 7.4.1."""
    expected = Plan((DELETE,), ERASE)
    assert plan(PURGED, stored=True, worth_saving=False, refresh=refresh) == expected


@pytest.mark.parametrize("refresh", [None, BROWSER, PERSISTENT])
def test_what_is_written_after_a_purge_begins_a_fresh_session(refresh: Lifecycle | None) -> None:
    """ASVS 7.2.4: the old one is ended, and the fresh one has a key of its own."""
    expected = Plan((DELETE, SAVE), SET)
    assert plan(PURGED, stored=True, worth_saving=True, refresh=refresh) == expected


# -- what is still possible without a cookie ------------------------------------------------------

EVERY_PLAN = {
    plan(status, stored=stored, worth_saving=worth_saving, refresh=refresh)
    for status, stored, worth_saving, refresh in itertools.product(
        SessionStatus, (False, True), (False, True), (None, BROWSER, PERSISTENT)
    )
}


@pytest.mark.parametrize(
    ("todo", "rest", "reason"),
    [
        (NOTHING, NOTHING, None),
        (Plan((UPDATE_TTL,), KEEP), NOTHING, None),
        (Plan((UPDATE_TTL,), SET), NOTHING, None),
        (Plan((UPDATE,), SET), Plan((UPDATE,), KEEP), None),
        (Plan((DELETE,), ERASE), Plan((DELETE,), KEEP), None),
        (Plan((SAVE,), SET), NOTHING, "the client cannot get its key"),
        (Plan((DELETE, SAVE), SET), Plan((DELETE,), KEEP), "the client cannot get its key"),
        (Plan((RENEW,), SET), Plan((UPDATE,), KEEP), r"call renew\(\) before the response"),
    ],
)
def test_after_the_headers_what_the_server_has_can_still_be_written(
    todo: Plan, rest: Plan, reason: str | None
) -> None:
    """ASVS 7.4.1: a logout counts also where the cookie can no longer be erased."""
    done, why = plan_after_headers(todo, server_side=True, new_lifetime=False)
    assert done == rest
    if reason is None:
        assert why is None
    else:
        with pytest.raises(RuntimeError, match=reason):
            raise RuntimeError(why)


def test_a_lifecycle_that_is_set_after_the_headers_is_kept_and_told_of() -> None:
    todo = Plan((UPDATE,), SET)
    done, why = plan_after_headers(todo, server_side=True, new_lifetime=True)
    assert done == Plan((UPDATE,), KEEP)
    assert why is not None and "the cookie keeps its age" in why


@pytest.mark.parametrize("todo", EVERY_PLAN, ids=str)
def test_after_the_headers_nothing_can_be_written_into_the_cookie(todo: Plan) -> None:
    done, why = plan_after_headers(todo, server_side=False, new_lifetime=False)
    assert done == NOTHING
    if todo.storage in ((), (UPDATE_TTL,)):
        assert why is None
    else:
        assert why is not None and "use a storage on the server" in why


@pytest.mark.parametrize("todo", EVERY_PLAN, ids=str)
@pytest.mark.parametrize("server_side", [False, True])
def test_after_the_headers_no_plan_needs_one_and_nothing_is_lost_in_silence(
    todo: Plan, server_side: bool
) -> None:
    rest, why = plan_after_headers(todo, server_side=server_side, new_lifetime=False)
    assert rest.cookie is KEEP
    assert SAVE not in rest.storage and RENEW not in rest.storage
    left_out = set(todo.storage) - set(rest.storage) - {UPDATE_TTL}
    assert bool(left_out) == (why is not None)


def test_every_plan_is_in_the_tests() -> None:
    assert {
        NOTHING,
        Plan((SAVE,), SET),
        Plan((UPDATE_TTL,), KEEP),
        Plan((UPDATE_TTL,), SET),
        Plan((UPDATE,), SET),
        Plan((RENEW,), SET),
        Plan((DELETE,), ERASE),
        Plan((DELETE, SAVE), SET),
    } == EVERY_PLAN


# -- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
def test_the_policy_says_whether_every_request_counts(kind: type[Lifecycle]) -> None:
    assert refreshes_always(kind(DAY, TtlExtensionPolicy.ON_EVERY_REQUEST))
    assert not refreshes_always(kind(DAY, TtlExtensionPolicy.ON_STATE_CHANGES))


def test_a_deadline_counts_from_the_beginning() -> None:
    """ASVS 7.3.2."""
    assert deadline(BrowserSession(max_lifetime=HOUR), 1000.5) == 4600.5
    assert deadline(PersistentSession(max_lifetime=HOUR), 1000.5) == 4600.5
    assert deadline(BROWSER, 1000.5) is None


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (None, HOUR),
        (10_000.0, HOUR),
        (4600.0, HOUR),
        (4599.0, timedelta(seconds=3599)),
        (1000.25, timedelta(seconds=0.25)),
        # No backend takes a TTL of nothing, and memcached takes 0 for ever.
        (1000.0, timedelta(milliseconds=1)),
        (0.0, timedelta(milliseconds=1)),
    ],
)
@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
def test_the_idle_ttl_is_cut_off_at_the_deadline(
    end: float | None, left: timedelta, kind: type[Lifecycle]
) -> None:
    """ASVS 7.3.2."""
    assert ttl_left(kind(HOUR), end, 1000.0) == left


@given(ttl=st.floats(1, 1e9), end=st.none() | st.floats(0, 1e12), now=st.floats(0, 1e12))
def test_a_ttl_is_positive_and_never_passes_the_deadline(
    ttl: float, end: float | None, now: float
) -> None:
    lifecycle = BrowserSession(timedelta(seconds=ttl))
    left = ttl_left(lifecycle, end, now)
    assert timedelta(0) < left <= lifecycle.ttl
    if end is not None and end > now:
        assert left.total_seconds() <= max(end - now, 0.001) + 1e-3


@pytest.mark.parametrize(
    ("seconds", "age"), [(3600, 3600), (1.9, 1), (1, 1), (0.999, 1), (0.001, 1), (59.999999, 59)]
)
def test_max_age_is_whole_seconds_and_never_erases(seconds: float, age: int) -> None:
    """Max-Age=0 is an erasure, and more than the TTL is a promise that the storage breaks."""
    assert max_age(PERSISTENT, timedelta(seconds=seconds)) == age
    assert max_age(BROWSER, timedelta(seconds=seconds)) is None


# -- status and lifetime --------------------------------------------------------------------------


def test_the_stronger_status_is_the_one_that_says_more() -> None:
    order = [UNCHANGED, CHANGED, RENEWED, PURGED]
    assert list(SessionStatus) == order
    for one, other in itertools.product(order, order):
        assert stronger(one, other) is order[max(order.index(one), order.index(other))]


@pytest.mark.parametrize(
    ("lifecycle", "lifetime"),
    [
        (BrowserSession(HOUR), Lifetime(False, 3600.0, False, None)),
        (PersistentSession(HOUR), Lifetime(True, 3600.0, False, None)),
        (
            PersistentSession(HOUR, TtlExtensionPolicy.ON_EVERY_REQUEST, DAY),
            Lifetime(True, 3600.0, True, 86400.0),
        ),
        (
            BrowserSession(HOUR, TtlExtensionPolicy.ON_EVERY_REQUEST, DAY),
            Lifetime(False, 3600.0, True, 86400.0),
        ),
    ],
)
def test_a_lifecycle_as_a_record_keeps_it(lifecycle: Lifecycle, lifetime: Lifetime) -> None:
    assert lifetime_of(lifecycle) == lifetime
    assert lifecycle_of(lifetime) == lifecycle
    assert type(lifecycle_of(lifetime)) is type(lifecycle)
