"""Time that passes when it is told to."""

from __future__ import annotations

import time
from datetime import timedelta

__all__ = ("FakeClock",)


class FakeClock:
    """A clock that stands still until it is moved: pass it as ``clock=`` to a storage.

    ::

        clock = FakeClock()
        setup(app, MemoryStorage(clock=clock), lifecycle=BrowserSession(timedelta(hours=1)))
        ...
        clock.advance(timedelta(hours=2))       # the session is over now

    :param now: Unix time in seconds; by default the second in which the clock is made, since some
        backends have a clock of their own.

    Only storages look at it: a server's own TTLs and the ``Max-Age`` in a client's cookie jar go
    by the real time. So after `advance` the client still sends its cookie, and it is the storage
    that must refuse it.
    """

    def __init__(self, now: float | None = None) -> None:
        self.now = float(int(time.time())) if now is None else now

    def __call__(self) -> float:
        """The time now, Unix time in seconds."""
        return self.now

    def advance(self, by: float | timedelta) -> None:
        """Let time pass, in seconds or as a timedelta."""
        self.now += by.total_seconds() if isinstance(by, timedelta) else by

    def __repr__(self) -> str:
        return f"FakeClock({self.now!r})"
