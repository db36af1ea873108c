"""A session state whose values are JSON text still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

__all__ = ("EncodedState",)


class EncodedState(Mapping[str, Any]):
    """Session state whose values stay encoded until they are asked for.

    Equal to a dict of the same values. Each access decodes anew, so nothing that is done to a
    value reaches the record.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, msgspec.Raw]) -> None:
        self.raw = raw

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> EncodedState:
        """``state`` itself where it is encoded already, else its values encoded."""
        if isinstance(state, EncodedState):
            return state
        return cls({name: msgspec.Raw(msgspec.json.encode(v)) for name, v in state.items()})

    def __getitem__(self, name: str) -> Any:
        return msgspec.json.decode(self.raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"<EncodedState {sorted(self.raw)}>"
