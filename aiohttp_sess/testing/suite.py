"""The acceptance suite for storages."""

from __future__ import annotations

from .endings import EndingCases
from .expiration import ExpirationCases
from .hostility import HostileCases
from .lifetimes import LifetimeCases
from .promises import PromiseCases
from .records import RecordCases
from .revisions import RevisionCases
from .rotations import RotationCases
from .sparing import SparingCases
from .workflows import WorkflowCases

__all__ = ("StorageSuite",)


class StorageSuite(
    RecordCases,
    RevisionCases,
    RotationCases,
    LifetimeCases,
    HostileCases,
    WorkflowCases,
    ExpirationCases,
    SparingCases,
    PromiseCases,
    EndingCases,
):
    """Says whether a storage keeps the contract of `AbstractStorage`, alone and over HTTP.

    Subclass it under a name that pytest collects, and override the fixture ``storage``::

        import pytest
        from aiohttp_sess.testing import StorageSuite
        from mystorage import MyStorage

        class TestMyStorage(StorageSuite):
            @pytest.fixture
            async def storage(self, clock):
                storage = MyStorage("localhost", clock=clock)
                yield storage
                await storage.close()

    It needs pytest with pytest-aiohttp (``pip install aiohttp-sess[testing]``) and
    ``asyncio_mode = "auto"`` in pytest's configuration; in strict mode, write
    ``@pytest_asyncio.fixture`` instead.

    Each test needs a storage of its own: empty, or with a ``key_prefix`` that no other has. Some
    hand it to an application, which closes it; so `close` may be called twice.

    Be honest about differences: set `ends_sessions_early` or `detects_conflicts` to False where the
    backend cannot do it (the tests of that are then taken out, and what it does instead is
    checked), `server_side` or `keyed` where the class is not, `state_size` where it holds less.
    And claim more where it can do more: `lists_sessions`, `ends_all_sessions`.
    Where the backend's entries expire by a clock of its own, override `advance`, so that no test
    has to wait.
    """
