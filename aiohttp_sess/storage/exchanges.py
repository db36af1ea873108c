"""Commands to memcached that leave together: one after the other on one connection, and the reads
as one.
"""

from __future__ import annotations

import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiomcache import ClientException, FlagClient
from aiomcache.client import acquire
from aiomcache.pool import Connection

from .batches import EXCHANGES, Batches

__all__ = ("READ", "TOO_LARGE", "Exchanges", "Reply", "Request")

READ = b"gets "
TOO_LARGE = b"SERVER_ERROR object too large for cache"
_VALUE = re.compile(rb"VALUE (\S+) \d+ (\d+) (\d+)")
_STATUSES = frozenset(
    [b"STORED", b"NOT_STORED", b"EXISTS", b"NOT_FOUND", b"TOUCHED", b"DELETED", b"END", TOO_LARGE]
)


class Request(NamedTuple):
    """What is sent for one key, and how many replies it has."""

    key: bytes
    sent: bytes
    replies: int

    def __repr__(self) -> str:  # the rest is a user's
        return f"<Request of {len(self.sent)} bytes>"


class Reply(NamedTuple):
    """A reply's first line; and where that is VALUE, what it brings."""

    status: bytes
    value: bytes = b""
    token: int | None = None

    def __repr__(self) -> str:  # the rest is a user's
        return f"<Reply {self.status!r}>"


class Exchanges(Batches[Request]):
    """Sends requests to memcached, which answers them with lists of `Reply`.

    :param client: an ``aiomcache.Client``.
    :param timeout: seconds that a request may take, waiting for its turn included.
    :param pool_size: how many connections the client has.
    """

    def __init__(self, client: FlagClient[Any], *, timeout: float, pool_size: int) -> None:
        # Those who wait inside aiomcache's pool wait in vain when the connections in use are
        # closed instead of given back, so nobody goes in who would have to wait.
        super().__init__(timeout=timeout, exchanges=min(EXCHANGES, pool_size))
        self._client = client

    async def exchange_one(self, command: Request) -> list[Reply]:
        (reply,) = await self.exchange([command])
        if isinstance(reply, ClientException):
            raise reply
        return reply

    async def exchange(self, commands: Sequence[Request]) -> list[list[Reply] | ClientException]:
        try:
            return await _exchange(self._client, commands)
        except (ConnectionError, EOFError):
            # Dropped, and so are those beside it in the pool, most likely: with new ones, once
            # more. A write that was done already is recognised by its stamp.
            await self._client.close()
            return await _exchange(self._client, commands)


@acquire
async def _exchange(
    client: FlagClient[Any], connection: Connection, requests: Sequence[Request]
) -> list[list[Reply] | ClientException]:
    """Send requests on a connection from the client's pool, and read their replies.

    This is used in place of aiomcache's own commands, which (0.8.2)

    - give a connection back to the pool when they are cancelled, with the reply still to come: the
      next command reads it as its own, and so does every one after it;
    - read on for ever when the connection is dropped, without a pause: the whole process hangs.
    """
    reader, writer = connection
    try:
        # Not drained: where the replies are large, too, the server reads on only while we read.
        if len(requests) == 1:
            writer.write(requests[0].sent)
            return [await _replies(reader, requests[0])]
        return await _replies_to_all(reader, writer, requests)
    except BaseException as error:
        # `acquire` does this for an Exception, not for a cancellation: the pool then closes it.
        reader.set_exception(ConnectionAbortedError(f"abandoned: {type(error).__name__}"))
        raise


async def _replies_to_all(
    reader: StreamReader, writer: StreamWriter, requests: Sequence[Request]
) -> list[list[Reply] | ClientException]:
    """The replies to requests, of which the reads are sent as one, before the others: but for those
    of a key that an earlier one of the others is about. `merged` has the same rule for Redis.
    """
    reads, others, taken = list[int](), list[int](), set[bytes]()
    for place, request in enumerate(requests):
        if request.replies == 1 and request.sent.startswith(READ) and request.key not in taken:
            reads.append(place)
        else:
            taken.add(request.key)
            others.append(place)
    keys = [requests[place].key for place in reads]
    sent = [requests[place].sent for place in others]
    if keys:
        sent.insert(0, b"%b%b\r\n" % (READ, b" ".join(dict.fromkeys(keys))))
    writer.write(b"".join(sent))
    found = dict(zip(reads, await _values(reader, keys), strict=True)) if keys else {}
    for place in others:
        found[place] = await _replies(reader, requests[place])
    return [found[place] for place in range(len(requests))]


async def _values(
    reader: StreamReader, keys: Sequence[bytes]
) -> list[list[Reply] | ClientException]:
    """The replies to a read of many keys: one value at most for each of them.

    They come in any order: the protocol promises none, and a proxy may join what several servers
    say.
    """
    awaited = set(keys)
    found: dict[bytes, list[Reply] | ClientException] = {}
    rest: list[Reply] | ClientException = [Reply(b"END")]
    while (line := (await reader.readuntil(b"\r\n"))[:-2]) != b"END":
        if line.startswith(b"SERVER_ERROR "):
            rest = ClientException(line.decode("ascii", "replace"))
            break
        header = _header(line)
        key = header[1]
        if key not in awaited:
            raise ClientException("another's reply")
        awaited.remove(key)
        value = await reader.readexactly(int(header[2]) + 2)
        found[key] = [Reply(b"VALUE", value[:-2], int(header[3]))]
    return [found.get(key, rest) for key in keys]


async def _replies(reader: StreamReader, request: Request) -> list[Reply] | ClientException:
    replies, refused = [], None
    for _ in range(request.replies):
        reply = await _reply(reader, request.key)
        if isinstance(reply, Reply):
            replies.append(reply)
        else:
            refused = reply
    return replies if refused is None else refused


async def _reply(reader: StreamReader, key: bytes) -> Reply | ClientException:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    if line in _STATUSES:
        return Reply(line)
    if line.startswith(b"SERVER_ERROR "):  # its own trouble with this very command
        return ClientException(line.decode("ascii", "replace"))
    header = _header(line)
    if header[1] != key:
        raise ClientException("another's reply")
    value = await reader.readexactly(int(header[2]) + 2)
    if await reader.readuntil(b"\r\n") != b"END\r\n":
        raise ClientException("more than one value")
    return Reply(b"VALUE", value[:-2], int(header[3]))


def _header(line: bytes) -> re.Match[bytes]:
    header = _VALUE.fullmatch(line)
    if header is None:
        said = line.decode("ascii", "replace") if b"ERROR" in line[:12] else "another's reply"
        raise ClientException(said)
    return header
