"""Log records from OTLP JSON: `ExportLogsServiceRequest`. What we exported as such is a finding or a score again.

A finding may have come as an event of its span, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from instrument.attributes import AGENT_ID
from instrument.model import Finding, Log, Record, Score, Span
from instrument.store.foreign.shape import (
    Fields,
    digest,
    fields,
    hex_id,
    items,
    moment,
    objects,
    parsed,
    run_id,
    whole,
    words,
)

FINDING = "instrument.finding"
SCORE = "gen_ai.evaluation.result"
LEVELS = ((21, "CRITICAL"), (17, "ERROR"), (13, "WARNING"), (9, "INFO"), (5, "DEBUG"), (1, "TRACE"))
"""Severity numbers of the OpenTelemetry logs data model, from which on, and our levels."""


def groups(row: object) -> list[Fields]:
    """The `ResourceLogs` of a parsed value."""
    held = fields(row)
    return objects(held.get("resourceLogs") or held.get("resource_logs"))


def records(row: Any, attributes_of: Callable[[object], Fields], value_of: Callable[[object], Any]) -> Iterator[Record]:
    """The records of one request, in its order."""
    for group in groups(row):
        for scoped in objects(group.get("scopeLogs") or group.get("scope_logs")):
            for line in objects(scoped.get("logRecords") or scoped.get("log_records")):
                yield _record(line, attributes_of(line.get("attributes")), value_of(line.get("body")))


def without_findings(span: Span) -> Iterator[Record]:
    """The span, and as records of their own the findings that our sink told as its events."""
    told = [event for event in span.events if event.name == FINDING]
    yield replace(span, events=[event for event in span.events if event.name != FINDING]) if told else span
    for event in told:
        common = {"run": span.run, "trace_id": span.trace_id, "time_ns": event.time_ns}
        message = words(event.attributes.get("instrument.message")) or ""
        yield _finding(event.attributes, message, span.span_id, common)


def _level(severity: object) -> str:
    """The level of a number, or of its name, which protobuf writes into JSON: `SEVERITY_NUMBER_ERROR2`."""
    if isinstance(severity, str) and not severity.isdigit():
        name = severity.removeprefix("SEVERITY_NUMBER_").rstrip("1234").replace("WARN", "WARNING")
        return name.replace("FATAL", "CRITICAL") or "INFO"
    number = whole(severity) or 0
    return next((level for least, level in LEVELS if number >= least), "INFO")


def _record(line: Fields, told: Fields, body: Any) -> Record:
    trace_id = hex_id(line.get("traceId"), 32)
    event = words(line.get("eventName")) or words(told.pop("event.name", None)) or ""
    common: Fields = {
        "run": run_id(trace_id or digest(line, digits=32)),
        "trace_id": trace_id,
        "time_ns": moment(line.get("timeUnixNano")) or moment(line.get("observedTimeUnixNano")) or 0,
    }
    span_id = hex_id(line.get("spanId"), 16)
    if event == FINDING:
        return _finding(told, words(body) or "", span_id, common)
    if event == SCORE:
        return _score(told, span_id, common)
    return Log(
        **common,
        span_id=span_id,
        level=words(line.get("severityText")) or _level(line.get("severityNumber")),
        event=event,
        message=body if isinstance(body, str) else "",
        logger=words(told.pop("code.logger.name", None)),
        agent_id=words(told.pop(AGENT_ID, None)),
        metadata=told if isinstance(body, str) or body is None else {"body": body, **told},
    )


def _finding(told: Fields, message: str, span_id: str | None, common: Fields) -> Finding:
    prefix = f"{FINDING}."
    return Finding(
        **common,
        detector=words(told.get("instrument.detector")) or "imported",
        severity=words(told.get("instrument.severity")) or "warning",
        message=message,
        span_ids=[str(one) for one in items(parsed(told.get("instrument.span_ids")))] or ([span_id] if span_id else []),
        data={key.removeprefix(prefix): parsed(value) for key, value in told.items() if key.startswith(prefix)},
    )


def _score(told: Fields, span_id: str | None, common: Fields) -> Score:
    value = told.get("gen_ai.evaluation.score.value")
    return Score(
        **common,
        span_id=span_id,
        name=words(told.get("gen_ai.evaluation.name")) or "score",
        value=value if isinstance(value, int | float) and not isinstance(value, bool) else None,
        label=words(told.get("gen_ai.evaluation.score.label")),
        source=words(told.get("instrument.score.source")) or "",
    )
