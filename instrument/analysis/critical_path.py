"""The critical path of a trace: the chain of work that its duration consists of, and what would make it shorter.

A span waits for those of its children that end before it does. Seen from its end backwards, the child that ended last
is what it waited for; before that child began, the one that had ended last by then; and so on, in each of them again
(the last-finishing-child rule: Yang and Miller, "Critical Path Analysis for the Execution of Parallel and Distributed
Programs", 1988). What no child covers is the span's own time. Two things look like children that are waited for and are
none: a child that outlives its parent was left running, and what begins and ends within a sibling that is a generator
ran while that generator was suspended: it counts as work inside the generator's time, not as work beside it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Raw, Struct

from instrument.analysis.tree import Trace
from instrument.model import Span

SKEW_NS = 5_000_000
"""A child from another process may seem to outlive its parent by so much, because clocks differ."""


class Stretch(Struct, frozen=True):
    """A part of the critical path: `span` itself was at work from `start_ns` to `end_ns`, none of its children."""

    span: Span
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """How long it was, in nanoseconds."""
        return self.end_ns - self.start_ns


class CriticalPath(Struct, frozen=True):
    """The stretches in order of time: without gaps or overlaps from the root's start to its end."""

    root: Span
    stretches: Sequence[Stretch]

    @property
    def duration_ns(self) -> int:
        """How long the root took, which is what all stretches come to."""
        return sum(stretch.duration_ns for stretch in self.stretches)

    def self_times(self) -> dict[str, int]:
        """Nanoseconds on the path by span id, the longest first."""
        times: dict[str, int] = defaultdict(int)
        for stretch in self.stretches:
            times[stretch.span.span_id] += stretch.duration_ns
        return dict(sorted(times.items(), key=lambda item: -item[1]))


def critical_path(trace: Trace) -> CriticalPath:
    """The critical path of the trace's first root."""
    root = trace.root
    below = _waited_for(trace)
    stretches: list[Stretch] = []
    waiting = [(root, root.start_ns, root.start_ns + root.duration_ns)]
    while waiting:
        span, start, until = waiting.pop()
        pieces = list(_backwards(span, start, until, below.get(span.span_id, ())))
        # backwards in time on the stack as well, so that the last piece is walked first
        for piece in reversed(pieces):
            if piece[0] is not span:
                waiting.append(piece)
            elif len(pieces) == 1:
                stretches.append(Stretch(*piece))
            else:
                waiting.append((_Own(span), piece[1], piece[2]))  # type: ignore[arg-type]
    return CriticalPath(root, stretches[::-1])
