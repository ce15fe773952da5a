"""Calls that are the same on both sides, but in another order or not at the same time any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from instrument.analysis.align import Pair
from instrument.model import Span

Both = tuple[Pair, Span, Span]


class Rearranged(NamedTuple):
    """Calls of one row that come in another order, or overlap otherwise: the part of the row, both sides in words."""

    cause: str
    part: Sequence[Both]
    before: str
    after: str


def rearranged(row: Sequence[Both]) -> Iterator[Rearranged]:
    """What changed in the order and the concurrency of calls that are on both sides; each is one change at most."""
    places = _turned(row, {("before", "after")})
    if places:
        part = row[places[0] : places[-1] + 1]
        before = ", ".join(one.name for _, one, _ in part)
        after = ", ".join(two.name for _, _, two in sorted(part, key=_start_in_b))
        yield Rearranged("order", part, before, after)
    places = _turned(row, {("before", "at once"), ("at once", "before"), ("at once", "after")})
    if places:
        part = row[places[0] : places[-1] + 1]
        ones = [one for _, one, _ in sorted(part, key=_start_in_a)]
        twos = [two for _, _, two in sorted(part, key=_start_in_b)]
        yield Rearranged("concurrency", part, _in_words(ones), _in_words(twos))


def _turned(row: Sequence[Both], wanted: set[tuple[str, str]]) -> list[int]:
    """The places of neighbours, on either side, whose relation in time changed in one of the ways that are wanted."""
    by_b = sorted(range(len(row)), key=lambda place: (_start_in_b(row[place]), place))
    neighbours = {(place, place + 1) for place in range(len(row) - 1)}
    neighbours |= {(min(pair), max(pair)) for pair in pairwise(by_b)}
    turned = [
        (one, two)
        for one, two in neighbours
        if (_relation(row[one][1], row[two][1]), _relation(row[one][2], row[two][2])) in wanted
    ]
    return sorted({place for pair in turned for place in pair})


def _start_in_a(both: Both) -> int:
    return both[1].start_ns


def _start_in_b(both: Both) -> int:
    return both[2].start_ns


def _in_words(row: Sequence[Span]) -> str:
    """`a, then b and c at once`."""
    groups: list[list[Span]] = []
    end = -1
    for span in row:
        if not groups or span.start_ns >= end:
            groups.append([])
            end = -1
        groups[-1].append(span)
        end = max(end, span.start_ns + span.duration_ns)
    told = [" and ".join(span.name for span in group) + (" at once" if len(group) > 1 else "") for group in groups]
    return ", then ".join(told)


def _relation(one: Span, two: Span) -> str:
    if one.start_ns + one.duration_ns <= two.start_ns:
        return "before"
    return "after" if two.start_ns + two.duration_ns <= one.start_ns else "at once"
