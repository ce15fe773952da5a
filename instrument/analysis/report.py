"""A trace with its metrics and findings: all that a view may show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from instrument.analysis.metrics import Metrics, measure
from instrument.analysis.tree import Trace
from instrument.detectors import default
from instrument.model import Finding, Open, Span
from instrument.thresholds import Thresholds


class Report(Struct, frozen=True, eq=False):
    """What there is to say about one trace."""

    trace: Trace
    metrics: Metrics
    findings: Sequence[Finding]


def analyse(trace: Trace, limits: Thresholds | None = None) -> Report:
    """Measure the trace and gather what was found in it, with the thresholds of some settings or the usual ones."""
    findings = findings_of(trace, limits)
    return Report(trace, measure(trace.spans, trace.logs, findings), findings)


def findings_of(trace: Trace, limits: Thresholds | None = None) -> Sequence[Finding]:
    """The findings recorded while the trace ran and those that the detectors make of it now, in order of time.

    What both found, by the same detector about the same spans, is there once, as it was recorded.
    """
    found = {(one.detector, *one.span_ids): one for one in (*_found_now(trace, limits), *reversed(trace.findings))}
    return sorted(found.values(), key=lambda one: one.time_ns)


def _found_now(trace: Trace, limits: Thresholds | None) -> Iterator[Finding]:
    watch = default(limits=limits)
    ended = [span for span in trace.spans if span.status != "open"]
    for span in sorted(ended, key=lambda span: (span.start_ns + span.duration_ns, -span.start_ns)):
        yield from watch.feed(span)
    yield from watch.tick(trace.end_ns, [_head(span) for span in trace.spans if span.status == "open"])


def _head(span: Span) -> Open:
    return Open(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        start_ns=span.start_ns,
        kind=span.kind,
        name=span.name,
    )
