"""The metrics of the GenAI conventions, added up from spans as they end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from instrument.analysis.totals import dollars
from instrument.model import Span, Usage
from instrument.sinks.otlp.series import Count, Dimensions, Spread
from instrument.version import __version__
from instrument.views.genai import OPERATIONS
from instrument.views.otel import SCOPE

_SECONDS = [0.01 * 2**n for n in range(14)]
_AGENT_SECONDS = [0.1 * 2**n for n in range(13)]
_WORKFLOW_SECONDS = [1.0, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200]
_TOKENS = [float(4**n) for n in range(14)]
_COMMON = (
    "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "server.address", "server.port",
    "openai.response.service_tier",
)  # fmt: skip
_NAMES = {"tool": "gen_ai.tool.name", "agent": "gen_ai.agent.name", "workflow": "gen_ai.workflow.name"}
_DURATIONS = {
    "tool": ("gen_ai.execute_tool.duration", _SECONDS),
    "agent": ("gen_ai.invoke_agent.duration", _AGENT_SECONDS),
    "workflow": ("gen_ai.invoke_workflow.duration", _WORKFLOW_SECONDS),
}
_OLD, _NEW = "gen_ai.client.operation", "gen_ai.client.inference"
_COUNTED = {"input": "input_tokens", "output": "output_tokens", "cached": "cache_read.input_tokens",
            "cache_write": "cache_write.input_tokens", "reasoning": "reasoning.output_tokens"}  # fmt: skip
_LABELS = frozenset({str, int})
_ANY_MODALITY = ("gen_ai.token.modality", "unknown")


class Measures:
    """Histograms and counters of one process; `names` is an edition, `temporality` as in the standard variable.

    Cumulative numbers count from `since_ns` (now, unless given), those of `delta` from the last request.
    """

    def __init__(self, about: Resource, names: str, temporality: str = "", since_ns: int | None = None) -> None:
        self._about = about
        is_delta = temporality.strip().lower() in ("delta", "lowmemory")
        self._temporality = AggregationTemporality.DELTA if is_delta else AggregationTemporality.CUMULATIVE
        self._since_ns = since_ns or time.time_ns()
        self._series: dict[str, Spread | Count] = {}
        self._old, self._new = names != "latest", names in ("latest", "both")

    def add(self, span: Span) -> None:
        """Count one span that has ended."""
        told = _dimensions(span)
        seconds = span.duration_ns / 1e9
        if span.kind in _DURATIONS:
            name, buckets = _DURATIONS[span.kind]
            named = str(span.attributes.get(_NAMES[span.kind], span.name))
            self._spread(name, "s", buckets).add(seconds, (*told, (_NAMES[span.kind], named)))
        elif span.kind in ("llm", "embedding"):
            for family in self._families():
                self._spread(f"{family}.duration", "s", _SECONDS).add(seconds, told)
                self._first_chunk(family, span, told)
        if span.usage is not None:
            self._tokens(span.usage, told)
        paid = dollars(span.cost.usd) if span.cost is not None else None
        if paid:
            self._count("instrument.cost", "{USD}").add(float(paid), told)

    def request(self) -> bytes | None:
        """All there is so far as one request; None where nothing was counted."""
        if not self._series:
            return None
        now_ns = time.time_ns()
        metrics = [one.told(self._since_ns, now_ns, self._temporality) for one in self._series.values()]
        scoped = ScopeMetrics(InstrumentationScope(SCOPE, __version__), metrics, "")
        if self._temporality is AggregationTemporality.DELTA:
            self._series, self._since_ns = {}, now_ns
        found = MetricsData([ResourceMetrics(self._about, [scoped], "")])
        request: bytes = encode_metrics(found).SerializeToString()
        return request

    def _families(self) -> Iterator[str]:
        if self._old:
            yield _OLD
        if self._new:
            yield _NEW

    def _first_chunk(self, family: str, span: Span, told: Dimensions) -> None:
        waited = span.attributes.get("gen_ai.response.time_to_first_chunk")
        if waited.__class__ is float or waited.__class__ is int:
            self._spread(f"{family}.time_to_first_chunk", "s", _SECONDS).add(float(waited), told)

    def _tokens(self, usage: Usage, told: Dimensions) -> None:
        if self._old:
            spread = self._spread("gen_ai.client.token.usage", "{token}", _TOKENS)
            for kind, count in (("input", usage.input), ("output", usage.output)):
                if count is not None:
                    spread.add(count, (*told, ("gen_ai.token.type", kind)))
        if self._new:
            for field, name in _COUNTED.items():
                count = getattr(usage, field)
                if count is not None:
                    self._count(f"{_NEW}.usage.{name}", "{token}").add(count, (*told, _ANY_MODALITY))
            for name, count in (("input_tokens", usage.input), ("output_tokens", usage.output)):
                if count is not None:
                    self._spread(f"{_NEW}.operation.{name}", "{token}", _TOKENS).add(count, told)

    def _spread(self, name: str, unit: str, bounds: Sequence[float]) -> Spread:
        known = self._series.get(name)
        if not isinstance(known, Spread):
            known = self._series[name] = Spread(name, unit, bounds)
        return known

    def _count(self, name: str, unit: str) -> Count:
        known = self._series.get(name)
        if not isinstance(known, Count):
            known = self._series[name] = Count(name, unit)
        return known


def _dimensions(span: Span) -> Dimensions:
    told = span.attributes
    operation = told.get("gen_ai.operation.name") or OPERATIONS.get(span.kind, span.kind)
    known: list[tuple[str, Any]] = [("gen_ai.operation.name", str(operation))]
    known += [(key, value) for key in _COMMON if (value := told.get(key)).__class__ in _LABELS]
    return (*known, ("error.type", span.error.type)) if span.error is not None else tuple(known)
