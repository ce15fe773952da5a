"""The figures of two runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from instrument.analysis.facts import is_timed, time_of
from instrument.analysis.failures import failures_of
from instrument.analysis.totals import Total, call_of
from instrument.analysis.totals import total as total_of
from instrument.analysis.tree import Trace
from instrument.model import Span
from instrument.statuses import REFUSED

MATTERS = 0.05
"""From this share of the longer run on, a call that takes twice or half as long is a difference."""


class Side(Struct, frozen=True, kw_only=True):
    """One run in figures. `duration_ns` is its wall time, None where its times are not known, only the order."""

    trace_id: str
    name: str
    status: str
    start_ns: int
    duration_ns: int | None
    spans: int
    errors: int
    refused: int
    model_calls: int
    tool_calls: int
    total: Total


class Spent(Struct, frozen=True, kw_only=True):
    """All calls of one name on one side; `duration_ns` includes what lies below them."""

    calls: int = 0
    errors: int = 0
    duration_ns: int = 0
    total: Total = Total()


def side_of(trace: Trace) -> Side:
    """The figures of a run."""
    failures = failures_of(trace.spans)
    return Side(
        trace_id=trace.trace_id,
        name=trace.root.name,
        status=trace.root.status,
        start_ns=trace.start_ns,
        duration_ns=trace.end_ns - trace.start_ns if is_timed(trace.root) else None,
        spans=len(trace.spans),
        errors=failures.count(),
        refused=failures.refused,
        model_calls=sum(call_of(span) is not None for span in trace.spans),
        tool_calls=sum(span.kind == "tool" and span.status != REFUSED for span in trace.spans),
        total=total_of(trace.spans),
    )


def takes_other_time(one: int | None, two: int | None, whole: int) -> bool:
    """Whether two durations of a call differ so much that it matters for runs that took `whole` at most."""
    if one is None or two is None:
        return False
    return abs(one - two) >= MATTERS * whole and max(one, two) >= 2 * min(one, two)


def by_name(a: Trace, b: Trace) -> dict[str, tuple[Spent, Spent]]:
    """All calls of each name on both sides, where their number, errors, tokens or money differ."""
    one, two = _spent(a), _spent(b)
    both = {name: (one.get(name, Spent()), two.get(name, Spent())) for name in dict.fromkeys((*one, *two))}
    return {name: sides for name, sides in both.items() if _figures(sides[0]) != _figures(sides[1])}


def _figures(spent: Spent) -> tuple[Any, ...]:
    return spent.calls, spent.errors, spent.total.tokens, spent.total.usd


def _spent(trace: Trace) -> dict[str, Spent]:
    groups: dict[str, list[Span]] = {}
    for span in trace.spans:
        groups.setdefault(span.name, []).append(span)
    return {name: _of_name(spans) for name, spans in groups.items()}


def _of_name(spans: Sequence[Span]) -> Spent:
    return Spent(
        calls=len(spans),
        errors=sum(span.status == "error" for span in spans),
        duration_ns=sum(time_of(span) or 0 for span in spans),
        total=total_of(spans),
    )
