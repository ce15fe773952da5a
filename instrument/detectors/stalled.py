"""Stalled: a tool or model call that has been open too long with nothing going on inside it; found while it is open."""

from __future__ import annotations

from collections.abc import Iterable

from instrument.detectors.history import History
from instrument.detectors.told import seconds, since
from instrument.kinds import CALLS
from instrument.model import AGAIN_OF, Finding, Head, Open
from instrument.thresholds import Thresholds

_SECOND = 1_000_000_000


class Stalled:
    """Looks at the open spans of all traces from time to time."""

    def __init__(self, limits: Thresholds, history: History) -> None:
        self._longest = limits.stalled_seconds * _SECOND
        self._history = history
        self._told: dict[str, float] = {}
        self._busy: set[str] = set()

    def tick(self, now_ns: int, open_spans: Iterable[Open | Head]) -> list[Finding]:
        """Findings for the spans that are open too long at `now_ns`; once each, and again at twice the time."""
        spans = list(open_spans)
        here = {span.span_id for span in spans}
        self._busy = here & (self._busy | {span.parent_id for span in spans})
        self._told = {span_id: age for span_id, age in self._told.items() if span_id in here}
        old = [span for span in spans if now_ns - span.start_ns >= self._longest]
        return [self._tell(span, now_ns) for span in old if self._is_stalled(span, now_ns)]

    def _is_stalled(self, span: Open | Head, now_ns: int) -> bool:
        """A span that has or had a child at a tick is at work, not stalled."""
        if span.kind not in CALLS or span.span_id in self._busy:
            return False
        age = now_ns - span.start_ns
        return age >= max(self._usual_limit(span.name), 2 * self._told.get(span.span_id, 0))

    def _usual_limit(self, name: str) -> float:
        """Calls that are usually long are given the time that `slow` gives them."""
        series = self._history.known("duration", name)
        return series.limit if series is not None and series.limit != float("inf") else 0.0

    def _tell(self, span: Open | Head, now_ns: int) -> Finding:
        age = now_ns - span.start_ns
        again = {AGAIN_OF: span.span_id} if span.span_id in self._told else {}
        self._told[span.span_id] = age
        return Finding(
            trace_id=span.trace_id,
            span_ids=[span.span_id],
            time_ns=now_ns,
            detector="stalled",
            message=f"{span.name} has been open for {seconds(age)} with nothing going on inside it"
            f"{since(span.start_ns)}",
            data={"calls": [span.name], "open_ns": age, "since_ns": span.start_ns, **again},
        )
