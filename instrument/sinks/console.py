"""Live lines on stderr while an agent runs, and at the end of a trace its tree and what it came to.

It writes to the stream itself: no logging set-up of the user's program changes what is seen, and none of its lines
reach the user's handlers.
"""

from __future__ import annotations

import io
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from instrument.analysis.in_words import count
from instrument.analysis.metrics import Metrics
from instrument.analysis.tree import Trace
from instrument.model import Batch, Failure, Finding, Log, Open, Score, Span
from instrument.record.breath import Breath
from instrument.sinks.unfinished import Unfinished
from instrument.statuses import REFUSED
from instrument.views.nesting import Nesting
from instrument.views.outline import outline
from instrument.views.text import line, summary
from instrument.views.theme import PLAIN, RANKS, SEVERITIES, Theme, clean, encodable, theme_for

Paths = Iterable[str | Path] | Callable[[Metrics], Iterable[str | Path]]

OF_STATUS = {"error": "ERROR", REFUSED: "WARNING", "cancelled": "WARNING"}
SHOWN = frozenset({Span, Log, Finding, Open, Score})
COUNTED = frozenset({Span, Log, Finding, Open, Score})
INFO = RANKS["INFO"]
NO_LINES: Sequence[str] = ()
OPEN_TRACES = 1000
KEPT_IN_ALL = 50_000
"""So many spans are kept for the trees of all traces that are not over, some 250 bytes each."""
TREE_ROWS = 60
A_SECOND = 1_000_000_000
LINES_A_SECOND = 30
"""So many lines with the same name are shown within a second of the recording's time, the rest are counted."""
SUMMARIES_A_SECOND = 3


class ConsoleSink:
    """One line an event: logs, spans that end, findings; at the end of a trace a tree and a summary.

    `stream` is stderr if none is given, but none in memory in its place. `level` is the least that is shown: spans that
    ended well count as INFO, failed ones as ERROR. `color` is auto, always or never. `paths` are named in the
    summary; a function is asked for them with what the trace came to.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        level: str = "INFO",
        color: str = "auto",
        summary: bool = True,
        paths: Paths = (),
    ) -> None:
        self._stream = stream
        self._least = RANKS.get(level.upper(), RANKS["INFO"])
        self._color = color
        self._summary = summary
        self._paths = paths
        self._open: OrderedDict[str, Unfinished] = OrderedDict()
        self._kept = 0
        self._floods: dict[str, _Flood] = {}
        self._gone: object = None
        self._theme = PLAIN
        self._nesting = Nesting(self._lines)
        self._breath = Breath()

    @property
    def calls_nobody(self) -> bool:
        """Whether no code but ours runs in it: the stream may be anything that has `write`."""
        return self._out() is sys.__stderr__

    def write(self, batch: Batch) -> None:
        """Show what the batch tells."""
        stream = self._out()
        if stream is None:
            return
        self._theme = theme_for(stream, self._color)
        for record, depth in zip(batch, batch.depths, strict=True):
            try:
                self._take(record, depth)
            except Exception as error:  # noqa: BLE001 - an odd record must not switch the console off
                self._nesting.stay([f"(a record cannot be shown: {type(error).__name__})"])
            self._breath.take()
        self._say(stream, self._nesting.taken())

    def flush(self) -> None:
        """Every line has been written already."""

    def close(self) -> None:
        """Show what is left of traces whose root ended elsewhere, or never."""
        stream = self._out()
        if stream is None:
            return
        self._theme = theme_for(stream, self._color)
        said = self._hidden()
        for seen in self._open.values():
            said += self._closing(seen, None)
        self._open.clear()
        self._kept = 0
        self._floods.clear()
        self._say(stream, said)

    def _take(self, record: Any, depth: int) -> None:
        if record.__class__ in SHOWN:
            self._nesting.add(record, depth)
            if self._summary and record.__class__ in COUNTED and record.trace_id is not None:
                self._nesting.stay(self._count(record, depth))

    def _count(self, record: Any, depth: int) -> list[str]:
        """Take the record into the account of its trace; with the root's end the trace is told."""
        seen = self._open.get(record.trace_id)
        if seen is None and record.__class__ is Open and record.parent_id is not None:
            return []
        seen = seen or self._new(record.trace_id)
        self._kept += seen.add(record, depth, has_room=self._kept < KEPT_IN_ALL)
        if record.__class__ is not Span or not (record.parent_id is None or depth == 0):
            return []
        self._kept -= self._open.pop(record.trace_id).kept
        return self._closing(seen, record)

    def _lines(self, record: Any, depth: int) -> Sequence[str]:
        if _level(record) < self._least:
            return []
        theme = self._theme
        name = str(getattr(record, "name", None) or getattr(record, "event", ""))
        flood = self._floods.get(name) or self._flood(name, LINES_A_SECOND)
        told = flood.rest(theme) if flood.is_over(_moment(record)) else NO_LINES
        return [*told, line(record, depth, theme, flood.refused_before(record))] if flood.lets_pass() else told

    def _new(self, trace_id: str) -> Unfinished:
        seen = self._open[trace_id] = Unfinished()
        if len(self._open) > OPEN_TRACES:
            self._kept -= self._open.popitem(last=False)[1].kept
        return seen

    def _closing(self, seen: Unfinished, root: Span | None) -> list[str]:
        """Tree and summary of a trace that is over; a lone call has been told in its line."""
        if not self._summary or seen.tally.spans < (2 if root is None or root.kind != "agent" else 1):
            return []
        trace = seen.trace()
        flood = self._flood("these trees and summaries", SUMMARIES_A_SECOND)
        told = flood.rest(self._theme) if flood.is_over(trace.end_ns) else []
        return [*told, *self._hidden(), *self._ending(seen, trace)] if flood.lets_pass() else told

    def _hidden(self) -> list[str]:
        """What was counted instead of shown, up to now."""
        return [text for flood in self._floods.values() for text in flood.rest(self._theme)]

    def _ending(self, seen: Unfinished, trace: Trace) -> list[str]:
        unfold = f"instrument show {trace.trace_id[:8]} --all"
        tree = outline(trace, self._theme, rows=TREE_ROWS, unseen=seen.left, unfold=unfold)
        metrics = seen.tally.metrics()
        return ["", tree, "", summary(trace, metrics, self._theme, paths=self._files(metrics)), ""]

    def _files(self, metrics: Metrics) -> list[str]:
        named = self._paths(metrics) if callable(self._paths) else self._paths
        return [_short(path) for path in named]

    def _flood(self, name: str, most: int) -> _Flood:
        flood = self._floods.get(name)
        if flood is None:
            if len(self._floods) >= OPEN_TRACES:
                self._floods.clear()
            flood = self._floods[name] = _Flood(name, most)
        return flood

    def _out(self) -> TextIO | None:
        stream = self._stream if self._stream is not None else _stderr()
        return None if stream is self._gone else stream

    def _say(self, stream: TextIO, said: list[str]) -> None:
        if not said:
            return
        try:
            stream.write(encodable("\n".join(said) + "\n", stream))
            stream.flush()
        except (OSError, ValueError) as error:  # nobody reads any more; the records are in the other sinks
            self._gone = stream
            if isinstance(error, BrokenPipeError):
                _empty(stream)


