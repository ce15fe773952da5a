"""A trace as a tree of aligned rows. Rows are made first, then drawn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from instrument.analysis.facts import attribute, is_timed
from instrument.analysis.failures import held_by
from instrument.analysis.in_words import bill, count, duration, many
from instrument.analysis.retold import latest
from instrument.analysis.totals import Sum, Total, call_of, carries
from instrument.analysis.tree import Trace, walk
from instrument.attributes import AGENT_ID, ITERATION, LABEL, REQUEST_MODEL, RESPONSE_MODEL, RETRIES
from instrument.model import Finding, Open, Span
from instrument.statuses import OPEN, REFUSED
from instrument.views.brief import BRIEF, brief
from instrument.views.folding import Fold, Shown, shown, troubles_of
from instrument.views.theme import KINDS, LEVELS, PLAIN, SEVERITIES, STATUSES, Theme, cells, clean, cut, pad, wrapped

ROWS = 300
"""A folded tree has at most so many rows."""
RAILS = 64
UNCRAMPED = 10_000
"""Columns in which the rails of every row fit."""
NOTE_LINES = 3
MOST_HELD = 3
"""So many of the exceptions that a group holds are told with it."""
ORDER = ("kind", "duration", "bar", "tokens", "money", "span_id")
LEAST_BAR, LONGEST_BAR, NAMES_BESIDE_BARS = 6, 24, 44
"""Columns of a bar at least and at most, and how many the names may take before bars get any.

Where the shortest bar has no room there are no bars. Longer ones shrink to a third of the longest, so that short
labels beside the names can be read.
"""
GIVEN = 100
"""So much of what a span was called with is told where it failed."""
NAME_WIDTH = 24
"""Columns give way, one after the other, before the names get narrower than this."""
LEAST_NAME = 4
"""Every name has so many columns, however deep it lies."""


class Row(Struct, frozen=True):
    """One line of the tree. `rails` says for each level above it whether the branch goes on further down.

    Of a row that lies deeper than `RAILS`, `rails` has the last levels only and `depth` says how many there are.
    `stretch` says from where to where in the trace it lasted, 0 being its start and 1 its end.
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
    span_id: str = ""
    stretch: tuple[float, float] = (0.0, 0.0)
    notes: Sequence[tuple[str, str]] = ()
    opens: bool = False
    folds: bool = False


def outline(
    trace: Trace,
    theme: Theme = PLAIN,
    *,
    findings: Sequence[Finding] | None = None,
    all: bool = False,
    rows: int = ROWS,
    depth: int | None = None,
    keep: Collection[str] | None = None,
    ids: bool = False,
    unseen: int = 0,
    unfold: str = "",
) -> str:
    """The tree of a trace; big ones are folded to some `rows`, with `all` every span is shown.

    `findings` stand below the span that they name last; those of the trace if none are given. Of the spans only those
    whose id is in `keep` are shown, and only so many levels as `depth` says; with `ids` each with its id. Where spans
    were folded the last line says how many, `unseen` ones that the trace lacks with them, and how to `unfold` them.
    """
    tree = _Tree(trace, theme, latest(trace.findings) if findings is None else findings, ids)
    levels = depth if depth is not None else len(trace.spans) + 1
    drawn = list(tree.rows(shown(trace, tree.troubles, keep, levels, None if all else rows)))
    lines = [*_drawn(drawn, theme)]
    left = unseen + (len(trace.spans if keep is None else keep) - sum(not row.folds for row in drawn))
    if unfold and left and depth is None:
        lines += (
            theme.paint(part, "dim")
            for part in wrapped(f"{theme.ellipsis} {_more(left, unseen)}: {unfold}", theme.width)
        )
    return "\n".join(lines)


def _more(left: int, unseen: int) -> str:
    """How many spans have no row; those that the trace lacks are in no folded row either."""
    nowhere = f", {count(unseen)} of them not counted above" if 0 < unseen < left else ""
    return f"{count(left)} more span{'s' if left > 1 else ''}{nowhere}"


