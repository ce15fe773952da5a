"""The metrics of the GenAI conventions, added up from spans as they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from instrument.analysis.totals import dollars
from instrument.model import Span, Usage
from instrument.version import __version__
from instrument.views.genai import OPERATIONS
from instrument.views.otel import SCOPE

Attributes = dict[str, Any]

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
_DELTA = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)


class Measures:
    """Histograms and counters of one process; `names` is an edition, `temporality` as in the standard variable."""

    def __init__(self, about: Resource, names: str, temporality: str = "") -> None:
        is_delta = temporality.strip().lower() in ("delta", "lowmemory")
        self._reader = InMemoryMetricReader(preferred_temporality=_DELTA if is_delta else None)  # type: ignore[arg-type]
        provider = MeterProvider([self._reader], resource=about, shutdown_on_exit=False)
        self._meter = provider.get_meter(SCOPE, __version__)
        self._instruments: dict[str, Any] = {}
        self._old, self._new = names != "latest", names in ("latest", "both")

    def add(self, span: Span) -> None:
        """Count one span that has ended."""
        told = _dimensions(span)
        seconds = span.duration_ns / 1e9
        if span.kind in _DURATIONS:
            name, buckets = _DURATIONS[span.kind]
            named = {_NAMES[span.kind]: span.attributes.get(_NAMES[span.kind], span.name)}
            self._record(name, "s", seconds, {**told, **named}, buckets)
        elif span.kind in ("llm", "embedding"):
            for family in self._families():
                self._record(f"{family}.duration", "s", seconds, told, _SECONDS)
                self._first_chunk(family, span, told)
        if span.usage is not None:
            self._tokens(span.usage, told)
        paid = dollars(span.cost.usd) if span.cost is not None else None
        if paid:
            self._counter("instrument.cost", "{USD}").add(float(paid), told)

    def request(self) -> bytes | None:
        """All there is so far as one request; None where nothing was counted."""
        found = self._reader.get_metrics_data()
        if found is None or not found.resource_metrics:
            return None
        request: bytes = encode_metrics(found).SerializeToString()
        return request

    def _families(self) -> Iterator[str]:
        if self._old:
            yield _OLD
        if self._new:
            yield _NEW

    def _first_chunk(self, family: str, span: Span, told: Attributes) -> None:
        waited = span.attributes.get("gen_ai.response.time_to_first_chunk")
        if isinstance(waited, int | float):
            self._record(f"{family}.time_to_first_chunk", "s", float(waited), told, _SECONDS)

    def _tokens(self, usage: Usage, told: Attributes) -> None:
        if self._old:
            for kind, count in (("input", usage.input), ("output", usage.output)):
                if count is not None:
                    of_kind = {**told, "gen_ai.token.type": kind}
                    self._record("gen_ai.client.token.usage", "{token}", count, of_kind, _TOKENS)
        if self._new:
            for field, name in _COUNTED.items():
                count = getattr(usage, field)
                if count is not None:
                    counter = self._counter(f"{_NEW}.usage.{name}", "{token}")
                    counter.add(count, {**told, "gen_ai.token.modality": "unknown"})
            for name, count in (("input_tokens", usage.input), ("output_tokens", usage.output)):
                if count is not None:
                    self._record(f"{_NEW}.operation.{name}", "{token}", count, told, _TOKENS)

    def _record(self, name: str, unit: str, value: float, told: Attributes, buckets: list[float]) -> None:
        known = self._instruments.get(name)
        if known is None:
            known = self._instruments[name] = self._meter.create_histogram(
                name, unit=unit, explicit_bucket_boundaries_advisory=buckets
            )
        known.record(value, told)

    def _counter(self, name: str, unit: str) -> Any:
        if name not in self._instruments:
            self._instruments[name] = self._meter.create_counter(name, unit=unit)
        return self._instruments[name]


def _dimensions(span: Span) -> Attributes:
    told: Attributes = {key: span.attributes[key] for key in _COMMON if span.attributes.get(key) is not None}
    told["gen_ai.operation.name"] = span.attributes.get("gen_ai.operation.name") or OPERATIONS.get(span.kind, span.kind)
    if span.error is not None:
        told["error.type"] = span.error.type
    return told
