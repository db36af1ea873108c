"""What users need for their tests. Comes with ``pip install aiohttp-sess[testing]``.

For applications: a clock that is moved by hand, a cookie jar that returns ``Secure`` cookies to a
test server, a session without a login, and a look at the session that a client has::

    async def test_basket(aiohttp_client):
        client = await aiohttp_client(make_app(), cookie_jar=cookie_jar())
        await give_session(client, {"user_id": 7})
        await client.post("/basket", json={"add": "tea"})
        assert await read_session(client) == {"user_id": 7, "basket": ["tea"]}

For storages: `StorageSuite`, which says whether a storage keeps its contract.
"""

try:
    import pytest
    import pytest_aiohttp  # noqa: F401  # used by the modules below
except ImportError as error:
    raise ImportError(
        'aiohttp_sess.testing needs pytest: pip install "aiohttp-sess[testing]"', name=error.name
    ) from error

# Before the modules are imported: their assertions then say what they compared.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{name}"
        for name in (
            "capabilities",
            "endings",
            "expiration",
            "hostility",
            "lifetimes",
            "owners",
            "promises",
            "records",
            "revisions",
            "rotations",
            "sparing",
            "visitor",
            "workflows",
        )
    )
)

from .client import cookie_jar, give_session, read_session  # noqa: E402  # after the line above
from .clock import FakeClock  # noqa: E402
from .suite import StorageSuite  # noqa: E402

__all__ = (
    "FakeClock",
    "StorageSuite",
    "cookie_jar",
    "give_session",
    "read_session",
)
