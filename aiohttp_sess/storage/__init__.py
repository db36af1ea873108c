"""Storages: where session records live.

`RedisStorage` and `MemcachedStorage` have modules of their own (`aiohttp_sess.storage.redis`,
`aiohttp_sess.storage.memcached`), so that importing this package needs neither client.
"""

from .cookie import CookieStorage
from .entry import Entry, Version
from .interface import AbstractStorage, ListedRecord, SessionKey, StoredRecord
from .keyed import KeyedStorage
from .memory import MemoryStorage

__all__ = (
    "AbstractStorage",
    "CookieStorage",
    "Entry",
    "KeyedStorage",
    "ListedRecord",
    "MemoryStorage",
    "SessionKey",
    "StoredRecord",
    "Version",
)