def _stderr() -> TextIO | None:
    """The program's stderr, past a stream in memory: there it reads what it has said itself, as click's `CliRunner`."""
    stream = sys.stderr
    held = stream.buffer if isinstance(stream, io.TextIOWrapper) else stream
    return sys.__stderr__ if isinstance(held, io.StringIO | io.BytesIO) else stream


def _empty(stream: TextIO) -> None:
    """Let go of what the stream holds: where Python 3.14 cannot write that at the end the exit code is 120."""
    with suppress(OSError, ValueError):
        descriptor = stream.fileno()
        broken, nothing = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, descriptor)
        try:
            stream.flush()
        finally:
            os.dup2(broken, descriptor)
            os.close(broken)
            os.close(nothing)


class _Flood:
    """How many lines with one name were shown within the current second, and what was refused last by that name."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.since = 0
        self.shown = 0
        self.hidden = 0
        self.refusal: Failure | None = None

    def is_over(self, moment: int) -> bool:
        """Whether another second has begun."""
        if self.since <= moment < self.since + A_SECOND:
            return False
        self.since, self.shown = moment, 0
        return True

    def lets_pass(self) -> bool:
        """Whether one more may be shown; what may not is counted."""
        if self.shown >= self.most:
            self.hidden += 1
            return False
        self.shown += 1
        return True

    def refused_before(self, record: Any) -> bool:
        """Whether the record is of a call that was refused with the same words as the last one that was refused."""
        if getattr(record, "status", "") != REFUSED:
            return False
        before, self.refusal = self.refusal, record.error
        return record.error is not None and before is not None and before.message == record.error.message

    def rest(self, theme: Theme) -> list[str]:
        """A line about what was hidden."""
        hidden, self.hidden = self.hidden, 0
        told = f"{theme.ellipsis} {count(hidden)} more of {clean(self.name, 60)}"
        return [theme.paint(told, "dim")] if hidden else []


def _level(record: Any) -> int:
    if record.__class__ is Span and record.status == "ok":
        return INFO
    if isinstance(record, Log):
        name = record.level.upper()
    elif isinstance(record, Finding):
        name = SEVERITIES.get(record.severity, "WARNING")
    else:
        name = OF_STATUS.get(getattr(record, "status", "ok"), "INFO")
    return RANKS.get(name, RANKS["INFO"])


def _moment(record: Any) -> int:
    if record.__class__ is Span:
        return int(record.end_ns)
    return record.start_ns if isinstance(record, Open) else int(record.time_ns)


def _short(path: str | Path) -> str:
    """The path as seen from here, where that is shorter."""
    text = str(path)
    try:
        return min(text, os.path.relpath(text), key=len)
    except (OSError, ValueError):
        return text
