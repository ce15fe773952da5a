"""A trace as the page takes it: columns of plain numbers and texts, small enough for a hundred thousand spans.

Spans are in order of their start, a parent is the place of its span where that is among them, else its id. Times are
nanoseconds since `base_ns`. Words that come again and again (names, kinds, models) are numbers of
`words`; what few spans have (tokens, errors, models) are rows of `[place of the span, …]`. The details of a
span are fetched one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from instrument.analysis.facts import Whose, attribute
from instrument.analysis.retold import pattern_of
from instrument.analysis.totals import dollars
from instrument.attributes import (
    AGENT_ID,
    AGENT_NAME,
    ITERATION,
    LABEL,
    OUTCOME,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    SESSION,
    TIMES,
    USER,
)
from instrument.detectors import advice_of
from instrument.model import Event, Finding, Link, Log, Other, Run, Score, Update, decode
from instrument.store.heads import OpenHead, SpanHead
from instrument.views.brief import BRIEF, brief

NAME, MESSAGE = 200, 4000
"""So many letters of a name and of a log are in the columns."""
NOTHING = Raw(b"")


class SpanRow(SpanHead, frozen=True, kw_only=True, gc=False, tag="span", tag_field="type"):
    """The head of a span, with its input still encoded."""

    input: Raw = NOTHING
    output: Raw = NOTHING
    events: list[Event] = []
    links: list[Link] = []


class OpenRow(OpenHead, frozen=True, kw_only=True, gc=False, tag="open", tag_field="type"):
    """The head of a span that is running."""

    input: Raw = NOTHING


Line = SpanRow | OpenRow | Log | Finding | Score | Update | Run
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def row_of(line: bytes) -> Any:
    """What the columns need of one line; None for what is no record that can be shown. Never raises."""
    try:
        return _decoder.decode(line)
    except (ValueError, RecursionError):
        pass
    try:
        record = decode(line)
    except (ValueError, TypeError, RecursionError):
        return None
    return None if isinstance(record, Other) else record


class Columns:
    """Columns that are being filled with records, their heads or rows of them, in any order."""

    def __init__(self, base_ns: int) -> None:
        self.base_ns = base_ns
        self._words: dict[str, int] = {}
        self.spans: list[tuple[Any, ...]] = []
        self.sparse: dict[str, list[Any]] = {name: [] for name in _SPARSE}
        self.logs: list[Any] = []
        self.findings: list[Any] = []
        self.scores: list[Any] = []
        self.updates: list[Any] = []
        self.runs: list[Any] = []
        self._whose = Whose()
        self._root: Any = None

    def add(self, record: Any) -> None:
        """Take one record in."""
        adder = _ADDERS.get(record.__struct_config__.tag)
        if adder is not None:
            adder(self, record)

    def told(self, **more: Any) -> dict[str, Any]:
        """The columns for JSON, with whatever else is to be said."""
        lists = {name: getattr(self, name) for name in ("logs", "findings", "scores", "updates", "runs")}
        order = sorted(range(len(self.spans)), key=[row[_START] for row in self.spans].__getitem__)
        placed = sorted(range(len(order)), key=order.__getitem__)
        columns = zip(*(self.spans[row] for row in order), strict=True) if order else [()] * len(_SPAN_COLUMNS)
        spans: dict[str, Any] = dict(zip(_SPAN_COLUMNS, columns, strict=True))
        rows = {span_id: row for row, span_id in enumerate(spans["id"])}
        spans["parent"] = [rows.get(parent, parent) for parent in spans["parent"]]
        spans.update({name: [[placed[row], *rest] for row, *rest in held] for name, held in self.sparse.items()})
        known = {"base": str(self.base_ns), "words": list(self._words), "spans": spans, "whole": self._whole()}
        return {**known, **lists, **more}

    def _whole(self) -> dict[str, str | None]:
        """What is known of the run as a whole."""
        names = (SESSION, USER, OUTCOME)
        session, user, outcome = (attribute(self._root, name) if self._root else None for name in names)
        session, user = self._whose.told(session, user)
        return {"session": session, "user": user, "outcome": outcome}

    def _word(self, text: str) -> int:
        known = self._words.get(text)
        if known is None:
            known = self._words[text] = len(self._words)
        return known

    def _span(self, span: Any) -> None:
        row = self._begun(span, span.duration_ns, span.status)
        if span.usage is not None or span.cost is not None:
            basis = self._word(span.cost.basis if span.cost else "")
            self.sparse["usage"].append([row, *_usage(span), basis, _searches(span)])
        if span.error is not None:
            self.sparse["errors"].append([row, _cut(f"{span.error.type}: {span.error.message}")])
        for event in span.events[:1000]:
            self.sparse["events"].append([row, event.time_ns - self.base_ns, self._word(event.name[:NAME])])
        for link in span.links[:100]:
            self.sparse["links"].append([row, link.trace_id, link.span_id])

    def _begun(self, span: Any, duration_ns: int | None = None, status: str = "open") -> int:
        word, row = self._word, len(self.spans)
        if span.attributes:
            self._whose.note(span)
        if span.parent_id is None and (self._root is None or span.start_ns <= self._root.start_ns):
            self._root = span
        label, *facts = _facts(span.attributes)
        for place, value in enumerate(facts):
            if value is not None:
                self.sparse["facts"].append([row, place, word(str(value)[:NAME])])
        self.spans.append(
            (
                span.span_id,
                span.parent_id,
                span.start_ns - self.base_ns,
                duration_ns,
                word(span.name[:NAME]),
                word(span.kind[:40]),
                word(status),
                word(span.run),
                str(label)[:BRIEF] if label is not None else brief(span),
            )
        )
        return row

    def _log(self, log: Log) -> None:
        metadata = msgspec.json.encode(log.metadata) if log.metadata else b""
        self.logs.append(
            [
                log.time_ns - self.base_ns,
                self._word(log.level.upper()[:20]),
                self._word(log.event[:NAME]),
                _cut(log.message),
                log.span_id,
                log.logger,
                _cut(metadata.decode()),
            ]
        )

    def _finding(self, one: Finding) -> None:
        told = [one.time_ns - self.base_ns, one.severity, one.detector, one.message[:MESSAGE], one.span_ids[:1000]]
        self.findings.append([*told, advice_of(one) or "", pattern_of(one)])

    def _score(self, score: Score) -> None:
        told = [score.time_ns - self.base_ns, score.name, score.value, score.label, score.source]
        self.scores.append([score.span_id, *told])

    def _update(self, late: Update) -> None:
        basis = None if late.cost is None else self._word(late.cost.basis)
        self.updates.append([late.span_id, *_usage(late), basis, _searches(late)])

    def _run(self, run: Run) -> None:
        told = {name: getattr(run, name) for name in ("run", "pid", "argv", "python", "service", "agent_id", "git")}
        self.runs.append({**told, "start": run.start_ns - self.base_ns})


_SPAN_COLUMNS = ("id", "parent", "start", "duration", "name", "kind", "status", "run", "brief")
_START = _SPAN_COLUMNS.index("start")
_SPARSE = ("usage", "errors", "events", "links", "facts")
_ADDERS: dict[Any, Any] = {
    "span": Columns._span,
    "open": Columns._begun,
    "log": Columns._log,
    "finding": Columns._finding,
    "score": Columns._score,
    "update": Columns._update,
    "run": Columns._run,
}


def columns(records: Iterable[Any], base_ns: int) -> Columns:
    """The columns of the records."""
    made = Columns(base_ns)
    add = made.add
    for record in records:
        if record is not None:
            add(record)
    return made


def _facts(attributes: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Label, model, agent, iteration, and what is known of the times where that is less than the times."""
    if not attributes:
        return None, None, None, None, None
    get = attributes.get
    agent = get(AGENT_ID) or get(AGENT_NAME)
    model = get(RESPONSE_MODEL) or get(REQUEST_MODEL)
    return get(LABEL), model, agent, get(ITERATION), get(TIMES)


def _usage(span: Any) -> list[Any]:
    usage, cost = span.usage, span.cost
    tokens = (
        [None] * 5 if usage is None else [usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning]
    )
    return [*tokens, None if cost is None or dollars(cost.usd) is None else cost.usd]


def _searches(span: Any) -> int:
    usage = span.usage
    return 0 if usage is None else (usage.web_searches or 0) + (usage.file_searches or 0)


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]}… [{len(text) - MESSAGE:,} more letters]"
