"""Records as requests of the protocol: logs by the encoder of the official exporters, spans by our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from instrument.model import Finding, Log, Run, Score, Span
from instrument.sinks.otlp import wire
from instrument.version import __version__
from instrument.views import otel

_SCOPE = InstrumentationScope(otel.SCOPE, __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def resource(run: Run | None, run_id: str, told: Mapping[str, str]) -> Resource:
    """The process that recorded, with what the standard variables say of it."""
    return Resource({**otel.resource(run, run_id), **told})


def spans(records: Sequence[Span], about: Resource, dialect: str) -> bytes:
    """Spans as one request."""
    return wire.request(records, about.attributes, dialect)


def add_findings(records: list[Span], findings: Sequence[Finding]) -> None:
    """Tell each finding as an event of its last span, where that is among the records: many targets take no logs."""
    places = {record.span_id: place for place, record in enumerate(records)}
    for finding in findings:
        place = max((places[span_id] for span_id in finding.span_ids if span_id in places), default=None)
        if place is not None:
            told = records[place]
            records[place] = replace(told, events=[*told.events, otel.finding_event(finding)])


def logs(records: Sequence[Log | Finding | Score], about: Resource) -> bytes:
    """Logs, findings and scores as one request."""
    request: bytes = encode_logs([_line(record, about) for record in records]).SerializeToString()
    return request


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
