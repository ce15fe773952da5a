"""Two traces laid beside each other as trees: which span of the one is which span of the other.

Spans are the same by kind and name, and among those by what they were asked, what they answered and what lies below.
Siblings keep their order, but for those that ran at the same time, whose order is chance. A call that is in both and
changed its place is a pair too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import zip_longest
from typing import NamedTuple

from instrument.analysis.tree import Trace
from instrument.analysis.volatile import print_of
from instrument.model import Span

MOST_CELLS = 1_000_000
"""Siblings of more combinations than this are paired in parts, between those that are alike on both sides; parts that
are still as long, by their number."""


class Pair(NamedTuple):
    """A span of the one and of the other trace; None where the other has no such span."""

    a: Span | None
    b: Span | None

    @property
    def key(self) -> tuple[str | None, str | None]:
        """Both ids."""
        return self.a.span_id if self.a else None, self.b.span_id if self.b else None


class Prints:
    """What is compared of the spans of one trace, by span id, made once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.asked = {span.span_id: print_of(span.input) for span in trace.spans}
        self.whole: dict[str, bytes] = {}
        self.shape: dict[str, bytes] = {}
        for span in reversed(list(_down(trace))):
            children = self.siblings(span.span_id)
            below = [self.whole[child.span_id] for child in children]
            shapes = [repr(same(span)).encode(), *(self.shape[child.span_id] for child in children)]
            self.shape[span.span_id] = _digest(shapes)
            said = (same(span), span.status, span.error and span.error.type, _model_facts(span))
            told = (repr(said).encode(), self.asked[span.span_id], print_of(span.output))
            self.whole[span.span_id] = _digest([*told, *below])

    def call(self, span: Span) -> Hashable:
        """The span by its name and what it was asked."""
        return same(span), self.asked[span.span_id]

    def siblings(self, span_id: str | None) -> list[Span]:
        """The spans below one, in order of their start; of those at the same time in an order that is no chance."""
        return _canonical(self.trace.children(span_id), self._order)

    def _order(self, span: Span) -> tuple[str, bytes]:
        return repr(same(span)), self.asked[span.span_id]


def _digest(parts: Sequence[bytes]) -> bytes:
    return blake2b(b"\0".join(parts), digest_size=16).digest()


def same(span: Span) -> tuple[str, str]:
    """Kind and name; of a model call without its model, which may be what differs."""
    name = span.name
    for attribute in ("gen_ai.request.model", "gen_ai.response.model"):
        model = span.attributes.get(attribute)
        if isinstance(model, str) and model:
            name = name.replace(model, "").strip()
    return span.kind, name


def _model_facts(span: Span) -> list[tuple[str, str]]:
    """What the attributes tell of the model and its settings."""
    known = ("gen_ai.request.", "gen_ai.response.model")
    return sorted((key, repr(value)) for key, value in span.attributes.items() if key.startswith(known))


def pairs(a: Prints, b: Prints) -> Iterator[tuple[Pair, Sequence[Pair]]]:
    """Every pair of the traces, parents before children, each with the pairs directly below it."""
    tops = aligned(a, a.siblings(None), b, b.siblings(None))
    yield Pair(None, None), tops
    waiting = list(reversed(tops))
    while waiting:
        pair = waiting.pop()
        below: list[Pair] = []
        if pair.a is not None and pair.b is not None:
            one, two = pair.a.span_id, pair.b.span_id
            if a.whole[one] == b.whole[two]:
                below = [Pair(x, y) for x, y in zip(a.siblings(one), b.siblings(two), strict=True)]
            else:
                below = aligned(a, a.siblings(one), b, b.siblings(two))
        yield pair, below
        waiting.extend(reversed(below))


