"""What users get for their tests: the helpers, and a suite that finds what is broken."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient
from yarl import URL

import aiohttp_sess.testing
from aiohttp_sess import (
    BrowserSession,
    CookieConfig,
    CookieTooLarge,
    PersistentSession,
    SecretKey,
    SessionError,
    SessionValueError,
    StateKey,
    TtlExtensionPolicy,
    get_session,
    setup,
)
from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage
from aiohttp_sess.testing import (
    FakeClock,
    StorageSuite,
    cookie_jar,
    give_session,
    read_session,
)
from demo.sqlite_storage import SqliteStorage

from . import broken_storages as broken

pytest_plugins = ("pytester",)

USER_ID = StateKey("user_id", int)
SINCE = StateKey("since", timedelta)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[CookieStorage, MemoryStorage, SqliteStorage])
async def storage(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[AbstractStorage]:
    path = [tmp_path / "sessions.db"] if request.param is SqliteStorage else []
    storage: AbstractStorage = request.param(*path, clock=clock)
    yield storage
    await storage.close()


async def show(request: web.Request) -> web.Response:
    return web.json_response(dict(await get_session(request)))


async def visit(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.update_value("visits", lambda visits: visits + 1, default=1)
    return web.Response()


async def login(request: web.Request) -> web.Response:
    session = await get_session(request)
    session[USER_ID] = 7
    session.owner = "ferris"
    session.renew()
    return web.Response()


async def logout(request: web.Request) -> web.Response:
    (await get_session(request)).purge()
    return web.Response()


def application(storage: AbstractStorage, **options: Any) -> web.Application:
    app = web.Application()
    if not storage.server_side:
        options.setdefault("secret_key", SecretKey.generate())
    setup(app, storage, **options)
    for handler in (show, visit, login, logout):
        app.router.add_get(f"/{handler.__name__}", handler)
    return app


async def client_of(
    aiohttp_client: AiohttpClient, app: web.Application
) -> TestClient[web.Request, web.Application]:
    return await aiohttp_client(app, cookie_jar=cookie_jar())


async def shown(client: TestClient[Any, Any], path: str = "/show") -> Any:
    async with client.get(path) as response:
        return await response.json()


# -- the clock ------------------------------------------------------------------------------------


def test_the_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(1_000.5)
    assert (clock(), clock()) == (1_000.5, 1_000.5)
    clock.advance(10)
    assert clock() == 1_010.5
    clock.advance(timedelta(minutes=1, milliseconds=500))
    assert clock() == 1_071
    clock.now = 5.0
    assert clock() == 5.0
    assert repr(clock) == "FakeClock(5.0)"


async def test_a_session_ends_when_the_clock_says_so(
    storage: AbstractStorage, clock: FakeClock, aiohttp_client: AiohttpClient
) -> None:
    app = application(storage, lifecycle=PersistentSession(HOUR))
    client = await client_of(aiohttp_client, app)
    await client.get("/login")
    clock.advance(0.9 * HOUR)
    assert await shown(client) == {"user_id": 7}
    clock.advance(0.2 * HOUR)
    assert await shown(client) == {}


# -- the cookie jar -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://127.0.0.1:8080/", True),
        ("http://127.8.9.10/", True),
        ("http://[::1]:8080/", True),
        ("http://localhost:8080/", True),
        ("http://shop.localhost/", True),
        ("ws://localhost:8080/", True),
        ("https://example.com/", True),
        ("http://example.com/", False),
        ("http://localhost.example.com/", False),
        ("http://notlocalhost/", False),
        ("http://192.0.2.1/", False),
    ],
)
async def test_secure_cookies_go_to_this_machine_and_over_https(url: str, sent: bool) -> None:
    jar = cookie_jar()
    jar.update_cookies_from_headers(["id=x; Secure; Path=/"], URL(url))
    assert ("id" in jar.filter_cookies(URL(url))) is sent


async def test_the_cookie_jar_keeps_to_the_other_rules() -> None:
    jar = cookie_jar()
    here = URL("http://localhost:8080/")
    jar.update_cookies_from_headers(["id=x; Secure; Path=/shop/"], here)
    assert not jar.filter_cookies(here)
    assert jar.filter_cookies(here / "shop/")["id"].value == "x"
    assert not jar.filter_cookies(URL("https://example.com/shop/"))
    assert not jar.filter_cookies()
    jar.update_cookies_from_headers(["id=; Max-Age=0; Secure; Path=/shop/"], here)
    assert not jar.filter_cookies(here / "shop/")


@pytest.mark.parametrize("name", ["id", "__Host-id", "__Secure-id"])
async def test_a_client_goes_from_login_to_logout(
    storage: AbstractStorage, aiohttp_client: AiohttpClient, name: str
) -> None:
    client = await client_of(aiohttp_client, application(storage, cookie=CookieConfig(name)))
    await client.get("/visit")
    await client.get("/login")
    await client.get("/visit")
    assert await shown(client) == {"user_id": 7, "visits": 2}
    await client.get("/logout")
    assert await shown(client) == {}


# -- a session without a login --------------------------------------------------------------------


@pytest.mark.parametrize(
    "lifecycle",
    [
        BrowserSession(),
        PersistentSession(HOUR, TtlExtensionPolicy.ON_EVERY_REQUEST, max_lifetime=2 * HOUR),
    ],
)
async def test_a_given_session_is_the_application_s(
    storage: AbstractStorage,
    aiohttp_client: AiohttpClient,
    lifecycle: BrowserSession | PersistentSession,
) -> None:
    app = application(storage, lifecycle=lifecycle, cookie=CookieConfig("sid", path="/"))
    client = await client_of(aiohttp_client, app)
    given = await give_session(client, {"user_id": 7, "basket": ["tea"]}, owner="ferris")
    assert await shown(client) == {"user_id": 7, "basket": ["tea"]}
    await client.get("/visit")
    session = await read_session(client)
    assert session == {"user_id": 7, "basket": ["tea"], "visits": 1}
    assert session.owner == given.owner == "ferris"
    assert session.id == given.id
    assert session.created == given.created
    assert not given.new and not session.new
    await client.get("/logout")
    assert await read_session(client) == {}


async def test_a_given_session_ends_as_any_other(
    storage: AbstractStorage, clock: FakeClock, aiohttp_client: AiohttpClient
) -> None:
    every_request = TtlExtensionPolicy.ON_EVERY_REQUEST
    lifecycle = BrowserSession(HOUR, every_request, max_lifetime=2 * HOUR)
    client = await client_of(aiohttp_client, application(storage, lifecycle=lifecycle))
    await give_session(client, {"user_id": 7})
    for _ in range(4):
        clock.advance(0.45 * HOUR)
        assert await shown(client) == {"user_id": 7}
    clock.advance(0.45 * HOUR)
    assert await shown(client) == {}
    await give_session(client, {"user_id": 8})
    clock.advance(1.1 * HOUR)
    assert await shown(client) == {}


async def test_a_given_session_takes_the_place_of_another(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    client = await client_of(aiohttp_client, application(storage))
    await client.get("/visit")
    await give_session(client, {"user_id": 1})
    await give_session(client, {"user_id": 2})
    assert await shown(client) == {"user_id": 2}


async def test_two_clients_have_two_sessions(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    app = application(storage)
    one, two = [await client_of(aiohttp_client, app) for _ in range(2)]
    await give_session(one, {"user_id": 1})
    await give_session(two, {"user_id": 2})
    assert await shown(one) == {"user_id": 1}
    assert await read_session(two) == {"user_id": 2}


async def test_typed_keys_work_both_ways(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    client = await client_of(aiohttp_client, application(storage))
    await give_session(client, {USER_ID: 7, SINCE: HOUR})
    session = await read_session(client)
    assert session[USER_ID] == 7
    assert session[SINCE] == HOUR
    with pytest.raises(SessionValueError):
        await give_session(client, {USER_ID: "seven"})
    with pytest.raises(SessionValueError):
        await give_session(client, {"user_id": object()})
    assert await shown(client) == await shown(client) != {}


async def test_of_several_sessions_the_handle_tells_which(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    app = application(storage)
    key = None if storage.server_side else SecretKey.generate()
    staff = setup(app, storage, cookie=CookieConfig("staff"), secret_key=key)

    async def show_staff(request: web.Request) -> web.Response:
        return web.json_response(dict(await get_session(request, staff)))

    app.router.add_get("/show_staff", show_staff)
    client = await client_of(aiohttp_client, app)
    await give_session(client, {"user_id": 1})
    await give_session(client, {"user_id": 2}, handle=staff)
    assert await shown(client) == {"user_id": 1}
    assert await shown(client, "/show_staff") == {"user_id": 2}
    assert await read_session(client) == {"user_id": 1}
    assert await read_session(client, handle=staff) == {"user_id": 2}


async def test_the_session_of_a_sub_application(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    inner = web.Application()
    key = None if storage.server_side else SecretKey.generate()
    handle = setup(inner, storage, cookie=CookieConfig(path="/inner/"), secret_key=key)
    inner.router.add_get("/show", show)
    app = web.Application()
    app.add_subapp("/inner/", inner)
    client = await client_of(aiohttp_client, app)
    await give_session(client, {"user_id": 7}, handle=handle)
    assert await shown(client, "/inner/show") == {"user_id": 7}
    assert await read_session(client, handle=handle) == {"user_id": 7}
    with pytest.raises(RuntimeError, match=r"aiohttp_sess\.setup"):
        await read_session(client)
    with pytest.raises(RuntimeError, match=r"aiohttp_sess\.setup"):
        await give_session(client, {})


async def test_a_client_that_would_not_send_the_cookie_is_refused(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    app = application(storage)
    client = await aiohttp_client(app, cookie_jar=CookieJar(unsafe=True))
    with pytest.raises(RuntimeError, match="cookie_jar"):
        await give_session(client, {"user_id": 7})


async def test_a_cookie_of_another_domain_is_refused(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    app = application(storage, cookie=CookieConfig(domain="example.com"))
    client = await client_of(aiohttp_client, app)
    with pytest.raises(RuntimeError, match="domain"):
        await give_session(client, {"user_id": 7})


async def test_what_no_cookie_holds_cannot_be_given(aiohttp_client: AiohttpClient) -> None:
    client = await client_of(aiohttp_client, application(CookieStorage()))
    with pytest.raises(CookieTooLarge):
        await give_session(client, {"page": "x" * 5000})


# -- the session that a client has ----------------------------------------------------------------


async def test_a_client_without_a_session_has_an_empty_one(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    client = await client_of(aiohttp_client, application(storage))
    session = await read_session(client)
    assert session == {}
    assert session.new
    assert session.owner is None
    await client.get("/login")
    session = await read_session(client)
    assert session == {"user_id": 7}
    assert session.owner == "ferris"
    client.session.cookie_jar.update_cookies({"id": "forged"}, client.make_url("/"))
    assert await read_session(client) == {}


async def test_what_is_read_is_a_copy(
    storage: AbstractStorage, aiohttp_client: AiohttpClient
) -> None:
    client = await client_of(aiohttp_client, application(storage))
    await give_session(client, {"basket": ["tea"]})
    session = await read_session(client)
    session["basket"].append("salt")
    session["user_id"] = 8
    assert await shown(client) == {"basket": ["tea"]}


@pytest.mark.parametrize("kind", [BrowserSession, PersistentSession])
async def test_to_look_does_not_extend_a_session(
    storage: AbstractStorage,
    clock: FakeClock,
    aiohttp_client: AiohttpClient,
    kind: type[BrowserSession | PersistentSession],
) -> None:
    lifecycle = kind(HOUR, TtlExtensionPolicy.ON_EVERY_REQUEST)
    client = await client_of(aiohttp_client, application(storage, lifecycle=lifecycle))
    await give_session(client, {"user_id": 7})
    clock.advance(0.9 * HOUR)
    session = await read_session(client)
    assert session == {"user_id": 7}
    assert session.lifecycle == lifecycle
    clock.advance(0.2 * HOUR)
    assert await read_session(client) == {}


# -- the suite ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("storage", "test"),
    [
        (broken.Overwrites, "a_new_record_never_takes_the_place_of_another"),
        (broken.KnowsOneKey, "save_never_overwrites"),
        (broken.KnowsOneKey, "a_session_key_is_fresh_and_cannot_be_guessed"),
        (broken.KnowsOneKey, "parallel_saves_have_keys_of_their_own"),
        (broken.UpdateRevives, "a_missing_record_is_never_brought_back"),
        (broken.UpdateRevives, "an_expired_session_is_never_brought_back"),
        (broken.UpdateRevives, "of_an_update_and_an_end_at_once_one_wins"),
        (broken.TouchRevives, "a_missing_record_is_never_brought_back"),
        (broken.TouchAlwaysAgrees, "a_missing_record_is_never_brought_back"),
        (broken.LastWriteWins, "update_refuses_a_revision_that_was_replaced"),
        (broken.LastWriteWins, "a_write_of_the_same_record_is_a_new_revision"),
        (broken.LooksThenWrites, "of_parallel_updates_one_wins"),
        (broken.LooksThenRemoves, "of_parallel_ends_one_does_it"),
        (broken.LooksThenAdds, "a_new_record_never_takes_the_place_of_another"),
        (broken.LooksThenTouches, "a_refresh_and_an_end_at_once_bring_nothing_back"),
        (broken.EndsWhateverIsThere, "delete_refuses_a_revision_that_was_replaced"),
        (broken.EndsNothing, "delete_ends_a_session_and_no_other"),
        (broken.EndsNothing, "delete_with_the_revision_that_is_there"),
        (broken.EndsEverything, "delete_ends_a_session_and_no_other"),
        (broken.NeverExpires, "an_idle_session_ends"),
        (broken.ReadingRefreshes, "an_idle_session_ends"),
        (broken.LoadDoesNotRefresh, "load_lets_the_ttl_start_anew_if_asked_to"),
        (broken.TouchDoesNotRefresh, "update_ttl_lets_the_ttl_start_anew"),
        (broken.UpdateDoesNotRefresh, "update_lets_the_ttl_start_anew"),
        (broken.TouchOnlyProlongs, "a_ttl_can_become_shorter"),
        (broken.RoundsDownToForever, "a_ttl_of_nearly_nothing"),
        (broken.TakesMonthsForADate, "a_ttl_of_months"),
        (broken.OutlivesDeadlines, "nothing_outlives_its_deadline"),
        (broken.SharesItsRecords, "records_share_nothing_with_who_saved_or_loaded_them"),
        (broken.ForgetsTheOwner, "everything_in_a_record_comes_back"),
        (broken.HoldsLittle, "state_as_large_as_promised"),
        (broken.ShowsTheKey, "a_session_key_is_shown_by_nothing"),
        (broken.TrimsKeys, "a_key_with_something_added_is_no_session"),
        (broken.CrossesReplies, "a_call_that_is_cancelled_leaves_no_reply_to_the_next"),
        (broken.TearsUpdates, "an_update_that_is_cancelled_was_done_or_was_not"),
    ],
)
async def test_the_suite_finds_what_is_broken(
    storage: type[MemoryStorage], test: str, clock: FakeClock
) -> None:
    await run(test, MemoryStorage(clock=clock), clock)
    with pytest.raises((AssertionError, SessionError, pytest.fail.Exception)):
        await run(test, storage(clock=clock), clock)


async def run(test: str, storage: AbstractStorage, clock: FakeClock, **given: Any) -> None:
    """One test of the suite on a storage, without a pytest around it."""
    method = getattr(StorageSuite(), f"test_{test}")
    with pytest.MonkeyPatch.context() as monkeypatch:
        given |= {"storage": storage, "clock": clock, "monkeypatch": monkeypatch}
        await method(**{name: given[name] for name in inspect.signature(method).parameters})


async def test_the_suite_finds_a_storage_that_chokes_on_a_hostile_key(clock: FakeClock) -> None:
    test = "a_hostile_key_is_no_session"
    await run(test, MemoryStorage(clock=clock), clock, value="a b")
    with pytest.raises(ValueError, match="not allowed"):
        await run(test, broken.ChokesOnSpaces(clock=clock), clock, value="a b")


async def test_the_suite_leaves_nothing_out_in_silence(clock: FakeClock) -> None:
    with pytest.raises(AssertionError, match="server_side"):
        await run("the_storage_is_what_the_suite_was_told", CookieStorage(clock=clock), clock)


async def test_the_suite_moves_the_clock_that_the_storage_goes_by(clock: FakeClock) -> None:
    with pytest.raises(AssertionError, match="clock=clock"):
        await run("an_idle_session_ends", MemoryStorage(), clock)


def example(of: object) -> str:
    """The first example in a docstring."""
    after = (inspect.getdoc(of) or "").partition("::\n")[2]
    return textwrap.dedent(re.split(r"\n(?=\S)", after)[0])


MY_STORAGE = """
from aiohttp_sess.storage import MemoryStorage

