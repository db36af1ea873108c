"""What OpenTelemetry's SDK collects."""

from __future__ import annotations

from collections import Counter
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
)

import aiohttp_sess

OUTCOME = "aiohttp_sess.outcome"


class Meter:
    """What was measured so far."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])

    def metrics(self) -> dict[str, Metric]:
        """All metrics, by name."""
        data = self._reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                assert scope.scope.name == "aiohttp_sess"
                assert scope.scope.version == aiohttp_sess.__version__
                for metric in scope.metrics:
                    found[metric.name] = metric
        return found

    def counts(self, name: str) -> list[tuple[dict[str, Any], int]]:
        """The attributes of a metric's series, and how much was counted of each."""
        metric = self.metrics().get(name)
        found = []
        for point in metric.data.data_points if metric else ():
            if isinstance(point, HistogramDataPoint):
                found.append((dict(point.attributes or {}), point.count))
            else:
                assert isinstance(point, NumberDataPoint)
                found.append((dict(point.attributes or {}), int(point.value)))
        return found

    def operations(self) -> Counter[tuple[Any, Any]]:
        """How many storage operations were timed, by name and outcome."""
        found = Counter[tuple[Any, Any]]()
        for attributes, count in self.counts("db.client.operation.duration"):
            found[attributes["db.operation.name"], attributes[OUTCOME]] += count
        return found
