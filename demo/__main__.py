"""``python -m demo``: the arguments, and the server from start to end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence

from aiohttp import web

from aiohttp_sess import SecretKey, StorageUnavailable

from .app import make_app
from .headers import LONGEST_FIELD, WithoutHeaders
from .storages import Choice, choose


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until it is interrupted; the answer is the process's exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.server").addFilter(WithoutHeaders())
    try:
        choice = choose(given.storage)
    except ValueError as error:
        return _refuse(f"--storage: {error}")
    try:
        secret_key, note = _secret_key(choice)
    except ValueError as error:
        return _refuse(str(error))
    try:
        asyncio.run(_serve(choice, secret_key, given.host, given.port, note))
    except StorageUnavailable as error:
        return _refuse(f"{choice.name} does not answer: {error}")
    except (OSError, OverflowError) as error:
        return _refuse(f"cannot listen on {given.host} port {given.port}: {error}")
    except KeyboardInterrupt:
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="A page that shows what aiohttp_sess does.",
        epilog="SESSION_KEY in the environment seals the session cookie: make one with "
        "`python -m aiohttp_sess generate-key`.",
    )
    parser.add_argument(
        "--storage",
        default="cookie",
        help="cookie (the default), memory, redis://host:port or memcached://host:port",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on (default: %(default)s); it is plain HTTP without passwords, "
        "so keep it on this machine",
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="default: %(default)s; 0 takes a free one"
    )
    return parser


def _secret_key(choice: Choice) -> tuple[SecretKey | None, str]:
    """The key to seal with, and what there is to say about how long sessions last.

    :raises ValueError: for a SESSION_KEY that is too short.
    """
    if "SESSION_KEY" in os.environ:
        key = SecretKey.from_env("SESSION_KEY")
    elif choice.storage.server_side:
        key = None
    else:
        return SecretKey.generate(), "no SESSION_KEY, so sessions end with this process"
    return key, f"sessions {'outlive' if choice.outlives else 'end with'} this process"


async def _serve(
    choice: Choice, secret_key: SecretKey | None, host: str, port: int, note: str
) -> None:
    """:raises StorageUnavailable: where the storage does not answer at the start.
    :raises OSError: where the address cannot be listened on.
    """
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C cancels this task instead
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    app = make_app(choice, secret_key=secret_key)
    runner = web.AppRunner(app, access_log=None, max_field_size=LONGEST_FIELD)
    try:
        await runner.setup()
        await choice.check()
        site = web.TCPSite(runner, host, port)
        await site.start()
        print(f"{site.name} ({choice.name} storage; {note}). Ctrl-C ends it.", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def _refuse(reason: str) -> int:
    print(f"demo: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
