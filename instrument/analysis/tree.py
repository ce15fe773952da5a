"""Records folded into traces: every span at its place, whatever order, gaps and doubles the files have.

The rules: order in the files does not matter (only several updates of one span apply in their order). Of spans
with the same id the one that ended last counts; of logs and findings that are equal in all, one. A span without an
end is one of status `open` that lasted until the last sign of life of its process. Spans without a parent are roots.
A span whose parent is unknown hangs at the first root; where no span is without a parent, those whose parent is
unknown are the roots. A cycle of parents is cut at its earliest span. Siblings are in order of their start.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, overload

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from instrument.analysis.totals import Total, total, usage_of
from instrument.model import Finding, Log, Open, Record, Run, Score, Span, Update, Usage
from instrument.statuses import OPEN, UNFINISHED

T = TypeVar("T", bound="Trace")

NOT_RECORDED = "(not recorded)"
"""Stands for the name of a root of which nothing was kept."""


class Trace(Struct, frozen=True, kw_only=True, dict=True, eq=False, repr_omit_defaults=True):
    """All that belongs to one root: `spans` in order of their start, the others in order of their time.

    `runs` are the processes that took part, that of the root first.
    """

    trace_id: str
    spans: Sequence[Span]
    logs: Sequence[Log] = ()
    findings: Sequence[Finding] = ()
    scores: Sequence[Score] = ()
    runs: Sequence[Run] = ()

    @property
    def root(self) -> Span:
        """The first root. Where no span was kept at all (a process killed early) it stands for the missing one."""
        return self.roots[0] if self.roots else _missing_root(self)

    @property
    def roots(self) -> Sequence[Span]:
        """The spans at the top; usually there is one."""
        return self._children.get(None, ())

    def children(self, span_id: str | None) -> Sequence[Span]:
        """The spans directly below one; below None are the roots."""
        return self._children.get(span_id, ())

    @property
    def run(self) -> Run | None:
        """The process that the root belongs to, if its record was kept."""
        return self.runs[0] if self.runs else None

    @cached_property
    def usage(self) -> Usage:
        """Tokens of all model calls."""
        return usage_of(self.spans)

    @cached_property
    def cost(self) -> Total:
        """Money of all model calls, `.usd` as a `Decimal`; unpriced and estimated calls are counted apart."""
        return total(self.spans)

    @property
    def start_ns(self) -> int:
        """When the earliest span began, or the first log was written."""
        return min(_times(self), default=0)

    @property
    def end_ns(self) -> int:
        """When the last span ended."""
        return max((span.end_ns for span in self.spans), default=max(_times(self), default=0))

    @cached_property
    def _children(self) -> Mapping[str | None, Sequence[Span]]:
        return _hang(self.spans)


def walk(trace: Trace, top: str | None = None) -> Iterator[tuple[Span, int]]:
    """Every span below `top` (None: all) with its depth there, parents before children, siblings in order."""
    waiting = [(span, 0) for span in reversed(trace.children(top))]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting.extend((child, depth + 1) for child in reversed(trace.children(span.span_id)))


def parents(trace: Trace) -> dict[str, Span]:
    """The span that each span hangs at, by the id of the lower one; roots hang at none."""
    return {child.span_id: span for span in trace.spans for child in trace.children(span.span_id)}


def ancestors(span_id: str, parents: Mapping[str, Span]) -> Iterator[Span]:
    """The spans that a span lies in, the nearest first; `parents` are those of its trace."""
    span = parents.get(span_id)
    while span is not None:
        yield span
        span = parents.get(span.span_id)


@overload
def traces(records: Iterable[Record]) -> Iterator[Trace]: ...
@overload
def traces(records: Iterable[Record], kind: type[T]) -> Iterator[T]: ...
def traces(records: Iterable[Record], kind: type[Any] = Trace) -> Iterator[Any]:
    """The traces in the records, in order of their start, as `kind`. Records outside of any trace are left out."""
    gathered, runs, seen = _gather(records)
    folded = [_fold(trace_id, parts, runs, seen, kind) for trace_id, parts in gathered.items()]
    return iter(sorted(folded, key=lambda trace: (trace.start_ns, trace.trace_id)))


def traces_apart(records: Callable[[], Iterable[Record]]) -> Iterator[Trace]:
    """The same traces, each when its last record has come: only those that wait for more are held in memory.

    `records` gives the records and, called again, gives them again: a first look sees how many belong to each trace.
    Where files grow meanwhile, a trace with a span that runs on has what came by the end, others what was there then.
    """
    left: Counter[str | None] = Counter()
    runs: dict[str, Run] = {}
    seen: dict[str, int] = {}
    for record in records():
        left[_note(record, runs, seen)] += 1
    waiting: dict[str, _Parts] = defaultdict(_Parts)
    given: set[str] = set()
    for record in records():
        trace_id = _note(record, runs, seen)
        if trace_id is None or trace_id in given:
            continue
        waiting[trace_id].add(record)
        left[trace_id] -= 1
        if left[trace_id] <= 0 and waiting[trace_id].has_ended():
            given.add(trace_id)
            yield _fold(trace_id, waiting.pop(trace_id), runs, seen, Trace)
    for trace_id, parts in waiting.items():
        yield _fold(trace_id, parts, runs, seen, Trace)


class _Parts:
    """What was found of one trace so far."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.open: dict[str, Open] = {}
        self.updates: dict[str, list[Update]] = {}
        self.rest: dict[type, list[Any]] = defaultdict(list)

    def add(self, record: Any) -> None:
        match record:
            case Span():
                held = self.spans.get(record.span_id)
                self.spans[record.span_id] = record if held is None else max(held, record, key=_finality)
            case Open():
                self.open.setdefault(record.span_id, record)
            case Update():
                self.updates.setdefault(record.span_id, []).append(record)
            case Log() | Finding() | Score():
                self.rest[type(record)].append(record)

    def has_ended(self) -> bool:
        return self.open.keys() <= self.spans.keys()


