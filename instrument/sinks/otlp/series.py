"""Histograms and counters: numbers added up by their dimensions, told as the data points of the protocol."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

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


class Buckets:
    """The values of one series of a histogram."""

    __slots__ = ("bounds", "counts", "most", "least", "number", "total")  # noqa: RUF023 - in the order of their use

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.number, self.total = 0, 0.0
        self.least, self.most = float("inf"), float("-inf")

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.number += 1
        self.total += value
        if value < self.least:
            self.least = value
        if value > self.most:
            self.most = value


class Total:
    """The sum of one series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, value: float) -> None:
        """Add a number."""
        self.value += value


class Spread:
    """A histogram; `bounds` are the upper limits of its buckets, inclusive."""

    def __init__(self, name: str, unit: str, bounds: Sequence[float]) -> None:
        self.name, self.unit, self.bounds = name, unit, bounds
        self._series: dict[Dimensions, Buckets] = {}

    def of(self, about: Dimensions) -> Buckets:
        """Where the values with these dimensions are counted."""
        known = self._series.get(about)
        if known is None:
            known = self._series.setdefault(_place(about, self._series), Buckets(self.bounds))
        return known

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
        self._series: dict[Dimensions, Total] = {}

    def of(self, about: Dimensions) -> Total:
        """Where the numbers with these dimensions are added up."""
        known = self._series.get(about)
        if known is None:
            known = self._series.setdefault(_place(about, self._series), Total())
        return known

    def told(self, since_ns: int, now_ns: int, temporality: AggregationTemporality) -> Metric:
        """All that was counted."""
        points = [NumberDataPoint(dict(about), since_ns, now_ns, one.value) for about, one in self._series.items()]
        return Metric(self.name, None, self.unit, Sum(points, temporality, is_monotonic=True))


def _place(about: Dimensions, series: Mapping[Dimensions, object]) -> Dimensions:
    return about if len(series) < MOST_SERIES else OVERFLOW