class _Tree:
    """Makes the rows of one trace."""

    def __init__(self, trace: Trace, theme: Theme, findings: Iterable[Finding], ids: bool) -> None:
        order = [span for span, _ in walk(trace)]
        self.theme, self.ids = theme, ids
        self.refusals: set[str] = set()
        self.sums = _sums(trace, order)
        self.found = _by_span(trace, findings)
        self.troubles = troubles_of(trace, order, self.found)
        self.start, self.took = trace.start_ns, max(1, trace.end_ns - trace.start_ns)

    def rows(self, below: Shown) -> Iterator[Row]:
        waiting: list[tuple[tuple[bool, ...], int, Span | Fold]] = [((), 0, top) for top in reversed(below[None])]
        while waiting:
            rails, depth, item = waiting.pop()
            if isinstance(item, Fold):
                yield replace(self._fold(item), rails=rails, depth=depth)
                continue
            children = below.get(item.span_id, ())
            notes = tuple(self._notes(item, is_root=not depth, passes_on=_passes_on(item, children)))
            yield replace(self._span(item, bool(children)), rails=rails, depth=depth, notes=notes, opens=bool(children))
            next_rails = [(*rails, place > 0)[-RAILS:] for place in range(len(children))]
            waiting.extend((next_rails[place], depth + 1, child) for place, child in enumerate(reversed(children)))

    def _notes(self, span: Span, is_root: bool, passes_on: bool) -> Iterator[tuple[str, str]]:
        if span.error is not None and span.status == REFUSED:
            yield "yellow", said(span, again=said(span) in self.refusals)
            self.refusals.add(said(span))
        elif span.status == "error" and (is_root or not passes_on):
            yield "red", said(span) if span.error is not None else "failed"
            given = "" if passes_on or carries(span) else clean(brief(span), BRIEF)
            if given:
                yield "dim", f"called with {cut(given, GIVEN, self.theme.ellipsis)}"
        for finding in self.found.get(span.span_id, ()):
            style = LEVELS.get(SEVERITIES.get(finding.severity, "WARNING"), "") or "dim"
            told = f"{clean(finding.detector, 60)}: {clean(finding.message, 500)}"
            yield style, f"{self.theme.mark('finding')} {told}"

    def _span(self, span: Span, opened: bool) -> Row:
        spent, hidden, failed = self.sums[span.span_id]
        label = clean(attribute(span, LABEL) or "", 300)
        below = "" if opened else _below(hidden, failed)
        return Row(
            (),
            0,
            self.theme.mark(span.status),
            name_of(span),
            label=f" {self.theme.dot} ".join(filter(None, [below, label])),
            status=span.status,
            span_id=clean(span.span_id, 16) if self.ids else "",
            **self._columns([span], span.kind, spent.total()),
        )

    def _fold(self, fold: Fold) -> Row:
        spent, below, failed_below = Sum(), 0, 0
        for span in fold.spans:
            of_span, hidden, wrong = self.sums[span.span_id]
            spent.include(of_span)
            below += hidden
            failed_below += wrong
        first, number = fold.spans[0], len(fold.spans)
        failed = sum(span.status == "error" for span in fold.spans)
        name = f"{clean(first.name, 200)} {self.theme.times} {count(number)}" if fold.alike else self._mixture(fold)
        return Row(
            (),
            0,
            self.theme.mark(first.status if fold.alike else "fold"),
            f"{count(failed)} of {count(number)} failed: {name}" if 0 < failed < number else name,
            label=_below(below, failed_below),
            status="error" if failed else first.status if fold.alike else "dim",
            folds=True,
            **self._columns(fold.spans, fold.kind, spent.total()),
        )

    def _mixture(self, fold: Fold) -> str:
        names = Counter(clean(span.name, 60) for span in fold.spans).most_common()
        told = [f"{name} {self.theme.times} {count(number)}" if number > 1 else name for name, number in names[:3]]
        others = sum(number for _, number in names[3:])
        return ", ".join([*told, many(others, "other")] if others else told)

    def _columns(self, spans: Sequence[Span], kind: str, total: Total) -> dict[str, Any]:
        start = min(span.start_ns for span in spans) - self.start
        end = max(span.end_ns for span in spans) - self.start
        return {
            "kind": clean(kind, 20),
            "duration": took(spans, self.theme),
            "tokens": f"{count(total.tokens)} tok" if total.tokens else "",
            "money": bill(total) or (self.theme.ellipsis if any(map(_is_asking, spans)) else ""),
            "stretch": (start / self.took, end / self.took),
        }


