"""A trace with its metrics and findings: all that a view may show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from instrument.analysis.metrics import Metrics, measure
from instrument.analysis.retold import latest
from instrument.analysis.tree import Trace
from instrument.detectors import Detectors, History
from instrument.model import UNWATCHED, Finding, Open, Span
from instrument.statuses import UNENDED
from instrument.thresholds import Thresholds, thresholds

_BY_HISTORY = frozenset({"slow", "spending"})


class Report(Struct, frozen=True, eq=False):
    """What there is to say about one trace."""

    trace: Trace
    metrics: Metrics
    findings: Sequence[Finding]


def analyse(trace: Trace, limits: Thresholds | None = None, history: History | None = None) -> Report:
    """Measure the trace and gather what was found in it, with the thresholds of some settings or the usual ones.

    `history` is what is known to be usual; nothing of the trace is added to it.
    """
    every = every_finding(trace, limits, history)
    return Report(trace, measure(trace.spans, trace.logs, every), latest(every))


def findings_of(trace: Trace, limits: Thresholds | None = None, history: History | None = None) -> Sequence[Finding]:
    """The findings recorded while the trace ran and those that the detectors make of it now, in order of time.

    What both found, by the same detector about the same spans, is there once, as it was recorded. A pattern that went
    on is there as it was told last. What is beyond the usual was judged while the trace ran, by what was usual then;
    only traces that were not watched are judged now.
    """
    return latest(every_finding(trace, limits, history))


def every_finding(trace: Trace, limits: Thresholds | None = None, history: History | None = None) -> list[Finding]:
    """As `findings_of`, with a pattern that went on as often as it was told."""
    now: Iterator[Finding] = _found_now(trace, limits, history)
    if _was_watched(trace):
        now = (one for one in now if not _is_by_history(one))
    found = {(one.detector, *one.span_ids): one for one in (*now, *reversed(trace.findings))}
    return sorted(found.values(), key=lambda one: one.time_ns)


def _was_watched(trace: Trace) -> bool:
    """Whether detectors saw the trace while it was recorded: it is ours, and they were not off."""
    return bool(trace.runs) and all(run.instrument and UNWATCHED not in run.resource for run in trace.runs)


def _is_by_history(found: Finding) -> bool:
    """Whether a finding rests on what is usual rather than on a threshold."""
    return found.detector in _BY_HISTORY or (found.detector == "tool_abuse" and found.data.get("usual") is not None)


def _found_now(trace: Trace, limits: Thresholds | None, history: History | None) -> Iterator[Finding]:
    watch = Detectors(limits or thresholds(), history.copy() if history is not None else History())
    ended = [span for span in trace.spans if span.status not in UNENDED]
    for span in sorted(ended, key=lambda span: (span.end_ns, -span.start_ns)):
        yield from watch.feed(span)
    yield from watch.tick(trace.end_ns, [_head(span) for span in trace.spans if span.status in UNENDED])


def _head(span: Span) -> Open:
    return Open(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        start_ns=span.start_ns,
        kind=span.kind,
        name=span.name,
    )
