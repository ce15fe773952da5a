"""A comparison of two runs as text: totals side by side, the first divergence, what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from instrument.analysis.in_words import bill, count, duration, moment
from instrument.analysis.volatile import steady_text
from instrument.money import money
from instrument.views.changed_words import changed_words
from instrument.views.tables import Cell, Column, table
from instrument.views.text import as_text
from instrument.views.theme import Theme, broken, cells, clean, cut, wrapped

if TYPE_CHECKING:
    from instrument.analysis.diff import Change, Diff
    from instrument.analysis.sides import Side, Spent
    from instrument.analysis.totals import Total

MOST_CHANGES = 12
MOST_NAMES = 12
MOST_OF_NAME = 30
WIDE = 66
"""From so many columns on the totals are not cut."""
NOTHING = "no difference: the same calls with the same arguments, answers and results"
NO_CALLS = "nothing to compare: no call was recorded in either run"

SAID = {
    "model": "another model",
    "setting": "another setting",
    "tools": "other tools were offered",
    "prompt": "another prompt",
    "arguments": "other arguments",
    "other call": "another call in its place",
    "removed": "a call that B does not make",
    "added": "a call that A does not make",
    "order": "another order of calls",
    "error": "another outcome",
    "result": "another result for the same arguments",
    "answer": "another answer to the same prompt",
    "concurrency": "other calls at the same time",
}
"""Causes in words."""

SAID_LATER = {**SAID, "result": "another result", "answer": "another answer"}
"""The same of what may follow: its prompt or arguments may differ as well."""


def difference(diff: Diff, theme: Theme) -> str:
    """The whole comparison."""
    parts = [_header(diff.a, diff.b, theme), *_divergence(diff, theme)]
    if diff.beside:
        parts.append(_listed("also different, and not because of it", diff.beside, theme))
    if diff.follows:
        parts.append(_listed("what may follow from it", diff.follows, theme))
    if diff.by_name:
        parts.append(_names(diff, theme))
    return "\n\n".join(parts)


# Totals


def _header(a: Side, b: Side, theme: Theme) -> str:
    rows: list[list[Cell]] = [
        ["run", *(cut(clean(side.name, 200), MOST_OF_NAME, theme.ellipsis) for side in (a, b)), ""],
        ["trace", a.trace_id[:12], b.trace_id[:12], ""],
        *_began(a, b, theme),
        *figures(a, b, theme),
    ]
    sides = (Column(side, True, flexible=True) for side in ("A", "B"))
    return table([Column(""), *sides, Column("B - A", True, 1)], rows, theme)


def figures(a: Side, b: Side, theme: Theme) -> list[list[Cell]]:
    """The figures of both runs in rows: what, A, B, and what the difference is where that can be said."""
    return [
        ["status", a.status, b.status, "" if a.status == b.status else ("differs", "yellow")],
        times(a.duration_ns, b.duration_ns, theme),
        counts("spans", a.spans, b.spans),
        counts("model calls", a.model_calls, b.model_calls),
        counts("tool calls", a.tool_calls, b.tool_calls),
        counts("errors", a.errors, b.errors),
        *([counts("refused", a.refused, b.refused)] if a.refused or b.refused else []),
        *spendings(a.total, b.total),
    ]


def times(one: float | None, two: float | None, theme: Theme, name: str = "time") -> list[Cell]:
    """A row of two durations and their difference, as far as they are known."""
    return measured(name, one, two, theme, lambda ns: duration(ns, theme.unicode))


def measured(
    name: str, one: float | None, two: float | None, theme: Theme, in_words: Callable[[float], str]
) -> list[Cell]:
    """A row of two measures and their difference, as far as they are known."""
    change = 0 if one is None or two is None else two - one
    told = f"{'-' if change < 0 else '+'}{in_words(abs(change))}" if change else ""
    return [name, *(theme.unknown if value is None else in_words(value) for value in (one, two)), told]


def spendings(one: Total, two: Total) -> list[list[Cell]]:
    """Tokens and money."""
    return [
        counts("tokens in", one.input, two.input),
        counts("tokens out", one.output, two.output),
        ["money", bill(one), bill(two), dollars(one.usd, two.usd)],
    ]


def _began(a: Side, b: Side, theme: Theme) -> list[list[Cell]]:
    """Day and time; in two lines where both would be cut in one."""
    one, two = moment(a.start_ns), moment(b.start_ns)
    if theme.width is None or theme.width >= WIDE:
        return [["began", one, two, ""]]
    days, times = zip(one.split(" "), two.split(" "), strict=True)
    return [["day", *days, ""], ["began", *times, ""]]


def counts(name: str, one: int, two: int) -> list[Cell]:
    """A row of two numbers and their difference."""
    return [name, count(one), count(two), f"{two - one:+,}" if one != two else ""]


def dollars(one: Decimal | None, two: Decimal | None) -> str:
    """The difference of two amounts, as far as they are known."""
    if one is None or two is None or one == two:
        return ""
    return f"{'-' if two < one else '+'}{money(abs(two - one))}"


# Changes


def _divergence(diff: Diff, theme: Theme) -> Iterator[str]:
    first = diff.first
    if first is None:
        yield "\n".join(theme.paint(part, "green") for part in wrapped(nothing(diff), theme.width))
        return
    lines = [
        *(f"  {part}" for part in wrapped(place(first), theme.width and theme.width - 2)),
        f"  {_ids(first)}",
    ]
    said = wrapped(f"first divergence: {SAID.get(first.cause, first.cause)}", theme.width)
    title = (theme.paint(part, "bold", "yellow") for part in said)
    yield "\n".join([*title, *lines, *(f"    {line}" for line in _values(first, theme))])


def nothing(diff: Diff) -> str:
    """What is said where the runs do not part."""
    return NOTHING if diff.a.spans or diff.b.spans else NO_CALLS


def place(change: Change) -> str:
    """Where a change is: the names above it, its own, and which part of the call."""
    way = " > ".join(clean(name, 40) for name in (*change.path[-4:], change.name))
    way = f"... > {way}" if len(change.path) > 4 else way
    return f"{way} ({clean(change.kind, 20)})" + (f": {clean(change.where, 120)}" if change.where else "")


def _ids(change: Change) -> str:
    return ", ".join(f"{side} {clean(span_id, 16)}" for side, span_id in (("A", change.a), ("B", change.b)) if span_id)


def _values(change: Change, theme: Theme) -> Iterator[str]:
    """What was there and what is there now: long texts word by word, short values beside each other."""
    if change.cause in ("added", "removed"):
        sign, value, style = ("+", change.after, "green") if change.cause == "added" else ("-", change.before, "red")
        told = clean(as_text(value), 400) if value is not None else "(no arguments)"
        below = f"  (and {change.spans - 1} below it)" if change.spans > 1 else ""
        yield theme.paint(f"{sign} {told}{below}", style)
        return
    before, after = as_texts(change.before, change.after)
    if are_long(change.before, change.after):
        words = changed_words(steady_text(before), steady_text(after), theme)
        yield from [words] if theme.width is None else broken(words, theme.width - 4)
        return
    yield theme.paint(f"- {clean(before, 400) if change.before is not None else '(nothing)'}", "red")
    yield theme.paint(f"+ {clean(after, 400) if change.after is not None else '(nothing)'}", "green")


def are_long(before: Any, after: Any) -> bool:
    """Whether two values are compared word by word rather than beside each other."""
    return isinstance(before, str) and isinstance(after, str) and min(len(before), len(after)) > 20


def as_texts(before: Any, after: Any) -> tuple[str, str]:
    """Two values as texts; as JSON where they differ and would read alike, as 22 and "22" do."""
    one, two = as_text(before), as_text(after)
    if one != two or before == after:
        return one, two
    return msgspec.json.encode(before).decode(), msgspec.json.encode(after).decode()


def _listed(title: str, changes: Iterable[Change], theme: Theme) -> str:
    """Changes of one cause and one name are one line."""
    groups: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.cause, change.name, change.path[-1] if change.path else ""), []).append(change)
    lines = [_line(same, theme) for same in list(groups.values())[:MOST_CHANGES]]
    rest = len(groups) - MOST_CHANGES
    more = [f"  {theme.ellipsis} {rest} more: --json"] if rest > 0 else []
    number = sum(map(len, groups.values()))
    return "\n".join([theme.paint(f"{title} ({count(number)})", "bold"), *lines, *more])


def _line(same: list[Change], theme: Theme) -> str:
    first = same[0]
    times = f" x{len(same)}" if len(same) > 1 else ""
    told = f"  {theme.dot} {clean(first.name, 40)}: {SAID_LATER.get(first.cause, first.cause)}{times}"
    width = theme.width or 160
    if first.cause in ("added", "removed"):
        value = first.after if first.cause == "added" else first.before
        shown = clean(as_text(value), 60) if value is not None else ""
    else:
        shown = _in_short(first.before, first.after, width - cells(told) - 2, theme)
    if shown and cells(told) + 2 + cells(shown) > width:
        return f"{cut(told, width, theme.ellipsis)}\n{cut(f'    {shown}', width, theme.ellipsis)}"
    return cut(f"{told}  {shown}".rstrip(), width, theme.ellipsis)


def _in_short(before: Any, after: Any, room: int, theme: Theme) -> str:
    """Short values beside each other, where there is room; of longer texts a few words around the first change."""
    one, two = map(steady_text, as_texts(before, after))
    beside = f"{clean(one, 40)} -> {clean(two, 40)}"
    are_short = max(len(one), len(two)) <= 40 and (cells(beside) <= room or max(len(one), len(two)) <= 20)
    if are_short or before is None or after is None:
        return beside
    return changed_words(one, two, Theme(width=None, unicode=theme.unicode), around=3)


# Names


def _names(diff: Diff, theme: Theme) -> str:
    ordered = sorted(diff.by_name.items(), key=lambda item: -abs(item[1][1].duration_ns - item[1][0].duration_ns))
    rows: list[list[Cell]] = [_name_row(name, *sides, theme) for name, sides in ordered[:MOST_NAMES]]
    columns = [
        Column("by name", flexible=True),
        Column("calls", True),
        Column("errors", True, 3),
        Column("time", True, 2),
        Column("tokens", True, 1),
        Column("money", True, 1),
    ]
    rest = len(ordered) - MOST_NAMES
    return table(columns, rows, theme) + (f"\n{theme.ellipsis} {rest} more: --json" if rest > 0 else "")


def _name_row(name: str, a: Spent, b: Spent, theme: Theme) -> list[Cell]:
    return [
        clean(name, 40),
        _both(count(a.calls), count(b.calls)),
        _both(count(a.errors), count(b.errors)) if a.errors or b.errors else "",
        _both(*(duration(side.duration_ns, theme.unicode) if side.duration_ns else "" for side in (a, b))),
        _both(count(a.total.tokens), count(b.total.tokens)) if a.total.tokens or b.total.tokens else "",
        _both(bill(a.total), bill(b.total)) if a.total.calls or b.total.calls else "",
    ]


def _both(one: str, two: str) -> str:
    return one if one == two else f"{one or '-'} -> {two or '-'}"
