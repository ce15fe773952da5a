"""Calls that are the same on both sides, but in another order or not at the same time any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from instrument.analysis.align import Pair
from instrument.model import Span

BRIEF = 40
"""So many letters tell what a call was given."""
Both = tuple[Pair, Span, Span]


class Rearranged(NamedTuple):
    """Calls of one row that come in another order, or overlap otherwise: the part of the row, both sides in words."""

    cause: str
    part: Sequence[Both]
    before: str
    after: str


def rearranged(row: Sequence[Both]) -> Iterator[Rearranged]:
    """What changed in the order and the concurrency of calls that are on both sides; each is one change at most."""
    if _is_one_by_one(row):
        return
    turns = _turns(row)
    places = _turned(turns, {("before", "after")})
    if places:
        part = row[places[0] : places[-1] + 1]
        before = ", ".join(_told([one for _, one, _ in part]))
        after = ", ".join(_told([two for _, _, two in sorted(part, key=_start_in_b)]))
        yield Rearranged("order", part, before, after)
    places = _turned(turns, {("before", "at once"), ("at once", "before"), ("at once", "after")})
    if places:
        part = row[places[0] : places[-1] + 1]
        ones = [one for _, one, _ in sorted(part, key=_start_in_a)]
        twos = [two for _, _, two in sorted(part, key=_start_in_b)]
        yield Rearranged("concurrency", part, _in_words(ones), _in_words(twos))


def _is_one_by_one(row: Sequence[Both]) -> bool:
    """Whether each call ends before the next one begins, on both sides: then nothing was turned."""
    return all(
        one.end_ns <= one_behind.start_ns and two.end_ns <= two_behind.start_ns
        for (_, one, two), (_, one_behind, two_behind) in pairwise(row)
    )


Turn = tuple[int, int, tuple[str, str]]
"""Two places, and the relation in time of the calls there, in A and in B."""


def _turns(row: Sequence[Both]) -> list[Turn]:
    """The neighbours on either side."""
    by_b = sorted(range(len(row)), key=lambda place: (_start_in_b(row[place]), place))
    neighbours = {(place, place + 1) for place in range(len(row) - 1)}
    neighbours |= {(min(pair), max(pair)) for pair in pairwise(by_b)}
    return [(x, y, (_relation(row[x][1], row[y][1]), _relation(row[x][2], row[y][2]))) for x, y in neighbours]


def _turned(turns: Sequence[Turn], wanted: set[tuple[str, str]]) -> list[int]:
    """The places of neighbours whose relation in time changed in one of the ways that are wanted."""
    return sorted({place for x, y, relation in turns if relation in wanted for place in (x, y)})


def _start_in_a(both: Both) -> int:
    return both[1].start_ns


def _start_in_b(both: Both) -> int:
    return both[2].start_ns


def _in_words(row: Sequence[Span]) -> str:
    """`a, then b and c at once`."""
    groups: list[list[str]] = []
    end = -1
    for span, name in zip(row, _told(row), strict=True):
        if not groups or span.start_ns >= end:
            groups.append([])
            end = -1
        groups[-1].append(name)
        end = max(end, span.end_ns)
    return ", then ".join(" and ".join(group) + (" at once" if len(group) > 1 else "") for group in groups)


def _told(row: Sequence[Span]) -> list[str]:
    """The names of the calls; where they are all the same one, what each was called with tells them apart."""
    if len({span.name for span in row}) > 1:
        return [span.name for span in row]
    return [
        f"{span.name}({text if len(text) <= BRIEF else f'{text[: BRIEF - 1]}…'})"
        for span, text in zip(row, map(_given, row), strict=True)
    ]


def _given(span: Span) -> str:
    return msgspec.json.encode(span.input).decode() if span.input else ""


def _relation(one: Span, two: Span) -> str:
    if one.end_ns <= two.start_ns:
        return "before"
    return "after" if two.end_ns <= one.start_ns else "at once"
