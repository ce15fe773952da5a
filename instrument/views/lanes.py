"""Spans laid out in lanes, so that on each lane one span lies within another or beside it, as on one thread.

A span lies on its parent's lane while it is the only child there and ends before its parent; otherwise on a lane of
its own, that of an earlier span which has ended where there is one. Each process has lanes of its own.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping

from instrument.analysis.tree import Trace, parents
from instrument.model import Span


def lanes(trace: Trace) -> Mapping[str, int]:
    """The lane of every span by its id, counted from 0 in each process (`run`)."""
    above = parents(trace)
    processes: dict[str, _Lanes] = defaultdict(_Lanes)
    found: dict[str, int] = {}
    for span in trace.spans:
        parent = above.get(span.span_id)
        beside = found.get(parent.span_id) if parent is not None and parent.run == span.run else None
        found[span.span_id] = processes[span.run].place(span, parent, beside)
    return found


class _Lanes:
    """The lanes of one process: what lies on each at the moment, outermost first, and which are free."""

    def __init__(self) -> None:
        self.stacks: list[list[Span]] = []
        self.taken: list[tuple[int, int]] = []
        self.free: list[int] = []

    def place(self, span: Span, parent: Span | None, beside: int | None) -> int:
        """The lane of a span; spans come in order of their start."""
        if beside is not None and parent is not None and self._lies_open(parent, span, beside):
            self.stacks[beside].append(span)
            return beside
        while self.taken and self.taken[0][0] <= span.start_ns:
            heapq.heappush(self.free, heapq.heappop(self.taken)[1])
        lane = heapq.heappop(self.free) if self.free else len(self.stacks)
        if lane == len(self.stacks):
            self.stacks.append([])
        self.stacks[lane] = [span]
        heapq.heappush(self.taken, (span.end_ns, lane))
        return lane

    def _lies_open(self, parent: Span, span: Span, lane: int) -> bool:
        stack = self.stacks[lane]
        while stack and stack[-1] is not parent and stack[-1].end_ns <= span.start_ns:
            stack.pop()
        return bool(stack) and stack[-1] is parent and span.end_ns <= parent.end_ns
