"""Histograms and counters: numbers added up by their dimensions, told as the data points of the protocol."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

Dimensions = tuple[tuple[str, str | bool | int | float], ...]

MOST_SERIES = 2000
"""Combinations of dimensions of one metric; those that come later are one series together, and marked so."""
OVERFLOW: Dimensions = (("otel.metric.overflow", True),)


class _Buckets:
    __slots__ = ("counts", "most", "least", "number", "total")  # noqa: RUF023 - in the order of their use

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.number, self.total = 0, 0.0
        self.least, self.most = float("inf"), float("-inf")


class Spread:
    """A histogram; `bounds` are the upper limits of its buckets, inclusive."""

    def __init__(self, name: str, unit: str, bounds: Sequence[float]) -> None:
        self.name, self.unit, self.bounds = name, unit, bounds
        self._series: dict[Dimensions, _Buckets] = {}

    def add(self, value: float, about: Dimensions) -> None:
        """Count one value."""
        found = self._series.get(about)
        if found is None:
            about = about if len(self._series) < MOST_SERIES else OVERFLOW
            found = self._series.setdefault(about, _Buckets(self.bounds))
        found.counts[bisect_left(self.bounds, value)] += 1
        found.number += 1
        found.total += value
        if value < found.least:
            found.least = value
        if value > found.most:
            found.most = value

    def told(self, since_ns: int, now_ns: int, temporality: AggregationTemporality) -> Metric:
        """All that was counted."""
        points = [
            HistogramDataPoint(
                attributes=dict(about),
                start_time_unix_nano=since_ns,
                time_unix_nano=now_ns,
                count=one.number,
                sum=one.total,
                bucket_counts=list(one.counts),
                explicit_bounds=self.bounds,
                min=one.least,
                max=one.most,
            )
            for about, one in self._series.items()
        ]
        return Metric(self.name, None, self.unit, Histogram(points, temporality))


class Count:
    """A counter."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit
        self._series: dict[Dimensions, float] = {}

    def add(self, value: float, about: Dimensions) -> None:
        """Add a number."""
        known = self._series.get(about)
        if known is None and len(self._series) >= MOST_SERIES:
            about, known = OVERFLOW, self._series.get(OVERFLOW)
        self._series[about] = value if known is None else known + value

    def told(self, since_ns: int, now_ns: int, temporality: AggregationTemporality) -> Metric:
        """All that was counted."""
        points = [NumberDataPoint(dict(about), since_ns, now_ns, value) for about, value in self._series.items()]
        return Metric(self.name, None, self.unit, Sum(points, temporality, is_monotonic=True))
