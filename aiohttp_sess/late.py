"""Changes that come after the last commit of a request: from an outer middleware, from a signal,
from work that goes on behind the response.
"""

from __future__ import annotations

import asyncio
import logging

from .changes import Changes

__all__ = ("LateChanges",)

logger = logging.getLogger("aiohttp_sess")


class LateChanges:
    """Says that nothing saves them any more, unless `Session.save` is called right after.

    :param changes: those of the session.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._telling: asyncio.Handle | None = None

    def begin(self) -> None:
        """The last commit is behind us: what is changed from here on is late."""
        self._changes.on_change = self._notice

    def saved(self) -> None:
        """They are being saved after all."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _notice(self) -> None:
        if self._telling is None:
            try:
                self._telling = asyncio.get_running_loop().call_soon(self._tell)
            except RuntimeError:  # in a thread, where nobody can save it right after
                self._tell()

    def _tell(self) -> None:
        self._telling = None
        logger.error(
            "session %s was changed after its response was sent, and is not saved any more: change "
            "it earlier, or call `await session.save()` where the state is on the server",
            self._changes.id,
        )
