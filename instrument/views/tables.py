"""Tables of aligned columns, and the tables of traces and numbers made with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from instrument.analysis.in_words import amount, bill, count, duration, moment, percent
from instrument.analysis.judged import Judged
from instrument.analysis.metrics import Metrics, Timing
from instrument.analysis.overview import Row
from instrument.analysis.totals import Total
from instrument.views.text import counted, fact, is_told, scores_in_words, spent_in_words
from instrument.views.theme import PLAIN, STATUSES, Theme, cells, clean, cut, pad


class Column(Struct, frozen=True):
    """A column of a table. In a narrow terminal those with the highest `gives_way` go first, 0 stays."""

    title: str
    right: bool = False
    gives_way: int = 0
    flexible: bool = False


LEAST_FLEXIBLE = 8
"""Narrower than this a flexible column does not get."""

Cell = str | tuple[str, str | None]
"""A text that is clean already, or one with its style."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], theme: Theme = PLAIN) -> str:
    """Aligned columns under their titles; flexible ones are cut where the width does not suffice."""
    below = [[row[place] for row in rows] for place in range(len(columns))]
    widths = _fitted(columns, [*map(_wanted, columns, below)], theme.width)
    shown = [
        [_shown(cell, column, width, theme) for cell in ((column.title, "dim"), *below[place])]
        for place, (column, width) in enumerate(zip(columns, widths, strict=True))
        if width
    ]
    return "\n".join("  ".join(line).rstrip() for line in zip(*shown, strict=True))


def that_fit(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], theme: Theme) -> int:
    """How many columns, from the first on, have room beside each other once the flexible ones are cut; one at least."""
    taken, fit = -2, 0
    for place, column in enumerate(columns):
        width = _wanted(column, [row[place] for row in rows])
        taken += min(width, LEAST_FLEXIBLE) + 2 if column.flexible and width else width + 2 if width else 0
        if theme.width is not None and taken > theme.width:
            break
        fit += 1
    return max(fit, 1)


def _wanted(column: Column, below: Sequence[Cell]) -> int:
    texts = [cell if isinstance(cell, str) else cell[0] for cell in below]
    return max(cells(column.title), *map(cells, texts)) if any(texts) else 0


def _shown(cell: Cell, column: Column, width: int, theme: Theme) -> str:
    text, style = (cell, None) if isinstance(cell, str) else cell
    if len(text) <= width and text.isascii():
        fitted = text.rjust(width) if column.right else text.ljust(width)
    else:
        fitted = pad(cut(text, width, theme.ellipsis), width, column.right)
    return theme.paint(fitted, style) if style and text else fitted


def _fitted(columns: Sequence[Column], widths: list[int], room: int | None) -> list[int]:
    if room is None:
        return widths
    widths = list(widths)
    for place in sorted(range(len(columns)), key=lambda place: -columns[place].gives_way):
        spare = sum(min(width, 16) - width for column, width in zip(columns, widths, strict=True) if column.flexible)
        if _taken(widths) + spare <= room or not columns[place].gives_way:
            break
        widths[place] = 0
    flexible = [place for place, column in enumerate(columns) if column.flexible]
    while flexible and _taken(widths) > room:
        widest = max(flexible, key=widths.__getitem__)
        if widths[widest] <= LEAST_FLEXIBLE:
            break
        widths[widest] -= 1
    return widths


def _taken(widths: Sequence[int]) -> int:
    return sum(width + 2 for width in widths if width) - 2


RUNS = (
    Column(""),
    Column("trace"),
    Column("started", gives_way=4),
    Column("name", flexible=True),
    Column("session", gives_way=8, flexible=True),
    Column("user", gives_way=7, flexible=True),
    Column("took", right=True),
    Column("spans", right=True, gives_way=6),
    Column("tokens", right=True, gives_way=5),
    Column("money", right=True, gives_way=1),
    Column("errors", right=True, gives_way=2),
    Column("refused", right=True, gives_way=4),
    Column("findings", right=True, gives_way=3),
    Column("scores", gives_way=6, flexible=True),
    Column("failed with", gives_way=5, flexible=True),
)


def runs_table(traces: Sequence[Row], theme: Theme) -> str:
    """One line a trace, the latest at the end."""
    digits = telling_digits([row.trace_id for row in traces])
    rows = [
        (
            (theme.mark(row.status), STATUSES.get(row.status)),
            clean(row.trace_id[:digits]),
            moment(row.start_ns),
            clean(f"{row.name} {theme.dot} {row.label}" if row.label else row.name, 300),
            clean(row.session or "", 60),
            clean(row.user or "", 60),
            duration(row.duration_ns, theme.unicode) if row.timed else theme.unknown,
            count(row.spans),
            count(row.total.tokens) if row.total.tokens else "",
            bill(row.total),
            (count(row.errors) if row.errors else "", "red"),
            (count(row.refused) if row.refused else "", "yellow"),
            (count(row.findings) if row.findings else "", "yellow"),
            scores_in_words(row.scores),
            (clean(row.error or "", 120), STATUSES.get(row.status)),
        )
        for row in traces
    ]
    return table(RUNS, rows, theme)


def telling_digits(ids: Sequence[str]) -> int:
    """How many digits of the trace ids tell them apart, eight at least."""
    return next((digits for digits in range(8, 32) if len({one[:digits] for one in ids}) == len(set(ids))), 32)


