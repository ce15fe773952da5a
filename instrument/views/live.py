"""A run while it happens: each record as a line at its depth, and what is running just now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from instrument.analysis.in_words import count, duration
from instrument.model import Finding, Log, Open, Run, Score, Span
from instrument.views.nesting import Nesting
from instrument.views.outline import name_of
from instrument.views.text import INDENT, indented, line
from instrument.views.theme import KINDS, PLAIN, Theme, cells, cut, pad

MOST_ANCESTORS = 10_000
"""So many spans are remembered that have ended, to know how deep what comes later lies."""


class Live:
    """What happens, as lines. `is_alive` says of a process's record whether it still runs."""

    def __init__(self, is_alive: Callable[[Run], bool]) -> None:
        self._is_alive = is_alive
        self._runs: dict[str, Run] = {}
        self._open: dict[str, Open] = {}
        self._parents: dict[str, str | None] = {}
        self._theme = PLAIN
        self._nesting = Nesting(self._lines_of)

    def told(self, records: Sequence[Any], theme: Theme) -> list[str]:
        """The lines of records that were written since the last call."""
        self._theme = theme
        for record in records:
            if isinstance(record, Span):
                self._remember(record)
        for record in records:
            self._nesting.add(record, self._taken(record))
        return self._nesting.taken()

    def _taken(self, record: Any) -> int:
        """The depth of the record, when it has been taken in."""
        match record:
            case Run():
                self._runs[record.run] = record
            case Open():
                self._begin(record)
                return self._depth(record.trace_id, record.parent_id)
            case Span():
                self._open.pop(record.span_id, None)
                return self._depth(record.trace_id, record.parent_id)
            case Log() | Score():
                return self._depth(record.trace_id, record.span_id)
            case Finding():
                known = [span_id for span_id in record.span_ids if span_id in self._parents]
                return self._depth(record.trace_id, self._parents[known[-1]]) if known else 0
        return 0

    def _lines_of(self, record: Any, depth: int) -> list[str]:
        text = line(record, depth, self._theme)
        return [text] if text else []

    def running(self, now_ns: int, theme: Theme, rows: int) -> list[str]:
        """The spans that are open now, those above before those below, with the time that they have taken so far."""
        spans = self._standing()
        if not spans:
            return []
        shown = [_row(head, depth, now_ns, theme) for head, depth in spans]
        if len(shown) > rows:
            left = len(shown) - rows + 1
            shown = [*shown[: rows - 1], theme.paint(f"{theme.ellipsis} {count(left)} more are running", "dim")]
        return shown

    def gone(self, theme: Theme) -> Iterator[str]:
        """A line for each process that ended with spans still open; they are told once."""
        for run in {head.run for head in self._open.values()}:
            process = self._runs.get(run)
            if process is not None and not self._is_alive(process):
                left = [head for head in self._open.values() if head.run == run]
                for head in left:
                    del self._open[head.span_id]
                names = ", ".join(name_of(head) for head in left[:3])
                names += f", {count(len(left) - 3)} more" if len(left) > 3 else ""
                told = f"{theme.mark('cancelled')} process {process.pid} has ended without the end of {names}"
                yield theme.paint(told if theme.width is None else cut(told, theme.width, theme.ellipsis), "yellow")

    def _begin(self, head: Open) -> None:
        if head.span_id not in self._parents:
            self._open[head.span_id] = head
        self._remember(head)

    def _remember(self, span: Open | Span) -> None:
        self._parents[span.span_id] = span.parent_id
        if len(self._parents) > MOST_ANCESTORS:
            first = next(iter(self._parents))
            if first in self._open:  # what still runs stays known
                self._parents[first] = self._parents.pop(first)
            else:
                del self._parents[first]

    def _depth(self, trace_id: str | None, parent_id: str | None) -> int:
        """How deep a span lies below this parent. One that is not known yet lies below what was opened last."""
        depth = 0
        if parent_id is not None and parent_id not in self._parents:
            opened = [head.span_id for head in self._open.values() if head.trace_id == trace_id]
            depth, parent_id = 1, opened[-1] if opened else None
        while parent_id is not None and depth < 100:
            depth += 1
            parent_id = self._parents.get(parent_id)
        return depth

    def _standing(self) -> list[tuple[Open, int]]:
        """The open spans as trees, in order of their start, each with its depth among them."""
        ordered = sorted(self._open.values(), key=lambda head: (head.start_ns, head.span_id))
        below: dict[str | None, list[Open]] = {}
        for head in ordered:
            below.setdefault(head.parent_id if head.parent_id in self._open else None, []).append(head)
        standing = []
        waiting = [(head, 0) for head in reversed(below.get(None, []))]
        while waiting:
            head, depth = waiting.pop()
            standing.append((head, depth))
            waiting.extend((child, depth + 1) for child in reversed(below.get(head.span_id, [])))
        return standing


def _row(head: Open, depth: int, now_ns: int, theme: Theme) -> str:
    took = duration(max(0, now_ns - head.start_ns), theme.unicode)
    wide = theme.width or 80
    indent = " " * INDENT * indented(depth, theme)
    mark = theme.paint(theme.mark("open"), "yellow")
    room = max(4, min(60, wide - cells(indent) - cells(theme.mark("open")) - 12))
    name = pad(cut(name_of(head), room, theme.ellipsis), room)
    return f"{indent}{mark} {theme.paint(name, KINDS.get(head.kind))} {pad(took, 9, right=True)}"
