"""The critical path of a trace: the chain of work that its duration consists of, and what would make it shorter.

A span waits for those of its children that end before it does. Seen from its end backwards, the child that ended last
is what it waited for; before that child began, the one that had ended last by then; and so on, in each of them again
(the rule of the last finishing child). What no child covers is the span's own time. Two things look like children that
are waited for and are none: a child that outlives its parent was left running, and what begins and ends beside a
generator that is open ran while the generator was suspended, so it is taken as work inside the generator's time.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from instrument.analysis.facts import is_timed
from instrument.analysis.tree import Trace
from instrument.kinds import TOOL_KINDS
from instrument.model import Span

SKEW_NS = 5_000_000
"""A child from another process may seem to outlive its parent by so much, because clocks differ."""
NEVER_SUSPENDED = TOOL_KINDS | {"embedding"}
"""Kinds whose lists are results; of other kinds a list as output may be what a generator yielded."""

Children = Mapping[str, Sequence[Span]]


class Stretch(Struct, frozen=True):
    """A part of the critical path: from `start_ns` to `end_ns` the span itself was at work, none of its children."""

    span: Span
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """How long it was, in nanoseconds."""
        return self.end_ns - self.start_ns


class CriticalPath(Struct, frozen=True):
    """The stretches in order of time, without gaps or overlaps from the root's start to its end.

    `children` are those that each span waited for, by its id.
    """

    root: Span
    stretches: Sequence[Stretch]
    children: Children

    @property
    def duration_ns(self) -> int:
        """What all stretches come to, which is how long the root took."""
        return sum(stretch.duration_ns for stretch in self.stretches)

    def self_times(self) -> dict[str, int]:
        """Nanoseconds on the path by span id, the longest first."""
        times: dict[str, int] = defaultdict(int)
        for stretch in self.stretches:
            times[stretch.span.span_id] += stretch.duration_ns
        return dict(sorted(times.items(), key=lambda item: -item[1]))


def critical_path(trace: Trace) -> CriticalPath:
    """The critical path of the trace's first root."""
    root, children = trace.root, _children(trace)
    stretches: list[Stretch] = []
    # a piece is a span to be looked into, or (own) time of a span that is known to be its own; the latest is on top
    waiting = [(root, root.start_ns, root.end_ns, False)]
    while waiting:
        span, start, until, own = waiting.pop()
        if own:
            stretches.append(Stretch(span, start, until))
        else:
            waiting += reversed(list(_backwards(span, start, until, children.get(span.span_id, ()))))
    return CriticalPath(root, stretches[::-1], children)


def waited_for(trace: Trace) -> list[str]:
    """The ids of the spans that the critical path leads through; none where no times are known."""
    return [*critical_path(trace).self_times()] if is_timed(trace.root) else []


def shortest_without(path: CriticalPath, span_ids: Collection[str]) -> int:
    """How long the root would have taken, in nanoseconds, had these spans taken no time at all.

    The trace is played again: a span begins as long after the last of the siblings that had ended before it as it did,
    and ends as long after the last child that it waits for as it did.
    """
    children, gone = path.children, frozenset(span_ids)
    took: dict[str, int] = {}
    for span in reversed(_from_the_top(path.root, children)):
        awaited = [child for child in children.get(span.span_id, ()) if child.span_id in took]
        took[span.span_id] = 0 if span.span_id in gone else _played_again(span, awaited, took)
    return took[path.root.span_id]


Piece = tuple[Span, int, int, bool]


def _backwards(span: Span, start: int, until: int, children: Sequence[Span]) -> Iterator[Piece]:
    """What the time of a span consists of, the latest first; the children are in order of their end."""
    now = until
    for child in reversed(children):
        begin, end = max(child.start_ns, start), _seen_end(child, span)
        if begin < end <= now:
            if end < now:
                yield span, end, now, True
            yield child, begin, end, False
            now = begin
    if start < now:
        yield span, start, now, True


def _played_again(span: Span, awaited: Sequence[Span], took: Mapping[str, int]) -> int:
    """The new duration of a span whose children take what `took` says."""
    running: list[tuple[int, int]] = []
    last_end, new_end = span.start_ns, 0
    for child in sorted(awaited, key=lambda one: (one.start_ns, one.duration_ns)):
        begin = max(child.start_ns, span.start_ns)
        while running and running[0][0] <= begin:
            ended, anew = heapq.heappop(running)
            last_end, new_end = max(last_end, ended), max(new_end, anew)
        end = _seen_end(child, span)
        inside = min(took[child.span_id], end - begin)  # what lay before the parent's own start does not count
        heapq.heappush(running, (end, new_end + begin - last_end + inside))
    for ended, anew in running:
        last_end, new_end = max(last_end, ended), max(new_end, anew)
    return new_end + span.end_ns - last_end


def _from_the_top(root: Span, children: Children) -> list[Span]:
    """The spans at and below the root, every span behind its parent."""
    ordered = [root]
    for span in ordered:
        ordered += children.get(span.span_id, ())
    return ordered


def _children(trace: Trace) -> Children:
    """The children that each span waited for, in order of their end; of those that end together the longest last."""
    found: dict[str, list[Span]] = {}
    for parent in _known(trace):
        beside = [child for child in trace.children(parent.span_id) if _is_awaited(child, parent)]
        for holder, child in _hung(parent, beside):
            found.setdefault(holder.span_id, []).append(child)
    for held in found.values():
        held.sort(key=lambda child: (child.end_ns, -child.start_ns))
    return found


def _known(trace: Trace) -> list[Span]:
    return _from_the_top(trace.root, {span.span_id: trace.children(span.span_id) for span in trace.spans})


def _is_awaited(child: Span, parent: Span) -> bool:
    """Whether the child ended within its parent, clocks of other processes taken with a grain of salt."""
    return _seen_end(child, parent) <= parent.end_ns


def _seen_end(child: Span, parent: Span) -> int:
    """When the child ended by the clock of its parent."""
    end, limit = child.end_ns, parent.end_ns
    return limit if child.run != parent.run and limit < end <= limit + SKEW_NS else end


def _hung(parent: Span, beside: Sequence[Span]) -> Iterator[tuple[Span, Span]]:
    """Each sibling with the span whose time it is part of: the innermost generator open around it, or the parent."""
    around: list[Span] = []
    for child in sorted(beside, key=lambda one: (one.start_ns, -one.duration_ns)):
        while around and around[-1].end_ns < child.end_ns:
            around.pop()
        yield (around[-1] if around and around[-1].start_ns < child.start_ns else parent), child
        if _may_be_generator(child):
            around.append(child)


def _may_be_generator(span: Span) -> bool:
    return isinstance(span.output, list) and span.kind not in NEVER_SUSPENDED
