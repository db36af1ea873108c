"""Commands to one Redis, merged: the reads of a batch as one MGET, the replacements as one script.

Most of what redis-py takes is for each command, whatever that does. The keys of a merged command
must be on one server, so in a cluster nothing is merged.

Where a merged command is refused, its commands leave again one by one, and each gets its own
answer. For a replacement that had been done that is no harm: it is recognised by its stamp, as one
that was sent again after a dropped connection.

Among others, a read of what is no string finds nothing, where by itself it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from redis.client import NEVER_DECODE
from redis.exceptions import InvalidResponse

from .entry import STAMP_LENGTH
from .scripts import REPLACE, REPLACE_MANY

__all__ = ("ASK_AGAIN", "NO_OPTIONS", "Command", "Merged", "answers", "merged")

# Positional and named arguments of `execute_command`.
Command = tuple[tuple[Any, ...], Mapping[str, Any]]

NO_OPTIONS: Mapping[str, Any] = {}
"""Of all commands that have none, so that they wait for their turn without one each."""

# Bytes of values in one script. Redis does nothing else meanwhile.
_HEAVIEST = 256 * 1024

ASK_AGAIN = object()
"""The answer to a command that is to be sent by itself."""


class Merged(NamedTuple):
    """A command, and the places of those that it stands for."""

    command: Command
    places: Sequence[int]

    def __repr__(self) -> str:  # the rest is a user's
        return f"<Merged {self.command[0][0]} for {len(self.places)}>"


def merged(commands: Sequence[Command], *, in_full: bool) -> list[Merged]:
    """What to send in the place of these. Commands on one key stay in their order, but for those
    that are to be asked again.

    `exchanges` has the same rule for memcached, where only reads are merged.

    :param in_full: send the script, and not its SHA-1.
    """
    reads: list[int] = []
    replacements: list[int] = []
    others: list[int] = []
    taken: set[Any] = set()  # keys: what comes later on one of them is not merged, but leaves later
    for place, (arguments, options) in enumerate(commands):
        name = arguments[0]
        if name == "GET":
            if NEVER_DECODE in options and arguments[1] not in taken:
                reads.append(place)
                continue
            where = 1
        elif name == "EVALSHA":
            if _is_replacement(arguments) and arguments[3] not in taken:
                taken.add(arguments[3])
                replacements.append(place)
                continue
            where = 3
        else:
            where = 3 if name == "EVAL" else 1
        taken.update(arguments[where : where + 1])
        others.append(place)
    found = [Merged(_read(commands, reads), reads)] if reads else []
    for places in _portions(commands, replacements):
        found.append(Merged(_replacement(commands, places, in_full), places))
    found.extend(Merged(commands[place], (place,)) for place in others)
    return found


def answers(one: Merged, reply: Any) -> Iterable[Any]:
    """The answers to the commands that a merged one stands for."""
    if len(one.places) == 1:
        return (reply,)
    if isinstance(reply, Exception):
        return [ASK_AGAIN] * len(one.places)
    if not isinstance(reply, list) or len(reply) != len(one.places):
        error = InvalidResponse("another number of answers than of keys")
        return [error] * len(one.places)
    if one.command[0][0] == "MGET":
        return reply
    return [ASK_AGAIN if done is None else done for done in reply]


def _is_replacement(arguments: tuple[Any, ...]) -> bool:
    # What is no entry of ours may be shorter than a stamp, and those are put one behind the other.
    return arguments[1] == REPLACE.sha1 and len(arguments[4]) == STAMP_LENGTH


def _read(commands: Sequence[Command], places: Sequence[int]) -> Command:
    first = commands[places[0]]
    if len(places) == 1:
        return first
    return ("MGET", *[commands[place][0][1] for place in places]), first[1]


def _replacement(commands: Sequence[Command], places: Sequence[int], in_full: bool) -> Command:
    if len(places) == 1:
        return commands[places[0]]
    taken = [commands[place][0][3:] for place in places]
    keys, stamps, values, ttls = zip(*taken, strict=True)
    sizes = map(len, values)
    rest = b"".join(stamps), _numbers(sizes), _numbers(ttls), b"".join(values)
    script = ("EVAL", REPLACE_MANY.text) if in_full else ("EVALSHA", REPLACE_MANY.sha1)
    return (*script, len(keys), *keys, *rest), {}


def _numbers(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def _portions(commands: Sequence[Command], places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Replacements by portions that are not too heavy."""
    portion, weight = list[int](), 0
    for place in places:
        size = len(commands[place][0][5])
        if portion and weight + size > _HEAVIEST:
            yield portion
            portion, weight = [], 0
        portion.append(place)
        weight += size
    if portion:
        yield portion
