"""Records as they happen and traces in a few lines, as text for terminals, pipes and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from msgspec.json import encode

from instrument.analysis.facts import Whose, attribute, is_timed, retried_for, retries_of
from instrument.analysis.in_words import amount, bill, count, duration, many
from instrument.analysis.metrics import Metrics
from instrument.analysis.overview import RowScore
from instrument.analysis.totals import Total, total
from instrument.analysis.tree import Trace
from instrument.attributes import LABEL, OUTCOME, SESSION, USER
from instrument.model import Finding, Log, Open, Score, Span, opened
from instrument.money import money
from instrument.statuses import OPEN, REFUSED, UNFINISHED
from instrument.views.outline import name_of, said, took
from instrument.views.theme import (
    LEVELS,
    PLAIN,
    SEVERITIES,
    STATUSES,
    UNBOUNDED,
    Theme,
    cells,
    clean,
    cut,
    cut_painted,
    pad,
    wrapped,
)

INDENT = 2
DEEPEST = 12
ROOM = 22
"""Live lines are indented no further than so many levels, and no further than leaves them so many columns."""
SHORTEST_NAME = 4
LABELS = 12
WRONG, NOTHING = "went wrong", "nothing"
FILE, LINE = "code.file.path", "code.line.number"
VALUE_WIDTH = 60
"""A value in `key=value` is cut to so many characters."""


# One record


def line(record: Any, depth: int = 0, theme: Theme = UNBOUNDED, again: bool = False) -> str:
    """A record as it happens, in one line, indented by its depth; empty for records that have no line.

    An error that was told before is told in short `again`.
    """
    indent = " " * INDENT * indented(depth, theme)
    room = None if theme.width is None else theme.width - len(indent)
    match record:
        case Log():
            text = _log_line(record, theme)
        case Span():
            text = _span_line(record, theme, again, room)
        case Open():
            text = _begin_line(record, theme)
        case Finding():
            text = _finding_line(record, theme)
        case Score():
            text = f"[INFO] SCORE {judged(record, '=')}"
        case _:
            return ""
    return indent + (text if room is None else cut_painted(text, room, theme.ellipsis))


def indented(depth: int, theme: Theme) -> int:
    """By how many levels a live line at this depth is indented."""
    return min(depth, DEEPEST if theme.width is None else max(0, min(DEEPEST, (theme.width - ROOM) // INDENT)))


def _log_line(log: Log, theme: Theme) -> str:
    level = clean(log.level, 12).upper()
    parts = [theme.paint(f"[{level}]", LEVELS.get(level))]
    if log.event:
        parts.append(theme.paint(clean(log.event, 80), "bold"))
    if log.message:
        parts.append(clean(log.message))
    if log.metadata:
        parts.append(theme.paint(_told_with(log.metadata), "dim"))
    return " ".join(parts)


def _told_with(metadata: Mapping[str, Any]) -> str:
    """The metadata of a log; where a logger wrote it is told in short, `app.py:6`."""
    file = metadata.get(FILE)
    if not isinstance(file, str) or LINE not in metadata:
        return pairs(metadata)
    others = {key: value for key, value in metadata.items() if key not in (FILE, LINE)}
    place = f"{clean(PureWindowsPath(file).name, 60)}:{_value(metadata[LINE])}"
    return f"{pairs(others)} {place}" if others else place


def _span_line(span: Span, theme: Theme, again: bool, room: int | None) -> str:
    mark = theme.mark(span.status)
    facts = _span_facts(span, theme, None if room is None else room - cells(mark) - 1)
    parts = [*facts[:2], *(theme.paint(fact, "dim") for fact in facts[2:])]
    if span.error is not None:
        parts.append(theme.paint(said(span, again), "yellow" if span.status == REFUSED else "red"))
    return f"{theme.paint(mark, STATUSES.get(span.status))} {'  '.join(parts)}"


def _span_facts(span: Span, theme: Theme, room: int | None) -> list[str]:
    """Name, time, tokens and money. Where room is short tokens give way, then the name is cut; a number never is."""
    name, time, tokens = name_of(span), took([span], theme), tokens_of(span)
    spent = bill(total([span])) if span.cost is not None else ""
    choices = [f"{tokens} tokens", tokens, ""] if tokens else [""]
    facts = [[fact for fact in (time, told, spent) if fact] for told in choices]
    if room is None:
        return [name, *facts[0]]
    for some in facts:
        if cells(name) + sum(2 + cells(fact) for fact in some) <= room:
            return [name, *some]
    for some in (facts[-1], [time]):
        left = room - sum(2 + cells(fact) for fact in some)
        if left >= SHORTEST_NAME:
            return [cut(name, left, theme.ellipsis), *some]
    return [cut(name, room, theme.ellipsis)]


def _begin_line(head: Open, theme: Theme) -> str:
    label = attribute(head, LABEL)
    name = name_of(head) + (f" {theme.dot} {clean(label, 200)}" if label else "")
    return theme.paint(f"{theme.mark('begin')} {name}", "dim")


def _finding_line(finding: Finding, theme: Theme) -> str:
    level = SEVERITIES.get(finding.severity, "WARNING")
    head = theme.paint(f"[{level}] {theme.mark('finding')} FINDING", LEVELS.get(level))
    return f"{head} {clean(finding.detector, 60)}: {clean(finding.message)}"


def tokens_of(span: Span) -> str:
    """Tokens of one model call: `812 in, 45 out`."""
    usage = span.usage
    known = (("in", usage.input), ("out", usage.output)) if usage is not None else ()
    return ", ".join(f"{count(tokens)} {way}" for way, tokens in known if tokens is not None)


def pairs(values: Mapping[str, Any]) -> str:
    """`key=value` for each value, as short JSON where it is no plain text."""
    return " ".join(f"{clean(key, 40)}={_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    value = opened(value)
    text = value if isinstance(value, str) else as_json(value)
    if isinstance(value, str) and (not text or any(letter in ' "=' for letter in text)):
        text = '"' + text.replace('"', '\\"') + '"'
    text = clean(text, 4 * VALUE_WIDTH)
    return text if len(text) <= VALUE_WIDTH else f"{text[: VALUE_WIDTH - 1]}…"


def as_text(value: Any) -> str:
    """A recorded value as text: itself if it is one, else JSON."""
    return value if isinstance(value, str) else encode(value).decode()


def as_json(value: Any) -> str:
    """A value as JSON, as far as it can be."""
    try:
        return encode(value).decode()
    except (ValueError, TypeError, RecursionError):
        return str(value)


# A trace in a few lines


def summary(trace: Trace, metrics: Metrics, theme: Theme = PLAIN, *, paths: Iterable[str | Path] = ()) -> str:
    """What a trace came to: money, tokens, calls by model, tools, iterations, what went wrong, where the files are."""
    root = trace.root
    how = _how(root, metrics, theme)
    title = f"{theme.mark(root.status)} {clean(root.name, 100)} {clean(how)}"
    style = STATUSES.get(root.status)
    facts = [text for name, said in _facts(trace, metrics, paths, theme) for text in fact(name, said, theme)]
    return "\n".join([*(theme.paint(part, "bold", style) for part in wrapped(title, theme.width)), *facts])


def _how(root: Span, metrics: Metrics, theme: Theme) -> str:
    if not is_timed(root):
        return f"{root.status}, its times are not known"
    took = duration(metrics.wall_ns, theme.unicode)
    if root.status == UNFINISHED:
        return f"unfinished, its process was ended from outside; its last sign of life came after {took}"
    return f"has not ended, {took} so far" if root.status == OPEN else f"{root.status} in {took}"


def fact(name: str, text: str, theme: Theme) -> list[str]:
    """A name in a column of its own and what there is to say, in as many lines as the width asks for."""
    room = None if theme.width is None else max(8, theme.width - LABELS)
    style = "yellow" if name == WRONG and text != NOTHING else None
    parts = [theme.paint(part, style) for part in wrapped(text, room)]
    return [theme.paint(pad(name if not place else "", LABELS), "dim") + part for place, part in enumerate(parts)]


def _facts(trace: Trace, metrics: Metrics, paths: Iterable[str | Path], theme: Theme) -> Iterator[tuple[str, str]]:
    outcome = attribute(trace.root, OUTCOME)
    if outcome:
        yield "outcome", clean(outcome, 60)
    whose = Whose()
    for span in trace.spans:
        whose.note(span)
    told = whose.told(attribute(trace.root, SESSION), attribute(trace.root, USER))
    yield from ((name, clean(one, 100)) for name, one in zip(("session", "user"), told, strict=True) if one)
    if metrics.model_calls and trace.root.status == OPEN and not bill(metrics.total):
        yield "money", theme.ellipsis
        yield "tokens", tokens_in_words(metrics.total)
    elif metrics.model_calls:
        yield from spent_in_words(metrics.total)
    for place, row in enumerate(_models(metrics)):
        yield "" if place else "models", row
    yield from _retries(trace, metrics)
    if metrics.tool_calls:
        yield "tool calls", f"{count(metrics.tool_calls)} ({counted(metrics.tools)})"
    if metrics.iterations:
        yield "iterations", count(metrics.iterations)
    if trace.scores:
        yield "scores", scores_in_words(trace.scores)
    left = [span.name for span in trace.spans if span.status == OPEN] if trace.root.status != OPEN else []
    if left:
        yield "still open", f"{count(len(left))} ({counted(Counter(left))})"
    unfinished = sum(span.status == UNFINISHED for span in trace.spans)
    wrong = {"unfinished spans": unfinished, "errors": metrics.errors, "refused calls": metrics.refused}
    yield WRONG, _wrong({**wrong, "logged warnings": metrics.warnings, "findings": metrics.findings})
    for place, path in enumerate(paths):
        yield "" if place else "files", clean(path)
    yield "trace", trace.trace_id


def _retries(trace: Trace, metrics: Metrics) -> Iterator[tuple[str, str]]:
    """How often clients sent a request again; at the end of a run the trace lacks spans that are in its metrics."""
    tries = [number for span in trace.spans if (number := retries_of(span))]
    least = "at least " if metrics.spans > len(trace.spans) else ""
    if tries:
        lost = sum(map(retried_for, trace.spans))
        passed = f", {duration(lost)} before the last try" if lost else ""
        yield "retries", f"{least}{count(sum(tries))}, of {many(len(tries), 'model call')}{passed}"


def _wrong(counts: dict[str, int]) -> str:
    told = [f"{count(number)} {name if number > 1 else name[:-1]}" for name, number in counts.items() if number]
    return ", ".join(told) or NOTHING


def _models(metrics: Metrics) -> list[str]:
    rows = [
        (
            clean(model, 60),
            many(spent.calls, "call"),
            f"{count(spent.input)} in, {count(spent.output)} out" if is_told(spent) else "",
            bill(spent),
        )
        for model, spent in metrics.by_model.items()
    ]
    widths = [max((cells(row[place]) for row in rows), default=0) for place in range(4)]
    return ["  ".join(map(pad, row, widths)).rstrip() for row in rows]


def spent_in_words(spent: Total) -> Iterator[tuple[str, str]]:
    """Money and tokens of some model calls; where none of them told any, that, and not that there were none."""
    if is_told(spent):
        yield "money", money_in_words(spent)
        yield "tokens", tokens_in_words(spent)
    else:
        yield "tokens", f"not told by the {'model call' if spent.calls == 1 else f'{count(spent.calls)} model calls'}"


def is_told(spent: Total) -> bool:
    """Whether any of the calls told tokens or money."""
    return bool(bill(spent) or spent.tokens)


def money_in_words(spent: Total) -> str:
    """The money of a total with what is unsure about it: `$0.0123 (2 calls estimated, 1 unpriced)`."""
    doubts = [
        f"{many(number, 'call')} {basis}"
        for basis, number in (("estimated", spent.estimated), ("unpriced", spent.unpriced), ("free", spent.free))
        if number
    ]
    amount = "unknown" if spent.usd is None else money(spent.usd)
    return f"{amount} ({', '.join(doubts)})" if doubts else amount


def judged(score: Score | RowScore, between: str = " ") -> str:
    """A judgement: `helpful 0.8`."""
    value = clean(score.label, 60) if score.value is None else amount(score.value)
    return f"{clean(score.name, 60)}{between}{value}"


def scores_in_words(scores: Sequence[Score | RowScore]) -> str:
    """Judgements: `helpful 0.8, tone good`, of many the first."""
    return _first(10, [judged(score) for score in scores])


def tokens_in_words(spent: Total) -> str:
    """The tokens of a total: `4,210 in (1,024 cached), 512 out (128 reasoning)`."""
    cached = f" ({count(spent.cached)} cached)" if spent.cached else ""
    reasoning = f" ({count(spent.reasoning)} reasoning)" if spent.reasoning else ""
    return f"{count(spent.input)} in{cached}, {count(spent.output)} out{reasoning}"


def counted(counts: dict[str, int]) -> str:
    """`read_file 4, analyze_code 3`, of many the first."""
    return _first(6, [f"{clean(name, 40)} {count(number)}" for name, number in counts.items()])


def _first(most: int, told: list[str]) -> str:
    """So many, the rest as a number."""
    rest = len(told) - most
    return ", ".join([*told[:most], f"{count(rest)} others"] if rest > 0 else told)
