"""The rules of refreshing sparingly: pure, without a request."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aiohttp_sess import (
    BrowserSession,
    PersistentSession,
    Session,
    SessionRecord,
    SessionStatus,
    StoredRecord,
    TtlExtensionPolicy,
)
from aiohttp_sess.changes import Changes
from aiohttp_sess.config import Lifecycle
from aiohttp_sess.find import Unreadable
from aiohttp_sess.lifecycle import (
    CookieStep,
    Plan,
    StorageStep,
    plan,
    plan_after_headers,
    refresh_due,
    spares_refreshes,
)
from aiohttp_sess.lifetime import lifecycle_of, lifetime_of
from aiohttp_sess.record import decode_record, encode_record
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.terms import Terms

EVERY, CHANGES = TtlExtensionPolicy.ON_EVERY_REQUEST, TtlExtensionPolicy.ON_STATE_CHANGES
KINDS: list[Callable[..., Lifecycle]] = [BrowserSession, PersistentSession]
HUNDRED, NOW = timedelta(seconds=100), 1_700_000_000.0


# -- what is taken --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_every_request_refreshes(kind: Callable[..., Lifecycle]) -> None:
    assert kind().refresh_after == 0.0
    assert not spares_refreshes(kind(ttl_extension_policy=EVERY))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0, 0.0, 1e-9, 0.5, 0.999])
def test_a_share_is_taken(kind: Callable[..., Lifecycle], share: float) -> None:
    assert kind(refresh_after=share).refresh_after == share


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [-0.1, 1, 1.0, 50, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(kind: Callable[..., Lifecycle], share: float) -> None:
    with pytest.raises(ValueError, match=r"refresh_after must be a share .* less than 1, not"):
        kind(refresh_after=share)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [None, True, "0.5", timedelta(1)])
def test_what_is_no_number_is_refused(kind: Callable[..., Lifecycle], wrong: Any) -> None:
    with pytest.raises(TypeError, match="refresh_after must be a number, not"):
        kind(refresh_after=wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lifecycle_of_its_own_is_kept_with_its_share(kind: Callable[..., Lifecycle]) -> None:
    session = Session()
    session.lifecycle = lifecycle = kind(HUNDRED, EVERY, refresh_after=0.25)
    assert session.lifecycle == lifecycle
    assert lifecycle_of(lifetime_of(lifecycle)) == lifecycle
    record = SessionRecord(lifetime=lifetime_of(kind(HUNDRED, EVERY, refresh_after=0)))
    assert decode_record(encode_record(record)) == record


# -- what is due ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("refreshed", "due"),
    [
        (NOW, False),
        (NOW - 24.75, False),
        (NOW - 25, True),
        (NOW - 99, True),
        (NOW - 1e9, True),
        (None, True),  # written under another lifecycle
        (NOW + 0.25, True),  # by another clock
        (NOW + 1e9, True),
    ],
)
def test_it_is_due_when_the_share_has_gone(
    kind: Callable[..., Lifecycle], refreshed: float | None, due: bool
) -> None:
    assert refresh_due(kind(HUNDRED, EVERY, refresh_after=0.25), refreshed, NOW) is due
    # Without a share, and where only changes count, there is nothing to spare.
    assert refresh_due(kind(HUNDRED, EVERY), refreshed, NOW)
    assert not spares_refreshes(kind(HUNDRED, CHANGES, refresh_after=0.25))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_says_when_it_was_refreshed(kind: Callable[..., Lifecycle]) -> None:
    sparing = kind(HUNDRED, EVERY, HUNDRED, 0.25)
    terms = Terms(sparing, lambda: NOW)
    changes = Changes(SessionRecord(refreshed=5.0), stored=True, clock=lambda: NOW)
    saved = changes.snapshot()
    dated = terms.dated(saved, True).record
    assert dated == replace(saved.record, refreshed=NOW, deadline=dated.created + 100)
    # After the headers the cookie is not told, so it does not count.
    assert terms.dated(saved, False).record.refreshed == 5.0
    changes.set_field("lifetime", lifetime_of(sparing))
    assert terms.dated(changes.snapshot(), False).record.refreshed is None
    changes.set_field("lifetime", lifetime_of(kind(HUNDRED, EVERY)))
    assert terms.dated(changes.snapshot(), True).record.refreshed is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_cannot_be_read_is_not_written_anew_for_its_ttl(
    kind: Callable[..., Lifecycle],
) -> None:
    key = SessionKey.generate()
    unreadable = Unreadable(key, SessionRecord(), None)
    for share in (0.0, 0.25):
        terms = Terms(kind(HUNDRED, EVERY, refresh_after=share), lambda: NOW)
        assert terms.refresh(None, StoredRecord(key, SessionRecord(), None))
        assert bool(terms.refresh(None, unreadable)) is (share == 0)
        assert terms.refresh(None, None) is None


# -- what is done ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "cookie"), [(BrowserSession, CookieStep.KEEP), (PersistentSession, CookieStep.SET)]
)
def test_a_refresh_that_is_due_is_a_write(kind: Callable[..., Lifecycle], cookie: object) -> None:
    refresh = kind(HUNDRED, EVERY, refresh_after=0.25)
    todo = plan(SessionStatus.UNCHANGED, stored=True, worth_saving=True, refresh=refresh)
    assert todo == Plan((StorageStep.REFRESH,), cookie)  # type: ignore[arg-type]
    for server_side in (True, False):
        rest = plan_after_headers(todo, server_side=server_side, new_lifetime=False)
        assert rest == (Plan((), CookieStep.KEEP), None)


@pytest.mark.parametrize("kind", KINDS)
def test_what_changes_is_saved_as_ever(kind: Callable[..., Lifecycle]) -> None:
    sparing, plain = kind(ttl_extension_policy=EVERY, refresh_after=0.25), kind()
    for status, stored, worth in itertools.product(SessionStatus, (False, True), (False, True)):
        if (status, stored) != (SessionStatus.UNCHANGED, True):
            assert plan(status, stored=stored, worth_saving=worth, refresh=sparing) == plan(
                status, stored=stored, worth_saving=worth, refresh=plain
            )
