"""Spans from OTLP JSON: `ExportTraceServiceRequest`, one a file or one a line, as exporters and collectors write it.

Ids may be hexadecimal (as the specification asks) or base64 (as plain protobuf tools write them); names may be in
camel case or in snake case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instrument.model import Event, Link, Record, Span
from instrument.store.foreign import otlp_logs
from instrument.store.foreign.attributes import Bare, span_of
from instrument.store.foreign.shape import Fields, digest, fields, hex_id, items, moment, objects, run_of, whole, words

_FAILED = frozenset({2, "2", "STATUS_CODE_ERROR", "Error", "ERROR"})


def fits(row: object) -> bool:
    """Whether a parsed value is such a request, one with logs, or a single `ResourceSpans`."""
    return bool(_resources(row) or otlp_logs.groups(row))


def records(row: Any, source: str) -> Iterator[Record]:
    """The traces of one request, each with the head of its run. Spans without a name or ids are still spans."""
    runs: set[str] = set()
    for group in _resources(row):
        resource = attributes_of(fields(group.get("resource")).get("attributes"))
        for span, scope in _spans(group):
            found = _span(span, scope)
            if found.trace_id not in runs:
                runs.add(found.trace_id)
                yield run_of(found.trace_id, found.start_ns, source, resource)
            yield from otlp_logs.without_findings(found)
    yield from otlp_logs.records(row, attributes_of, _value)


def attributes_of(pairs: object) -> Fields:
    """A list of `{key, value: {…Value}}` as a plain object."""
    return {str(pair["key"]): _value(pair.get("value")) for pair in objects(pairs) if "key" in pair}


def _resources(row: object) -> list[Fields]:
    held = fields(row)
    groups = items(_of(held, "resourceSpans", "resource_spans")) or items(held.get("batches"))
    if not groups and ("scopeSpans" in held or "scope_spans" in held):
        groups = [held]
    return objects(groups)


def _spans(group: Fields) -> Iterator[tuple[Fields, Fields]]:
    for scoped in objects(_of(group, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")):
        scope = fields(_of(scoped, "scope", "instrumentationLibrary"))
        for span in objects(scoped.get("spans")):
            yield span, scope


def _span(span: Fields, scope: Fields) -> Span:
    start = moment(_of(span, "startTimeUnixNano", "start_time_unix_nano")) or 0
    end = moment(_of(span, "endTimeUnixNano", "end_time_unix_nano")) or start
    status = fields(span.get("status"))
    trace_id = hex_id(_of(span, "traceId", "trace_id"), 32) or digest(span, digits=32)
    return span_of(
        Bare(
            trace_id=trace_id,
            span_id=hex_id(_of(span, "spanId", "span_id"), 16) or digest(span),
            parent_id=hex_id(_of(span, "parentSpanId", "parent_span_id"), 16),
            name=words(span.get("name")) or "(no name)",
            start_ns=start,
            duration_ns=max(0, end - start),
            attributes=attributes_of(span.get("attributes")),
            failed=_is_failed(status.get("code")),
            message=words(status.get("message")) or "",
            events=[_event(event, start) for event in objects(span.get("events"))],
            links=[_link(link, trace_id) for link in objects(span.get("links"))],
            extra={"otel.scope.name": scope["name"]} if words(scope.get("name")) else {},
        )
    )


def _is_failed(code: object) -> bool:
    return isinstance(code, int | str) and code in _FAILED


def _event(event: Fields, start_ns: int) -> Event:
    at = moment(_of(event, "timeUnixNano", "time_unix_nano")) or start_ns
    return Event(words(event.get("name")) or "event", at, attributes_of(event.get("attributes")))


def _link(link: Fields, trace_id: str) -> Link:
    other = hex_id(_of(link, "traceId", "trace_id"), 32) or trace_id
    to = hex_id(_of(link, "spanId", "span_id"), 16) or "0" * 16
    return Link(other, to, attributes_of(link.get("attributes")))


def _value(value: object) -> Any:
    """An `AnyValue` as plain JSON."""
    for kind, held in fields(value).items():
        match kind.replace("_", "").lower():
            case "stringvalue" | "boolvalue" | "doublevalue" | "bytesvalue":
                return held
            case "intvalue":
                return whole(held) if whole(held) is not None else held
            case "arrayvalue":
                return [_value(item) for item in items(fields(held).get("values"))]
            case "kvlistvalue":
                return attributes_of(fields(held).get("values"))
    return value if not isinstance(value, dict) or value else None


def _of(held: Fields, *wanted: str) -> Any:
    return next((held[name] for name in wanted if name in held), None)
