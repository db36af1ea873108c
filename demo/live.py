"""A WebSocket that saves to the session while it is open, and is closed when that ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from aiohttp_sess import (
    Session,
    SessionError,
    SessionGone,
    StorageError,
    StorageUnavailable,
    get_session,
)

from .forms import FieldError, text_field
from .state import LAST_NOTE, NOTE_COUNT, NOTE_LENGTH

Sockets = dict[str, set[web.WebSocketResponse]]

SOCKETS = web.AppKey("sockets", Sockets)

_LONGEST_MESSAGE = 4096  # bytes
# Seconds until a page knows of a session that another process has ended: each open page asks the
# storage so often. In this process it knows at once.
_CHECK_EVERY = 2.0

routes = web.RouteTableDef()


@routes.get("/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Take notes, save each, and say what the session holds then, until it has ended."""
    # A browser lets any site open a socket here, with the cookie: only the Origin tells.
    scheme, _, host = request.headers.get("Origin", "").partition("://")
    if scheme not in {"http", "https"} or not host or host != request.host:
        raise web.HTTPForbidden
    session = await get_session(request)
    socket = web.WebSocketResponse(heartbeat=30, max_msg_size=_LONGEST_MESSAGE)
    await socket.prepare(request)
    # By the public id, which changes with every renewal: the tabs from before a login hear nothing
    # of what comes after it.
    session_id = session.id
    tabs = request.app[SOCKETS].setdefault(session_id, set())
    tabs.add(socket)
    try:
        await _talk(socket, tabs, session)
    except SessionGone:
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"the session has ended")
    except StorageUnavailable:  # here only before the first word; the page tries again
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"the storage is away")
    except ConnectionError:
        pass  # the tab was closed before it had its answer
    finally:
        tabs.discard(socket)
        if not tabs:
            del request.app[SOCKETS][session_id]
    return socket


async def close_sockets(app: web.Application) -> None:
    """Let no open socket hold up the end of the server: an ``on_shutdown`` signal."""
    closing = [
        socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server is stopping")
        for tabs in app[SOCKETS].values()
        for socket in tabs
    ]
    await asyncio.gather(*closing)


async def _talk(
    socket: web.WebSocketResponse, tabs: set[web.WebSocketResponse], session: Session
) -> None:
    """:raises SessionGone: where there is no session, or it is ended meanwhile."""
    # Closes the socket with code 1008 when the session ends, wherever that is done.
    binding = await session.bind(socket, check_every=_CHECK_EVERY)
    await socket.send_json(_seen(session))
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            binding.active()  # somebody is there, so the session does not go idle
            await _answer(socket, tabs, session, message.data)


async def _answer(
    socket: web.WebSocketResponse,
    tabs: set[web.WebSocketResponse],
    session: Session,
    text: str,
) -> None:
    """:raises SessionGone: where the session was ended meanwhile."""
    try:
        note = _note_in(text)
        if note is None:
            await _reload(session)
        else:
            session.update_value(NOTE_COUNT, lambda count: count + 1, default=1)
            session[LAST_NOTE] = note
            await session.save()
    except SessionGone:
        raise
    except StorageError:
        await socket.send_json({"problem": "The storage does not answer: nothing was saved."})
    except SessionError:
        # Only the cookie storage: what it would save to went out with the headers.
        await socket.send_json({"problem": "This storage saves into the cookie, and that is sent."})
    except FieldError as error:
        await socket.send_json({"problem": str(error)})
    else:
        await socket.send_json(_seen(session))
        for tab in tabs - {socket} if note else ():
            with contextlib.suppress(ConnectionError):  # that tab is being closed
                await tab.send_json({"changed": True})


def _note_in(text: str) -> str | None:
    """The note in a message, or None where it only asks for what the session holds.

    :raises FieldError: for what is neither.
    """
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        asked = None
    match asked:
        case {"reload": True}:
            return None
        case {"note": str() as note}:
            return text_field({"note": note}, "note", NOTE_LENGTH)
    raise FieldError("This message was not understood.")


async def _reload(session: Session) -> None:
    if not await session.reload():
        raise SessionGone("the session was ended in another tab")


def _seen(session: Session) -> dict[str, Any]:
    return {"notes": session.get(NOTE_COUNT, 0), "note": session.get(LAST_NOTE)}
