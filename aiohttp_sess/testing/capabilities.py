"""What a subclass of the suite says of its storage, and what the tests of the suite share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest

from ..record import SessionRecord
from ..storage.interface import AbstractStorage, SessionKey, StoredRecord
from ..storage.keyed import KeyedStorage
from .clock import FakeClock

__all__ = ("HOUR", "Capabilities", "needs")

HOUR = timedelta(hours=1)


T = TypeVar("T", bound=Callable[..., Any])


def needs(*capabilities: str) -> Callable[[T], T]:
    """Mark a test as one of what not every storage claims."""

    def mark(test: T) -> T:
        test.needs = capabilities  # type: ignore[attr-defined]  # a function takes any attribute
        return test

    return mark


@pytest.mark.asyncio
class Capabilities:
    """What is honest about a storage, its fixture, and how time passes for it."""

    ends_sessions_early: ClassVar[bool] = True
    """Whether a session that was ended stays ended, whoever still has its key."""

    detects_conflicts: ClassVar[bool] = True
    """Whether `update` and `delete` refuse a revision that was replaced meanwhile."""

    server_side: ClassVar[bool] = True
    """Whether records live on the server, as in the storage's own ``server_side``."""

    keyed: ClassVar[bool] = True
    """Whether it is a `KeyedStorage`, whose stored bytes the suite can look at."""

    lists_sessions: ClassVar[bool] = False
    """Whether it knows which sessions an owner has: `AbstractStorage.lists_sessions`."""

    ends_all_sessions: ClassVar[bool] = False
    """Whether it ends all sessions of an owner, or all but one; also those whose requests run."""

    rotates_keys: ClassVar[bool | None] = None
    """Whether it has `rotate`, as in the storage's own ``rotates_keys``; None: if it is keyed."""

    state_size: ClassVar[int] = 100_000
    """How many bytes of state a record must be able to hold."""

    _left_out: ClassVar[dict[str, Any]] = {}  # tests by their names

    def __init_subclass__(cls) -> None:
        """Take out the tests of what the storage does not claim: they are not even collected."""
        super().__init_subclass__()
        cls._left_out = {}
        for name in dir(cls):
            # A class further up may have claimed less, and have left it out.
            origin = next(base for base in cls.__mro__ if name in vars(base))
            test = vars(origin).get("_left_out", {}).get(name, vars(origin)[name])
            wanted = getattr(test, "needs", None)
            if wanted is None:
                continue
            claimed = all(cls._claims(capability) for capability in wanted)
            if not claimed:
                cls._left_out[name] = test
            if not claimed or origin is not cls:
                setattr(cls, name, test if claimed else None)

    @classmethod
    def _claims(cls, capability: str) -> bool:
        claim: bool | None = getattr(cls, capability)
        return cls.keyed if claim is None else claim

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock that the storage goes by."""
        return FakeClock()

    @pytest.fixture
    def storage(self) -> AbstractStorage:
        """The storage under test, empty or with a ``key_prefix`` of its own: override this."""
        raise NotImplementedError("override the fixture `storage`: see StorageSuite")

    async def advance(self, storage: AbstractStorage, clock: FakeClock, seconds: float) -> None:
        """Let time pass, for the storage and for whatever is behind it.

        Override this where the backend has a clock of its own: make its entries expire so much
        earlier, and call ``super()`` to move ``clock``.
        """
        assert storage.clock is clock, (
            "the storage does not go by the suite's clock: pass clock=clock where the fixture "
            "`storage` makes it, or override advance()"
        )
        clock.advance(seconds)

    # -- for the tests ----------------------------------------------------------------------------

    def new_record(self, storage: AbstractStorage, **state: Any) -> SessionRecord:
        """A record that begins now."""
        return SessionRecord(state, created=storage.clock())

    async def found(
        self, storage: AbstractStorage, key: SessionKey, *, ttl: timedelta | None = None
    ) -> StoredRecord:
        """What is under a session key, which must be something."""
        stored = await storage.load(key, ttl=ttl)
        assert stored is not None, "the session is gone"
        return stored

    def keyed_storage(self, storage: AbstractStorage) -> KeyedStorage:
        """The storage, for a test that looks at stored bytes."""
        assert isinstance(storage, KeyedStorage), "set `keyed` to False: it is no KeyedStorage"
        return storage
