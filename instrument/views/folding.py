"""What of a trace is shown: as many levels as there is room for, long rows of siblings folded, nothing wrong hidden."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from instrument.analysis.tree import Trace, ancestors, parents
from instrument.model import Failure, Span
from instrument.statuses import FAILED, UNENDED

SIBLINGS = 12
"""More children than this are folded: the first and last ones stay, and those below which something went wrong."""
KEPT_FIRST, KEPT_LAST = 6, 3
LONGEST_MESSAGE = 500
"""Messages that begin alike for so many characters are alike."""
KEPT_ALIKE = 4
"""The same failure is shown so many times on each level; more of it may be folded, and is counted there."""
LONG_RUN = 5
"""So many siblings of one name in a row have a line of their own, fewer are told together with those beside them."""
MOST_CHANGES = 4
"""Where some of them failed and others did not, each stretch has its line as long as there are no more of them."""
_WITH_DIGITS = re.compile(r"\w*\d\w*")


class Fold(NamedTuple):
    """Siblings in one line."""

    spans: Sequence[Span]

    @property
    def alike(self) -> bool:
        """Whether they have one name, kind and status."""
        return len({_likeness(span) for span in self.spans}) == 1

    @property
    def kind(self) -> str:
        """The kind of all of them, empty where there are several."""
        kinds = {span.kind for span in self.spans}
        return kinds.pop() if len(kinds) == 1 else ""


Shown = Mapping[str | None, Sequence[Span | Fold]]
"""What is shown below each span, below None at the top."""


def shown(
    trace: Trace, troubles: Mapping[str, frozenset[object]], keep: Collection[str] | None, depth: int, room: int | None
) -> Shown:
    """Of the spans in `keep` (None: all) those that are shown, down to `depth`, in some `room` rows (None: all).

    `troubles` names what went wrong at or below each span where something did.
    """
    seen: dict[int, Counter[object]] = defaultdict(Counter)
    below: dict[str | None, Sequence[Span | Fold]] = {}
    first, later = deque[tuple[str | None, int]]([(None, 0)]), deque[tuple[str, int]]()
    while first or later:
        span_id, level = first.popleft() if first else later.popleft()
        children = [span for span in trace.children(span_id) if keep is None or span.span_id in keep]
        items: Sequence[Span | Fold] = children
        if room is not None and span_id not in troubles and span_id is not None:
            items = folded(children, troubles, seen[level], room)
            if len(items) > room:
                continue
        elif room is not None:  # what went wrong is shown in any case, with little around it where there is no room
            items = folded(children, troubles, seen[level], room, ends=room >= SIBLINGS)
        if room is not None:
            room -= len(items)
        below[span_id] = items
        if level + 1 < depth:
            for child in items:
                if isinstance(child, Span):
                    (first if child.span_id in troubles else later).append((child.span_id, level + 1))
    return below


def folded(
    children: Sequence[Span],
    troubles: Mapping[str, frozenset[object]],
    seen: Counter[object],
    room: int,
    *,
    ends: bool = True,
) -> list[Span | Fold]:
    """The children, in place of those that are left out one line for each run of equal ones.

    Where there are many, the first and the last ones are shown if `ends` is true; else only what must be. Of what
    failed in a way not seen yet so many are shown as there is `room`, some at least.
    """
    kept = _kept(children, troubles, seen, max(room, SIBLINGS), ends)
    items: list[Span | Fold] = []
    for is_kept, group in groupby(children, lambda span: span.span_id in kept):
        stretch = list(group)
        items.extend(stretch if is_kept or len(stretch) == 1 else _folds(stretch))
    return items


def _kept(
    children: Sequence[Span], troubles: Mapping[str, frozenset[object]], seen: Counter[object], most: int, ends: bool
) -> Collection[str]:
    shown: Sequence[Span] = children if ends else ()
    if ends and len(children) > SIBLINGS:
        shown = [*children[:KEPT_FIRST], *children[-KEPT_LAST:]]
    kept = {span.span_id for span in shown}
    for span in children:
        found = troubles.get(span.span_id, frozenset())
        fresh = [trouble for trouble in found if seen[trouble] < KEPT_ALIKE]
        if fresh and (len(kept) < most or not all(isinstance(trouble, tuple) for trouble in fresh)):
            kept.add(span.span_id)
        if span.span_id in kept:
            seen.update(found)
    return kept


def _folds(stretch: Sequence[Span]) -> Iterator[Span | Fold]:
    """A line or a few for each long run of one name, and one for each mixture between two of them."""
    mixed: list[Span] = []
    for _, group in groupby(stretch, lambda span: (span.name, span.kind)):
        run = list(group)
        if len(run) < LONG_RUN and len(run) < len(stretch):
            mixed += run
            continue
        yield from _line(mixed)
        yield from _by_status(run)
        mixed = []
    yield from _line(mixed)


def _by_status(run: Sequence[Span]) -> Iterator[Span | Fold]:
    parts = [list(group) for _, group in groupby(run, lambda span: span.status)]
    for part in parts if len(parts) <= MOST_CHANGES else [run]:
        yield from _line(part)


def _line(spans: Sequence[Span]) -> Sequence[Span | Fold]:
    return [Fold(spans)] if len(spans) > 1 else spans


def _likeness(span: Span) -> tuple[str, str, str]:
    return span.name, span.kind, span.status


def troubles_of(
    trace: Trace, order: Sequence[Span], found: Mapping[str, Iterable[object]]
) -> dict[str, frozenset[object]]:
    """What failed, was refused or found, or is open at or below each span of `order`, in which parents come first.

    Failures are tuples; those whose messages differ only in numbers, ids and the like are equal.
    """
    troubles: dict[str, frozenset[object]] = {}
    for span in reversed(order):
        here: set[object] = {id(finding) for finding in found.get(span.span_id, ())}
        if span.status in (*FAILED, *UNENDED):
            here.add(_likeness(span) if span.error is None else _alike(span.error))
        for child in trace.children(span.span_id):
            here |= troubles.get(child.span_id, frozenset())
        if here:
            troubles[span.span_id] = frozenset(here)
    return troubles


def _alike(error: Failure) -> tuple[str, str]:
    return error.type, _WITH_DIGITS.sub("0", error.message[:LONGEST_MESSAGE])


def matching(trace: Trace, matches: Callable[[Span], bool]) -> tuple[set[str], set[str]]:
    """The ids of the spans that match, and of those with all above them."""
    known = parents(trace)
    found = {span.span_id for span in trace.spans if matches(span)}
    keep = set(found)
    for span_id in found:
        for parent in ancestors(span_id, known):
            if parent.span_id in keep:
                break
            keep.add(parent.span_id)
    return found, keep
