"""Records as requests of the protocol: logs by the encoder of the official exporters, spans by our own.

A finding is told once: as an event of its span where that is sent with it (many targets take traces alone), else as a
log record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

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

from instrument.model import Finding, Log, Record, Run, Score, Span, decode_known, encode
from instrument.sinks.otlp import wire
from instrument.sinks.otlp.waiting import Waiting
from instrument.version import __version__
from instrument.views import otel

MOST_RECORDS, MOST_BYTES = 512, 1_000_000
"""Of one request, as long as one span alone is not larger: gRPC takes 4 MiB unless told otherwise, some proxies 1 MiB
over HTTP, and what does not compress is as large there."""

_SCOPE = InstrumentationScope(otel.SCOPE, __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_Any = TypeVar("_Any")
_Record = TypeVar("_Record", bound=Record)


class Request(NamedTuple):
    """One encoded request of a signal, and how many records it holds."""

    signal: str
    records: int
    body: bytes


class _Finding(NamedTuple):
    span_ids: Sequence[str]
    event: bytes
    line: ReadableLogRecord


def resource(run: Run | None, run_id: str, told: Mapping[str, str]) -> Resource:
    """The process that recorded, with what the standard variables say of it."""
    return Resource({**otel.resource(run, run_id), **told})


def requests(
    waiting: Waiting,
    about: Resource,
    dialect: str,
    signals: Collection[str],
    lost: Counter[str],
    count: Callable[[Span], None],
) -> Iterator[Request]:
    """What waits as requests, of those signals alone; `count` hears of every span.

    What cannot be encoded is left out and counted in `lost`, by reason.
    """

    def encoded(record: Span) -> tuple[str, bytes]:
        span = wire.readable(record, dialect)
        count(span)
        return span.span_id, wire.span(span, dialect) if "traces" in signals else b""

    spans = [*_each(waiting.spans, encoded, lost)]
    findings = [*_each(waiting.findings, lambda finding: _finding(_plain(finding), about), lost)]
    if "traces" in signals:
        findings = _without_span(spans, findings)
        for some in _parts([span for _, span in spans], len):
            yield Request("traces", len(some), wire.request(some, about.attributes))
    if "logs" in signals:
        logs = [*_each(waiting.logs, lambda record: _line(_plain(record), about), lost)]
        logs += [finding.line for finding in findings]
        for part in _parts(logs):
            yield Request("logs", len(part), encode_logs(part).SerializeToString())


def _each(records: Iterable[Any], told: Callable[[Any], _Any], lost: Counter[str]) -> Iterator[_Any]:
    for record in records:
        try:
            yield told(record)
        except Exception as error:  # noqa: BLE001 - a record that cannot be encoded must not hold up the others
            lost[f"cannot be encoded ({type(error).__name__})"] += 1


def _plain(record: _Record) -> _Record:
    """Every encoded part of it decoded."""
    return cast(_Record, decode_known(encode(record)))


def _parts(items: list[_Any], size: Callable[[_Any], int] = lambda _: 0) -> Iterator[list[_Any]]:
    part: list[_Any] = []
    left = MOST_BYTES
    for item in items:
        taken = size(item)
        if part and (taken > left or len(part) == MOST_RECORDS):
            yield part
            part, left = [], MOST_BYTES
        part.append(item)
        left -= taken
    if part:
        yield part


def _finding(finding: Finding, about: Resource) -> _Finding:
    return _Finding(finding.span_ids, wire.event(otel.finding_event(finding)), _line(finding, about))


def _without_span(spans: list[tuple[str, bytes]], findings: Sequence[_Finding]) -> list[_Finding]:
    """Add each finding to its last span, where that is among these; the findings of which none is."""
    places = {span_id: place for place, (span_id, _) in enumerate(spans)} if findings else {}
    alone = []
    for finding in findings:
        place = max((places[span_id] for span_id in finding.span_ids if span_id in places), default=None)
        if place is None:
            alone.append(finding)
        else:
            span_id, body = spans[place]
            spans[place] = (span_id, body + finding.event)
    return alone


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
