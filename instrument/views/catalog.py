"""The runs below a path, kept current while they are recorded: a row a trace, and where its lines lie.

Of the records only the rows and the places of the lines are held, so that a million spans fit; a trace that is opened
is read again from its places.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from instrument.analysis.facts import Whose, agent_of, attribute, is_timed, model_of
from instrument.analysis.failures import Failures
from instrument.analysis.metrics import ALARMING
from instrument.analysis.overview import Updated, both
from instrument.analysis.totals import Sum, call_of, carries
from instrument.analysis.tree import NOT_RECORDED, Trace, last_sign, left_unfinished, traces
from instrument.attributes import AGENT_ID, AGENT_NAME, LABEL, OUTCOME, SESSION, USER
from instrument.kinds import MODEL_KINDS
from instrument.model import Finding, Log, Open, Record, Run, Score, Span, Update, decode, is_counted
from instrument.statuses import OPEN, UNFINISHED
from instrument.store import blobs
from instrument.store.contents import holding
from instrument.store.follow import Follower, Place
from instrument.store.processes import is_running
from instrument.views.brief import BRIEF, brief
from instrument.views.columns import Columns, OpenRow, SpanRow, columns, row_of

WORDS_KEPT = 50
"""So many different models, tools, agents and detectors of one run can be filtered for."""
MOST_SCORES, SHORT = 20, 60
"""So many scores of a run are in its row, each in so many letters at most."""
MOST_FOUND = 20_000
"""So many spans are named at most in which a text was found."""


class Catalog:
    """Every run below `path`. Not safe for threads: one caller at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.version = 0
        self.unreadable = 0
        self._follower = Follower(path)
        self._runs: dict[str, _Run] = {}
        self._processes: dict[str, Run] = {}
        self._process_lines: dict[str, Place] = {}
        self._process_signs: dict[str, int] = {}
        self._seen: set[int] = set()
        self._alive: dict[str, tuple[float, bool]] = {}

    def refresh(self) -> None:
        """Take in what was written since."""
        version = self.version + 1
        for place, line in self._follower.new():
            row = row_of(line)
            if row is None:
                self.unreadable += bool(line.strip())
                continue
            self.version = version
            sign = last_sign(row)
            if sign > self._process_signs.get(row.run, 0):
                self._process_signs[row.run] = sign
            self._take(row, place)
        for run in self._runs.values():
            if run.outdated:
                self._count_again(run)

    def rows(self, after: int = 0) -> list[dict[str, Any]]:
        """The runs that changed after that version, each as a row for the page, in the order in which they came."""
        changed = (run for run in self._runs.values() if run.version > after)
        return [self._told(run) for run in changed]

    def unended(self) -> list[str]:
        """The runs whose root has not ended: they may be running, or have died."""
        return [trace_id for trace_id, run in self._runs.items() if run.status == OPEN]

    def latest(self) -> str | None:
        """The run that began last."""
        return max(self._runs, key=lambda trace_id: self._runs[trace_id].start, default=None)

    def find(self, trace_id: str) -> bool:
        """Whether there is such a run."""
        return trace_id in self._runs

    def lines(self, trace_id: str) -> int:
        """How many lines a run has so far."""
        return len(self._runs[trace_id].places)

    def is_live(self, trace_id: str) -> bool:
        """Whether a process that takes part in the run, which has not ended, is alive."""
        run = self._runs[trace_id]
        return run.status == OPEN and any(self._is_alive(process) for process in run.processes)

    def ends(self, trace_id: str) -> dict[str, int | None]:
        """The last sign of life of each process with spans that have not ended; None where it is alive."""
        processes = set(self._runs[trace_id].open.values())
        return {one: None if self._is_alive(one) else self._process_signs.get(one, 0) for one in processes}

    def columns(self, trace_id: str, after: int = 0) -> tuple[Columns, int]:
        """The columns of the lines of a run from number `after` on, and how many lines there are now."""
        run = self._runs[trace_id]
        places = run.places[after:]
        rows = (row_of(line) for line in self._follower.lines([*self._heads(run), *places]))
        return columns(rows, run.start), after + len(places)

    def records(self, trace_id: str) -> Iterator[Record]:
        """The whole records of a run, those of its processes first."""
        run = self._runs[trace_id]
        return filter(None, map(_decoded, self._follower.lines([*self._heads(run), *run.places])))

    def span(self, trace_id: str, span_id: str) -> Span | None:
        """One span whole, with what was learned of it later."""
        wanted = span_id.encode()
        lines = (line for line in self._follower.lines(self._runs[trace_id].places) if wanted in line)
        found = [record for record in map(_decoded, lines) if _is_about(record, span_id)]
        trace = next(traces(found), None)
        return trace.spans[0] if trace is not None and trace.spans else None

    def lines_with(self, trace_id: str, text: str) -> list[str]:
        """The ids of the spans in whose record, or in whose long values, the text stands.

        It may take long, and may be asked while others ask for something else.
        """
        holds = holding(text, blobs.folder_for(self.path))
        lines = self._follower.lines(self._runs[trace_id].places[:])
        found: dict[str, None] = {}
        for line in lines:
            if holds(line):
                span_id = getattr(row_of(line), "span_id", None)
                if span_id is not None:
                    found[span_id] = None
                    if len(found) >= MOST_FOUND:
                        break
        return list(found)

    def trace(self, trace_id: str) -> Trace | None:
        """The whole run; what is open in it is unfinished where its process is known to run no more."""
        whole = next((trace for trace in traces(self.records(trace_id)) if trace.trace_id == trace_id), None)
        return None if whole is None else left_unfinished(whole, lambda process: not self._is_alive(process))

    def spending(self) -> list[list[Any]]:
        """What the model calls of all runs come to, as `spent_told` says it."""
        sums: dict[tuple[str, str, str], Sum] = {}
        for run in self._runs.values():
            for key, spent in run.spent.items():
                sums.setdefault(key, Sum()).include(spent)
        return spent_told(sums)

    def _heads(self, run: _Run) -> list[Place]:
        return [self._process_lines[process] for process in run.processes if process in self._process_lines]

    def _take(self, row: Any, place: Place) -> None:
        if row.__class__ is Run:
            self._processes[row.run] = row
            self._process_lines[row.run] = place
            return
        trace_id = row.trace_id
        if trace_id is None:
            return
        run = self._runs.get(trace_id)
        if run is None:
            run = self._runs[trace_id] = _Run(trace_id)
        run.version = self.version
        run.places.append(place)
        run.processes[row.run] = None
        kind = row.__class__
        if kind is SpanRow or kind is Span:
            if self._is_first(trace_id, row.span_id):
                run.add(row)
        elif kind is OpenRow or kind is Open:
            run.begin(row, hash((trace_id, row.span_id)) in self._seen)
        elif kind is Update:
            run.learn(row, hash((trace_id, row.span_id)) in self._seen)
        else:
            run.note(row)

    def _count_again(self, run: _Run) -> None:
        """Add up the calls of a run anew: of some that had ended, tokens or money came later."""
        run.forget_calls()
        counted: set[str] = set()
        for row in map(row_of, self._follower.lines(run.places)):
            if isinstance(row, SpanRow | Span) and row.span_id not in counted:
                counted.add(row.span_id)
                run.spend(row)

    def _is_first(self, trace_id: str, span_id: str) -> bool:
        before = len(self._seen)
        self._seen.add(hash((trace_id, span_id)))
        return len(self._seen) > before

    def _is_alive(self, process: str) -> bool:
        """Whether the process is there; asked once a second at most."""
        asked, alive = self._alive.get(process, (0.0, False))
        now = time.monotonic()
        if now - asked > 1:
            head = self._processes.get(process)
            alive = head is not None and head.pid > 0 and is_running(head.pid, head.start_ns, head.run)
            self._alive[process] = now, alive
        return alive

    def _told(self, run: _Run) -> dict[str, Any]:
        live = self.is_live(run.trace_id)
        end = time.time_ns() if live else run.end
        if run.status == OPEN:
            end = max(end, *(self._process_signs.get(process, 0) for process in run.processes))
        head = next((self._processes[process] for process in run.processes if process in self._processes), None)
        total = run.sum.total()
        session, user = run.whose.told(run.session, run.user)
        return {
            "id": run.trace_id,
            "name": run.name or NOT_RECORDED,
            "brief": run.brief,
            "outcome": run.outcome,
            "status": "running" if live else UNFINISHED if run.top_status == OPEN else run.top_status,
            "start_ms": run.start // 1_000_000,
            "duration_ns": max(0, end - run.start),
            "spans": run.spans + len(run.open),
            "errors": run.failures.count(),
            "refused": run.failures.refused,
            "warnings": run.warnings,
            "findings": run.findings,
            "calls": total.calls + len(run.asking),
            "input": total.input,
            "output": total.output,
            "cached": total.cached,
            "usd": None if total.usd is None else str(total.usd),
            "unpriced": total.unpriced,
            "estimated": total.estimated,
            "free": total.free,
            "models": list(run.models),
            "tools": list(run.tools),
            "kinds": list(run.kinds),
            "agents": list(run.agents),
            "detectors": list(run.detectors),
            "timed": run.is_timed,
            "scores": run.scores,
            "ranges": [(name, *ends) for name, ends in run.ranges.items()],
            "session": session,
            "user": user,
            "service": head.service if head is not None else None,
        }


