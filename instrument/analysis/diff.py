"""Two runs compared: where they part first and why, what follows from that, what the difference comes to.

The first divergence is the earliest difference in time: what a call was given counts from its start, what it gave
back from its end. What comes after it may follow from it: every difference of a call that began later, or that the
first one lies below. Differences of calls that were under way already do not follow, and are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from instrument.analysis.align import Known, Pair, Prints, pairs
from instrument.analysis.changes import MISSING, differences
from instrument.analysis.rearranged import Rearranged, rearranged
from instrument.analysis.sides import Side, Spent, by_name, side_of
from instrument.analysis.tree import Trace, ancestors, parents
from instrument.analysis.tree import walk as spans_below
from instrument.model import Span

CAUSES = (
    "other call", "model", "setting", "tools", "prompt", "arguments", "removed", "added", "order", "error", "result",
    "answer", "concurrency",
)  # fmt: skip
"""What a difference can come from. Of several in one call at one moment the first named here is the divergence."""


class Change(Struct, frozen=True, kw_only=True):
    """One difference.

    `name` and `path` (names of the spans above) are those of the call, `a` and `b` its span ids on both sides, None
    where it is missing. `where` says which part of it, `before` and `after` are the values there (None: nothing).
    `spans` is how many spans were added or removed with it.
    """

    cause: str
    name: str
    kind: str
    path: Sequence[str] = ()
    a: str | None = None
    b: str | None = None
    where: str = ""
    before: Any = None
    after: Any = None
    spans: int = 1


class Diff(Struct, frozen=True, kw_only=True):
    """Two runs side by side. `first` is None where nothing but times, tokens and money differs.

    `beside` are differences that do not follow from the first one, `follows` those that may. `by_name` holds
    the figures of the names whose calls, errors, tokens or money differ.
    """

    a: Side
    b: Side
    first: Change | None
    beside: Sequence[Change]
    follows: Sequence[Change]
    by_name: Mapping[str, tuple[Spent, Spent]]


class Row(NamedTuple):
    """A pair at its place in both trees: how many pairs it lies below, and what differs in it."""

    depth: int
    pair: Pair
    changes: Sequence[Change]


class _Found(Struct, frozen=True):
    """A change and its place: when it shows (by the clock of the one run, as the other run may be slower)."""

    moment: int
    place: int
    began: int
    change: Change
    span_id: str | None
    parent_id: str | None = None

    def order(self) -> tuple[bool, int, int, int]:
        """The earliest comes first; concurrency last, because whether two calls overlapped can be chance."""
        cause = self.change.cause
        return cause == "concurrency", self.moment, self.place, CAUSES.index(cause)


def compare(a: Trace, b: Trace) -> Diff:
    """What differs between two runs, and where they part."""
    return _compared(_walk(a, b))


def side_by_side(a: Trace, b: Trace) -> tuple[Diff, Sequence[Row]]:
    """The same, and both trees in one from the top down; what lies below a call of one side only is there too."""
    walk = _walk(a, b)
    diff = _compared(walk)
    changes: dict[Key, list[Change]] = {}
    for change in (*([diff.first] if diff.first else []), *diff.beside, *diff.follows):
        key = (change.a, change.b)  # a call with another in its place is two rows
        changes.setdefault(key if key in walk.number else (change.a, None), []).append(change)
    return diff, [Row(depth, pair, changes.get(pair.key, ())) for depth, pair in _down(walk)]


def _walk(a: Trace, b: Trace) -> _Walk:
    known = Known()
    return _Walk(Prints(a, known), Prints(b, known))


def _down(walk: _Walk) -> Iterator[tuple[int, Pair]]:
    for (pair, _), depth in zip(walk.rows[1:], walk.depth[1:], strict=True):
        yield depth - 1, pair
        if pair.b is None and pair.a is not None:
            yield from ((depth + below, Pair(one, None)) for one, below in spans_below(walk.a.trace, pair.a.span_id))
        elif pair.a is None and pair.b is not None:
            yield from ((depth + below, Pair(None, two)) for two, below in spans_below(walk.b.trace, pair.b.span_id))


def _compared(walk: _Walk) -> Diff:
    a, b = walk.a.trace, walk.b.trace
    found = sorted(_changes(walk), key=_Found.order)
    first, rest = (found[0], found[1:]) if found else (None, [])
    above = _above(a, first) if first is not None else set()
    follows = [later.change for later in rest if first is not None and _may_follow(later, first, above)]
    beside = [later.change for later in rest if first is not None and not _may_follow(later, first, above)]
    return Diff(
        a=side_of(a),
        b=side_of(b),
        first=first.change if first is not None else None,
        beside=beside,
        follows=follows,
        by_name=by_name(a, b),
    )


def _may_follow(later: _Found, first: _Found, above: set[str]) -> bool:
    """Whether a call began after the first divergence, ends around it, or is the diverging call, giving back more."""
    if later.span_id is not None and (later.span_id in above or later.span_id == first.span_id):
        return later.moment > first.moment or later.place > first.place
    return (later.began, later.place) > (first.moment, first.place)


def _above(trace: Trace, found: _Found) -> set[str]:
    """The spans of the one run that a change lies in, but for its own."""
    own = {found.parent_id} if found.parent_id is not None else set()
    return own | {one.span_id for one in ancestors(found.parent_id or found.span_id or "", parents(trace))}


Key = tuple[str | None, str | None]


class _Walk:
    """All pairs from the top down, each with those directly below it, and where they stand among each other."""

    def __init__(self, a: Prints, b: Prints) -> None:
        self.a, self.b = a, b
        self.rows: list[tuple[Pair, Sequence[Pair]]] = list(pairs(a, b))
        self.number = {pair.key: number for number, (pair, _) in enumerate(self.rows)}
        self.depth = [0] * len(self.rows)
        self._above = [0] * len(self.rows)
        self._size = [1] * len(self.rows)
        for number, (_, below) in enumerate(self.rows):
            for child in below:
                place = self.number[child.key]
                self._above[place], self.depth[place] = number, self.depth[number] + 1
        for number in range(len(self.rows) - 1, 0, -1):
            self._size[self._above[number]] += self._size[number]

    def enter(self, pair: Pair) -> int:
        """The place of a pair in one row: it is entered before those below it, and left behind them."""
        number = self.number[pair.key]
        return 2 * number - self.depth[number]

    def leave(self, pair: Pair) -> int:
        """The place at which it is left."""
        return self.enter(pair) + 2 * self._size[self.number[pair.key]] - 1

    def path(self, pair: Pair) -> tuple[str, ...]:
        """The names above."""
        names = []
        number = self._above[self.number[pair.key]]
        while number:
            names.append(_shown(self.rows[number][0]).name)
            number = self._above[number]
        return tuple(reversed(names))


def _changes(walk: _Walk) -> Iterator[_Found]:
    a, b = walk.a, walk.b
    for parent, row in walk.rows:
        if not row:
            continue
        yield from _of_row(a.trace, b.trace, walk, parent, row)
        for pair in row:
            if pair.a is not None and pair.b is not None and a.whole(pair.a) != b.whole(pair.b):
                yield from _of_pair(walk, pair, pair.a, pair.b)


def _of_pair(walk: _Walk, pair: Pair, a: Span, b: Span) -> Iterator[_Found]:
    for one in differences(a, b):
        change = _change(walk, pair, one.cause, where=one.where, before=_held(one.before), after=_held(one.after))
        if one.at_end:
            yield _Found(a.end_ns, walk.leave(pair), a.start_ns, change, a.span_id)
        else:
            yield _Found(a.start_ns, walk.enter(pair), a.start_ns, change, a.span_id)


def _held(value: Any) -> Any:
    return None if value is MISSING else value


def _of_row(a: Trace, b: Trace, walk: _Walk, parent: Pair, row: Sequence[Pair]) -> Iterator[_Found]:
    """Calls that are added, removed or replaced, and those that changed their order or overlap."""
    moment = parent.a.start_ns if parent.a is not None else a.start_ns
    behind = Pair(None, None)
    for pair, beyond in zip(row, [*row[1:], Pair(None, None)], strict=False):
        if pair.a is not None and pair.b is not None:
            moment = pair.a.end_ns
        elif pair.a is not None and beyond.a is None and beyond.b is not None:
            yield _replaced(a, b, walk, pair, beyond)
        elif pair.a is not None:
            change = _change(walk, pair, "removed", before=pair.a.input, spans=_size(a, pair.a))
            yield _Found(pair.a.start_ns, walk.enter(pair), pair.a.start_ns, change, pair.a.span_id)
        elif pair.b is not None and (behind.a is None or behind.b is not None):
            change = _change(walk, pair, "added", after=pair.b.input, spans=_size(b, pair.b))
            inside = parent.a.span_id if parent.a is not None else None
            yield _Found(moment, walk.enter(pair), moment, change, None, inside)
        behind = pair
    both = [(pair, pair.a, pair.b) for pair in row if pair.a is not None and pair.b is not None]
    yield from (_moved(walk, found) for found in rearranged(both))


def _moved(walk: _Walk, found: Rearranged) -> _Found:
    pair, one, _ = min(found.part, key=lambda both: both[1].start_ns)
    told = {"where": found.cause, "before": found.before, "after": found.after, "spans": len(found.part)}
    return _Found(one.start_ns, walk.enter(pair), one.start_ns, _change(walk, pair, found.cause, **told), one.span_id)


def _replaced(a: Trace, b: Trace, walk: _Walk, gone: Pair, new: Pair) -> _Found:
    assert gone.a is not None
    assert new.b is not None
    change = Change(
        cause="other call",
        name=gone.a.name,
        kind=gone.a.kind,
        path=walk.path(gone),
        a=gone.a.span_id,
        b=new.b.span_id,
        where="call",
        before=gone.a.name,
        after=new.b.name,
        spans=max(_size(a, gone.a), _size(b, new.b)),
    )
    return _Found(gone.a.start_ns, walk.enter(gone), gone.a.start_ns, change, gone.a.span_id)


def _change(walk: _Walk, pair: Pair, cause: str, **told: Any) -> Change:
    shown = _shown(pair)
    return Change(
        cause=cause,
        name=shown.name,
        kind=shown.kind,
        path=walk.path(pair),
        a=pair.a.span_id if pair.a is not None else None,
        b=pair.b.span_id if pair.b is not None else None,
        **told,
    )


def _shown(pair: Pair) -> Span:
    span = pair.a if pair.a is not None else pair.b
    assert span is not None
    return span


def _size(trace: Trace, span: Span) -> int:
    """How many spans a call is, with those below it."""
    return 1 + sum(1 for _ in spans_below(trace, span.span_id))
