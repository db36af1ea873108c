"""Lua scripts, which Redis keeps by their SHA-1.

Each touches one key, so a cluster takes it, but for the one whose name says that it takes many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from .entry import STAMP_LENGTH

__all__ = ("ANNOUNCE", "ENTER", "LOG_IN", "MEMBERS", "REMOVE", "REPLACE", "REPLACE_MANY", "Script")


class Script:
    """A script.

    :param text: in Lua; its key is ``KEYS[1]``.
    :param answer: what its reply becomes.
    """

    def __init__(self, text: str, answer: Callable[[Any], Any] = lambda reply: reply) -> None:
        self.text = text
        self.answer = answer
        self.sha1 = hashlib.sha1(text.encode()).hexdigest()


# A missing key has no first bytes, and no stamp is empty: what is gone never matches.
REPLACE = Script(
    f"if redis.call('GETRANGE', KEYS[1], 0, {STAMP_LENGTH - 1}) ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1",
    answer=bool,
)
"""Write a value if the one before it begins with a stamp; whether it does."""

REMOVE = Script(
    f"if redis.call('GETRANGE', KEYS[1], 0, {STAMP_LENGTH - 1}) ~= ARGV[1] then return 0 end "
    "return redis.call('DEL', KEYS[1])",
    answer=bool,
)
"""Remove an entry that begins with a stamp; whether that was done."""

# Of a key that is missing it says nothing: behind a proxy that knows many servers, a script goes to
# the server of its first key, and the others may be elsewhere. Nor does it of another type's.
REPLACE_MANY = Script(f"""
local sizes, ttls = string.gmatch(ARGV[2], '%d+'), string.gmatch(ARGV[3], '%d+')
local done, start = {{}}, 1
for i, key in ipairs(KEYS) do
  local size, ttl = sizes(), ttls()
  local stamp = redis.pcall('GETRANGE', key, 0, {STAMP_LENGTH - 1})
  if stamp == string.sub(ARGV[1], {STAMP_LENGTH} * (i - 1) + 1, {STAMP_LENGTH} * i) then
    redis.call('SET', key, string.sub(ARGV[4], start, start + size - 1), 'PX', ttl)
    done[i] = 1
  else
    done[i] = type(stamp) == 'string' and stamp ~= '' and 0
  end
  start = start + size
end
return done
""")
"""`REPLACE` for many keys: all stamps, all sizes, all TTLs and all values are one argument each, as
redis-py takes its time for every argument. nil for what is to be asked by itself."""

# The score of a member is its login: the server's clock in microseconds, or one more than the
# latest login or announcement, where that clock was set back or two come at once. A double holds it
# exactly.
_NEXT = """
local index, digest = KEYS[1], ARGV[1]
local function next_login(sign)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local latest = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
  if latest then now = math.max(now, latest + 1) end
  local first = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  if first then now = math.max(now, 1 - first) end
  return sign .. string.format('%.0f', now)
end
"""
_LIVES = """
if redis.call('PTTL', index) < tonumber(ARGV[2]) then redis.call('PEXPIRE', index, ARGV[2]) end
"""

ENTER = Script(f"""{_NEXT}
local size, login = 0, redis.call('ZSCORE', index, digest)
if not login then
  login = ARGV[3] ~= '' and redis.call('ZSCORE', index, ARGV[3]) or next_login('')
  redis.call('ZADD', index, login, digest)
  size = redis.call('ZCARD', index)
end
{_LIVES}
return {{login, size}}
""")
"""Enter a digest, and let the index live for a TTL at least; its login, and the size where it was
not there."""

# Below zero, since the latest login is to be that of a login.
ANNOUNCE = Script(f"""{_NEXT}
local size, login = 0, redis.call('ZSCORE', index, digest)
if not login then
  login = next_login('-')
  redis.call('ZADD', index, login, digest)
  size = redis.call('ZCARD', index)
end
{_LIVES}
return {{login, size}}
""")
"""The same for a login that is about to be written."""

LOG_IN = Script(f"""{_NEXT}
local announced, members = ARGV[2], {{}}
if announced == '' then announced = redis.call('ZSCORE', index, digest) end
if announced then members = redis.call('ZRANGE', index, announced, announced, 'BYSCORE') end
if #members == 0 then
  announced = redis.call('ZSCORE', index, digest)
  if not announced then return '0' end
  members = redis.call('ZRANGE', index, announced, announced, 'BYSCORE')
end
local login = next_login('')
for _, member in ipairs(members) do redis.call('ZADD', index, login, member) end
return login
""")
"""Make one login, the latest, of all that have what was announced; or else of all that have what
the digest has. The number of it; 0 where there is none of them."""

MEMBERS = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if latest then now = math.max(now, latest) end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if first then now = math.max(now, -first) end
return {string.format('%.0f', now), redis.call(
  'ZRANGE', KEYS[1], ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')}
""")
"""The latest login that there can be by now; and digests and logins by turns, so many, from a login
on."""
