"""Records as requests of the protocol, by the encoders of the official exporters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from instrument.model import Finding, Log, Run, Score, Span
from instrument.version import __version__
from instrument.views import otel

_SCOPE = InstrumentationScope(otel.SCOPE, __version__)
_KINDS = {otel.INTERNAL: SpanKind.INTERNAL, otel.CLIENT: SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)


def resource(run: Run | None, run_id: str, told: Mapping[str, str]) -> Resource:
    """The process that recorded, with what the standard variables say of it."""
    return Resource({**otel.resource(run, run_id), **told})


def spans(records: Sequence[Span], about: Resource, dialect: str) -> bytes:
    """Spans as one request."""
    request: bytes = encode_spans([_span(record, about, dialect) for record in records]).SerializeToString()
    return request


def logs(records: Sequence[Log | Finding | Score], about: Resource) -> bytes:
    """Logs, findings and scores as one request."""
    request: bytes = encode_logs([_line(record, about) for record in records]).SerializeToString()
    return request


def _span(record: Span, about: Resource, dialect: str) -> ReadableSpan:
    told = otel.told(record, dialect)
    return ReadableSpan(
        name=told.name,
        context=_context(record.trace_id, record.span_id),
        parent=_context(record.trace_id, record.parent_id) if record.parent_id else None,
        resource=about,
        attributes=told.attributes,
        events=[Event(event.name, event.attributes, event.time_ns) for event in told.events],
        links=[Link(_context(link.trace_id, link.span_id), link.attributes) for link in told.links],
        kind=_KINDS[told.kind],
        status=Status(StatusCode.ERROR, told.message) if told.failed else _UNSET,
        start_time=record.start_ns,
        end_time=record.start_ns + record.duration_ns,
        instrumentation_scope=_SCOPE,
    )


def _line(record: Log | Finding | Score, about: Resource) -> ReadableLogRecord:
    told = otel.line(record)
    inside: dict[str, Any] = {}
    if told.trace_id:
        place = NonRecordingSpan(_context(told.trace_id, told.span_id or "0"))
        inside["context"] = set_span_in_context(place, Context())
    record_told = LogRecord(
        timestamp=told.time_ns,
        observed_timestamp=told.time_ns,
        severity_text=told.level,
        severity_number=SeverityNumber(told.severity),
        body=told.body,
        attributes=told.attributes,
        event_name=told.event or None,
        **inside,
    )
    return ReadableLogRecord(log_record=record_told, resource=about, instrumentation_scope=_SCOPE)


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
