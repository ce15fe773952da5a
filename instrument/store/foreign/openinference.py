"""Spans from OpenInference trees: spans that hold their children, as trace stores hand them out, or flat lists of them.

Read are the names of such stores (`span_id`, `span_attributes`, `timestamp`, `duration` as ISO texts, `child_spans`)
and those of the OpenTelemetry SDK's own JSON (`context`, `start_time`, `end_time`, `status`, `attributes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instrument.model import Event, Link, Record, Span
from instrument.store.foreign.attributes import Bare, nested, span_of
from instrument.store.foreign.shape import (
    Fields,
    digest,
    fields,
    hex_id,
    lasted,
    moment,
    objects,
    parsed,
    run_of,
    words,
)


def fits(row: object) -> bool:
    """Whether a parsed value is such a span, a list of them, or an object that holds one under `trace` or `spans`."""
    return any(_is_span(span) for span in _tops(row))


def records(row: Any, source: str) -> Iterator[Record]:
    """The traces of one row, each with the head of its run; what is beside the spans is kept with the first root."""
    runs: set[str] = set()
    beside = _beside(row)
    for top in _tops(row):
        for span, parent_id in _walk(top, None):
            trace_id = hex_id(_of(span, "trace_id", "traceId"), 32) or digest(top, digits=32)
            found = _span(span, trace_id, parent_id, beside)
            beside = {}
            if trace_id not in runs:
                runs.add(trace_id)
                yield run_of(trace_id, found.start_ns, source, _resource(span))
            yield found


def _tops(row: object) -> list[Fields]:
    held = fields(row)
    inside = fields(held.get("trace")) or held
    return objects(inside["spans"] if "spans" in inside else row if isinstance(row, list) else [inside])


def _is_span(span: Fields) -> bool:
    has_id = "span_id" in span or "span_id" in fields(span.get("context"))
    return has_id and ("span_attributes" in span or "attributes" in span)


def _beside(row: object) -> Fields:
    if _is_span(fields(row)):
        return {}
    return {f"imported.{key}": value for key, value in fields(row).items() if key not in ("trace", "spans", "trace_id")}


def _walk(top: Fields, above: str | None) -> Iterator[tuple[Fields, str | None]]:
    waiting = [(top, above)]
    while waiting:
        span, parent_id = waiting.pop()
        yield span, parent_id
        waiting.extend((child, _id(span)) for child in reversed(objects(span.get("child_spans"))))


def _id(span: Fields) -> str:
    return hex_id(_of(span, "span_id", "spanId"), 16) or digest(span)


def _span(span: Fields, trace_id: str, parent_id: str | None, beside: Fields) -> Span:
    start = moment(_of(span, "timestamp", "start_time", "startTime")) or 0
    status = _of(span, "status_code", "status")
    logs = objects(span.get("logs"))
    return span_of(
        Bare(
            trace_id=trace_id,
            span_id=_id(span),
            parent_id=hex_id(_of(span, "parent_span_id", "parent_id"), 16) or parent_id,
            name=words(_of(span, "span_name", "name")) or "(no name)",
            start_ns=start,
            duration_ns=_duration(span, start),
            attributes=_attributes(span, logs),
            failed=str(fields(status).get("status_code", status)).upper().removeprefix("STATUS_CODE_") == "ERROR",
            message=words(_of(span, "status_message")) or words(fields(status).get("description")) or "",
            events=[
                *(_event(event, start) for event in objects(span.get("events"))),
                *(_log(log, start) for log in logs if not _is_call(log)),
            ],
            links=[_link(link, trace_id) for link in objects(span.get("links"))],
            extra=beside,
        )
    )


def _duration(span: Fields, start: int) -> int:
    told = lasted(span.get("duration"))
    end = moment(_of(span, "end_time", "endTime"))
    return told if told is not None else max(0, (end or start) - start)


def _attributes(span: Fields, logs: list[Fields]) -> Fields:
    """Its attributes; a function whose call is only in the logs of the span has input and output from there."""
    told = fields(_of(span, "span_attributes", "attributes"))
    held = {key: value for group in _flat(told) for key, value in group.items()}
    call = next((fields(log["body"]) for log in logs if _is_call(log)), {})
    for ours, theirs in (("input.value", "function.arguments"), ("output.value", "function.output")):
        if ours not in held and call.get(theirs) is not None:
            held[ours] = call[theirs]
    return held


def _flat(told: Fields) -> Iterator[Fields]:
    """Dotted names, also where a store has turned them into objects: only the groups of the convention are opened."""
    for key, value in told.items():
        opened = isinstance(value, dict) and key in ("openinference", "llm", "input", "output", "gen_ai", "tool")
        yield {f"{key}.{path}": leaf for path, leaf in _leaves(value)} if opened else {key: value}


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    for key, below in value.items():
        if isinstance(below, dict):
            yield from ((f"{key}.{path}", leaf) for path, leaf in _leaves(below))
        else:
            yield key, below


def _is_call(log: Fields) -> bool:
    return "function.name" in fields(log.get("body"))


def _resource(span: Fields) -> Fields:
    told = fields(span.get("resource_attributes")) or fields(fields(span.get("resource")).get("attributes"))
    return {**told}


def _event(event: Fields, start_ns: int) -> Event:
    at = moment(_of(event, "Timestamp", "timestamp")) or start_ns
    return Event(words(_of(event, "Name", "name")) or "event", at, {**fields(_of(event, "Attributes", "attributes"))})


def _log(log: Fields, start_ns: int) -> Event:
    body = parsed(log.get("body"))
    attributes = body if isinstance(body, dict) else {"body": body}
    return Event("log", moment(log.get("timestamp")) or start_ns, {**attributes, **fields(log.get("log_attributes"))})


def _link(link: Fields, trace_id: str) -> Link:
    other = nested(link) if any("." in key for key in link) else link
    at = fields(other.get("context")) or other
    return Link(
        hex_id(_of(at, "trace_id", "TraceId"), 32) or trace_id,
        hex_id(_of(at, "span_id", "SpanId"), 16) or "0" * 16,
        {**fields(_of(link, "attributes", "Attributes"))},
    )


def _of(held: Fields, *wanted: str) -> Any:
    """The first of these that is there, in the span or in its context."""
    inside = fields(held.get("context"))
    return next((place[name] for name in wanted for place in (held, inside) if place.get(name) is not None), None)
