"""What the application calls a session where it is listed."""

from __future__ import annotations

from typing import Any

import pytest

from aiohttp_sess import Session, sessions_of

from .test_owners import OWNER, lab_of, new_login, write


async def test_a_label() -> None:
    async with lab_of().running() as lab:
        cookie = await new_login(lab)

        async def label(session: Session) -> None:
            assert session.label is None
            session.label = "é" * 100
            assert session.label == "é" * 100

        async def renew(session: Session) -> None:
            session.renew()

        await lab.request(label, cookie)
        new = (await lab.request(renew, cookie)).cookie or ""
        (only,) = await sessions_of(lab.app, OWNER)
        assert only.label == "é" * 100

        async def unlabel(session: Session) -> None:
            session.label = None

        await lab.request(unlabel, new)
        (only,) = await sessions_of(lab.app, OWNER)
        assert only.label is None


async def test_a_label_outlasts_the_writes_of_others() -> None:
    async with lab_of().running() as lab:
        cookie = await new_login(lab)

        async def label(session: Session) -> None:
            session.label = "phone"

        slow, late = await lab.slow(label, cookie), await lab.slow(write, cookie)
        await lab.request(write, cookie)
        await slow.go_on()
        await late.go_on()
        (only,) = await sessions_of(lab.app, OWNER)
        assert only.label == "phone"


@pytest.mark.parametrize(
    ("label", "error"), [("x" * 101, ValueError), (3, TypeError), ("\ud800", ValueError)]
)
def test_a_label_that_is_none(label: Any, error: type[Exception]) -> None:
    session = Session()
    with pytest.raises(error, match=r"session\.label"):
        session.label = label
    assert session.label is None