TIMES = (
    Column("", flexible=True),
    Column("calls", right=True),
    Column("errors", right=True, gives_way=2),
    Column("unended", right=True, gives_way=2),
    Column("mean", right=True, gives_way=7),
    Column("p50", right=True),
    Column("p90", right=True, gives_way=6),
    Column("p95", right=True, gives_way=8),
    Column("p99", right=True, gives_way=1),
    Column("max", right=True, gives_way=9),
    Column("total", right=True, gives_way=5),
    Column("share", right=True, gives_way=2),
    Column("tokens", right=True, gives_way=4),
    Column("money", right=True, gives_way=3),
)
SPENDING = (
    Column("", flexible=True),
    Column("calls", right=True),
    Column("in", right=True, gives_way=1),
    Column("cached", right=True, gives_way=3),
    Column("out", right=True, gives_way=2),
    Column("money", right=True),
)


JUDGED = (
    Column("score", flexible=True),
    Column("times", right=True),
    Column("mean", right=True),
    Column("lowest", right=True, gives_way=1),
    Column("highest", right=True, gives_way=2),
    Column("words", flexible=True),
)


def stats_tables(
    metrics: Metrics,
    theme: Theme,
    *,
    traces: int = 1,
    names: int | None = 40,
    scores: Mapping[str, Judged] | None = None,
) -> str:
    """The numbers over some traces: counts, times by name and kind, tokens and money by model, operation and agent.

    After them how they were judged.
    """
    unended = sum(timing.unended for timing in metrics.by_kind.values())
    told = {
        "traces": traces,
        "spans": metrics.spans,
        **({"iterations": metrics.iterations} if metrics.iterations else {}),
        "model calls": metrics.model_calls,
        "tool calls": metrics.tool_calls,
        "errors": metrics.errors,
        **({"refused": metrics.refused} if metrics.refused else {}),
        **({"unended": unended} if unended else {}),
        "warnings": metrics.warnings,
        "findings": metrics.findings,
    }
    facts = [(name, count(number)) for name, number in told.items()]
    timed = any(timing.untimed < timing.count for timing in metrics.by_kind.values()) or not metrics.spans
    facts.append(("wall time", duration(metrics.wall_ns, theme.unicode) if timed else theme.unknown))
    if metrics.model_calls:
        facts += reversed([*spent_in_words(metrics.total)])
    blocks = ["\n".join(line for name, text in facts for line in fact(name, text, theme))]
    blocks += [times_table(metrics, by, theme, names) for by in ("name", "kind")]
    groups = {"model": metrics.by_model, "operation": metrics.by_operation, "agent": metrics.by_agent}
    blocks += [_spending(title, group, theme, names) for title, group in groups.items() if group]
    blocks.append(_judged(scores or {}, theme, names))
    return "\n\n".join(block for block in blocks if block)


def _judged(scores: Mapping[str, Judged], theme: Theme, most: int | None) -> str:
    rows = [
        (
            clean(name, 100),
            count(one.count),
            *("" if number is None else amount(number) for number in (one.mean, one.lowest, one.highest)),
            counted(one.words),
        )
        for name, one in list(scores.items())[:most]
    ]
    return table(JUDGED, rows, theme) + _others(scores, most, theme) if rows else ""


def times_table(metrics: Metrics, by: str, theme: Theme, names: int | None) -> str:
    """Times, share of the wall time, tokens and money by name, kind, model or agent (the latter two of model calls).

    Calls inside one another and calls at once count each, so that shares may add up to more than 100%.
    """
    group, spent = grouped(metrics, by)
    rows: list[Sequence[Cell]] = [
        (
            clean(name, 100),
            count(timing.count),
            (count(timing.errors) if timing.errors else "", "red"),
            (count(timing.unended) if timing.unended else "", "yellow"),
            *(_took(timing, ns, theme) for ns in _durations(timing)),
            percent(timing.total_ns, metrics.wall_ns),
            count(spent[name].tokens) if name in spent and spent[name].tokens else "",
            bill(spent[name]) if name in spent else "",
        )
        for name, timing in list(group.items())[:names]
    ]
    if not group:
        return ""
    untimed = sum(timing.untimed for timing in group.values())
    note = f"\n{count(untimed)} without time, not counted in times and percentiles" if untimed else ""
    return table((Column(by, flexible=True), *TIMES[1:]), rows, theme) + _others(group, names, theme) + note


def _took(timing: Timing, ns: float, theme: Theme) -> str:
    return theme.unknown if timing.untimed == timing.count else duration(ns, theme.unicode)


def grouped(metrics: Metrics, by: str) -> tuple[Mapping[str, Timing], Mapping[str, Total]]:
    """Times, and tokens and money, by what was asked for."""
    return {
        "name": (metrics.by_name, metrics.spent_by_name),
        "kind": (metrics.by_kind, metrics.spent_by_kind),
        "model": (metrics.times_by_model, metrics.by_model),
        "agent": (metrics.times_by_agent, metrics.by_agent),
    }[by]


def _durations(timing: Timing) -> tuple[float, ...]:
    shares = timing.p50_ns, timing.p90_ns, timing.p95_ns, timing.p99_ns
    return timing.mean_ns, *shares, timing.max_ns, timing.total_ns


def _spending(title: str, group: Mapping[str, Total], theme: Theme, most: int | None) -> str:
    rows = [
        (
            clean(name, 100),
            count(total.calls),
            count(total.input) if is_told(total) else "",
            count(total.cached) if total.cached else "",
            count(total.output) if is_told(total) else "",
            bill(total),
        )
        for name, total in list(group.items())[:most]
    ]
    return table((Column(title, flexible=True), *SPENDING[1:]), rows, theme) + _others(group, most, theme)


def _others(group: Mapping[str, Any], most: int | None, theme: Theme) -> str:
    left = 0 if most is None else len(group) - most
    return f"\n{theme.ellipsis} {count(left)} more" if left > 0 else ""
