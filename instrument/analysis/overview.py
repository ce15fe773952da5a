"""Many traces at a glance, folded from the heads of records without holding the records.

Memory grows with the number of traces and by a few bytes a span (to count a span once that lies in two files),
not with what the spans hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from instrument.analysis.facts import Whose, attribute, is_timed
from instrument.analysis.failures import Failures, is_group
from instrument.analysis.judged import Judged, Judgements, told
from instrument.analysis.metrics import ALARMING, MOST_GROUPS, OTHERS, Metrics, Tally
from instrument.analysis.totals import Sum, Total, call_of
from instrument.analysis.tree import NOT_RECORDED, last_sign
from instrument.attributes import LABEL, OUTCOME, SESSION, USER
from instrument.kinds import MODEL_KINDS
from instrument.model import Failure, Update, is_counted
from instrument.statuses import OPEN

LONGEST_ERROR = 200
"""So many letters of an error stand in a row."""
MOST_SCORES = 20
"""So many scores stand in a row, the first ones."""

Heads = Callable[[], Iterable[Any]]
"""Gives the heads (or whole records), and gives them again when it is called again."""


class RowScore(Struct, frozen=True, omit_defaults=True):
    """A judgement: a number, or a word."""

    name: str
    value: float | None = None
    label: str | None = None


class Row(Struct, frozen=True, kw_only=True):
    """One trace. `status` is that of its root: ok, error, cancelled, or open while it runs or when it never ended.

    `refused` calls are counted neither among the calls of `total` nor among the errors.
    """

    trace_id: str
    name: str
    label: str | None
    outcome: str | None
    session: str | None
    user: str | None
    status: str
    run: str
    start_ns: int
    duration_ns: int
    spans: int
    errors: int
    refused: int
    warnings: int
    findings: int
    total: Total
    timed: bool = True
    """Whether its times are known, not only the order of its spans."""
    error: str | None = None
    """What its root failed with, or was refused by."""
    scores: Sequence[RowScore] = ()
    """How it and its spans were judged, in order of their time."""


class Overview(Struct, frozen=True):
    """The traces in order of their start, how many logs belong to none, and how all were judged."""

    rows: list[Row]
    stray_logs: int
    scores: dict[str, Judged] = {}


class Overall(Struct, frozen=True):
    """The numbers over all traces; their wall time is the sum over the traces."""

    traces: int
    metrics: Metrics
    scores: dict[str, Judged] = {}


def overview(heads: Heads) -> Overview:
    """One row a trace."""
    folded = _folded(_Rows, heads)
    rows = [trace.row(row_scores(folded.scores.get(trace.trace_id, ()))) for trace in folded.traces.values()]
    ordered = sorted(rows, key=lambda row: (row.start_ns, row.trace_id))
    return Overview(ordered, folded.stray_logs, told(folded.judgements))


def overall(heads: Heads) -> Overall:
    """The metrics over all traces."""
    folded = _folded(_Numbers, heads)
    wall = sum(end - start for start, end in folded.extents.values())
    return Overall(folded.traces(), folded.tally.metrics(wall_ns=wall), told(folded.judgements))


def row_scores(scores: Iterable[Any]) -> list[RowScore]:
    """The first scores of a trace; of several at one moment the order is that of the alphabet."""
    ordered = sorted(scores, key=lambda score: (score.time_ns, score.name, score.value or 0.0, score.label or ""))
    return [RowScore(score.name, score.value, score.label) for score in ordered[:MOST_SCORES]]


class _Fold:
    """Each span once, with what was learned of it later; what never ended is a span, too.

    What was learned (`updates`) may come before or behind its span: a first fold gathers all of it and applies what it
    knows by then, a second one, to which it is given `complete`, applies it to every span. A span goes by the hash of
    its ids, which takes an eighth of their memory.
    """

    def __init__(self, updates: dict[int, Update], complete: bool) -> None:
        self.updates = updates
        self.complete = complete
        self.open: dict[int, Any] = {}
        self.counted: set[int] = set()
        self.last_signs: dict[str, int] = {}
        self.judgements: dict[str, Judgements] = {}
        self.takers: dict[type, Callable[[Any], None] | None] = {}
        self.by_tag: dict[object, Callable[[Any], None]] = {
            "open": self._open,
            "log": self.log,
            "finding": self.finding,
            "score": self.score,
            "update": self._update,
        }

    def take(self, heads: Iterable[Any]) -> None:
        takers, last_signs, add = self.takers, self.last_signs, self.span
        counted, open_, updates = self.counted, self.open, self.updates
        for head in heads:
            try:
                taker = takers[head.__class__]
            except KeyError:
                taker = takers[head.__class__] = self._taker(head.__struct_config__.tag)
            if taker is not None:
                taker(head)
                continue
            end = head.start_ns + head.duration_ns
            if end > last_signs.get(head.run, 0):
                last_signs[head.run] = end
            key = hash((head.trace_id, head.span_id))
            if key not in counted:
                counted.add(key)
                open_.pop(key, None)
                add(Updated(head, updates[key]) if key in updates else head, end)
        for head in self.open.values():
            span = _Unended(head, self.last_signs.get(head.run, 0))
            self.span(span, span.start_ns + span.duration_ns)

    def _taker(self, tag: object) -> Callable[[Any], None] | None:
        """Takes in a record of this type; None for spans, which nearly all records are and `take` counts itself."""
        if tag == "span":
            return None
        take = self.by_tag.get(tag, _ignore)

        def timed(head: Any) -> None:
            take(head)
            moment = last_sign(head)
            if moment > self.last_signs.get(head.run, 0):
                self.last_signs[head.run] = moment

        return timed

    def span(self, span: Any, end: int) -> None:
        raise NotImplementedError

    def log(self, log: Any) -> None:
        raise NotImplementedError

    def finding(self, finding: Any) -> None:
        raise NotImplementedError

    def score(self, score: Any) -> None:
        name = score.name if score.name in self.judgements or len(self.judgements) < MOST_GROUPS else OTHERS
        self.judgements.setdefault(name, Judgements()).add(score)

    def _open(self, head: Any) -> None:
        key = hash((head.trace_id, head.span_id))
        if key not in self.counted:
            self.open.setdefault(key, head)

    def _update(self, late: Update) -> None:
        key = hash((late.trace_id, late.span_id))
        if not self.complete:
            held = self.updates.get(key)
            self.updates[key] = late if held is None else both(held, late)


F = TypeVar("F", bound=_Fold)


def _folded(kind: type[F], heads: Heads) -> F:
    """The fold; made a second time where there are updates, because a span may have come before its update."""
    updates: dict[int, Update] = {}
    fold = kind(updates, False)
    fold.take(heads())
    if updates:
        fold = kind(updates, True)
        fold.take(heads())
    return fold


def both(earlier: Update, later: Update) -> Update:
    """Two updates of one span as one: the later one wins."""
    return replace(
        later,
        usage=later.usage or earlier.usage,
        cost=later.cost or earlier.cost,
        attributes={**earlier.attributes, **later.attributes},
    )


def _ignore(head: object) -> None:
    """A record of a type that is not counted."""


class _Numbers(_Fold):
    """The metrics over all, and from when to when each trace went."""

    def __init__(self, updates: dict[int, Update], complete: bool) -> None:
        super().__init__(updates, complete)
        self.tally = Tally()
        self.extents: dict[str, tuple[int, int]] = {}
        self.mentioned: set[str | None] = {None}

    def span(self, span: Any, end: int) -> None:
        self.tally.count(span)
        start = span.start_ns
        known = self.extents.get(span.trace_id)
        if known is None:
            self.extents[span.trace_id] = start, end
        elif start < known[0] or end > known[1]:
            self.extents[span.trace_id] = min(start, known[0]), max(end, known[1])

    def log(self, log: Any) -> None:
        self.tally.add_log(log)
        self.mentioned.add(log.trace_id)

    def finding(self, finding: Any) -> None:
        self.tally.add_finding(finding)
        self.mentioned.add(finding.trace_id)

    def traces(self) -> int:
        """How many there are; of one whose process was killed early there may be logs only."""
        return len(self.extents.keys() | self.mentioned) - 1


class _Rows(_Fold):
    """One row for each trace."""

    def __init__(self, updates: dict[int, Update], complete: bool) -> None:
        super().__init__(updates, complete)
        self.traces: dict[str, _Trace] = {}
        self.scores: dict[str, list[Any]] = {}
        self.stray_logs = 0

    def span(self, span: Any, end: int) -> None:
        self._trace(span.trace_id).add(span, end)

    def log(self, log: Any) -> None:
        if log.trace_id is None:
            self.stray_logs += 1
        else:
            self._trace(log.trace_id).add_log(log)

    def finding(self, finding: Any) -> None:
        if finding.trace_id is not None:
            self._trace(finding.trace_id).findings += is_counted(finding)

    def score(self, score: Any) -> None:
        super().score(score)
        if score.trace_id is not None:
            self.scores.setdefault(score.trace_id, []).append(score)

    def _trace(self, trace_id: str) -> _Trace:
        found = self.traces.get(trace_id)
        if found is None:
            found = self.traces[trace_id] = _Trace(trace_id)
        return found


class _Trace:
    """A row while it is being made."""

    __slots__ = (
        "end",
        "failures",
        "findings",
        "first_log",
        "root",
        "spans",
        "start",
        "sum",
        "top",
        "trace_id",
        "warnings",
        "whose",
    )

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.spans = self.warnings = self.findings = self.end = 0
        self.start: int | None = None
        self.first_log: Any = None
        self.root: Any = None
        self.top: Any = None
        self.sum = Sum()
        self.failures = Failures()
        self.whose = Whose()

    def add(self, span: Any, end: int) -> None:
        self.spans += 1
        if span.attributes:
            self.whose.note(span)
        start = span.start_ns
        if end > self.end:
            self.end = end
        if span.parent_id is None and (self.root is None or start < self.root.start_ns):
            self.root = span
        if self.start is None or start < self.start:
            self.start, self.top = start, span
        if span.status != "ok":
            self.failures.add(span)
        if span.usage is not None or span.cost is not None or span.kind in MODEL_KINDS:
            call = call_of(span)
            if call is not None:
                self.sum.add(call)

    def add_log(self, log: Any) -> None:
        self.warnings += log.level.upper() in ALARMING
        if self.first_log is None or log.time_ns < self.first_log.time_ns:
            self.first_log = log

    def row(self, scores: Sequence[RowScore]) -> Row:
        root = self.root or self.top
        start = self.start if self.start is not None else self.first_log.time_ns if self.first_log else 0
        session, user = self.whose.told(attribute(root, SESSION), attribute(root, USER)) if root else (None, None)
        return Row(
            trace_id=self.trace_id,
            name=root.name if root else NOT_RECORDED,
            label=attribute(root, LABEL) if root else None,
            outcome=attribute(root, OUTCOME) if root else None,
            session=session,
            user=user,
            status=root.status if root else OPEN,
            run=root.run if root else "",
            start_ns=start,
            duration_ns=max(0, self.end - start),
            spans=self.spans,
            errors=self.failures.count(),
            refused=self.failures.refused,
            warnings=self.warnings,
            findings=self.findings,
            total=self.sum.total(),
            timed=root is None or is_timed(root),
            error=_in_words(root.error) if root and root.error else None,
            scores=scores,
        )


def _in_words(error: Failure) -> str:
    """The error, of a group the first that is none."""
    inner = next((one for one in error.causes if not is_group(one)), error) if is_group(error) else error
    return f"{inner.type}: {inner.message}"[:LONGEST_ERROR]


class _Unended:
    """The head of a span that never ended, as a span that lasted until the last sign of life of its process."""

    status = OPEN
    error = usage = cost = None

    def __init__(self, head: Any, last_sign: int) -> None:
        self.run = head.run
        self.trace_id = head.trace_id
        self.span_id = head.span_id
        self.parent_id = head.parent_id
        self.kind = head.kind
        self.name = head.name
        self.start_ns = head.start_ns
        self.attributes = head.attributes
        self.duration_ns = last_sign - head.start_ns  # its own beginning is a sign of life


class Updated:
    """A span with what was learned of it later."""

    def __init__(self, span: Any, late: Update) -> None:
        self._span = span
        self._late = late
        self.usage = late.usage or span.usage
        self.cost = late.cost or span.cost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)

    @property
    def attributes(self) -> Updated:
        return self

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute: the late one wins."""
        return self._late.attributes.get(name, self._span.attributes.get(name, default))
