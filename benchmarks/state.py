"""What the sessions hold."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

__all__ = ("make_state",)


def make_state(size: int) -> dict[str, Any]:
    """A state like those of applications, whose JSON has ``size`` bytes.

    :param size: at least 60.
    """
    state: dict[str, Any] = {"n": 0, "user_id": 4711, "note": ""}
    items: list[dict[str, Any]] = []
    left = size - _length(state) - len(',"items":[]')
    for number in count(1000):
        item = {"id": number, "title": f"item {number}", "price": 9.5, "tags": ["new", "red"]}
        length = _length(item) + 1
        if length > left:
            break
        items.append(item)
        left -= length
    if items:
        state["items"] = items
        left += 1  # no comma after the last
    state["note"] = "x" * (size - _length(state))
    return state


def _length(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))
