"""A storage from the text of ``--storage``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from aiohttp_sess.storage import AbstractStorage, CookieStorage, MemoryStorage, SessionKey

# The demo's own, so that it does not meddle with other sessions in a shared Redis or memcached.
_PREFIX = "demo:"


@dataclass(frozen=True)
class Choice:
    """A storage, and the words for it on the page.

    :param name: what it is, without the credentials that its address may hold.
    :param words: where the sessions are.
    :param outlives: whether the sessions outlive this process.
    """

    storage: AbstractStorage
    name: str
    words: str
    outlives: bool

    @property
    def kind(self) -> str:
        """What it is, and not where."""
        return self.name.partition(" at ")[0]

    @property
    def saves_late(self) -> bool:
        """Whether a session can be saved after the response's headers are gone."""
        return self.storage.server_side

    async def check(self) -> None:
        """Ask a storage on a server for a session that nobody has.

        :raises StorageUnavailable: where it does not answer.
        """
        if self.storage.server_side:
            await self.storage.load(SessionKey.generate())


STORAGE = web.AppKey("storage", Choice)


def choose(text: str) -> Choice:
    """The storage that ``text`` names.

    :raises ValueError: where it names none, or one whose client is not installed.
    """
    if text == "cookie":
        # A list in this process forgets what was ended when that stops, and with a SESSION_KEY the
        # cookies are good for the next one: production keeps the list in Redis.
        storage = CookieStorage(revocations=MemoryStorage())
        words = "in the cookie itself, encrypted; a list of those that were ended, in this process"
        return Choice(storage, "cookie", words, True)
    if text == "memory":
        return Choice(MemoryStorage(), "memory", "in this process", False)
    url = urlsplit(text)
    try:
        if url.scheme in ("redis", "rediss"):
            return _redis(text, url)
        if url.scheme == "memcached":
            return _memcached(url)
    except ImportError as error:
        raise ValueError(str(error)) from error
    # Without the text, which may hold a password.
    raise ValueError("it takes cookie, memory, redis://host:port or memcached://host:port")


def _redis(text: str, url: SplitResult) -> Choice:
    from aiohttp_sess.storage.redis import RedisStorage

    name = f"Redis at {_address(url, 6379)}"
    return Choice(RedisStorage.from_url(text, key_prefix=_PREFIX), name, f"in {name}", True)


def _memcached(url: SplitResult) -> Choice:
    from aiohttp_sess.storage.memcached import MemcachedStorage

    if not url.hostname or url.path.strip("/"):
        raise ValueError("memcached:// takes a host and a port, and nothing more")
    storage = MemcachedStorage.connect(url.hostname, url.port or 11211, key_prefix=_PREFIX)
    name = f"memcached at {_address(url, 11211)}"
    return Choice(storage, name, f"in {name}", True)


def _address(url: SplitResult, port: int) -> str:
    return f"{url.hostname or 'localhost'}:{url.port or port}"
