"""Numbers about spans: how often, how long, how many tokens, how much money.

`p50`, `p90`, `p95` and `p99` are exact: linear interpolation between the two nearest ranks of the sorted durations
(method 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from instrument.analysis.facts import agent_of, is_timed, model_of, operation_of
from instrument.analysis.failures import Failures
from instrument.analysis.totals import Call, Sum, Total, call_of
from instrument.attributes import ITERATION, NO_ITERATION
from instrument.kinds import MODEL_KINDS
from instrument.model import is_counted
from instrument.statuses import REFUSED, UNENDED

ALARMING = frozenset({"WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"})
OTHERS = "(others)"
MOST_GROUPS = 10_000
"""So many different names (or models, operations and agents) are told apart, the rest stand under `(others)`."""
LONGEST = 2**63 - 1
"""A longer duration in nanoseconds (292 years) is a fault of the file."""


class Timing(Struct, frozen=True):
    """How often something ran, how often it failed, and how long it took in nanoseconds."""

    count: int = 0
    errors: int = 0
    total_ns: int = 0
    mean_ns: float = 0.0
    p50_ns: float = 0.0
    p95_ns: float = 0.0
    max_ns: int = 0
    p90_ns: float = 0.0
    p99_ns: float = 0.0
    untimed: int = 0
    """So many of them have no times; what is in nanoseconds is of the others."""
    unended: int = 0
    """So many of them never ended, or not yet; they last until the last sign of life of their process."""


class Metrics(Struct, frozen=True, kw_only=True):
    """What some spans, logs and findings come to.

    `iterations` are the spans of kind `step` that carry `instrument.iteration`, or in a trace where none does, all of
    kind `step` but those that are known to be none (`instrument.no_iteration`): what is around a model call, chains and
    messages of frameworks, unnumbered steps of other tools. `errors` are failed spans; one that only passed its
    child's exception on is not counted again. Calls that were `refused` are no model or tool calls, no errors, and have
    no part in any times. `findings` are the patterns that were found, beyond severity info. `by_name` and `by_kind`
    count every span; `spent_by_…` are the tokens and money of the model calls among them, `times_by_…` how long the
    model calls took. `wall_ns` is the time from the first start to the last end.
    """

    spans: int = 0
    iterations: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    refused: int = 0
    warnings: int = 0
    findings: int = 0
    wall_ns: int = 0
    total: Total = Total()
    tools: dict[str, int] = {}
    by_name: dict[str, Timing] = {}
    by_kind: dict[str, Timing] = {}
    by_model: dict[str, Total] = {}
    by_operation: dict[str, Total] = {}
    by_agent: dict[str, Total] = {}
    spent_by_name: dict[str, Total] = {}
    spent_by_kind: dict[str, Total] = {}
    times_by_model: dict[str, Timing] = {}
    times_by_agent: dict[str, Timing] = {}


class Tally:
    """Metrics that are still growing: fed with spans, logs and findings (or their heads) in any order.

    Without `timings` the durations are not kept, and memory does not grow with the number of spans.
    """

    def __init__(self, *, timings: bool = True) -> None:
        self.spans = 0
        self._warnings = 0
        self._findings = 0
        self._start: int | None = None
        self._end = 0
        self._new_times = _Times if timings else _Counts
        self._times: dict[tuple[str, ...], _Times | _Counts] = {}
        self._calls: dict[tuple[str, ...], tuple[Sum, _Times | _Counts]] = {}
        self._steps: dict[str, int] = {}
        self._numbered: dict[str, int] = {}
        self._failures = Failures()

    def add(self, span: Any) -> None:
        """Count a span or the head of one."""
        start = span.start_ns
        end = start + span.duration_ns
        if self._start is None or start < self._start:
            self._start = start
        if end > self._end:
            self._end = end
        self.count(span)

    def count(self, span: Any) -> None:
        """As `add`, where the caller sees to the wall time."""
        self.spans += 1
        kind, failed = span.kind, span.status == "error"
        if span.status != "ok":
            self._failures.add(span)
        if span.status == REFUSED:
            return
        times = self._times.get((span.name, kind))
        if times is None:
            group = (span.name, kind) if len(self._times) < MOST_GROUPS else (OTHERS, kind)
            times = self._times.setdefault(group, self._new_times())
        times.add(span.duration_ns if is_timed(span) else None, failed)
        if span.status in UNENDED:
            times.unended += 1
        if kind == "step":
            self._step(span)
        elif span.usage is None and span.cost is None and kind not in MODEL_KINDS:
            return
        call = call_of(span)
        if call is not None:
            self._call(span, call)

    def add_log(self, log: Any) -> None:
        """Count a log."""
        self._warnings += log.level.upper() in ALARMING

    def add_finding(self, finding: Any) -> None:
        """Count a finding, unless it is only a hint (severity info) or tells again of a pattern that goes on."""
        self._findings += is_counted(finding)

    def metrics(self, wall_ns: int | None = None) -> Metrics:
        """What it has come to; `wall_ns` in place of the time from the first start to the last end."""
        spent = {group: sum_ for group, (sum_, _) in self._calls.items()}
        call_times = {group: times for group, (_, times) in self._calls.items()}
        for times in (*self._times.values(), *call_times.values()):
            times.settle()  # runs that are in order are merged much faster than they are sorted anew
        tools = {name: times.count for (name, kind), times in self._times.items() if kind == "tool"}
        whole = Sum()
        for part in spent.values():
            whole.include(part)
        return Metrics(
            spans=self.spans,
            iterations=sum(self._numbered.get(trace_id, steps) for trace_id, steps in self._steps.items()),
            model_calls=whole.calls,
            tool_calls=sum(tools.values()),
            errors=self._failures.count(),
            refused=self._failures.refused,
            warnings=self._warnings,
            findings=self._findings,
            wall_ns=self._end - (self._start or 0) if wall_ns is None else wall_ns,
            total=whole.total(),
            tools=dict(sorted(tools.items(), key=lambda item: (-item[1], item[0]))),
            by_name=self._timings(self._times, 0),
            by_kind=self._timings(self._times, 1),
            by_model=totals(spent, 0),
            by_operation=totals(spent, 1),
            by_agent=totals(spent, 2),
            spent_by_name=totals(spent, 3),
            spent_by_kind=totals(spent, 4),
            times_by_model=self._timings(call_times, 0),
            times_by_agent=self._timings(call_times, 2),
        )

    def _step(self, span: Any) -> None:
        trace_id = span.trace_id
        self._steps[trace_id] = self._steps.get(trace_id, 0) + (span.attributes.get(NO_ITERATION) is None)
        if span.attributes.get(ITERATION) is not None:
            self._numbered[trace_id] = self._numbered.get(trace_id, 0) + 1

    def _call(self, span: Any, call: Call) -> None:
        group = model_of(span), operation_of(span), agent_of(span), span.name, span.kind
        found = self._calls.get(group)
        if found is None:
            group = group if len(self._calls) < MOST_GROUPS else (OTHERS, OTHERS, OTHERS, OTHERS, span.kind)
            found = self._calls.setdefault(group, (Sum(), self._new_times()))
        spent, times = found
        spent.add(call)
        times.add(span.duration_ns if is_timed(span) else None, span.status == "error")
        if span.status in UNENDED:
            times.unended += 1

    def _timings(self, kept: Mapping[tuple[str, ...], _Times | _Counts], part: int) -> dict[str, Timing]:
        """The times by one part of their group."""
        merged: dict[str, _Times | _Counts] = {}
        for group, times in kept.items():
            merged.setdefault(group[part], self._new_times()).include(times)
        return by_time({key: times.timing() for key, times in merged.items()})


def by_time(timings: Mapping[str, Timing]) -> dict[str, Timing]:
    """The timings, those that took longest in all first."""
    return dict(sorted(timings.items(), key=lambda item: (-item[1].total_ns, item[0])))


def totals(calls: Mapping[tuple[str, ...], Sum], part: int) -> dict[str, Total]:
    """Tokens and money by one part of the key, the most expensive first."""
    merged: dict[str, Sum] = {}
    for group, spent in calls.items():
        merged.setdefault(group[part], Sum()).include(spent)
    found = {key: spent.total() for key, spent in merged.items()}
    return dict(sorted(found.items(), key=lambda item: (-(item[1].usd or 0), -item[1].tokens, item[0])))


class _Counts:
    """Times of which only the sums are kept."""

    __slots__ = ("count", "errors", "longest", "total", "unended", "untimed")

    def __init__(self) -> None:
        self.count = self.errors = self.total = self.longest = self.untimed = self.unended = 0

    def add(self, duration: int | None, failed: bool) -> None:
        self.count += 1
        self.errors += failed
        if duration is None:
            self.untimed += 1
            return
        self.total += duration
        if duration > self.longest:
            self.longest = duration

    def settle(self) -> None:
        """There is nothing to put in order."""

    def include(self, other: Any) -> None:
        self.count += other.count
        self.errors += other.errors
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        self.untimed += other.untimed
        self.unended += other.unended

    def timing(self) -> Timing:
        mean = self.total / max(1, self.count - self.untimed)
        doubts = {"untimed": self.untimed, "unended": self.unended}
        return Timing(self.count, self.errors, self.total, mean, max_ns=self.longest, **doubts)


class _Times:
    """Times of which each is kept, in eight bytes."""

    __slots__ = ("durations", "errors", "unended", "untimed")

    def __init__(self) -> None:
        self.durations = array("q")
        self.errors = self.untimed = self.unended = 0

    @property
    def count(self) -> int:
        return len(self.durations) + self.untimed

    def add(self, duration: int | None, failed: bool) -> None:
        if duration is None:
            self.untimed += 1
        else:
            self.durations.append(duration if duration < LONGEST else LONGEST)
        if failed:
            self.errors += 1

    def settle(self) -> None:
        self.durations = array("q", sorted(self.durations))

    def include(self, other: Any) -> None:
        self.durations.extend(other.durations)
        self.errors += other.errors
        self.untimed += other.untimed
        self.unended += other.unended

    def timing(self) -> Timing:
        ordered = sorted(self.durations)
        total = sum(ordered)
        p50, p90, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.95, 0.99))
        longest = ordered[-1] if ordered else 0
        mean = total / max(1, len(ordered))
        return Timing(self.count, self.errors, total, mean, p50, p95, longest, p90, p99, self.untimed, self.unended)


def measure(spans: Iterable[Any], logs: Iterable[Any] = (), findings: Iterable[Any] = ()) -> Metrics:
    """The metrics of some spans, logs and findings."""
    tally = Tally()
    for span in spans:
        tally.add(span)
    for log in logs:
        tally.add_log(log)
    for finding in findings:
        tally.add_finding(finding)
    return tally.metrics()


def percentile(ordered: list[int], share: float) -> float:
    """The value below which `share` (0 to 1) of the ordered values lie, interpolated between neighbours; 0 for none."""
    if not ordered:
        return 0.0
    rank = share * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)
