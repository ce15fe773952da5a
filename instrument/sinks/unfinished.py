"""What the console keeps of a trace that is not over, for the tree and the summary at its end."""

from __future__ import annotations

import sys
from typing import Any

from msgspec.structs import replace

from instrument.analysis.metrics import Tally
from instrument.analysis.tree import Trace, traces
from instrument.attributes import (
    AGENT_ID,
    ITERATION,
    LABEL,
    OUTCOME,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    RETRIES,
    SESSION,
    USER,
)
from instrument.model import Failure, Finding, Log, Open, Score, Span, decode_known, encode

KEPT_SPANS = 2000
KEPT_FINDINGS = KEPT_SCORES = KEPT_OPEN = 50
KEPT_ATTRIBUTES = (LABEL, ITERATION, OUTCOME, REQUEST_MODEL, RESPONSE_MODEL, SESSION, USER, RETRIES)
OF_AGENTS = (*KEPT_ATTRIBUTES, AGENT_ID)
"""What is kept of agents: which one it was; what is below has it as well, and does not show it."""


class Unfinished:
    """What is known of a trace that is not over: all numbers, and as many spans as fit.

    The spans are kept as lines: objects by the ten thousand would have the garbage collector stop the program.
    """

    def __init__(self) -> None:
        self.tally = Tally(timings=False)
        self.left = 0
        self._lines: list[bytes] = []
        self._depths: list[int] = []
        self._findings: list[Finding] = []
        self._scores: list[Score] = []
        self._open: dict[str, Open] = {}
        self._deepest = sys.maxsize

    @property
    def kept(self) -> int:
        """How many spans are kept."""
        return len(self._lines)

    def add(self, record: Any, depth: int, *, has_room: bool) -> int:
        """Take in what was recorded, and say how many more spans are kept; without room only the root's row is."""
        if record.__class__ is Span:
            self._open.pop(record.span_id, None)
            self.tally.add(record)
            return self._keep(record, depth, has_room or record.parent_id is None)
        if isinstance(record, Log):
            self.tally.add_log(record)
        elif isinstance(record, Finding):
            self.tally.add_finding(record)
            self._findings = [*self._findings, record][:KEPT_FINDINGS]
        elif isinstance(record, Score):
            self._scores = [*self._scores, record][:KEPT_SCORES]
        elif isinstance(record, Open) and len(self._open) < KEPT_OPEN:
            self._open[record.span_id] = replace(record, input=None, attributes={})
        return 0

    def trace(self) -> Trace:
        """What is kept, as a trace; with what has not ended, as where threads wait for each other."""
        ended = map(decode_known, self._lines)
        return next(traces([*ended, *self._open.values(), *self._findings, *self._scores]))

    def _keep(self, span: Span, depth: int, has_room: bool) -> int:
        if depth > self._deepest or not has_room:
            self.left += 1
            return 0
        self._lines.append(_slim(span))
        self._depths.append(depth)
        return 1 - self._thinned_out() if len(self._lines) > KEPT_SPANS else 1

    def _thinned_out(self) -> int:
        """Let the deepest level go; where there is only one, its middle. How many spans went."""
        before = len(self._lines)
        deepest = max(self._depths)
        if deepest > 1:
            self._deepest = deepest - 1
            self._lines = [line for line, depth in zip(self._lines, self._depths, strict=True) if depth < deepest]
            self._depths = [depth for depth in self._depths if depth < deepest]
        else:
            middle = slice(KEPT_SPANS // 2, -KEPT_SPANS // 4)
            del self._lines[middle], self._depths[middle]
        gone = before - len(self._lines)
        self.left += gone
        return gone


def _slim(span: Span) -> bytes:
    """The line of the span with what its row shows."""
    names = OF_AGENTS if span.kind == "agent" else KEPT_ATTRIBUTES
    kept = {name: span.attributes[name] for name in names if name in span.attributes} if span.attributes else {}
    error = Failure(span.error.type, span.error.message[:1000]) if span.error is not None else None
    return encode(replace(span, input=None, output=None, error=error, attributes=kept, events=[], links=[], extra={}))
