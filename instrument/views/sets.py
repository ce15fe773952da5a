"""Two sets of runs as text: their figures side by side, and the tasks that failed more or less often."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from instrument.analysis.in_words import amount, bill, count
from instrument.money import EXACT
from instrument.views.difference import counts, dollars, measured, times
from instrument.views.tables import Cell, Column, table
from instrument.views.theme import Theme, clean

if TYPE_CHECKING:
    from instrument.analysis.sets import Ended, Runs, Sets

MOST_TASKS = 20
TASKS = (Column("", flexible=True), Column("A failed", True), Column("B failed", True))


def sets_compared(both: Sets, theme: Theme) -> str:
    """The whole comparison."""
    sides = (Column(side, True) for side in ("A", "B"))
    parts = [table([Column(""), *sides, Column("B - A", True, 1)], _figures(both.a, both.b, theme), theme)]
    if both.tasks:
        rows = [(_task(task.name, task.given), _of(task.a), _of(task.b)) for task in both.tasks[:MOST_TASKS]]
        title = theme.paint("the same task ended otherwise", "bold", "yellow")
        more = len(both.tasks) - MOST_TASKS
        left = f"\n{theme.ellipsis} {count(more)} more: --json" if more > 0 else ""
        parts.append(f"{title}\n{table(TASKS, rows, theme)}{left}")
    return "\n\n".join(parts)


def _figures(a: Runs, b: Runs, theme: Theme) -> list[list[Cell]]:
    one, two = (replace(side.total, usd=_usd_each(side)) for side in (a, b))
    names = sorted(a.scores.keys() | b.scores.keys())
    return [
        counts("runs", a.runs, b.runs),
        counts("failed", a.failed, b.failed),
        counts("errors", a.errors, b.errors),
        *([counts("refused", a.refused, b.refused)] if a.refused or b.refused else []),
        counts("findings", a.findings, b.findings),
        *(measured(f"score {clean(name, 40)}", _score(a, name), _score(b, name), theme, amount) for name in names),
        times(a.median_ns, b.median_ns, theme, "time of one, median"),
        measured("model calls in one", _each(a.total.calls, a), _each(b.total.calls, b), theme, amount),
        measured("tokens of one", _each(a.total.tokens, a), _each(b.total.tokens, b), theme, amount),
        ["money of one", bill(one), bill(two), dollars(one.usd, two.usd)],
    ]


def _each(number: int, side: Runs) -> float | None:
    return number / side.runs if side.runs else None


def _usd_each(side: Runs) -> Decimal | None:
    usd = side.total.usd
    return EXACT.divide(usd, Decimal(side.runs)) if usd is not None and side.runs else usd


def _score(side: Runs, name: str) -> float | None:
    return side.scores[name].mean if name in side.scores else None


def _of(ended: Ended) -> str:
    return f"{count(ended.failed)} of {count(ended.runs)}"


def _task(name: str, given: str) -> str:
    return clean(f"{name}  {given}" if given else name, 300)
