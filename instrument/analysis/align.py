"""Two traces laid beside each other as trees: which span of the one is which span of the other.

Spans are the same by kind and name, and among those by what they were asked, what they answered and what lies below.
Siblings keep their order, but for those that ran at the same time, whose order is chance. A call that is in both and
changed its place is a pair too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Container, Hashable, Iterator, Sequence
from itertools import count, zip_longest
from typing import NamedTuple

from instrument.analysis.tree import Trace, walk
from instrument.analysis.volatile import Numbered, print_of, steady_text
from instrument.attributes import REQUEST_MODEL, RESPONSE_MODEL
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


class Facts(NamedTuple):
    """What is compared of a span, in numbers that are equal where the facts are.

    `same`: what it is called; `asked`: what it was given; `whole`: both, its answer and all that lies below it;
    `shape`: its name and the names below it.
    """

    same: int
    asked: int
    whole: int
    shape: int


class Known:
    """The numbers of all facts of both traces."""

    def __init__(self) -> None:
        self.value = Numbered()
        self.fact: dict[Hashable, int] = defaultdict(count().__next__)


class Prints:
    """The facts of the spans of one trace, by span id, made once; `known` is shared with the other trace."""

    def __init__(self, trace: Trace, known: Known) -> None:
        self.trace = trace
        self.facts: dict[str, Facts] = {}
        self._siblings: dict[str | None, list[Span]] = {None: _canonical(trace.roots)}
        for span, _ in reversed(list(walk(trace))):
            children = _canonical(trace.children(span.span_id))
            if children:
                self._siblings[span.span_id] = children
            below = [self.facts[child.span_id] for child in children]
            self.facts[span.span_id] = _facts(span, below, known)

    def whole(self, span: Span) -> int:
        """Equal for spans that are alike with all below them."""
        return self.facts[span.span_id].whole

    def siblings(self, span_id: str | None) -> Sequence[Span]:
        """The spans below one, in order of their start; of those at the same time in an order that is no chance."""
        return self._siblings.get(span_id, ())


def _facts(span: Span, below: Sequence[Facts], known: Known) -> Facts:
    fact = known.fact
    name, asked = fact["name", same(span)], known.value[span.input]
    said = fact["said", name, *ended(span), *_model_facts(span)]
    whole = fact["whole", said, asked, known.value[span.output], *[one.whole for one in below]]
    return Facts(name, asked, whole, fact["shape", name, *[one.shape for one in below]])


def same(span: Span) -> tuple[str, str]:
    """Kind and name; of a model call without its model, which may be what differs."""
    name = span.name
    for attribute in (REQUEST_MODEL, RESPONSE_MODEL):
        model = span.attributes.get(attribute)
        if isinstance(model, str) and model:
            name = name.replace(model, "").strip()
    return span.kind, name


def ended(span: Span) -> tuple[str, ...]:
    """How it ended: its status, and what it failed with, without what is volatile."""
    return (span.status,) if span.error is None else (span.status, span.error.type, steady_text(span.error.message))


def _model_facts(span: Span) -> Sequence[tuple[str, str]]:
    """What the attributes tell of the model and its settings."""
    if not span.attributes:
        return ()
    known = ("gen_ai.request.", RESPONSE_MODEL)
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
            if a.facts[one].whole == b.facts[two].whole:
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
        if a.whole(one) != b.whole(two):
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
    one, two = ([prints.whole(span) for span in row] for prints, row in ((a, ones), (b, twos)))
    often = dict(Counter(one).items() & Counter(two).items())
    places = {key: j for j, key in _numbered(two, often)}
    return _rising([(i, places[key]) for i, key in _numbered(one, often)])


def _numbered(row: Sequence[int], often: Container[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    seen: Counter[int] = Counter()
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
    is_long = len(ones) * len(twos) > MOST_CELLS
    return (_by_number if is_long else _by_likeness)(
        [a.facts[one.span_id] for one in ones], [b.facts[two.span_id] for two in twos]
    )


def _likeness(one: Facts, two: Facts) -> int:
    if one.same != two.same:
        return 0
    if one.whole == two.whole:
        return 8
    return (2 if one.shape == two.shape else 0) + (5 if one.asked == two.asked else 2)


Matched = dict[int, int]
"""Places in the one row and their places in the other."""


def _by_likeness(ones: Sequence[Facts], twos: Sequence[Facts]) -> Matched:
    """The pairs, in order on both sides, whose likeness is the greatest in sum; of equal ones the earliest."""
    best = [[0] * (len(twos) + 1) for _ in range(len(ones) + 1)]
    score = [[_likeness(one, two) for two in twos] for one in ones]
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


def _by_number(ones: Sequence[Facts], twos: Sequence[Facts]) -> Matched:
    places: dict[int, list[int]] = defaultdict(list)
    for place, two in enumerate(twos):
        places[two.same].append(place)
    seen: Counter[int] = Counter()
    matched: Matched = {}
    for place, one in enumerate(ones):
        number = seen[one.same]
        if number < len(places[one.same]):
            matched[place] = places[one.same][number]
        seen[one.same] += 1
    return matched


def _with_moved(ones: Sequence[Span], twos: Sequence[Span], matched: Matched, a: Prints, b: Prints) -> Matched:
    """With pairs of calls that are the same on both sides, but at other places: no other call counts as their like."""
    asked_a, asked_b = ([prints.facts[span.span_id][:2] for span in row] for prints, row in ((a, ones), (b, twos)))
    unlike = {i: j for i, j in matched.items() if asked_a[i] != asked_b[j]}
    taken = set(matched.values()) - set(unlike.values())
    free_a = [i for i in range(len(ones)) if i not in matched or i in unlike]
    free_b = [j for j in range(len(twos)) if j not in taken]
    places: dict[Hashable, list[int]] = defaultdict(list)
    for j in reversed(free_b):
        places[asked_b[j]].append(j)
    moved = {i: places[call].pop() for i in free_a if places[call := asked_a[i]]}
    now = set(moved.values())
    kept = {i: j for i, j in matched.items() if i not in moved and j not in now}
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


def _canonical(siblings: Sequence[Span]) -> list[Span]:
    row: list[Span] = []
    group: list[Span] = []
    end = -1
    for span in siblings:
        if span.start_ns >= end:
            row += _sorted(group)
            group, end = [], -1
        group.append(span)
        end = max(end, span.end_ns)
    return row + _sorted(group)


def _sorted(group: list[Span]) -> list[Span]:
    return sorted(group, key=lambda span: (repr(same(span)), print_of(span.input))) if len(group) > 1 else group
