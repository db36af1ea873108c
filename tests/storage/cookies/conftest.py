"""Fixtures of all these tests."""

from __future__ import annotations

import pytest

from aiohttp_sess.storage import (
    CookieStorage,
    MemoryStorage,
)
from aiohttp_sess.testing import FakeClock

from ...noted import Noted


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def noted(clock: FakeClock) -> Noted:
    return Noted(MemoryStorage(clock=clock))


@pytest.fixture
def storage(noted: Noted, clock: FakeClock) -> CookieStorage:
    return CookieStorage(revocations=noted, clock=clock)
