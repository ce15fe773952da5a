"""Records in the words of OpenTelemetry, by the dialect that is asked for; encoders only spell them out.

The dialects: `1.41`, `latest` and `both` are editions of the GenAI conventions (they differ in a few attributes and
in the names of the metrics; of span attributes `1.41` has the newer ones as well), `openinference` is the other
convention of this field. What no convention has a name for is `instrument.*`, so that `instrument import` gives it
back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from instrument.analysis.totals import dollars_in_float
from instrument.attributes import AGENT_ID, ERROR_TYPE
from instrument.kinds import MODEL_KINDS
from instrument.model import Event, Failure, Finding, Link, Log, Run, Score, Span
from instrument.statuses import FAILED
from instrument.version import __version__
from instrument.views import genai, openinference

SCOPE = "instrument"
INTERNAL, CLIENT = 1, 3
"""Kinds of spans, as OTLP numbers them."""
UNSET, OK, ERROR = 0, 1, 2
"""Statuses of spans."""

Attributes = dict[str, Any]

_CALLS_OUT = MODEL_KINDS | {"retrieval"}
_SEVERITIES = {
    "TRACE": 1, "DEBUG": 5, "INFO": 9, "SUCCESS": 10, "WARN": 13, "WARNING": 13, "ERROR": 17, "CRITICAL": 21,
    "FATAL": 21,
}  # fmt: skip
_FINDING_LEVELS = {"info": "INFO", "warning": "WARNING", "error": "ERROR"}
_LARGEST = 2**63
_SIMPLE = frozenset({str, bool, float})


class Told(NamedTuple):
    """A span: its name and kind there, attributes of plain values, events and links. `status` is a number of OTLP."""

    name: str
    kind: int
    attributes: Attributes
    events: list[Event]
    links: list[Link]
    status: int
    message: str


class Line(NamedTuple):
    """A log, finding or score as a log record; `event` is its name as an event."""

    time_ns: int
    severity: int
    level: str
    event: str
    body: str
    attributes: Attributes
    trace_id: str | None
    span_id: str | None


def told(span: Span, dialect: str) -> Told:
    """The span in the words of a dialect."""
    return told_with(span, dialect, genai.plain_content, plain)


def told_with(
    span: Span,
    dialect: str,
    content: Callable[[Span], Attributes],
    plain: Callable[[Attributes], Attributes],
) -> Told:
    """As `told`: `content` tells what a span took and gave by the GenAI names, `plain` makes values plain."""
    if dialect == "openinference":
        name, attributes = span.name, openinference.attributes(span)
    else:
        name, attributes = genai.name(span), genai.attributes(span, dialect, content)
    attributes.update(_ours(span, name))
    events = [Event(event.name, event.time_ns, plain(event.attributes)) for event in span.events] if span.events else []
    error = span.error
    if error is not None:
        events.append(Event("exception", span.end_ns, plain(_exception(error))))
    return Told(
        name,
        CLIENT if span.kind in _CALLS_OUT else INTERNAL,
        plain(attributes),
        events,
        [Link(link.trace_id, link.span_id, plain(link.attributes)) for link in span.links] if span.links else [],
        _status(span, dialect),
        error.message if span.status in FAILED and error is not None else "",
    )


def _status(span: Span, dialect: str) -> int:
    """OpenTelemetry leaves success unsaid, OpenInference says it."""
    if span.status in FAILED:  # they know no third
        return ERROR
    return OK if span.status == "ok" and dialect == "openinference" else UNSET


def _ours(span: Span, name: str) -> Attributes:
    """What a reader of the conventions does not need, and `instrument import` does."""
    usage, cost = span.usage, span.cost
    ours: Attributes = {"instrument.kind": span.kind}
    if span.name != name:
        ours["instrument.name"] = span.name
    if span.status not in ("ok", "error"):
        ours["instrument.status"] = span.status
    if usage is not None and usage.source != "reported":
        ours["instrument.usage.source"] = usage.source
    if span.error is not None:
        ours[ERROR_TYPE] = span.error.type
    if cost is not None:
        for attribute, part in _COSTS:
            if (amount := getattr(cost, part)) is not None:
                ours[attribute] = dollars_in_float(amount)
        ours["instrument.cost.basis"] = cost.basis
        ours["instrument.cost.price_date"] = cost.price_date
    return ours


_COSTS = [(f"instrument.cost.{part}", part) for part in ("usd", "input", "cached", "cache_write", "output")]


def _exception(error: Failure) -> Attributes:
    return {
        "exception.type": error.type,
        "exception.message": error.message,
        "exception.stacktrace": error.stack,
        "instrument.causes": msgspec.to_builtins(error.causes) or None,
    }


def line(record: Log | Finding | Score) -> Line:
    """A log, a finding or a score as a log record."""
    match record:
        case Log():
            attributes = {"code.logger.name": record.logger, AGENT_ID: record.agent_id, **record.metadata}
            level, event, body, span_id = record.level, record.event, record.message, record.span_id
        case Finding():
            span_id = record.span_ids[0] if record.span_ids else None
            level, event, body = _FINDING_LEVELS.get(record.severity, "WARNING"), "instrument.finding", record.message
            about = {f"instrument.finding.{key}": value for key, value in record.data.items()}
            named = {"instrument.detector": record.detector, "instrument.severity": record.severity}
            attributes = {**about, **named, "instrument.span_ids": record.span_ids}
        case _:
            level, event, body, span_id = "INFO", "gen_ai.evaluation.result", "", record.span_id
            attributes = {
                "gen_ai.evaluation.name": record.name,
                "gen_ai.evaluation.score.value": record.value,
                "gen_ai.evaluation.score.label": record.label,
                "instrument.score.source": record.source or None,
            }
    severity = _SEVERITIES.get(level.upper(), 9)
    return Line(record.time_ns, severity, level, event, body, plain(attributes), record.trace_id, span_id)


def finding_event(finding: Finding) -> Event:
    """A finding as an event of a span, for targets that take traces alone."""
    there = line(finding)
    return Event(there.event, there.time_ns, {"instrument.message": there.body, **there.attributes})


def resource(run: Run | None, run_id: str) -> Attributes:
    """What is known of the process that recorded."""
    known: Attributes = {
        "service.name": "unknown_service",
        "service.instance.id": run_id or None,
        "telemetry.sdk.name": SCOPE,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
    }
    if run is not None:
        known |= {
            "service.name": run.service or run.agent_id or known["service.name"],
            AGENT_ID: run.agent_id,
            "process.pid": run.pid or None,
            "process.command_args": run.argv or None,
            "process.runtime.version": run.python or None,
            "os.type": run.platform or None,
            "vcs.ref.head.name": run.git.get("branch"),
            "vcs.ref.head.revision": run.git.get("commit"),
            **run.resource,
        }
    return plain(known)


def plain(attributes: Mapping[str, Any]) -> Attributes:
    """Attributes of the types that every backend takes: None is left out, objects and mixed lists are JSON texts."""
    return {
        key: value if type(value) in _SIMPLE else plain_value(value)
        for key, value in attributes.items()
        if value is not None
    }


def plain_value(value: Any) -> Any:
    """A value that is not None, as `plain` has it."""
    kind = type(value)
    if kind is int:
        return value if -_LARGEST <= value < _LARGEST else str(value)
    return value if kind is list and _is_uniform(value) else msgspec.json.encode(value).decode()


def _is_uniform(items: list[Any]) -> bool:
    kinds = set(map(type, items))
    return kinds in ({str}, {bool}, {float}) or (kinds == {int} and all(-_LARGEST <= item < _LARGEST for item in items))
