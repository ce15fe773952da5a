"""The order of live lines: a span that lasts has a line before what happens in it, a short one is put above that."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from instrument.kinds import ANNOUNCED
from instrument.model import Open, Span

MOST_OPEN = 10_000
"""So many open spans are remembered."""

LinesOf = Callable[[Any, int], Sequence[str]]


class Nesting:
    """Lines of records in the order in which they are read best. `lines_of` gives those of a record at its depth.

    Records come in the order of their ends, so that what happened in a short span is there before the span itself.
    """

    def __init__(self, lines_of: LinesOf) -> None:
        self._lines_of = lines_of
        self._unannounced: OrderedDict[str, tuple[Open, int]] = OrderedDict()
        self._announced: OrderedDict[str, None] = OrderedDict()
        self._lines: list[tuple[int, int, Sequence[str]]] = []
        self._firsts: dict[str, int] = {}

    def add(self, record: Any, depth: int) -> None:
        """Lay the record's lines out, and before them those of what it is the first sign of."""
        if record.__class__ is Span:
            lines = self._lines_of(record, depth)
            if lines or self._firsts or self._unannounced or self._announced:
                self._end(record, lines)
            return
        if record.__class__ is Open:
            self._unannounced[record.span_id] = record, depth
            _bound(self._unannounced)
            if record.kind in ANNOUNCED or record.span_id in self._firsts:
                self._announce(record.span_id)
            return
        lines = self._lines_of(record, depth)
        if lines:
            above = getattr(record, "span_id", None)
            self._announce(above)
            self._put(lines, above, None)

    def stay(self, lines: Sequence[str]) -> None:
        """Lay out lines that come after all that was added before, and before all that is added later."""
        if lines:
            self._put(lines, None, None)

    def taken(self) -> list[str]:
        """The lines that were laid out since the last call."""
        if not self._lines:
            return []
        lines = [text for _, _, several in sorted(self._lines, key=lambda entry: entry[:2]) for text in several]
        self._lines.clear()
        self._firsts.clear()
        return lines

    def _announce(self, span_id: str | None) -> None:
        """Tell that the span has begun, and those that it lies in, where that has not been told."""
        waiting = []
        while span_id is not None and span_id in self._unannounced:
            waiting.append(self._unannounced.pop(span_id))
            span_id = waiting[-1][0].parent_id
        for head, depth in reversed(waiting):
            lines = self._lines_of(head, depth)
            if lines:
                self._put(lines, head.parent_id, self._firsts.pop(head.span_id, None))
                self._announced[head.span_id] = None
                _bound(self._announced)

    def _end(self, span: Span, lines: Sequence[str]) -> None:
        self._unannounced.pop(span.span_id, None)
        first = self._firsts.pop(span.span_id, None)
        if span.span_id in self._announced:
            del self._announced[span.span_id]
            first = None
        if lines:
            self._announce(span.parent_id)
            self._put(lines, span.parent_id, first)

    def _put(self, lines: Sequence[str], above: str | None, before: int | None) -> None:
        """At the end, or where the lines of the number `before` stand; a first sign of the span `above`, too."""
        number = len(self._lines)
        place = number if before is None else before
        self._lines.append((place, 0 if before is None else -number, lines))
        if above is not None:
            self._firsts[above] = min(place, self._firsts.get(above, place))


def _bound(remembered: OrderedDict[str, Any]) -> None:
    if len(remembered) > MOST_OPEN:
        remembered.popitem(last=False)
