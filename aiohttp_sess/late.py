"""Changes that come after the last commit of a request: from an outer middleware, from a signal,
from work that goes on behind the response.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from .changes import Changes

__all__ = ("LateChanges", "quietly")

logger = logging.getLogger("aiohttp_sess")


class LateChanges:
    """Says that nothing saves them any more, unless `Session.save` is called right after.

    A list or dict that is changed in place tells nobody: that is lost without a word.

    :param changes: those whose last commit is behind us; what is changed from here on is late.
    """

    __slots__ = ("_telling", "lost")

    def __init__(self, changes: Changes) -> None:
        self._telling: asyncio.Handle | None = None
        self.lost: Callable[[str], None] | None = None
        """Called with the session's public id, where changes are lost."""
        changes.on_change = self._notice

    def saved(self) -> None:
        """They are being saved after all."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _notice(self, changes: Changes) -> None:
        if self._telling is None:
            try:
                self._telling = asyncio.get_running_loop().call_soon(self._tell, changes)
            except RuntimeError:  # in a thread, where nobody can save it right after
                self._tell(changes)

    def _tell(self, changes: Changes) -> None:
        self._telling = None
        logger.error(
            "session %s was changed after its response was sent, and is not saved any more: change "
            "it earlier, or call `await session.save()` where the state is on the server",
            changes.id,
        )
        if self.lost is not None:
            self.lost(changes.id)


async def quietly(save: Callable[[], Awaitable[str | None]], name: Callable[[], str]) -> bool:
    """Commit what came late, when no error can be answered any more; False where some is lost.

    :param save: answers why some of it could not be saved.
    :param name: the session's public id.
    """
    try:
        impossible = await save()
    except Exception:
        logger.exception("session %s: changes that came late are lost", name())
        return False
    if impossible:
        logger.error("session %s: %s", name(), impossible)
    return not impossible