def aligned(a: Prints, ones: Sequence[Span], b: Prints, twos: Sequence[Span]) -> list[Pair]:
    """The siblings of both sides in one row: pairs, and what only one side has at its place."""
    if len(ones) == len(twos) == 1 and ones[0].kind == twos[0].kind and ones[0].parent_id is None:
        return [Pair(ones[0], twos[0])]
    head = _alike(ones, twos, a, b)
    tail = _alike(ones[head:][::-1], twos[head:][::-1], a, b)
    middle = _between(a, ones[head : len(ones) - tail], b, twos[head : len(twos) - tail])
    return [
        *map(Pair, ones[:head], twos[:head]),
        *middle,
        *map(Pair, ones[len(ones) - tail :], twos[len(twos) - tail :]),
    ]


def _alike(ones: Sequence[Span], twos: Sequence[Span], a: Prints, b: Prints) -> int:
    """How many at the beginning are alike with all below them."""
    number = 0
    for one, two in zip(ones, twos, strict=False):
        if a.whole[one.span_id] != b.whole[two.span_id]:
            break
        number += 1
    return number


def _between(a: Prints, ones: Sequence[Span], b: Prints, twos: Sequence[Span]) -> list[Pair]:
    is_long = len(ones) * len(twos) > MOST_CELLS
    matched = _in_parts(ones, twos, a, b) if is_long else _matched(ones, twos, a, b)
    matched = _with_moved(ones, twos, matched, a, b)
    return _in_one_row(ones, twos, matched)


def _in_parts(ones: Sequence[Span], twos: Sequence[Span], a: Prints, b: Prints) -> Matched:
    matched: Matched = {}
    i = j = 0
    for x, y in [*_anchors(ones, twos, a, b), (len(ones), len(twos))]:
        part = _matched(ones[i:x], twos[j:y], a, b)
        matched |= {i + one: j + two for one, two in part.items()}
        if x < len(ones):
            matched[x] = y
        i, j = x + 1, y + 1
    return matched


def _anchors(ones: Sequence[Span], twos: Sequence[Span], a: Prints, b: Prints) -> list[tuple[int, int]]:
    """As many calls as possible that are alike with all below them, equally often on both sides, and in one order."""
    one, two = ([prints.whole[span.span_id] for span in row] for prints, row in ((a, ones), (b, twos)))
    often = dict(Counter(one).items() & Counter(two).items())
    places = {key: j for j, key in _numbered(two, often)}
    return _rising([(i, places[key]) for i, key in _numbered(one, often)])


def _numbered(row: Sequence[bytes], often: Container[bytes]) -> Iterator[tuple[int, tuple[bytes, int]]]:
    seen: Counter[bytes] = Counter()
    for place, whole in enumerate(row):
        if whole in often:
            seen[whole] += 1
            yield place, (whole, seen[whole])


