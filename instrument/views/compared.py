"""Two runs beside each other as the page takes them: figures, the first divergence, both trees in one list of rows.

Rows are columns, as those of a run (see `columns`). Of what changed in a row the first difference
is told; all of it is told for one row at a time, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from instrument.analysis.changes import MISSING, Difference, differences
from instrument.analysis.diff import Change, Row, side_by_side
from instrument.analysis.facts import attribute, time_of
from instrument.analysis.sides import Side, takes_other_time
from instrument.analysis.totals import total
from instrument.analysis.tree import Trace
from instrument.analysis.volatile import steady_text
from instrument.attributes import AGENT_ID, ITERATION
from instrument.detectors.similarity import common_start
from instrument.model import Span
from instrument.statuses import OPEN, UNFINISHED
from instrument.views.brief import brief
from instrument.views.catalog import Catalog
from instrument.views.changed_words import changed_parts
from instrument.views.columns import NAME
from instrument.views.difference import (
    SAID,
    SAID_LATER,
    are_long,
    as_texts,
    counts,
    figures,
    nothing,
    place,
    spendings,
    times,
)
from instrument.views.html import Judge
from instrument.views.text import as_text
from instrument.views.theme import UNBOUNDED, clean

AROUND, SHORT, MOST_TOLD = 16, 40, 120
"""Of two values in a row: letters that are told before their first difference, the length up to which both are told
whole, and the most letters of either."""
MOST_LETTERS = 4000
RUNNING = "running"
TIME = "time"
"""The cause of a row in which nothing else differs."""


Part = tuple[str, str]
"""What a text is (the same, gone or new), and the text."""


Live = tuple[bool, bool]
"""Whether either run is still recorded."""


class Run(NamedTuple):
    """A run, and its status as the list of runs tells it."""

    trace: Trace
    status: str


def run_of(catalog: Catalog, trace: str) -> Run:
    """A recorded run. Raises `LookupError` with a sentence where there is none."""
    whole = catalog.trace(trace) if catalog.find(trace) else None
    if whole is None:
        raise LookupError(f"the run {trace[:32]} is not recorded here (any more)")
    return Run(whole, _status(whole.root.status, catalog.is_live(trace)))


def _status(status: str, is_live: bool) -> str:
    """A status as the page tells it."""
    return status if status != OPEN else RUNNING if is_live else UNFINISHED


def compared(a: Run, b: Run, judge: Judge) -> dict[str, Any]:
    """The comparison for JSON; `judge` gives the findings of a trace."""
    diff, rows = side_by_side(a.trace, b.trace)
    first = diff.first
    place_of_first = next((n for n, row in enumerate(rows) if any(one is first for one in row.changes)), None)
    found = (sum(one.severity != "info" for one in judge(run.trace)) for run in (a, b))
    table: list[Any] = [
        _statuses(a.status, b.status),
        *figures(diff.a, diff.b, UNBOUNDED)[1:],
        counts("findings", *found),
    ]
    live = a.status == RUNNING, b.status == RUNNING
    return {
        "sides": [_head(diff.a, a.status), _head(diff.b, b.status)],
        "figures": [row for row in table if row[1] or row[2]],
        "first": None if first is None else _first(first, place_of_first, live),
        "nothing": nothing(diff),
        **_columns(rows, first, max(diff.a.duration_ns or 0, diff.b.duration_ns or 0), live),
    }


def _head(side: Side, status: str) -> dict[str, Any]:
    started = side.start_ns // 1_000_000
    return {"id": side.trace_id, "name": side.name[:NAME], "start_ms": started, "status": status}


def both_calls(catalog: Catalog, ids: tuple[str, str], spans: tuple[str | None, str | None]) -> dict[str, Any]:
    """One row whole, of the spans with these ids; None where the side has none."""
    a, b = (_call(catalog, trace, span) for trace, span in zip(ids, spans, strict=True))
    one, two = (catalog.find(trace) and catalog.is_live(trace) for trace in ids)
    return compared_calls(a, b, (one, two))


def _call(catalog: Catalog, trace: str, span: str | None) -> Span | None:
    if not span:
        return None
    found = catalog.span(trace, span) if catalog.find(trace) else None
    if found is None:
        raise LookupError(f"the call {span[:16]} is not recorded here (any more)")
    return found


def compared_calls(a: Span | None, b: Span | None, live: Live = (False, False)) -> dict[str, Any]:
    """One row whole: the figures of both calls, and what changed word by word; of a call alone what it was given."""
    if a is None or b is None:
        cause, only = ("removed", a) if b is None else ("added", b)
        value = only.input if only is not None else None
        return {"figures": _figures_of_one(a, b, live), "changes": [[cause, "", [_alone(cause, value)]]]}
    one, two = total([a]), total([b])
    table = [
        _statuses(_status(a.status, live[0]), _status(b.status, live[1])),
        times(time_of(a), time_of(b), UNBOUNDED),
        *(spendings(one, two) if one.calls or two.calls else ()),
    ]
    told = [[found.cause, found.where, list(_lines(*_values(found, live)))] for found in differences(a, b)]
    return {"figures": table, "changes": told}


def _statuses(one: str, two: str) -> list[str]:
    return ["status", one, two, "" if one == two else "differs"]


def _figures_of_one(a: Span | None, b: Span | None, live: Live) -> list[list[str]]:
    """The figures of a call that the other side has not, in its own column."""
    only = a or b
    if only is None:
        return []
    whole = compared_calls(only, only, live)["figures"]
    return [[name, one if a else "", two if b else "", ""] for name, one, two, _ in whole]


def _alone(cause: str, value: Any) -> Sequence[Part]:
    told = clean(as_text(value), MOST_LETTERS) if value is not None else "(no arguments)"
    return [("new" if cause == "added" else "gone", told)]


def _first(first: Change, row: int | None, live: Live) -> dict[str, Any]:
    if first.cause in ("added", "removed"):
        lines = [_alone(first.cause, first.after if first.cause == "added" else first.before)]
    else:
        lines = list(_lines(*_values(first, live)))
    return {"said": SAID[first.cause], "place": place(first), "row": row, "lines": lines, "below": first.spans - 1}


def _lines(before: Any, after: Any) -> Iterator[Sequence[Part]]:
    """Lines of parts that are the same, gone or new: long texts word by word in one, other values in a line each."""
    if are_long(before, after):
        yield [*changed_parts(steady_text(before), steady_text(after), UNBOUNDED)]
        return
    for kind, value, text in zip(("gone", "new"), (before, after), as_texts(before, after), strict=True):
        yield [(kind, clean(text, MOST_LETTERS) if value is not None else "(nothing)")]


def _values(found: Change | Difference, live: Live) -> tuple[Any, Any]:
    """What is there on both sides; a call that has not ended is running or unfinished."""
    before, after = found.before, found.after
    if found.cause == "error":
        return _status(before, live[0]), _status(after, live[1])
    return None if before is MISSING else before, None if after is MISSING else after


def _columns(rows: Sequence[Row], first: Change | None, whole: int, live: Live) -> dict[str, Any]:
    words: dict[str, int] = {}

    def word(text: str) -> int:
        return words.setdefault(text, len(words))

    shown = [row.pair.a or row.pair.b for row in rows]
    sides = {"a": ([row.pair.a for row in rows], live[0]), "b": ([row.pair.b for row in rows], live[1])}
    told = {
        "depth": [row.depth for row in rows],
        "name": [word(clean(span.name, NAME)) for span in shown if span is not None],
        "kind": [word(span.kind[:40]) for span in shown if span is not None],
        "brief": [_brief(span) for span in shown if span is not None],
        "changes": [[n, changes] for n, changes in _changes(rows, first, whole, live)],
        **{name: _side(spans, word, is_live) for name, (spans, is_live) in sides.items()},
    }
    return {"words": list(words), "rows": told}


def _brief(span: Span) -> str:
    """Which of the steps or agents it is, and what it is about."""
    which = ""
    if span.kind == "step" and (number := attribute(span, ITERATION)):
        which = f"#{number} "
    elif span.kind == "agent" and (agent := attribute(span, AGENT_ID)) and agent not in span.name:
        which = f"{agent} "
    return f"{which}{brief(span)}".rstrip()


def _side(spans: Iterable[Span | None], word: Any, is_live: bool) -> dict[str, Any]:
    held = list(spans)
    return {
        "id": [span and span.span_id for span in held],
        "ns": [span and time_of(span) for span in held],
        "tokens": [span and _tokens(span) for span in held],
        "status": [span and word(_status(span.status, is_live)) for span in held],
    }


def _tokens(span: Span) -> int | None:
    return None if span.usage is None else (span.usage.input or 0) + (span.usage.output or 0)


def _changes(rows: Sequence[Row], first: Change | None, whole: int, live: Live) -> Iterator[tuple[int, list[Any]]]:
    slow = _rows_of_other_time(rows, whole)
    for number, row in enumerate(rows):
        told = [_change(change, SAID if change is first else SAID_LATER, live) for change in row.changes]
        if number in slow and row.pair.a is not None and row.pair.b is not None:
            said = "takes longer" if row.pair.b.duration_ns > row.pair.a.duration_ns else "takes less time"
            told.append([TIME, said, "", "", "", ""])
        if told:
            yield number, told


def _change(change: Change, said: dict[str, str], live: Live) -> list[str]:
    """Cause, the cause in words, where, what stands before the first difference, what went, what came."""
    if change.cause in ("added", "removed"):
        return [change.cause, said[change.cause], "", "", "", ""]
    values = _values(change, live)
    before, after = map(steady_text, as_texts(*values))
    lead, gone, new = _apart(before, after)
    return [
        change.cause,
        said[change.cause],
        clean(change.where, NAME),
        lead,
        "(nothing)" if change.before is None else gone,
        "(nothing)" if change.after is None else new,
    ]


def _apart(before: str, after: str) -> tuple[str, str, str]:
    """Some letters before the first difference, and both texts from there to where they are the same again."""
    if max(len(before), len(after)) <= SHORT:
        return "", clean(before), clean(after)
    alike = start = common_start(before, after)
    while start and alike - start < SHORT and before[start - 1].isalnum():
        start -= 1
    behind = common_start(before[start:][::-1], after[start:][::-1])
    while behind and before[-behind].isalnum():
        behind -= 1
    gone, new = (clean(text[start : len(text) - behind], MOST_TOLD) for text in (before, after))
    lead = clean(before[max(0, start - AROUND) : start])
    return f"…{lead}" if start > AROUND else lead, gone, new


def _rows_of_other_time(rows: Sequence[Row], whole: int) -> set[int]:
    """The rows whose time differs so much that it matters, but for those that only wait for such a one."""
    found: set[int] = set()
    level = 0
    for number in range(len(rows) - 1, -1, -1):
        depth, (a, b), _ = rows[number]
        if depth < level:
            level = depth  # it is above one that was found
        elif a is not None and b is not None and takes_other_time(time_of(a), time_of(b), whole):
            found.add(number)
            level = depth
    return found
