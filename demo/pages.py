"""Templates, error pages, and the headers of every page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aiohttp_sess import StorageUnavailable

from .words import from_now

logger = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["from_now"] = from_now

_HEADERS = {
    # Everything is a file of ours: no inline script or style, nobody else's anything.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_ERRORS = {
    400: ("This cannot be read", "A form has to be UTF-8 text, with a few fields only."),
    403: (
        "This request was refused",
        "Perhaps the page was from before your login or logout: open the demo and try again.",
    ),
    404: ("There is nothing here", "The address may be mistyped, or the page is gone."),
    405: ("Not this way", "This address does not take that kind of request."),
    413: ("That is too much", "No form of this demo is that large."),
    415: ("This is no form", "Only what a form on these pages sends is understood."),
    500: (
        "Something went wrong here",
        "It is not your fault. Nothing was saved; please try again.",
    ),
}
_STORAGE_DOWN = (
    "The sessions cannot be reached",
    "Their storage does not answer just now. Nothing was saved; please try again in a moment.",
)


def page(template: str, *, status: int = 200, **values: Any) -> web.Response:
    """A template as a response that no cache keeps: it is one visitor's own."""
    return web.Response(
        text=_templates.get_template(template).render(values, status=status),
        status=status,
        content_type="text/html",
        headers={"Cache-Control": "no-store"},
    )


@web.middleware
async def error_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with a page; what is no `HTTPException` is logged and told to nobody.

    It is the outermost middleware, so that the session's own failures arrive here as well.
    """
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _error_page(error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except StorageUnavailable as error:  # one line: while it is away, each request comes here
        path = request.rel_url.raw_path
        logger.error(  # noqa: TRY400
            "%s %s: %s: %s", request.method, path, type(error).__name__, error
        )
        return page("error.html", status=500, title=_STORAGE_DOWN[0], text=_STORAGE_DOWN[1])
    except Exception:
        logger.exception("%s %s failed", request.method, request.rel_url.raw_path)
        return _error_page(500)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Give every response, error pages and files included, the headers that protect it."""
    response.headers.update(_HEADERS)


def _error_page(status: int) -> web.Response:
    title, text = _ERRORS.get(status, ("This did not work", "The request was not understood."))
    return page("error.html", status=status, title=title, text=text)
