"""Each test on both servers."""

from __future__ import annotations

import pytest

from . import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def port(kind: str, request: pytest.FixtureRequest) -> int:
    """Of the server of that kind that all tests share."""
    return int(request.getfixturevalue(f"{kind}_server").port)
