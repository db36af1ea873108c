"""Lua scripts, which Redis keeps by their SHA-1. Each touches one key, so a cluster takes it."""

from __future__ import annotations

import hashlib

from .entry import STAMP_LENGTH

__all__ = ("ENTER", "MEMBERS", "REMOVE", "Script")


class Script:
    """A script of one key.

    :param text: in Lua; the key is ``KEYS[1]``.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha1 = hashlib.sha1(text.encode()).hexdigest()


# The score of a member is its login: the server's clock in microseconds, or one more than the
# latest login, where that clock was set back or two come at once. A double holds it exactly.
ENTER = Script("""
local index, digest, ttl, instead_of = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local size = 0
if not redis.call('ZSCORE', index, digest) then
  local login = instead_of ~= '' and redis.call('ZSCORE', index, instead_of)
  if not login then
    local time = redis.call('TIME')
    local now = time[1] * 1000000 + time[2]
    local latest = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
    if latest then now = math.max(now, latest + 1) end
    login = string.format('%.0f', now)
  end
  redis.call('ZADD', index, login, digest)
  size = redis.call('ZCARD', index)
end
if redis.call('PTTL', index) < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
return size
""")
"""Enter a digest, and let the index live for a TTL at least; the size where it was not there."""

MEMBERS = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if latest then now = math.max(now, latest) end
return {string.format('%.0f', now), redis.call(
  'ZRANGE', KEYS[1], ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')}
""")
"""The latest login that there can be by now; and digests and logins by turns, so many, from a login
on."""

# A missing key has no first bytes, and no stamp is empty: what is gone never matches.
REMOVE = Script(
    f"if redis.call('GETRANGE', KEYS[1], 0, {STAMP_LENGTH - 1}) ~= ARGV[1] then return 0 end "
    "return redis.call('DEL', KEYS[1])"
)
"""Remove an entry that begins with a stamp; 1 where that was done."""