def _rising(both: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs in which the second places rise as the first ones do."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for number, (_, place) in enumerate(both):
        at = bisect_left(ends, place)
        before.append(last[at - 1] if at else None)
        ends[at : at + 1], last[at : at + 1] = [place], [number]
    found: list[tuple[int, int]] = []
    step = last[-1] if last else None
    while step is not None:
        found.append(both[step])
        step = before[step]
    return found[::-1]


def _matched(ones: Sequence[Span], twos: Sequence[Span], a: Prints, b: Prints) -> Matched:
    if len(ones) * len(twos) > MOST_CELLS:
        return _by_number(ones, twos)
    return _by_likeness(ones, twos, lambda one, two: _likeness(a, one, b, two))


def _likeness(a: Prints, one: Span, b: Prints, two: Span) -> int:
    if same(one) != same(two):
        return 0
    if a.whole[one.span_id] == b.whole[two.span_id]:
        return 8
    alike = 2 if a.shape[one.span_id] == b.shape[two.span_id] else 0
    return alike + (5 if a.asked[one.span_id] == b.asked[two.span_id] else 2)


Matched = dict[int, int]
"""Places in the one row and their places in the other."""


def _by_likeness(ones: Sequence[Span], twos: Sequence[Span], likeness: Callable[[Span, Span], int]) -> Matched:
    """The pairs, in order on both sides, whose likeness is the greatest in sum; of equal ones the earliest."""
    best = [[0] * (len(twos) + 1) for _ in range(len(ones) + 1)]
    score = [[likeness(one, two) for two in twos] for one in ones]
    for i in range(len(ones) - 1, -1, -1):
        row, after, own = best[i], best[i + 1], score[i]
        for j in range(len(twos) - 1, -1, -1):
            row[j] = max(after[j], row[j + 1], own[j] + after[j + 1] if own[j] else 0)
    matched: Matched = {}
    i = j = 0
    while i < len(ones) and j < len(twos):
        if score[i][j] and best[i][j] == score[i][j] + best[i + 1][j + 1]:
            matched[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return matched


def _by_number(ones: Sequence[Span], twos: Sequence[Span]) -> Matched:
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, two in enumerate(twos):
        places[same(two)].append(place)
    seen: Counter[Hashable] = Counter()
    matched: Matched = {}
    for place, one in enumerate(ones):
        number, kind = seen[same(one)], same(one)
        if number < len(places[kind]):
            matched[place] = places[kind][number]
        seen[kind] += 1
    return matched


def _with_moved(ones: Sequence[Span], twos: Sequence[Span], matched: Matched, a: Prints, b: Prints) -> Matched:
    """With pairs of calls that are the same on both sides, but at other places: no other call counts as their like."""
    unlike = {i: j for i, j in matched.items() if a.call(ones[i]) != b.call(twos[j])}
    taken = set(matched.values())
    free_a = [i for i in range(len(ones)) if i not in matched or i in unlike]
    free_b = [j for j in range(len(twos)) if j not in taken or j in unlike.values()]
    places: dict[Hashable, list[int]] = defaultdict(list)
    for j in reversed(free_b):
        places[b.call(twos[j])].append(j)
    moved = {i: places[call].pop() for i in free_a if places[call := a.call(ones[i])]}
    kept = {i: j for i, j in matched.items() if i not in moved and j not in moved.values()}
    return {**kept, **moved}


def _in_one_row(ones: Sequence[Span], twos: Sequence[Span], matched: Matched) -> list[Pair]:
    """In the order of the one side. What only one side has stands between the pairs that it came between there."""
    removed: dict[int, list[Span]] = defaultdict(list)
    added: dict[int, list[Span]] = defaultdict(list)
    back = {j: i for i, j in matched.items()}
    last = -1
    for j, two in enumerate(twos):
        last = back.get(j, last)
        if j not in back:
            added[last].append(two)
    row: list[Pair] = []
    last = -1
    for i, one in enumerate(ones):
        if i in matched:
            row += _in_turns(removed.pop(last, []), added.pop(last, []))
            row.append(Pair(one, twos[matched[i]]))
            last = i
        else:
            removed[last].append(one)
    return row + _in_turns(removed.pop(last, []), added.pop(last, []))


def _in_turns(removed: Sequence[Span], added: Sequence[Span]) -> list[Pair]:
    """The first that is gone, then the first that is new in its place, and so on."""
    turns = zip_longest(removed, added)
    return [pair for one, two in turns for pair in (Pair(one, None), Pair(None, two)) if pair.key != (None, None)]


def _canonical(siblings: Iterable[Span], order: Callable[[Span], tuple[str, bytes]]) -> list[Span]:
    row: list[Span] = []
    group: list[Span] = []
    end = -1
    for span in siblings:
        if group and span.start_ns >= end:
            row += sorted(group, key=order)
            group, end = [], -1
        group.append(span)
        end = max(end, span.start_ns + span.duration_ns)
    return row + sorted(group, key=order)


def _down(trace: Trace) -> Iterator[Span]:
    waiting = list(reversed(trace.roots))
    while waiting:
        span = waiting.pop()
        yield span
        waiting.extend(reversed(trace.children(span.span_id)))
