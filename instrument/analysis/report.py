"""A trace with its metrics and findings: all that a view may show."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from instrument.analysis.metrics import Metrics, measure
from instrument.analysis.tree import Trace
from instrument.model import Finding


class Report(Struct, frozen=True, eq=False):
    """What there is to say about one trace."""

    trace: Trace
    metrics: Metrics
    findings: Sequence[Finding]


def analyse(trace: Trace) -> Report:
    """Measure the trace and gather what was found in it."""
    findings = findings_of(trace)
    return Report(trace, measure(trace.spans, trace.logs, findings), findings)


def findings_of(trace: Trace) -> Sequence[Finding]:
    """The findings that were recorded while the trace ran. Detectors that look at a whole trace join here."""
    return trace.findings
