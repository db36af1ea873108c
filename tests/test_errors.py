"""The tree of errors, and what each of them carries."""

from __future__ import annotations

import pytest

import aiohttp_sess
from aiohttp_sess import (
    CookieTooLarge,
    DeserializationError,
    HeaderTooLarge,
    InvalidSessionKey,
    SerializationError,
    SessionConflict,
    SessionError,
    SessionGone,
    SessionValueError,
    StorageError,
    StorageUnavailable,
    TooManySessions,
    errors,
)

TREE = {
    SessionError: Exception,
    StorageError: SessionError,
    StorageUnavailable: StorageError,
    SessionConflict: StorageError,
    SessionGone: StorageError,
    DeserializationError: StorageError,
    SerializationError: StorageError,
    TooManySessions: SessionError,
    SessionValueError: SessionError,
    CookieTooLarge: SessionError,
    HeaderTooLarge: CookieTooLarge,
    InvalidSessionKey: SessionError,
}


@pytest.mark.parametrize(("error", "parent"), TREE.items())
def test_the_tree(error: type[Exception], parent: type[Exception]) -> None:
    assert error.__base__ is parent
    assert getattr(aiohttp_sess, error.__name__) is error


def test_the_tree_is_all_there_is() -> None:
    assert set(errors.__all__) == {error.__name__ for error in TREE}
    defined = {thing for thing in vars(errors).values() if isinstance(thing, type)}
    assert defined == set(TREE)


def test_the_tree_is_drawn() -> None:
    for error in TREE:
        assert f"{error.__name__} " in f"{errors.__doc__}".replace("\n", " ")


def test_what_python_itself_would_raise() -> None:
    """Code that knows nothing of sessions catches these by the names that it knows."""
    assert issubclass(SessionValueError, TypeError)
    assert issubclass(InvalidSessionKey, ValueError)
    for error in set(TREE) - {SessionValueError, InvalidSessionKey}:
        assert not issubclass(error, TypeError | ValueError)


def test_a_cookie_that_is_too_large_says_by_how_much_and_what_to_do() -> None:
    """ASVS 3.3.5."""
    error = CookieTooLarge(4097, 4096)
    assert (error.size, error.limit) == (4097, 4096)
    message = str(error)
    assert "4097 bytes of at most 4096" in message
    assert (
        "keep less in the session, or use a storage that keeps the state on the server" in message
    )


def test_a_record_that_cannot_be_read_says_which_one_to_replace() -> None:
    revision = object()
    assert DeserializationError("why", revision=revision).revision is revision
    assert DeserializationError("why").revision is None
    assert str(DeserializationError("why", revision=revision)) == "why"
