"""A trace as OTLP JSON: a line with its spans and, where there are any, a line with logs, findings and scores.

Lines of this form are what the collector's `otlpjsonfile` receiver reads, and what its file exporter writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from instrument.analysis.tree import Trace
from instrument.model import Event, Finding, Log, Run, Score, Span
from instrument.version import __version__
from instrument.views.otel import SCOPE, Attributes, Line, Told, line, resource, told

Fields = dict[str, Any]

_SCOPE = {"name": SCOPE, "version": __version__}


def pieces(trace: Trace) -> Iterator[bytes]:
    """The lines, by the GenAI conventions."""
    return lines(trace, "1.41")


def openinference(trace: Trace) -> Iterator[bytes]:
    """The lines, by the OpenInference conventions."""
    return lines(trace, "openinference")


def lines(trace: Trace, dialect: str) -> Iterator[bytes]:
    """The lines, by a dialect of `otel`. Each process is a resource."""
    runs = {run.run: run for run in trace.runs}
    ids = dict.fromkeys(span.run for span in trace.spans)
    yield b'{"resourceSpans":['
    for place, run_id in enumerate(ids):
        own = (span_told(span, dialect) for span in trace.spans if span.run == run_id)
        yield b"," if place else b""
        yield from _group(_resource(runs, run_id), "scopeSpans", "spans", own)
    yield b"]}\n"
    if trace.logs or trace.findings or trace.scores:
        yield from _logs(trace, runs)


def _logs(trace: Trace, runs: Mapping[str, Run]) -> Iterator[bytes]:
    said: list[Log | Finding | Score] = [*trace.logs, *trace.findings, *trace.scores]
    records = sorted(said, key=lambda record: record.time_ns)
    yield b'{"resourceLogs":['
    for place, run_id in enumerate(dict.fromkeys(record.run for record in records)):
        own = (line_told(line(record)) for record in records if record.run == run_id)
        yield b"," if place else b""
        yield from _group(_resource(runs, run_id), "scopeLogs", "logRecords", own)
    yield b"]}\n"


def _group(about: Fields, scopes: str, name: str, items: Iterable[Fields]) -> Iterator[bytes]:
    yield b'{"resource":' + msgspec.json.encode(about) + b',"' + scopes.encode() + b'":[{"scope":'
    yield msgspec.json.encode(_SCOPE) + b',"' + name.encode() + b'":['
    for place, item in enumerate(items):
        yield (b"," if place else b"") + msgspec.json.encode(item)
    yield b"]}]}"


def _resource(runs: Mapping[str, Run], run_id: str) -> Fields:
    return {"attributes": pairs(resource(runs.get(run_id), run_id))}


def span_told(span: Span, dialect: str) -> Fields:
    """One span as the protocol's JSON: ids in hexadecimal digits, times and whole numbers as texts."""
    there = told(span, dialect)
    fields: Fields = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id or "",
        "name": there.name,
        "kind": there.kind,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": pairs(there.attributes),
        "events": [_event(event) for event in there.events],
        "links": [
            {"traceId": link.trace_id, "spanId": link.span_id, "attributes": pairs(link.attributes)}
            for link in there.links
        ],
        "status": _status(there),
    }
    return {key: value for key, value in fields.items() if value not in ("", [])}


def _status(there: Told) -> Fields:
    told = {"code": there.status, "message": there.message}
    return {key: value for key, value in told.items() if value}


def _event(event: Event) -> Fields:
    return {"timeUnixNano": str(event.time_ns), "name": event.name, "attributes": pairs(event.attributes)}


def line_told(there: Line) -> Fields:
    """One log record as the protocol's JSON."""
    fields: Fields = {
        "timeUnixNano": str(there.time_ns),
        "severityNumber": there.severity,
        "severityText": there.level,
        "eventName": there.event,
        "body": {"stringValue": there.body},
        "attributes": pairs(there.attributes),
        "traceId": there.trace_id or "",
        "spanId": there.span_id or "",
    }
    return {key: value for key, value in fields.items() if value != ""}


def pairs(attributes: Attributes) -> list[Fields]:
    """Attributes as the protocol's list of keys and values."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> Fields:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
