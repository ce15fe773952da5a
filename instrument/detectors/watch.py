"""All detectors together: each span is shown to those that it may concern, many calls at a glance."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

from instrument.detectors.breaker import Breaker
from instrument.detectors.calls import Call, Done, call_of
from instrument.detectors.history import History
from instrument.detectors.run import Run
from instrument.detectors.slow import Slow
from instrument.detectors.stalled import Stalled
from instrument.kinds import TOOL_KINDS
from instrument.model import Finding, Head, Open, Span
from instrument.rows import rows_of
from instrument.statuses import REFUSED
from instrument.thresholds import Thresholds

SHORTEST_ROW = 4
"""Fewer calls than these are looked at one by one: that is as quick."""

LONG_ROW = 64
LONGEST_ROW = 256
"""So many calls are glanced at together: the first number, and twice as many after each row that passed, up to the
second. Where a row does not pass its halves are tried."""

LONGEST_REST = 8
"""Where nothing of a row passed, glances are given up for a while: for the next row, for the next two after another,
and so on, for at most so many."""

_CALLS = TOOL_KINDS | {"llm"}
REFUSALS = ("LoopDetected", "BudgetExceeded")
"""How the name of an error's type ends where the call was refused, or where the refusal of a call inside of it came
through."""


class Detectors:
    """All detectors together. `feed` and `tick` belong on one thread, `note` and `check` may be called from any."""

    def __init__(self, limits: Thresholds, history: History) -> None:
        self.history = history
        self._limits = limits
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._alone: OrderedDict[str, Span] = OrderedDict()
        """The first tool calls of traces that have only one so far. They are no runs yet, so that a program that makes
        thousands of such traces does not push the runs out."""
        self._slow = Slow(limits, history)
        self._stalled = Stalled(limits, history)
        self._breaker = Breaker(limits)
        self._noted = False
        self._passed: Span | None = None
        self._at_once = LONG_ROW
        self._rest = self._rests_for = 0
        self._last = self._no_run = ("", Run(limits, history))

    def worth_feeding(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Those of the spans that a glance does not pass; each is to be fed before the next is asked for.

        Calls of one run that follow each other are glanced at together, for in a row of many hardly one resembles
        another. What passes is counted and noted, as `feed` would have done.
        """
        return self.not_passed(rows_of(spans))

    def not_passed(self, rows: Iterable[list[Span]]) -> Iterator[Span]:
        """As `worth_feeding`, of spans that stand in rows as `rows_of` gives them."""
        short: list[Span] = []
        for row in self._by_trace(rows):
            if short and (short[0].trace_id != row[0].trace_id or len(row) >= SHORTEST_ROW or len(short) >= LONG_ROW):
                yield from self._glanced_at(short, is_mixed=True)
                short = []
            if len(row) < SHORTEST_ROW:
                short += row
            else:
                yield from self._in_parts(row)
        yield from self._glanced_at(short, is_mixed=True)

    def _by_trace(self, rows: Iterable[list[Span]]) -> Iterator[list[Span]]:
        """The rows, each cut into the parts that lie in one trace.

        Rows in which every call is the first of a trace of its own are left out: one call alone shows nothing, and it
        is noted here as `feed` would have done.
        """
        waiting: set[str] = set()
        for row in rows:
            ids = {span.trace_id for span in row}
            if waiting.isdisjoint(ids) and len(ids) == len(row) and self._are_alone(row, ids):
                continue
            waiting |= ids
            if len(ids) == 1:
                yield row
            else:
                yield from (list(part) for _, part in groupby(row, key=attrgetter("trace_id")))

    def _are_alone(self, row: list[Span], ids: set[str]) -> bool:
        kind, status, usual = row[0].kind, row[0].status, self._slow.durations.get(row[0].name)
        if kind == "llm" or status != "ok" or usual is None:
            return False
        taken = [span.duration_ns for span in row]
        is_known = not (self._runs.keys().isdisjoint(ids) and self._alone.keys().isdisjoint(ids))
        if is_known or max(taken) > self._slow.never_ns:
            return False
        usual.extend(taken)
        if kind in TOOL_KINDS:
            self._alone.update((span.trace_id, span) for span in row)
            while len(self._alone) > self._limits.traces:
                self._breaker.forget(self._alone.popitem(last=False)[0])
        return True

    def _in_parts(self, row: list[Span]) -> Iterator[Span]:
        while row:
            part, row = row[: self._at_once], row[self._at_once :]
            yield from self._glanced_at(part, is_mixed=False)

    def _glanced_at(self, row: list[Span], is_mixed: bool) -> Iterator[Span]:
        """The calls of the row that do not pass: all of them while glances are given up."""
        if self._rests_for:
            self._rests_for -= 1
            yield from row
            return
        fed = 0
        for span in self._not_passed(row, is_mixed):
            fed += 1
            yield span
        if len(row) >= SHORTEST_ROW:
            self._rest = min(max(1, 2 * self._rest), LONGEST_REST) if fed == len(row) else 0
            self._rests_for = self._rest

    def _not_passed(self, row: list[Span], is_mixed: bool) -> Iterator[Span]:
        if len(row) < SHORTEST_ROW:
            yield from row
        elif (tools := self._passes(row, is_mixed)) is not None:
            self._at_once = min(max(LONG_ROW, 2 * len(row)), LONGEST_ROW)
            for name, calls in tools.items():
                yield from self._beyond_usual(name, calls)
        else:
            self._at_once = LONG_ROW
            half = len(row) // 2
            yield from self._not_passed(row[:half], is_mixed)
            yield from self._not_passed(row[half:], is_mixed)

    def _beyond_usual(self, name: str, calls: list[Span]) -> Iterator[Span]:
        """Those of the calls that passed with which a tool is called more often than usual; all are counted."""
        abuse = self._run(calls[0].trace_id).abuse
        while (room := abuse.room(name)) < len(calls):
            abuse.count(name, room)
            self._passed = calls[room]
            yield calls[room]
            calls = calls[room + 1 :]
        abuse.count(name, len(calls))

    def _passes(self, row: list[Span], is_mixed: bool) -> dict[str, list[Span]] | None:
        """The tool calls of a row that passes, by name, which may be none; None where it does not."""
        trace_id, breaker, some = row[0].trace_id, self._breaker, row if is_mixed else row[:1]
        kinds = {span.kind for span in some}
        if "llm" in kinds or {span.status for span in some} != {"ok"}:
            return None
        if breaker.proven or trace_id in breaker.movable:
            return None
        spans, calls = _by_name(row) if is_mixed else {row[0].name: row}, row
        if not kinds <= TOOL_KINDS:
            if any(span.parent_id is None for span in row):
                return None
            calls = [span for span in row if span.kind in TOOL_KINDS]
        tools = spans if calls is row else _by_name(calls)
        durations = {name: [span.duration_ns for span in alike] for name, alike in spans.items()}
        series = self._slow.durations
        if any(name not in series or max(taken) > self._slow.never_ns for name, taken in durations.items()):
            return None
        if tools and not self._run(trace_id).passes(calls, tools):
            return None
        for name, taken in durations.items():
            series[name].extend(taken)
        return tools

    def feed(self, span: Span) -> list[Finding]:
        """Findings that this finished span completes. A call that was refused was not made and says nothing."""
        kind = span.kind
        if span is self._passed:
            return self._count(span)
        if span.status == REFUSED or (span.error is not None and span.error.type.endswith(REFUSALS)):
            if span.parent_id is None and kind not in _CALLS:
                self._end(span)
            return []
        usual = self._slow.durations.get(span.name)
        if usual is not None and span.status == "ok" and span.duration_ns <= usual.limit:
            usual.add(span.duration_ns)
            slow = None
        else:
            slow = self._slow.feed(span)
        if kind in _CALLS and span.status != "cancelled":
            found = self._feed_model(span) if kind == "llm" else self._feed_tool(span)
        else:
            found = []
            if span.parent_id is None and kind not in _CALLS:
                self._end(span)
        return found if slow is None else [*found, slow]

    def tick(self, now_ns: int, open_spans: Iterable[Open | Head]) -> list[Finding]:
        """Findings about spans that are still open at `now_ns` (nanoseconds since the epoch)."""
        return self._stalled.tick(now_ns, open_spans)

    def check(
        self,
        name: str,
        kind: str,
        fingerprint: int,
        trace_id: str | None = None,
        *,
        given: Any = None,
        agent: str = "",
    ) -> Finding | None:
        """What speaks against making this call now: it would continue a pattern that was found.

        `fingerprint` is that of its input, as the function of this name gives it; the input itself, plain or encoded,
        is `given` and read only where there is a finding about questions that resemble each other. Without `trace_id`
        the findings of all traces count. `agent` is the id of the agent that asks, where it has one.
        """
        return self._breaker.check(name, fingerprint, trace_id, given, agent) if kind in _CALLS else None

    def note(
        self,
        name: str,
        kind: str,
        fingerprint: int,
        outcome: int,
        *,
        failed: bool = False,
        trace_id: str | None = None,
        span_id: str = "",
        start_ns: int = 0,
        agent: str = "",
    ) -> None:
        """Tell of a call as it ends, on its own thread, so that `check` knows of it before `feed` does.

        Once this has been used `check` relies on it alone. `outcome` is what the function of this name gives.
        """
        self._noted = True
        if kind in _CALLS:
            done = Done(name, fingerprint, hash((name, fingerprint)), outcome, failed, span_id, start_ns)
            self._breaker.note(done, kind, trace_id, agent)

    def forget(self, trace_id: str) -> None:
        """The trace has ended: drop what is remembered of it. `feed` does so by itself when it sees the root span."""
        self._runs.pop(trace_id, None)
        self._alone.pop(trace_id, None)
        self._last = self._no_run
        self._breaker.forget(trace_id)

    def finish(self) -> list[Finding]:
        """No more spans will come. No finding is held back, so none is left; runs without an end teach no history."""
        self._runs.clear()
        self._alone.clear()
        self._last = self._no_run
        return []

    def _feed_tool(self, span: Span) -> list[Finding]:
        trace_id = span.trace_id
        if trace_id not in self._runs and trace_id not in self._alone:
            self._make_room(self._alone)
            self._alone[trace_id] = span
            return []
        run, breaker = self._run(trace_id), self._breaker
        if run.goes_on(span):
            return run.count(span)
        call = call_of(span)
        found = run.feed_tool(span, call, None if self._noted else breaker)
        if found or breaker.suspicions:
            self._suspect(call, found, run)
        return found

    def _count(self, span: Span) -> list[Finding]:
        """A call in which there is nothing to be found but that there are many."""
        self._passed = None
        found = self._run(span.trace_id).count(span)
        for finding in found:
            self._breaker.suspect(finding, ())
        return found

    def _feed_model(self, span: Span) -> list[Finding]:
        run, breaker = self._run(span.trace_id), None if self._noted else self._breaker
        call = call_of(span, readable=0)
        found = run.feed_model(span, call, breaker)
        for finding in found:
            if finding.detector == "tool_abuse":
                self._breaker.suspect(finding, ())
        return found + self._slow.feed_model_call(span)

    def _suspect(self, call: Call, found: list[Finding], run: Run) -> None:
        """Hold what was found against the calls that would go on with it."""
        breaker = self._breaker
        if not self._noted:
            breaker.settle(call, call.trace_id)
        breaker.renew(call)
        for finding in found:
            breaker.suspect(finding, run.proof_of(finding))

    def _run(self, trace_id: str) -> Run:
        if trace_id == self._last[0]:
            return self._last[1]
        run = self._runs.get(trace_id)
        if run is None:
            run = self._begin(trace_id)
        self._runs.move_to_end(trace_id)
        self._last = (trace_id, run)
        return run

    def _begin(self, trace_id: str) -> Run:
        """Watch one more trace."""
        self._make_room(self._runs)
        run = self._runs[trace_id] = Run(self._limits, self.history)
        first = self._alone.pop(trace_id, None)
        if first is not None:
            run.begin(first, call_of(first))
        return run

    def _make_room(self, held: Mapping[str, Run | Span]) -> None:
        """Forget the trace that was silent longest where no more can be remembered."""
        if len(held) >= self._limits.traces:
            self.forget(next(iter(held)))

    def _end(self, root: Span) -> None:
        """The trace is over: its run, where there was one, becomes part of what is usual."""
        trace_id = root.trace_id
        if trace_id in self._runs or trace_id in self._alone:
            self._run(trace_id).end(root.status == "ok")
            self.forget(trace_id)


def _by_name(row: list[Span]) -> dict[str, list[Span]]:
    """The spans of each name."""
    found: dict[str, list[Span]] = {}
    for span in row:
        found.setdefault(span.name, []).append(span)
    return found