class MyStorage(MemoryStorage):
    def __init__(self, host, *, clock):
        super().__init__(clock=clock)
"""


def collect(pytester: pytest.Pytester, mode: str = "auto", *args: str) -> pytest.RunResult:
    """Run the tests of a project of its own."""
    pytester.makeini(
        f"""
        [pytest]
        addopts = --strict-markers -p no:cacheprovider
        asyncio_mode = {mode}
        asyncio_default_fixture_loop_scope = function
        filterwarnings = error
        """
    )
    return pytester.runpytest_inprocess(*args)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_example_of_the_suite(pytester: pytest.Pytester, mode: str) -> None:
    code = example(StorageSuite)
    if mode == "strict":
        code = "import pytest_asyncio\n" + code.replace("@pytest.", "@pytest_asyncio.")
    pytester.makepyfile(mystorage=MY_STORAGE, test_mine=code)
    outcomes = collect(pytester, mode).parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] > 50


def test_what_the_suite_says_of_a_storage_that_is_broken(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from aiohttp_sess.testing import StorageSuite
        from tests.broken_storages import UpdateRevives

        class TestBroken(StorageSuite):
            @pytest.fixture
            def storage(self, clock):
                return UpdateRevives(clock=clock)

        class TestForgotten(StorageSuite):
            pass
        """
    )
    chosen = "TestBroken or (TestForgotten and test_close)"
    result = collect(pytester, "auto", "--tb=line", "-k", chosen)
    failed = {line.split("::")[-1] for line in result.outlines if line.startswith("FAILED")}
    assert any(line.startswith("test_a_missing_record_is_never_brought_back") for line in failed)
    # Over HTTP too: a late write undoes a logout.
    assert any(line.startswith("test_what_was_ended_stays_ended[purge-write]") for line in failed)
    result.stdout.fnmatch_lines(["*NotImplementedError: override the fixture `storage`*"])


APPLICATION = """
from aiohttp import web
from aiohttp_sess import get_session, setup
from aiohttp_sess.storage import MemoryStorage
from aiohttp_sess.testing import cookie_jar, give_session, read_session

async def add(request):
    session = await get_session(request)
    session.setdefault("basket", []).append((await request.json())["add"])
    return web.Response()

def make_app():
    app = web.Application()
    setup(app, MemoryStorage())
    app.router.add_post("/basket", add)
    return app
"""


def test_the_example_for_applications(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"{APPLICATION}\n{example(aiohttp_sess.testing)}")
    collect(pytester).assert_outcomes(passed=1)
