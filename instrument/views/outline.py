"""A trace as a tree of aligned rows. Rows are made first, then drawn."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from instrument.analysis.metrics import attribute
from instrument.analysis.totals import Sum, Total, call_of, carries
from instrument.analysis.tree import Trace
from instrument.model import Finding, Open, Span
from instrument.views.theme import (
    KINDS,
    LEVELS,
    PLAIN,
    SEVERITIES,
    STATUSES,
    Theme,
    bill,
    cells,
    clean,
    count,
    cut,
    duration,
    pad,
    wrapped,
)

SIBLINGS = 12
"""More children than this are folded: the first and last ones stay, and those below which something went wrong."""
KEPT_FIRST, KEPT_LAST, KEPT_WRONG = 6, 3, 6
ROWS = 300
"""A folded tree has at most so many rows."""
RAILS = 64
NOTE_LINES = 3
NAME_WIDTH = 24
"""Columns give way, one after the other, before the names get narrower than this."""


class Row(Struct, frozen=True):
    """One line of the tree. `rails` says for each level above it whether the branch goes on further down.

    Of a row that lies deeper than `RAILS`, `rails` has the last levels only and `depth` says how many there are.
    `notes` stand on lines of their own below it, each a style and a text; `opens` says that children follow.
    """

    rails: tuple[bool, ...]
    depth: int
    mark: str
    name: str
    label: str = ""
    kind: str = ""
    duration: str = ""
    tokens: str = ""
    money: str = ""
    status: str = "ok"
    notes: Sequence[tuple[str, str]] = ()
    opens: bool = False


def outline(
    trace: Trace,
    theme: Theme = PLAIN,
    *,
    findings: Sequence[Finding] | None = None,
    all: bool = False,
    rows: int = ROWS,
) -> str:
    """The tree of a trace; big ones are folded to some `rows`, with `all` every span is shown.

    `findings` stand below the span that they name last; those of the trace if none are given.
    """
    made = _rows(trace, theme, trace.findings if findings is None else findings, None if all else rows)
    return "\n".join(_drawn(list(made), theme))


def _rows(trace: Trace, theme: Theme, findings: Iterable[Finding], room: int | None) -> Iterator[Row]:
    sums, found = _sums(trace), _by_span(trace, findings)
    shown = _shown(trace, theme, _wrong(trace, found), room)
    waiting: list[tuple[tuple[bool, ...], int, Span | str]] = [((), 0, top) for top in reversed(shown[None])]
    while waiting:
        rails, depth, span = waiting.pop()
        if isinstance(span, str):
            yield Row(rails, depth, theme.ellipsis, span, status="dim")
            continue
        below = shown.get(span.span_id, ())
        hidden = 0 if below else sums[span.span_id][1]
        notes = tuple(_notes(span, found.get(span.span_id, ()), theme))
        row = _row(span, sums[span.span_id][0].total(), hidden, theme)
        yield replace(row, rails=rails, depth=depth, notes=notes, opens=bool(below))
        next_rails = [(*rails, place > 0)[-RAILS:] for place in range(len(below))]
        waiting.extend((next_rails[place], depth + 1, child) for place, child in enumerate(reversed(below)))


def _shown(trace: Trace, theme: Theme, wrong: set[str], room: int | None) -> dict[str | None, list[Span | str]]:
    """What is shown below each span: as many levels as there is room for, those first where something went wrong."""
    shown: dict[str | None, list[Span | str]] = {None: _folded(trace, None, theme, wrong, room is None)}
    first, later = deque[str](), deque[str]()
    level = shown[None]
    while True:
        for child in level:
            if isinstance(child, Span):
                (first if child.span_id in wrong else later).append(child.span_id)
        if not (first or later):
            return shown
        span_id = (first or later).popleft()
        level = _folded(trace, span_id, theme, wrong, room is None)
        if room is not None:
            level = level if len(level) <= room else []
            room -= len(level)
        shown[span_id] = level


def _row(span: Span, total: Total, hidden: int, theme: Theme) -> Row:
    label = clean(attribute(span, "instrument.label") or "", 300)
    return Row(
        (),
        0,
        theme.mark(span.status),
        name_of(span),
        label=f"{label} ({count(hidden)} below)".strip() if hidden else label,
        kind=clean(span.kind, 20),
        duration=duration(span.duration_ns, theme.unicode),
        tokens=f"{count(total.tokens)} tok" if total.tokens else "",
        money=bill(total),
        status=span.status,
    )


def name_of(span: Span | Open) -> str:
    """What the tree calls a span: its name, the number of an iteration, the model where the name does not hold it."""
    name = clean(span.name, 200)
    iteration = attribute(span, "instrument.iteration")
    if iteration is not None and not name.endswith(iteration):
        name += f" #{clean(iteration, 20)}"
    if isinstance(span, Open) or carries(span):
        model = attribute(span, "gen_ai.request.model", "gen_ai.response.model")
        if model and model not in span.name:
            name += f" [{clean(model, 80)}]"
    return name


def _notes(span: Span, findings: Iterable[Finding], theme: Theme) -> Iterator[tuple[str, str]]:
    if span.error is not None:
        yield "red", said(span)
    elif span.status == "error":
        yield "red", "failed"
    for finding in findings:
        style = LEVELS.get(SEVERITIES.get(finding.severity, "WARNING"), "") or "dim"
        yield style, f"{theme.mark('finding')} {clean(finding.detector, 60)}: {clean(finding.message, 500)}"


def said(span: Span) -> str:
    """The error of a span in one line."""
    assert span.error is not None
    message = clean(span.error.message, 500)
    return f"{clean(span.error.type, 100)}: {message}" if message else clean(span.error.type, 100)


def _sums(trace: Trace) -> dict[str, tuple[Sum, int]]:
    """Tokens and money of every span with all below it, and how many spans lie below it."""
    order = [span for span, _ in walk(trace)]
    sums: dict[str, tuple[Sum, int]] = {}
    for span in reversed(order):
        spent, below = Sum(), 0
        call = call_of(span)
        if call is not None:
            spent.add(call)
        for child in trace.children(span.span_id):
            of_child, deeper = sums[child.span_id]
            spent.include(of_child)
            below += 1 + deeper
        sums[span.span_id] = spent, below
    return sums


def walk(trace: Trace) -> Iterator[tuple[Span, int]]:
    """Every span with its depth, parents before children, siblings in order."""
    waiting = [(root, 0) for root in reversed(trace.roots)]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting.extend((child, depth + 1) for child in reversed(trace.children(span.span_id)))


def _wrong(trace: Trace, found: Mapping[str, object]) -> set[str]:
    """The spans at or below which something failed, was found, or is still open."""
    wrong: set[str] = set()
    for span, _ in reversed(list(walk(trace))):
        here = span.status in ("error", "open") or span.span_id in found
        if here or any(child.span_id in wrong for child in trace.children(span.span_id)):
            wrong.add(span.span_id)
    return wrong


def _by_span(trace: Trace, findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    known = {span.span_id for span in trace.spans}
    by_span: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        place = next((span_id for span_id in reversed(finding.span_ids) if span_id in known), trace.root.span_id)
        by_span[place].append(finding)
    return by_span


def _folded(trace: Trace, span_id: str | None, theme: Theme, wrong: set[str], all: bool) -> list[Span | str]:
    """The children that are shown; in place of the others a line that says how many of what they were."""
    children = trace.children(span_id)
    if all or len(children) <= SIBLINGS:
        return list(children)
    telling = [place for place, child in enumerate(children) if child.span_id in wrong]
    kept = {*range(KEPT_FIRST), *range(len(children) - KEPT_LAST, len(children)), *telling[:KEPT_WRONG]}
    shown: list[Span | str] = []
    left: list[Span] = []
    for place, child in enumerate(children):
        if place not in kept:
            left.append(child)
            continue
        if left:
            shown.append(_told(left, theme))
            left = []
        shown.append(child)
    return shown


def _told(spans: Sequence[Span], theme: Theme) -> str:
    names = Counter(clean(span.name, 60) for span in spans).most_common()
    many = ", ".join(f"{count(number)} {name}" for name, number in names[:3])
    others = f", {count(sum(number for _, number in names[3:]))} others" if len(names) > 3 else ""
    failed = sum(span.status == "error" for span in spans)
    took = duration(sum(span.duration_ns for span in spans), theme.unicode)
    failures = f" {theme.dot} {count(failed)} failed" if failed else ""
    return f"{count(len(spans))} more: {many}{others} {theme.dot} {took}{failures}"


# Drawing


def _drawn(rows: list[Row], theme: Theme) -> Iterator[str]:
    columns, room = _fit(rows, theme)
    for row in rows:
        yield _line(row, columns, room, theme)
        inside = replace(row, rails=(*row.rails, row.opens)[-RAILS:], depth=row.depth + 1)
        below = _rails(inside, room, theme, note=True)
        for style, text in row.notes:
            for part in _note(text, None if theme.width is None else max(8, theme.width - cells(below)), theme):
                yield theme.paint(below, "dim") + theme.paint(part, style)


def _note(text: str, room: int | None, theme: Theme) -> list[str]:
    """A note in a few lines; what does not fit into them is cut."""
    if room is None:
        return [text]
    lines = wrapped(text, room)
    if len(lines) > NOTE_LINES:
        lines[NOTE_LINES - 1 :] = [" ".join(lines[NOTE_LINES - 1 :])]
    return [cut(part, room, theme.ellipsis) for part in lines]


def _fit(rows: Sequence[Row], theme: Theme) -> tuple[dict[str, int], int]:
    """The columns that are shown with their widths, and what that leaves for the names."""
    spans = [row for row in rows if row.kind]
    wanted = max((cells(_rails(row, 10_000, theme)) + 2 + cells(_title(row, theme)) for row in spans), default=0)
    columns = {}
    for name in ("kind", "duration", "tokens", "money"):
        width = max((cells(getattr(row, name)) for row in rows), default=0)
        if width:
            columns[name] = width + 2
    if theme.width is None:
        return columns, wanted
    for name in ("kind", "tokens", "money", "duration"):
        if theme.width - sum(columns.values()) >= min(wanted, NAME_WIDTH):
            break
        columns.pop(name, None)
    return columns, min(wanted, theme.width - sum(columns.values()))


def _line(row: Row, columns: dict[str, int], room: int, theme: Theme) -> str:
    rails = _rails(row, room, theme)
    if not row.kind:  # a line about what was folded takes the whole width
        width = None if theme.width is None else max(8, theme.width - cells(rails) - 2)
        text = row.name if width is None else cut(row.name, width, theme.ellipsis)
        return theme.paint(f"{rails}{row.mark} {text}", "dim")
    space = max(4, room - cells(rails) - 2)
    title = cut(_title(row, theme), space, theme.ellipsis)
    name, label = title[: len(row.name)], title[len(row.name) :]
    style = ("red",) if row.status == "error" else ("bold",) if not row.depth else ()
    text = theme.paint(name, *style) + theme.paint(label, "dim")
    rest = " " * (space - cells(title))
    parts = [theme.paint(rails, "dim"), theme.paint(row.mark, STATUSES.get(row.status)), " ", text, rest]
    for column, width in columns.items():
        value = getattr(row, column)
        padded = f"  {pad(value, width - 2)}" if column == "kind" else pad(value, width, right=True)
        parts.append(theme.paint(padded, KINDS.get(row.kind) if column == "kind" else None))
    return "".join(parts).rstrip()


def _title(row: Row, theme: Theme) -> str:
    return f"{row.name} {theme.dot} {row.label}" if row.label else row.name


def _rails(row: Row, room: int, theme: Theme, note: bool = False) -> str:
    """The lines that lead to a row. Of a deep one only the last levels are drawn, so that its name has space."""
    through, tee, corner, none = ("│  ", "├─ ", "└─ ", "   ") if theme.unicode else ("|  ", "|- ", "`- ", "   ")
    levels = row.rails
    most = max(3, (room - NAME_WIDTH // 2) // 3)
    deep = ""
    if row.depth > min(most, RAILS):
        levels = levels[-min(most - 2, RAILS) :]
        deep = pad(f"{theme.ellipsis}{row.depth - len(levels)}", 6)
    if not levels:
        return deep
    lines = "".join(through if goes_on else none for goes_on in levels)
    return deep + (lines if note else lines[:-3] + (tee if levels[-1] else corner))
