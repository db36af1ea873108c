"""Sessions as OpenTelemetry metrics: `instrument` a handle, and whatever exports metrics has them.

===================================  ======================  ======================================
metric                               instrument, unit        attributes but ``aiohttp_sess.kind``
===================================  ======================  ======================================
``aiohttp_sess.sessions.created``    counter, {session}
``aiohttp_sess.sessions.loaded``     counter, {session}
``aiohttp_sess.sessions.renewed``    counter, {session}
``aiohttp_sess.sessions.rotated``    counter, {session}
``aiohttp_sess.sessions.purged``     counter, {session}
``aiohttp_sess.sessions.expired``    counter, {session}      ``aiohttp_sess.cause``
``aiohttp_sess.keys.rejected``       counter, {request}
``aiohttp_sess.conflicts``           counter, {conflict}     ``aiohttp_sess.given_up``: false is one
                                                             that was tried again
``aiohttp_sess.late_changes``        counter, {change}       ``aiohttp_sess.cause``
``aiohttp_sess.storage.failures``    counter, {failure}      ``aiohttp_sess.operation``,
                                                             ``error.type``
``aiohttp_sess.websockets.bound``    up-down counter,
                                     {websocket}
``db.client.operation.duration``     histogram, s            see `StorageTimer`
===================================  ======================  ======================================

``aiohttp_sess.kind`` is the name of the session cookie or header, ``error.type`` the class of the
client's own exception. What each of them counts is said in `aiohttp_sess.events`. No attribute is
of one session or of one visitor: there are as many series as kinds, causes, operations and classes
of exceptions.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from . import __version__
from .errors import SessionConflict, SessionGone
from .events import Event
from .handle import SessionHandle
from .storage.interface import AbstractStorage

try:
    from opentelemetry import metrics
except ImportError as error:
    raise ImportError(
        'metrics need OpenTelemetry\'s API: pip install "aiohttp-sess[otel]"', name=error.name
    ) from error

__all__ = ("StorageTimer", "instrument")

_OPERATIONS = (
    "load",
    "save",
    "renew",
    "update",
    "update_ttl",
    "rotate",
    "delete",
    "end",
    "sessions_of",
)
# None is no sign that there is nothing.
_OF_OWNERS = ("end_sessions", "limit_sessions", "end_login")
_SYSTEMS = {"RedisStorage": "redis", "MemcachedStorage": "memcached"}
# Seconds: what the semantic conventions for database metrics ask for.
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

# The signals, the counters over them, and which fields of an event are attributes.
_COUNTERS = (
    ("created", "sessions.created", "{session}", "Sessions saved for the first time"),
    ("loaded", "sessions.loaded", "{session}", "Sessions that requests brought"),
    ("renewed", "sessions.renewed", "{session}", "Sessions that got a new key"),
    ("rotated", "sessions.rotated", "{session}", "Sessions whose key was old, and got another"),
    ("purged", "sessions.purged", "{session}", "Sessions that were ended"),
    ("expired", "sessions.expired", "{session}", "Sessions found to be over"),
    ("rejected", "keys.rejected", "{request}", "Requests with a key that does not unseal"),
    ("conflict", "conflicts", "{conflict}", "Writes that another request was faster than"),
    ("late_change", "late_changes", "{change}", "Changes that came too late and are lost"),
    ("storage_failure", "storage.failures", "{failure}", "Failures of the storage"),
)
_FIELDS = ("cause", "given_up", "operation")

# Of each handle, the provider that it was instrumented for; None: the global one.
_INSTRUMENTED: weakref.WeakKeyDictionary[SessionHandle, metrics.MeterProvider | None]
_INSTRUMENTED = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()  # metrics are read in a thread of the exporter's


def instrument(handle: SessionHandle, meter_provider: metrics.MeterProvider | None = None) -> None:
    """Count and measure what happens to the sessions of a handle: call it right after `setup`.

    Its storage's operations are timed from here on, whoever calls them; a storage that several
    handles share is timed once, for the first of them.

    :param handle: what `setup` answered.
    :param meter_provider: where the metrics go; default: OpenTelemetry's global one.
    :raises TypeError: for what is no handle.
    :raises RuntimeError: where the application has started, or for a handle a second time.
    """
    if not isinstance(handle, SessionHandle):
        raise TypeError(f"handle must be what setup() answered, not {type(handle).__name__}")
    if handle.events.frozen:
        raise RuntimeError("the application has started: call instrument() right after setup()")
    if handle in _INSTRUMENTED:
        raise RuntimeError("this handle is instrumented already: all would be counted twice")
    meter = metrics.get_meter("aiohttp_sess", __version__, meter_provider)
    for signal, name, unit, description in _COUNTERS:
        counter = meter.create_counter(f"aiohttp_sess.{name}", unit, description)
        getattr(handle.events, signal).append(_Count(counter))
    with _LOCK:
        _INSTRUMENTED[handle] = meter_provider
    # Of several with one name, the SDK keeps the first: it tells of all handles.
    meter.create_observable_up_down_counter(
        "aiohttp_sess.websockets.bound",
        [lambda _: _bound(meter_provider)],
        "{websocket}",
        "Websockets that are bound to sessions",
    )
    if handle.storage.ends_sessions_early:
        _time(handle.storage, meter)


class StorageTimer:
    """One operation of a storage, timed as ``db.client.operation.duration``.

    ``db.system.name`` is ``redis``, ``memcached``, or what the storage's class is called without
    its ``Storage``; ``db.operation.name`` is the method, in lower case: where the backend's client
    is instrumented too, its commands are apart from these. ``aiohttp_sess.outcome`` is ``done``,
    ``missing`` (there was no such record), ``conflict``, ``cancelled`` or ``failed``; then
    ``error.type`` is the class of the exception, or of the client's own that caused it. An
    operation that calls another of the same storage is timed as both. `CookieStorage` is timed
    with ``revocations`` alone: without, it waits for nothing.

    :param operation: the storage's own method.
    :param histogram: where the seconds go.
    :param attributes: what all of them have.
    :param finds: whether it answers None where there is no such record.
    """

    def __init__(
        self,
        operation: Callable[..., Awaitable[Any]],
        histogram: metrics.Histogram,
        attributes: dict[str, str],
        *,
        finds: bool = True,
    ) -> None:
        self._operation = operation
        self._histogram = histogram
        self._attributes = attributes
        self._finds = finds

    async def __call__(self, *args: Any, **options: Any) -> Any:
        attributes, begun = dict(self._attributes), time.perf_counter()
        outcome = "failed"
        try:
            answer = await self._operation(*args, **options)
            missing = answer is False or (answer is None and self._finds)
            outcome = "missing" if missing else "done"
            return answer
        except SessionConflict:
            outcome = "conflict"
            raise
        except SessionGone:
            outcome = "missing"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            attributes["error.type"] = _class_of(error)
            raise
        finally:
            attributes["aiohttp_sess.outcome"] = outcome
            self._histogram.record(time.perf_counter() - begun, attributes)


class _Count:
    """Takes events, and counts them."""

    def __init__(self, counter: metrics.Counter) -> None:
        self._counter = counter

    async def __call__(self, event: Event) -> None:
        attributes = {"aiohttp_sess.kind": event.kind}
        for field in _FIELDS:
            if hasattr(event, field):
                attributes[f"aiohttp_sess.{field}"] = getattr(event, field)
        failure = getattr(event, "error", None)
        if failure is not None:
            attributes["error.type"] = _class_of(failure)
        self._counter.add(1, attributes)


def _time(storage: AbstractStorage, meter: metrics.Meter) -> None:
    if isinstance(storage.load, StorageTimer):
        return
    histogram = meter.create_histogram(
        "db.client.operation.duration",
        "s",
        "Duration of database client operations",
        explicit_bucket_boundaries_advisory=_BUCKETS,
    )
    for name in (*_OPERATIONS, *_OF_OWNERS):
        if getattr(type(storage), name) is getattr(AbstractStorage, name):
            continue  # it has none of its own: what that does is another operation, or nothing
        operation = "delete" if name == "end" else name  # which is the same, faster
        attributes = {"db.system.name": _system(storage), "db.operation.name": operation}
        finds = name not in _OF_OWNERS
        timer = StorageTimer(getattr(storage, name), histogram, attributes, finds=finds)
        setattr(storage, name, timer)


def _system(storage: AbstractStorage) -> str:
    names = [each.__name__ for each in type(storage).__mro__]
    known = [_SYSTEMS[name] for name in names if name in _SYSTEMS]
    return known[0] if known else names[0].removesuffix("Storage").lower() or "storage"


def _class_of(error: BaseException) -> str:
    kind = type(error.__cause__ or error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _bound(provider: metrics.MeterProvider | None) -> Iterable[metrics.Observation]:
    """How many websockets are bound, by kind of session. Called in a thread of the exporter's."""
    bound = Counter[str]()
    with _LOCK:
        instrumented = list(_INSTRUMENTED.items())
    for handle, its in instrumented:
        if its is provider:
            bound[handle.events.kind] += len(handle.sockets)
    return [metrics.Observation(n, {"aiohttp_sess.kind": kind}) for kind, n in bound.items()]
