"""The wiring into aiohttp: `setup`, `get_session`, `new_session`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .cleanup import run_until_cleanup
from .config import BrowserSession, CookieConfig, Lifecycle, PersistentSession
from .handle import SessionHandle
from .header_config import HeaderConfig
from .heard import HeardVisit
from .lifecycle import check_rotation
from .limit import SessionLimit, SessionLimitPolicy
from .secret import SecretKey, secret_keys
from .session import Session
from .storage.interface import AbstractStorage
from .transport import check_directives, make_transports, shown, transport_configs
from .visit import Visit
from .visits import VISITS, Progress, Visits, enter, no_session, progress_of

__all__ = ("get_session", "handles_of", "new_session", "setup")

_HANDLES = web.AppKey("aiohttp_sess_handles", list[SessionHandle])


def setup(
    app: web.Application,
    storage: AbstractStorage,
    *,
    secret_key: SecretKey | bytes | str | Sequence[SecretKey | bytes | str] | None = None,
    cookie: CookieConfig | None = None,
    header: HeaderConfig | None = None,
    transports: Sequence[CookieConfig | HeaderConfig] | None = None,
    lifecycle: Lifecycle | None = None,
    clear_site_data: Sequence[str] = (),
    max_sessions_per_owner: int | None = None,
    session_limit_policy: SessionLimitPolicy = SessionLimitPolicy.END_OLDEST,
) -> SessionHandle:
    """Give every request of ``app`` a session, and answer the handle to it.

    Call it before the application starts, and outside of (that is, before) middlewares that use the
    session. A second call with another cookie name adds a second kind of session.

    :param storage: where session records live. What it opened itself is closed when the application
        is cleaned up, after the last save.
    :param secret_key: seals the session key: at least 32 bytes, or a list of keys, newest first
        (the first seals, all unseal). `CookieStorage` needs one.
    :param cookie: the session cookie's name and attributes; default ``CookieConfig()``.
    :param header: a header for clients without cookies, besides the cookie. A request that has it,
        be it empty, is answered by it, and its cookies are not looked at.
    :param transports: instead of ``cookie`` and ``header``, where there is to be no cookie, or
        several headers: what a request uses is the first of them that it has anything of; where it
        has nothing of any, the cookie, or else the first.
    :param lifecycle: how long sessions live; default ``BrowserSession()``.
    :param clear_site_data: what browsers are to clear when a session is erased (ASVS 14.3.1):
        ``"cache"``, ``"storage"``, ``"executionContexts"``. They heed it over HTTPS only. Not sent
        where a purge came too late, or a fresh session was begun after it. ``"cookies"`` and
        ``"*"`` also take every other cookie of the registrable domain, of all its hosts, and the
        session cookie of a login that was faster than this response: better left to the erasure.
    :param max_sessions_per_owner: how many sessions an owner may have of this kind; None: any
        number. For storages that know which those are: `MemoryStorage`, `RedisStorage`.
    :param session_limit_policy: what a login does that would be one more.
    :raises ValueError: for a short or missing key, a name that is taken, or a lifecycle with
        ``rotate_every`` where the storage cannot do that.
    :raises TypeError: for an argument of the wrong type.
    :raises RuntimeError: where the application is frozen already.
    """
    lifecycle = BrowserSession() if lifecycle is None else lifecycle
    _check_types(app, storage, lifecycle)
    configs = transport_configs(cookie, header, transports)
    site_data = check_directives(clear_site_data)
    keys = secret_keys(secret_key)
    if not keys and not storage.server_side:
        raise ValueError(
            f"{type(storage).__name__} keeps the session in the client's hands: pass a secret_key "
            "(make one with `python -m aiohttp_sess generate-key`)"
        )
    ways = make_transports(configs, keys, site_data)
    check_rotation(lifecycle, rotates_keys=storage.rotates_keys)
    if app.frozen or app.pre_frozen:
        raise RuntimeError(
            "the application is frozen: call aiohttp_sess.setup() before it starts, and before it "
            "is added to another as a sub-application"
        )
    handles = app.get(_HANDLES)
    if handles is None:
        handles = app[_HANDLES] = []
        app.cleanup_ctx.append(lambda app: run_until_cleanup(app[_HANDLES]))
    for taken in (ways.names & handle.transports.names for handle in handles):
        if taken:
            raise ValueError(
                f"this application has a session with the {shown(min(taken))} already: give the "
                "second one another name"
            )
    handle = SessionHandle(
        storage,
        ways.default,
        cookie=next((each for each in configs if isinstance(each, CookieConfig)), None),
        lifecycle=lifecycle,
        transports=ways,
    )
    if max_sessions_per_owner is not None:
        handle.limit = SessionLimit(
            storage, max_sessions_per_owner, session_limit_policy, handle.end
        )
    app.middlewares.append(_middleware(handle, is_first=not handles))
    app.on_response_prepare.append(_receiver(handle))
    handles.append(handle)
    return handle


async def get_session(request: web.Request, handle: SessionHandle | None = None) -> Session:
    """The session of a request. The storage is asked here, the first time, and not before.

    :param handle: which kind of session, where an application has several; by default its first.
    :raises RuntimeError: where `setup` was not called for the application.
    :raises TypeError: for what is no request or no handle.
    :raises StorageUnavailable: where the storage is.
    """
    try:
        progress = progress_of(request, handle)
    except (KeyError, TypeError):
        raise no_session(request, handle) from None
    visit = progress.visit or _begin(progress)
    await visit.load()
    return visit.session()


async def new_session(request: web.Request, handle: SessionHandle | None = None) -> Session:
    """The session of a request, purged: a fresh one begins with what is written to it now."""
    session = await get_session(request, handle)
    session.purge()
    return session


def handles_of(app: web.Application) -> list[SessionHandle]:
    """The handles of an application, in the order of their `setup`."""
    return app.get(_HANDLES, [])


def _check_types(app: web.Application, storage: AbstractStorage, lifecycle: Lifecycle) -> None:
    for name, value, kind, wanted in (
        ("app", app, web.Application, "an aiohttp.web.Application"),
        ("storage", storage, AbstractStorage, "an AbstractStorage, say MemoryStorage()"),
        (
            "lifecycle",
            lifecycle,
            BrowserSession | PersistentSession,
            "a BrowserSession or a PersistentSession",
        ),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def _begin(progress: Progress) -> Visit:
    return progress.begin(HeardVisit if progress.handle.events.heard else Visit)


def _middleware(handle: SessionHandle, *, is_first: bool) -> Middleware:
    """:param is_first: whether the handle is the first of its application."""
    refreshes_always = handle.refreshes_always

    @web.middleware
    async def session_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        progress, outer = Progress(handle, request.headers), None
        # Mostly there is nothing yet; to look it up in vain costs more than all the rest.
        visits: Visits | None = request.get(VISITS) if len(request) else None
        if visits is None:
            visits = {handle: progress}
            request[VISITS] = visits
        else:
            outer = enter(visits, progress, is_first=is_first)
        if refreshes_always:
            _begin(progress)
        try:
            response = await handler(request)
        except web.HTTPException:
            progress.finished = True
            if progress.visit is not None and not progress.visit.over():
                await progress.visit.finish()
            raise
        except BaseException:
            progress.finished = progress.failed = True
            if progress.visit is not None:
                progress.visit.abandon()
            raise
        finally:
            if outer is not None:
                visits[None] = outer
        progress.finished = True
        if progress.visit is not None and not progress.visit.over():
            await progress.visit.finish()
        return response

    return session_middleware


def _receiver(
    handle: SessionHandle,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def mark_response(request: web.Request, response: web.StreamResponse) -> None:
        try:
            progress = request[VISITS][handle]
        except KeyError:  # another application's request
            return
        if progress.visit is None:
            progress.sent = True
        elif not progress.visit.let_pass(request, response):
            await progress.visit.prepare(request, response)

    return mark_response
