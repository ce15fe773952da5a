"""The metrics of the GenAI conventions, added up from spans as they end.

A call that was refused did not take place: it has no part in the durations, but is counted in `instrument.refused`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from instrument.analysis.totals import dollars
from instrument.attributes import (
    ERROR_TYPE,
    FIRST_CHUNK,
    OPERATION,
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    RESPONSE_TIER,
    SERVER_ADDRESS,
    SERVER_PORT,
)
from instrument.kinds import MODEL_KINDS
from instrument.model import Span, Usage
from instrument.sinks.otlp.series import MOST_SERIES, Buckets, Count, Dimensions, Spread, Total
from instrument.statuses import REFUSED
from instrument.version import __version__
from instrument.views.genai import NAMED, OPERATIONS
from instrument.views.otel import SCOPE

_COMMON = (PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT, RESPONSE_TIER)
_LABELS = frozenset({str, int})


class _Metric:
    """One of the metrics, a histogram where it has bounds, and the dimensions that are the same for all its numbers."""

    __slots__ = ("about", "bounds", "name", "unit")

    def __init__(self, name: str, unit: str, bounds: Sequence[float] | None, *about: tuple[str, str]) -> None:
        self.name, self.unit, self.bounds, self.about = name, unit, bounds, about


class _Family(NamedTuple):
    """What an edition counts of calls of models."""

    duration: _Metric
    first_chunk: _Metric
    tokens: Sequence[tuple[str, _Metric]]
    """By the name that they have in `Usage`."""


_SECONDS = [0.01 * 2**n for n in range(14)]
_AGENT_SECONDS = [0.1 * 2**n for n in range(13)]
_WORKFLOW_SECONDS = [1.0, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200]
_TOKENS = [float(4**n) for n in range(14)]
_DURATIONS = {
    "tool": _Metric("gen_ai.execute_tool.duration", "s", _SECONDS),
    "agent": _Metric("gen_ai.invoke_agent.duration", "s", _AGENT_SECONDS),
    "workflow": _Metric("gen_ai.invoke_workflow.duration", "s", _WORKFLOW_SECONDS),
}
_COSTS = _Metric("instrument.cost", "{USD}", None)
_REFUSALS = _Metric("instrument.refused", "{call}", None)
_OLD = _Family(
    _Metric("gen_ai.client.operation.duration", "s", _SECONDS),
    _Metric("gen_ai.client.operation.time_to_first_chunk", "s", _SECONDS),
    [
        (kind, _Metric("gen_ai.client.token.usage", "{token}", _TOKENS, ("gen_ai.token.type", kind)))
        for kind in ("input", "output")
    ],
)
_COUNTED = {"input": "input_tokens", "output": "output_tokens", "cached": "cache_read.input_tokens",
            "cache_write": "cache_write.input_tokens", "reasoning": "reasoning.output_tokens"}  # fmt: skip
_USAGE, _ANY_MODALITY = "gen_ai.client.inference.usage", ("gen_ai.token.modality", "unknown")
_NEW = _Family(
    _Metric("gen_ai.client.inference.duration", "s", _SECONDS),
    _Metric("gen_ai.client.inference.time_to_first_chunk", "s", _SECONDS),
    [
        *((field, _Metric(f"{_USAGE}.{name}", "{token}", None, _ANY_MODALITY)) for field, name in _COUNTED.items()),
        ("input", _Metric("gen_ai.client.inference.operation.input_tokens", "{token}", _TOKENS)),
        ("output", _Metric("gen_ai.client.inference.operation.output_tokens", "{token}", _TOKENS)),
    ],
)


class _Alike(NamedTuple):
    """Spans of the same dimensions, their name where durations have it, and where each metric counts them."""

    about: Dimensions
    named: Dimensions
    places: dict[_Metric, Buckets | Total]


class Measures:
    """Histograms and counters of one process; `names` is an edition, `temporality` as in the standard variable.

    Cumulative numbers count from `since_ns` (now, unless given), those of `delta` from the last request.
    """

    def __init__(self, about: Resource, names: str, temporality: str = "", since_ns: int | None = None) -> None:
        self._about = about
        is_delta = temporality.strip().lower() in ("delta", "lowmemory")
        self._temporality = AggregationTemporality.DELTA if is_delta else AggregationTemporality.CUMULATIVE
        self._wall_ns = time.time_ns() - time.monotonic_ns()
        self._since_ns = since_ns or self._now()
        self._families = [_NEW] if names == "latest" else [_OLD, _NEW] if names == "both" else [_OLD]
        self._series: dict[str, Spread | Count] = {}
        self._alike: dict[tuple[Any, ...], _Alike] = {}

    def add(self, span: Span) -> None:
        """Count one span that has ended."""
        alike = self._spans_like(span)
        if span.status == REFUSED:
            self._place(alike, _REFUSALS).add(1)
            return
        if span.kind in _DURATIONS:
            self._place(alike, _DURATIONS[span.kind], alike.named).add(span.duration_ns / 1e9)
        elif span.kind in MODEL_KINDS:
            waited = span.attributes.get(FIRST_CHUNK)
            for family in self._families:
                self._place(alike, family.duration).add(span.duration_ns / 1e9)
                if waited.__class__ is float or waited.__class__ is int:
                    self._place(alike, family.first_chunk).add(waited)
        if span.usage is not None:
            self._tokens(span.usage, alike)
        paid = dollars(span.cost.usd) if span.cost is not None else None
        if paid:
            self._place(alike, _COSTS).add(float(paid))

    def request(self) -> bytes | None:
        """All there is so far as one request; None where nothing was counted."""
        if not self._series:
            return None
        now_ns = max(self._now(), self._since_ns)
        metrics = [one.told(self._since_ns, now_ns, self._temporality) for one in self._series.values()]
        scoped = ScopeMetrics(InstrumentationScope(SCOPE, __version__), metrics, "")
        if self._temporality is AggregationTemporality.DELTA:
            self._series, self._alike, self._since_ns = {}, {}, now_ns
        found = MetricsData([ResourceMetrics(self._about, [scoped], "")])
        request: bytes = encode_metrics(found).SerializeToString()
        return request

    def _now(self) -> int:
        """The wall clock at the beginning plus the monotonic clock since: no number may end before it begins."""
        return self._wall_ns + time.monotonic_ns()

    def _tokens(self, usage: Usage, alike: _Alike) -> None:
        for family in self._families:
            for field, metric in family.tokens:
                count = getattr(usage, field)
                if count is not None:
                    self._place(alike, metric).add(count)

    def _spans_like(self, span: Span) -> _Alike:
        told = span.attributes
        operation = str(told.get(OPERATION) or OPERATIONS.get(span.kind, span.kind))
        name = str(told.get(NAMED[span.kind], span.name)) if span.kind in NAMED else None
        error = span.error.type if span.error is not None else None
        labels: list[Any] = [value if (value := told.get(key)).__class__ in _LABELS else None for key in _COMMON]
        key = (span.kind, operation, name, error, *labels)
        alike = self._alike.get(key)
        if alike is None:
            about = [(OPERATION, operation), *zip(_COMMON, labels, strict=True), (ERROR_TYPE, error)]
            named = ((NAMED[span.kind], name),) if name is not None else ()
            alike = _Alike(tuple((key, value) for key, value in about if value is not None), named, {})
            if len(self._alike) < MOST_SERIES:
                self._alike[key] = alike
        return alike

    def _place(self, alike: _Alike, metric: _Metric, named: Dimensions = ()) -> Buckets | Total:
        """Where the metric counts such spans."""
        place = alike.places.get(metric)
        if place is None:
            series = self._series.get(metric.name)
            if series is None:
                bounds = metric.bounds
                series = Count(metric.name, metric.unit) if bounds is None else Spread(metric.name, metric.unit, bounds)
                self._series[metric.name] = series
            place = alike.places[metric] = series.of((*alike.about, *metric.about, *named))
        return place
