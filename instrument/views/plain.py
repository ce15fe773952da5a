"""Spans, logs, totals and metrics as plain values: what `--json` prints, and what plain files hold."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from instrument.analysis.in_words import iso
from instrument.analysis.metrics import Metrics
from instrument.analysis.totals import Total
from instrument.model import Log, Span
from instrument.statuses import UNENDED

MS = 1_000_000


def span_told(span: Span) -> dict[str, Any]:
    """A span for people: times as UTC and milliseconds, what is empty left out."""
    told = {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "status": span.status,
        "start": iso(span.start_ns),
        "end": iso(span.end_ns) if span.status not in UNENDED else None,
        "duration_ms": span.duration_ns / MS,
        "error": span.error,
        "input": span.input,
        "output": span.output,
        "attributes": span.attributes or None,
        "usage": span.usage,
        "cost": span.cost,
        "events": [{"time": iso(event.time_ns), **asdict(event)} for event in span.events] or None,
        "links": span.links or None,
    }
    return {**{key: value for key, value in told.items() if value is not None}, **span.extra}


def log_told(log: Log, span_name: str | None = None) -> dict[str, Any]:
    """A log for people, with its time as UTC and the name of the span it was written in."""
    told = {"timestamp": iso(log.time_ns), **record_told(log), "span_name": span_name}
    return {key: value for key, value in told.items() if value is not None}


def total_told(total: Total) -> dict[str, Any]:
    """A total for JSON: money as a decimal string, null where no price is known."""
    told = asdict(total)
    return {**told, "tokens": total.tokens, "usd": None if total.usd is None else f"{total.usd:f}"}


def metrics_told(metrics: Metrics) -> dict[str, Any]:
    """Metrics for JSON."""
    told = asdict(metrics)
    told["total"] = total_told(metrics.total)
    for group in ("by_model", "by_operation", "by_agent", "spent_by_name", "spent_by_kind"):
        told[group] = {key: total_told(total) for key, total in told[group].items()}
    return told


def record_told(record: Any) -> dict[str, Any]:
    """Any record, what is empty left out."""
    fields = {name: getattr(record, name) for name in record.__struct_fields__ if name != "extra"}
    return {**{key: value for key, value in fields.items() if value not in (None, {}, [])}, **record.extra}
