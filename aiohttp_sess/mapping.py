"""The part of a session that is a mapping: names or typed keys to values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar, overload

from .changes import Changes
from .operations import Update
from .values import StateKey

__all__ = ("TypedMapping",)

T = TypeVar("T")
D = TypeVar("D")

_NOTHING: Any = object()  # None is a value


class TypedMapping(MutableMapping[str, Any]):
    """A mutable mapping whose keys may be a `StateKey`, so that their values have a type."""

    __slots__ = ("_changes",)

    _changes: Changes

    @overload
    def __getitem__(self, key: StateKey[T]) -> T: ...
    @overload
    def __getitem__(self, key: str) -> Any: ...
    def __getitem__(self, key: str | StateKey[Any]) -> Any:
        return self._changes.get(key)

    @overload
    def __setitem__(self, key: StateKey[T], value: T) -> None: ...
    @overload
    def __setitem__(self, key: str, value: Any) -> None: ...
    def __setitem__(self, key: str | StateKey[Any], value: Any) -> None:
        self._changes.set(key, value)

    def __delitem__(self, key: str | StateKey[Any]) -> None:
        self._changes.delete(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._changes)

    def __len__(self) -> int:
        return len(self._changes)

    def __contains__(self, key: object) -> bool:
        return key in self._changes

    def clear(self) -> None:
        """Delete every value. The session goes on, empty; `purge` ends it."""
        self._changes.clear()

    @overload
    def get(self, key: StateKey[T]) -> T | None: ...
    @overload
    def get(self, key: StateKey[T], default: D) -> T | D: ...
    @overload
    def get(self, key: str, default: Any = None) -> Any: ...
    def get(self, key: str | StateKey[Any], default: Any = None) -> Any:
        """The value under ``key``, or ``default``."""
        try:
            return self._changes.get(key)
        except KeyError:
            return default

    @overload
    def pop(self, key: StateKey[T]) -> T: ...
    @overload
    def pop(self, key: StateKey[T], default: D) -> T | D: ...
    @overload
    def pop(self, key: str, default: Any = ...) -> Any: ...
    def pop(self, key: str | StateKey[Any], *default: Any, **named: Any) -> Any:
        """Delete the value under ``key`` and return it; ``default`` where there is none."""
        return super().pop(key, *default, **named)  # type: ignore[arg-type]  # a StateKey is a name

    @overload
    def setdefault(self, key: StateKey[T], default: T) -> T: ...
    @overload
    def setdefault(self, key: str, default: Any = None) -> Any: ...
    def setdefault(self, key: str | StateKey[Any], default: Any = None) -> Any:
        """The value under ``key``, which is ``default`` from now on if there was none."""
        return super().setdefault(key, default)  # type: ignore[arg-type]  # as above

    @overload
    def update_value(self, key: StateKey[T], fn: Callable[[T], T]) -> T | None: ...
    @overload
    def update_value(self, key: StateKey[T], fn: Callable[[T], T], *, default: T) -> T: ...
    @overload
    def update_value(self, key: str, fn: Callable[[Any], Any], *, default: Any = ...) -> Any: ...
    def update_value(
        self, key: str | StateKey[Any], fn: Callable[[Any], Any], *, default: Any = _NOTHING
    ) -> Any:
        """Replace the value under ``key`` by ``fn`` of it, and return the new one.

        ``fn`` is called again on the latest value when another request has saved in between, so
        nothing is lost between parallel requests. It must have no other effects; what it raises
        then comes out of the commit, which saves nothing. What it returns is the new value, be it
        None.

        :param default: what to set where there is no value under ``key``, without a call of ``fn``;
            without it, nothing is done there and None returned.
        """
        if not callable(fn):
            raise TypeError(f"fn must be callable, not {type(fn).__name__}")
        if inspect.iscoroutinefunction(fn):
            raise TypeError("fn must not be async: compute before, and let fn combine")
        defaults = () if default is _NOTHING else (default,)
        return self._changes.update(Update(key, fn, defaults))