def _passes_on(span: Span, children: Sequence[Span | Fold]) -> bool:
    """Whether what the span failed with is told below it already, at one of its children."""
    return span.error is not None and any(
        isinstance(child, Span) and child.error is not None and said(child) == said(span) for child in children
    )


def _is_asking(span: Span) -> bool:
    """Whether the span is a model call that still runs: what it costs is not known yet."""
    return span.status == OPEN and carries(span)


def took(spans: Sequence[Span], theme: Theme) -> str:
    """How long spans took together, those whose times are known."""
    known = [span.duration_ns for span in spans if is_timed(span)]
    return duration(sum(known), theme.unicode) if known or not spans else theme.unknown


def name_of(span: Span | Open) -> str:
    """What the tree calls a span: its name, the number of an iteration, which agent or model where the name does not
    hold it.

    Behind it how often the client tried again.
    """
    name = clean(span.name, 200)
    iteration = attribute(span, ITERATION)
    if iteration is not None and not name.endswith(iteration):
        name += f" #{clean(iteration, 20)}"
    if isinstance(span, Open) or carries(span):
        model = attribute(span, REQUEST_MODEL, RESPONSE_MODEL)
        if model and model not in span.name:
            name += f" [{clean(model, 80)}]"
    agent = attribute(span, AGENT_ID) if span.kind == "agent" else None
    if agent and agent not in span.name:
        name += f" [{clean(agent, 80)}]"
    retries = attribute(span, RETRIES)
    if retries is not None:
        name += f" ({clean(retries, 20)} {'retry' if retries == '1' else 'retries'})"
    return name


def said(span: Span, again: bool = False) -> str:
    """The error of a span in one line; in short where it was told `again` and again."""
    assert span.error is not None
    message = "as before" if again else clean(span.error.message, 500)
    held = [] if again else held_by(span.error)
    if held:
        more = [f"{len(held) - MOST_HELD} more"] if len(held) > MOST_HELD else []
        message += f": {'; '.join([*(clean(f'{one.type}: {one.message}', 200) for one in held[:MOST_HELD]), *more])}"
    return f"{clean(span.error.type, 100)}: {message}" if message else clean(span.error.type, 100)


def _below(spans: int, failed: int) -> str:
    """What lies below a row that has none of its own below it."""
    return f"{count(spans)} below{f', {count(failed)} failed' if failed else ''}" if spans else ""


def _sums(trace: Trace, order: Sequence[Span]) -> dict[str, tuple[Sum, int, int]]:
    """Tokens and money of every span with all below it, how many spans lie below it, and how many of them failed."""
    sums: dict[str, tuple[Sum, int, int]] = {}
    for span in reversed(order):
        spent, below, failed = Sum(), 0, 0
        call = call_of(span)
        if call is not None:
            spent.add(call)
        for child in trace.children(span.span_id):
            of_child, deeper, wrong = sums[child.span_id]
            spent.include(of_child)
            below += 1 + deeper
            failed += (child.status == "error") + wrong
        sums[span.span_id] = spent, below, failed
    return sums