def _gather(records: Iterable[Record]) -> tuple[dict[str, _Parts], dict[str, Run], dict[str, int]]:
    gathered: dict[str, _Parts] = defaultdict(_Parts)
    runs: dict[str, Run] = {}
    seen: dict[str, int] = {}
    for record in records:
        trace_id = _note(record, runs, seen)
        if trace_id is not None:
            gathered[trace_id].add(record)
    return gathered, runs, seen


def _note(record: Any, runs: dict[str, Run], seen: dict[str, int]) -> str | None:
    """Keep what the record says of its process; the trace that it belongs to."""
    if isinstance(record, Run):
        runs.setdefault(record.run, record)
    seen[record.run] = max(seen.get(record.run, 0), last_sign(record))
    trace_id: str | None = getattr(record, "trace_id", None)
    return trace_id


def left_unfinished(trace: Trace, is_gone: Callable[[str], bool]) -> Trace:
    """The trace; what is open in it is unfinished where `is_gone` says of its process that it runs no more."""
    if all(span.status != OPEN for span in trace.spans):
        return trace
    known = [
        replace(span, status=UNFINISHED) if span.status == OPEN and is_gone(span.run) else span for span in trace.spans
    ]
    return replace(trace, spans=known)


def last_sign(record: Any) -> int:
    """The latest moment that a record (or its head) speaks of, in nanoseconds; 0 where it speaks of none."""
    try:
        return record.start_ns + record.duration_ns  # type: ignore[no-any-return]  # of any kind of record
    except AttributeError:
        return int(getattr(record, "time_ns", 0) or getattr(record, "start_ns", 0))


def _fold(trace_id: str, parts: _Parts, runs: Mapping[str, Run], seen: Mapping[str, int], kind: type[T]) -> T:
    unended = [_unended(head, seen) for span_id, head in parts.open.items() if span_id not in parts.spans]
    spans = sorted((updated(span, parts.updates) for span in (*parts.spans.values(), *unended)), key=_place)
    took_part = dict.fromkeys(record.run for record in (*spans, *parts.rest[Log], *parts.rest[Finding]))
    return kind(
        trace_id=trace_id,
        spans=tuple(spans),
        logs=_in_time(parts.rest[Log]),
        findings=_in_time(parts.rest[Finding]),
        scores=_in_time(parts.rest[Score]),
        runs=tuple(runs[run] for run in took_part if run in runs),
    )