class _Run:
    """What is known of one run so far."""

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.version = 0
        self.places = array("q")
        self.processes: dict[str, None] = {}
        self.name = self.brief = ""
        self.is_timed = True
        self.outcome: str | None = None
        self.whose = Whose()
        self.session: str | None = None
        self.user: str | None = None
        self.status = self.top_status = OPEN
        self.start = self.end = 0
        self.spans = self.warnings = self.findings = 0
        self.open: dict[str, str] = {}
        self.asking: set[str] = set()
        """Of the open ones the model calls."""
        self.failures = Failures()
        self.sum = Sum()
        self.spent: dict[tuple[str, str, str], Sum] = {}
        self.models: dict[str, None] = {}
        self.tools: dict[str, None] = {}
        self.kinds: dict[str, None] = {}
        self.agents: dict[str, None] = {}
        self.detectors: dict[str, None] = {}
        self.scores: list[tuple[str, float | None, str | None]] = []
        self.ranges: dict[str, tuple[float, float]] = {}
        """Of each score the lowest and the highest value."""
        self.outdated = False
        self._late: dict[str, Update] = {}
        self._root: tuple[bool, int] | None = None

    def add(self, span: Any) -> None:
        """Count a span that has ended."""
        self.spans += 1
        self.open.pop(span.span_id, None)
        self.asking.discard(span.span_id)
        self._begin(span)
        self.end = max(self.end, span.start_ns + span.duration_ns)
        if span.status != "ok":
            self.failures.add(span)
        self.spend(span)

    def begin(self, head: Any, ended: bool) -> None:
        """Take in that a span began, which may have ended already."""
        if not ended:
            self.open[head.span_id] = head.run
            if head.kind in MODEL_KINDS:
                self.asking.add(head.span_id)
        self._begin(head)

    def learn(self, late: Update, counted: bool) -> None:
        """Take in what came of a span later; where it is counted already, the calls are to be added up anew."""
        held = self._late.get(late.span_id)
        self._late[late.span_id] = late if held is None else both(held, late)
        self.outdated |= counted

    def forget_calls(self) -> None:
        """As if no model had been called."""
        self.sum, self.spent, self.models = Sum(), {}, {}
        self.outdated = False

    def note(self, row: Any) -> None:
        """Take in what is no span."""
        if isinstance(row, Log):
            self.warnings += row.level.upper() in ALARMING
            self._moment(row.time_ns)
        elif isinstance(row, Finding):
            self.findings += is_counted(row)
            _keep(self.detectors, row.detector)
        elif isinstance(row, Score):
            self._judge(row.name[:SHORT], row.value, row.label and row.label[:SHORT])

    def _judge(self, name: str, value: float | None, label: str | None) -> None:
        if len(self.scores) < MOST_SCORES:
            self.scores.append((name, value, label))
        if value is not None and (name in self.ranges or len(self.ranges) < WORDS_KEPT):
            low, high = self.ranges.get(name, (value, value))
            self.ranges[name] = min(low, value), max(high, value)

    def _begin(self, span: Any) -> None:
        self._moment(span.start_ns)
        if span.attributes:
            self.whose.note(span)
        _keep(self.kinds, span.kind)
        if span.kind == "tool":
            _keep(self.tools, span.name)
        agent = attribute(span, AGENT_ID, AGENT_NAME)
        if agent is not None:
            _keep(self.agents, agent)
        # the earliest span without a parent; before one has come the earliest of all stands for it
        place = span.parent_id is not None, span.start_ns
        if self._root is None or place <= self._root:
            self._root = place
            self._describe(span)

    def _describe(self, root: Any) -> None:
        self.name, self.is_timed = root.name, is_timed(root)
        label = attribute(root, LABEL)
        self.brief = label[:BRIEF] if label is not None else brief(root)
        self.session, self.user = attribute(root, SESSION), attribute(root, USER)
        # the root of a part that another process began is not here: it is over when its process is
        self.top_status = getattr(root, "status", OPEN)
        self.status = self.top_status if root.parent_id is None else OPEN
        self.outcome = attribute(root, OUTCOME) if self.status != OPEN else None

    def spend(self, span: Any) -> None:
        """Count a span's tokens and money if it is a model call."""
        late = self._late.get(span.span_id) if self._late else None
        if late is not None:
            span = Updated(span, late)
        call = call_of(span) if carries(span) else None
        if call is None:
            return
        self.sum.add(call)
        model = model_of(span)
        _keep(self.models, model)
        self.spent.setdefault((day_of(span.start_ns), model, agent_of(span)), Sum()).add(call)

    def _moment(self, ns: int) -> None:
        if not self.start or ns < self.start:
            self.start = ns
        self.end = max(self.end, ns)


def day_of(ns: int) -> str:
    """The day in UTC, `2026-11-23`."""
    return time.strftime("%Y-%m-%d", time.gmtime(min(ns // 1_000_000_000, 1 << 36)))


def spent_told(sums: Mapping[tuple[str, str, str], Sum]) -> list[list[Any]]:
    """Rows of day, model, agent, calls, input, output, cached, dollars, unpriced and estimated calls, by day."""
    return [
        [*key, one.calls, one.input, one.output, one.cached, str(one.usd), one.unpriced, one.estimated]
        for key, one in sorted(sums.items())
    ]


def _keep(words: dict[str, None], word: str) -> None:
    if len(words) < WORDS_KEPT:
        words[word[:200]] = None


def _decoded(line: bytes) -> Any:
    try:
        return decode(line)
    except (ValueError, TypeError, RecursionError):
        return None


def _is_about(record: Any, span_id: str) -> bool:
    return isinstance(record, Span | Open | Update) and record.span_id == span_id
