"""The application: sessions, routes, and what surrounds them."""

from __future__ import annotations

from aiohttp import web

from aiohttp_sess import CookieConfig, SecretKey, setup

from . import account, cart, devices, home, live
from .forms import check_forms
from .pages import STATIC, add_headers, error_pages
from .sent import SentCookies
from .storages import STORAGE, Choice

# The demo is plain HTTP on the loopback interface. Production is HTTPS, and must leave `secure`
# True, as it is by default: this cookie would be sent in the clear.
COOKIE = CookieConfig(secure=False)

_LARGEST_FORM = 16 * 1024  # bytes


def make_app(choice: Choice, *, secret_key: SecretKey | None = None) -> web.Application:
    """The demo on the storage of ``choice``, which is closed with it.

    :param secret_key: seals the session cookie; the cookie storage cannot do without.
    """
    app = web.Application(middlewares=[error_pages], client_max_size=_LARGEST_FORM)
    setup(
        app,
        choice.storage,
        secret_key=secret_key,
        cookie=COOKIE,
        max_sessions_per_owner=devices.MOST_SESSIONS if choice.storage.lists_sessions else None,
    )
    app.middlewares.append(check_forms)

    app[STORAGE] = choice
    app[home.SENT] = SentCookies(COOKIE.name)
    app[live.SOCKETS] = {}

    app.on_response_prepare.append(app[home.SENT].remember)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(live.close_sockets)

    for part in (home, account, devices, cart, live):
        app.add_routes(part.routes)
    app.router.add_static("/static", STATIC)
    return app
