"""Reading a form, and refusing one that is not ours.

Each session holds a random token, each form repeats it, and each POST is checked before any handler
sees it (OWASP ASVS 5.0, 3.5.1). Another site can make a browser send a form here, but cannot read
the token.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.typedefs import Handler

from aiohttp_sess import Session, get_session

Form = Mapping[str, str]

FORM = web.RequestKey("form", Form)

_TOKEN = "csrf"
_FIELDS = 10
# Format characters (zero-width ones), marks, spaces; and letters that look like a space.
_UNSEEN = frozenset({"Cf", "Mn", "Me", "Zs", "Zl", "Zp"})
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class FieldError(Exception):
    """What is wrong with a field, in words for the visitor."""


def csrf_token(session: Session) -> str:
    """The token that every form of this session's pages repeats."""
    token: str = session.setdefault(_TOKEN, secrets.token_urlsafe(16))
    return token


def renew_csrf_token(session: Session) -> None:
    """Make the forms of older pages useless: they are from before the login."""
    session[_TOKEN] = secrets.token_urlsafe(16)


@web.middleware
async def check_forms(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a form pass to its handler, as ``request[FORM]``, only with its session's token.

    :raises web.HTTPForbidden: without it.
    """
    nowhere = request.match_info.http_exception is not None  # 404 and 405 say it better
    if request.method in _SAFE_METHODS or nowhere:
        return await handler(request)
    form = await _read(request)
    session = await get_session(request)
    expected = str(session.get(_TOKEN, ""))
    given = form.get(_TOKEN, "")
    if not expected or not hmac.compare_digest(expected.encode(), given.encode()):
        raise web.HTTPForbidden
    request[FORM] = form
    return await handler(request)


def text_field(form: Form, name: str, longest: int) -> str:
    """The text in a field, each run of white space as one space.

    :param longest: in characters.
    :raises FieldError: where there is nothing to see of it, it is too long, or it holds what is no
        text.
    """
    text = " ".join(form.get(name, "").split())
    if not any(map(_shows, text)):
        raise FieldError(f"Please fill in the {name}.")
    if len(text) > longest:
        raise FieldError(f"That {name} has {len(text)} characters; {longest} is the most.")
    # Control characters, and halves of a surrogate pair, which JSON can spell.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise FieldError(f"That {name} holds characters that are no text.")
    return text


def _shows(character: str) -> bool:
    """Whether there is something to see of it, by itself.

    Those that join others, or mark them, belong to names in Persian as to emoji.
    """
    return unicodedata.category(character) not in _UNSEEN and character not in _BLANK


async def _read(request: web.Request) -> Form:
    # Not request.post(): it lets text pass that is not UTF-8, or fails over it.
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType
    try:
        body = await request.read()
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except (ValueError, web.RequestPayloadError) as error:  # ValueError: not UTF-8, or too many
        raise web.HTTPBadRequest from error
    return dict(fields)