def _unended(head: Open, seen: Mapping[str, int]) -> Span:
    return Span(
        run=head.run,
        extra=head.extra,
        trace_id=head.trace_id,
        span_id=head.span_id,
        parent_id=head.parent_id,
        start_ns=head.start_ns,
        duration_ns=seen[head.run] - head.start_ns,  # its own beginning is a sign of life
        kind=head.kind,
        name=head.name,
        status=OPEN,
        input=head.input,
        attributes=head.attributes,
    )


def updated(span: Span, updates: Mapping[str, Sequence[Update]]) -> Span:
    """The span with what was learned of it later: tokens and money replace the earlier ones, attributes are added."""
    for late in updates.get(span.span_id, ()):
        span = replace(
            span,
            usage=late.usage or span.usage,
            cost=late.cost or span.cost,
            attributes={**span.attributes, **late.attributes},
        )
    return span


def _finality(span: Span) -> tuple[int, bytes]:
    # the encoded text decides between equals, so that the order of the files does not
    return span.end_ns, msgspec.json.encode(span)


def _place(span: Span) -> tuple[int, int, str]:
    return span.start_ns, -span.duration_ns, span.span_id


def _in_time(records: list[Any]) -> tuple[Any, ...]:
    """In order of time, each once: what was equal in all to an earlier one came from a copy."""
    ordered: list[Any] = []
    same_time = 0
    for record in sorted(records, key=lambda record: record.time_ns):
        if not ordered or ordered[-1].time_ns != record.time_ns:
            same_time = len(ordered)
        elif record in ordered[same_time:]:
            continue
        ordered.append(record)
    return tuple(ordered)


def _times(trace: Trace) -> list[int]:
    if trace.spans:
        return [trace.spans[0].start_ns]
    return [record.time_ns for group in (trace.logs, trace.findings, trace.scores) for record in group]


def _missing_root(trace: Trace) -> Span:
    return Span(
        run=trace.logs[0].run if trace.logs else "",
        trace_id=trace.trace_id,
        span_id="0" * 16,
        start_ns=trace.start_ns,
        duration_ns=0,
        kind="span",
        name=NOT_RECORDED,
        status=OPEN,
    )


def _hang(spans: Sequence[Span]) -> dict[str | None, list[Span]]:
    """The spans by the id of the span that they hang at."""
    known = {span.span_id for span in spans}
    hung: dict[str | None, list[Span]] = defaultdict(list)
    for span in spans:
        hung[span.parent_id if span.parent_id in known else None].append(span)
    roots = [span for span in hung[None] if span.parent_id is None]
    strays = [span for span in hung[None] if span.parent_id is not None] if roots else []
    if roots:
        hung[None] = roots
    strays += _cut_cycles(spans, hung, {span.span_id for span in strays})
    top = roots[0].span_id if roots else None
    hung[top] = sorted([*hung[top], *strays], key=_place)
    return dict(hung)


def _cut_cycles(spans: Sequence[Span], hung: dict[str | None, list[Span]], strays: set[str]) -> list[Span]:
    """The earliest span of every cycle of parents, taken from its parent: no root reaches what lies on or below one."""
    by_id = {span.span_id: span for span in spans}
    reached = strays | _below(hung, [None, *strays])
    cut = []
    for span in spans:
        if span.span_id not in reached:
            first = min(_cycle_above(span, by_id), key=_place)
            hung[first.parent_id] = [child for child in hung[first.parent_id] if child is not first]
            cut.append(first)
            reached |= {first.span_id} | _below(hung, [first.span_id])
    return cut


def _cycle_above(span: Span, by_id: Mapping[str, Span]) -> list[Span]:
    path: dict[str, Span] = {}
    while span.span_id not in path:
        path[span.span_id] = span
        span = by_id[span.parent_id or ""]
    members = list(path.values())
    return members[list(path).index(span.span_id) :]


def _below(hung: Mapping[str | None, Sequence[Span]], tops: list[str | None] | list[str]) -> set[str]:
    reached: set[str] = set()
    waiting: list[str | None] = [*tops]
    while waiting:
        for child in hung.get(waiting.pop(), ()):
            if child.span_id not in reached:
                reached.add(child.span_id)
                waiting.append(child.span_id)
    return reached
