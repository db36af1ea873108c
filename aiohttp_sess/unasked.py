"""A session that a request has not asked for: all there is of it is how far the request has come.

Most requests of most applications leave it at that, so no more than this is made for them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from multidict import CIMultiDictProxy

__all__ = ("Unasked",)


class Unasked(msgspec.Struct, gc=False):  # no cycle goes through it
    """How far a request has come.

    :param headers: the request's, as it came.
    :param finished: whether its handler is done.
    :param failed: whether it was by an exception.
    :param sent: whether headers of a response were sent.
    """

    headers: CIMultiDictProxy[str]
    finished: bool = False
    failed: bool = False
    sent: bool = False

    def __repr__(self) -> str:  # without the headers, which hold secrets
        return f"<Unasked finished={self.finished} failed={self.failed} sent={self.sent}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own has all fields
        return [("finished", self.finished), ("failed", self.failed), ("sent", self.sent)]