def _by_span(trace: Trace, findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    known = {span.span_id for span in trace.spans}
    by_span: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        place = next((span_id for span_id in reversed(finding.span_ids) if span_id in known), trace.root.span_id)
        by_span[place].append(finding)
    return by_span


# Drawing


def _drawn(rows: list[Row], theme: Theme) -> Iterator[str]:
    columns, room, is_cramped = _fit(rows, theme)
    for row in rows:
        rails = _rails(row, room if is_cramped else UNCRAMPED, theme)
        yield _line(row, rails, columns, room, theme)
        inside = replace(row, rails=(*row.rails, row.opens)[-RAILS:], depth=row.depth + 1)
        below = _rails(inside, room if is_cramped else UNCRAMPED, theme, note=True)
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


def _fit(rows: Sequence[Row], theme: Theme) -> tuple[dict[str, int], int, bool]:
    """The columns that are shown with their widths, what that leaves for the names, and whether they want more."""
    leading = [cells(_rails(row, UNCRAMPED, theme)) + 2 for row in rows]
    titles = [before + max(LEAST_NAME, cells(_title(row, theme))) for before, row in zip(leading, rows, strict=True)]
    wanted = max(titles, default=0)
    columns = {}
    for name in ("kind", "duration", "tokens", "money", "span_id"):
        width = max((cells(getattr(row, name)) for row in rows), default=0)
        if width:
            columns[name] = width + 2
    if theme.width is None:
        return columns, wanted, False
    for name in ("kind", "tokens", "money", "duration"):
        if theme.width - sum(columns.values()) >= min(wanted, NAME_WIDTH):
            break
        columns.pop(name, None)
    names = max(
        (before + max(LEAST_NAME, cells(row.name)) for before, row in zip(leading, rows, strict=True)), default=0
    )
    left = theme.width - sum(columns.values()) - min(names, NAMES_BESIDE_BARS) - 2
    if left >= LEAST_BAR and "duration" in columns:
        labels = max([one for one in titles if one <= NAMES_BESIDE_BARS], default=0) - names
        columns["bar"] = min(left, LONGEST_BAR, max(left - labels, LONGEST_BAR // 3)) + 2
    room = theme.width - sum(columns.values())
    return columns, min(wanted, room), wanted > room


def _line(row: Row, rails: str, columns: dict[str, int], room: int, theme: Theme) -> str:
    space = max(LEAST_NAME, room - cells(rails) - 2)
    title = cut(_title(row, theme), space, theme.ellipsis)
    name, label = title[: len(row.name)], title[len(row.name) :]
    style = ("red",) if row.status == "error" else ("dim",) if not row.kind else ("bold",) if not row.depth else ()
    text = theme.paint(name, *style) + theme.paint(label, "dim")
    rest = " " * (space - cells(title))
    parts = [theme.paint(rails, "dim"), theme.paint(row.mark, STATUSES.get(row.status, "dim")), " ", text, rest]
    parts += [_cell(row, column, columns[column], theme) for column in ORDER if column in columns]
    return "".join(parts).rstrip()


def _cell(row: Row, column: str, width: int, theme: Theme) -> str:
    match column:
        case "kind":
            return f"  {theme.paint(pad(row.kind, width - 2), KINDS.get(row.kind))}"
        case "bar":
            return f"  {theme.paint(bar(*row.stretch, width - 2, theme.unicode), KINDS.get(row.kind) or 'dim')}"
        case _:
            return pad(getattr(row, column), width, right=True)


def bar(start: float, end: float, width: int, unicode: bool) -> str:
    """A line from `start` to `end` (0 to 1) in `width` columns, exact to half a column in Unicode; never nothing."""
    halves = 2 * width
    first = min(halves - 1, max(0, int(start * halves)))
    last = min(halves, max(first + 1, round(end * halves)))
    covered = [(first <= 2 * place < last) + 2 * (first <= 2 * place + 1 < last) for place in range(width)]
    return "".join((" ╸╺━" if unicode else " ===")[halves_of] for halves_of in covered)


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
