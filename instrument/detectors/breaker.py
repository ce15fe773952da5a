"""What is asked before a call, on the caller's thread: would it continue what was already proven useless?

Exact repeats and cycles are proven by fingerprints alone, at once; everything dearer is judged behind and comes as a
suspicion. Both hold until something else has been done with success: then the call may be tried once more.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from threading import Lock

from instrument.detectors.calls import UNKNOWN, Call, Done
from instrument.detectors.suspicion import SUSPECTED, Asked, Suspicion
from instrument.detectors.told import since
from instrument.detectors.window import MOST_AGENTS
from instrument.model import Finding
from instrument.thresholds import Thresholds

MODEL = "llm"
Lane = tuple[str | None, str | None]
"""The calls of a trace, or of one agent of it: a loop is one agent's, what others do meanwhile does not excuse it."""

_MOST_SUSPICIONS = 15
_SHORTEST_PROOF = 3
"""Calls that must have come again before a cycle of two is refused: A B A B A."""


class _Trace:
    """The last calls of a trace by kind, and by kind and agent."""

    def __init__(self) -> None:
        self.agents: set[str] = set()
        self.calls: dict[tuple[str, str | None], deque[Done]] = {}


class Breaker:
    """Remembers the last calls of each trace; safe to be used from several threads."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._lock = Lock()
        self._traces: OrderedDict[str | None, _Trace] = OrderedDict()
        self.proven: dict[int, dict[Lane, Finding]] = {}
        self.suspicions: dict[str | None, tuple[Suspicion, ...]] = {}
        self.movable: set[str | None] = set()
        """Traces with suspicions that any successful call may free: none of their calls is passed at a glance."""

    def check(
        self, name: str, mark: int, trace_id: str | None, given: object = None, agent: str = ""
    ) -> Finding | None:
        """What speaks against this call, or None; a look into two tables. Without a trace, what any trace has shown."""
        if mark != UNKNOWN and (proofs := self.proven.get(hash((name, mark)))) is not None:
            if trace_id is None:
                found = next(iter(list(proofs.values())), None)
            else:
                found = proofs.get((trace_id, None)) or proofs.get((trace_id, agent))
            if found is not None:
                return found
        return self._suspected(Asked(name, hash((name, mark)), given), trace_id) if self.suspicions else None

    def suspect(self, finding: Finding, calls: Sequence[Call]) -> None:
        """Take in a finding from behind and the calls that prove it."""
        if finding.detector not in SUSPECTED or finding.severity == "info":
            return
        fresh = Suspicion(finding, calls, self._limits)
        with self._lock:
            trace = self._traces.get(finding.trace_id) or _Trace()
            ended = (
                done for lane, calls in trace.calls.items() if lane[0] != MODEL and lane[1] is None for done in calls
            )
            fresh.free = any(fresh.is_freed_by(done) for done in ended)
            others = [one for one in self.suspicions.get(finding.trace_id, ()) if one.pattern != fresh.pattern]
            self.suspicions[finding.trace_id] = (*others[-_MOST_SUSPICIONS:], fresh)
            if not fresh.endures:
                self.movable.add(finding.trace_id)

    def renew(self, call: Call) -> None:
        """Hold suspicions up again that this call went on with when it was free to."""
        for suspicion in self.suspicions.get(call.trace_id, ()):
            if suspicion.free and suspicion.is_renewed_by(call):
                suspicion.free = False

    def settle(self, call: Done, trace_id: str | None) -> None:
        """Let go of suspicions because of a call that has ended."""
        for suspicion in self.suspicions.get(trace_id, ()):
            if not suspicion.free and suspicion.is_freed_by(call):
                suspicion.free = True

    def _suspected(self, asked: Asked, trace_id: str | None) -> Finding | None:
        of_trace = self.suspicions.get(trace_id, ())
        held = of_trace if trace_id is not None else [one for held in list(self.suspicions.values()) for one in held]
        return next((one.finding for one in held if not one.free and one.is_continued_by(asked)), None)

    def note(self, call: Done, kind: str, trace_id: str | None, agent: str = "") -> None:
        """Take in a call that has ended, on its own thread."""
        with self._lock:
            trace = self._begin(trace_id)
            if agent not in trace.agents and len(trace.agents) < MOST_AGENTS:
                trace.agents.add(agent)
            self._note(call, kind, trace, (trace_id, None))
            if agent in trace.agents:
                self._note(call, kind, trace, (trace_id, agent))
            if self.suspicions and kind != MODEL:
                self.settle(call, trace_id)

    def _note(self, call: Done, kind: str, trace: _Trace, lane: Lane) -> None:
        calls = trace.calls.setdefault((kind, lane[1]), deque(maxlen=self._limits.window))
        known = any(one.key == call.key for one in calls)
        calls.append(call)
        if lane[1] is None or len(trace.agents) > 1:
            self._learn(calls, kind, lane, known)

    def learn(self, calls: Sequence[Done], kind: str, lane: Lane, known: bool) -> None:
        """As `note`, with the last calls kept elsewhere: `calls` ends with the new one, `known` if it came before."""
        with self._lock:
            self._learn(calls, kind, lane, known)

    def forget(self, trace_id: str | None) -> None:
        """The trace has ended."""
        if trace_id in self._traces or self.proven or self.suspicions:
            with self._lock:
                self._drop(trace_id)

    def _begin(self, trace_id: str | None) -> _Trace:
        if trace_id not in self._traces:
            if len(self._traces) >= self._limits.traces:
                self._drop(next(iter(self._traces)))
            self._traces[trace_id] = _Trace()
        self._traces.move_to_end(trace_id)
        return self._traces[trace_id]

    def _learn(self, calls: Sequence[Done], kind: str, lane: Lane, known: bool) -> None:
        call = calls[-1]
        if self.proven:
            self._withdraw(call, kind, lane, known)
        if known and call.fingerprint != UNKNOWN:
            self._prove(list(calls), kind, lane)

    def _drop(self, trace_id: str | None) -> None:
        self._traces.pop(trace_id, None)
        self.suspicions.pop(trace_id, None)
        self.movable.discard(trace_id)
        for key, lane in [(key, lane) for key, proofs in self.proven.items() for lane in proofs if lane[0] == trace_id]:
            self._unprove(key, lane)

    def _unprove(self, key: int, lane: Lane) -> None:
        left = {other: proof for other, proof in self.proven.get(key, {}).items() if other != lane}
        if left:
            self.proven[key] = left
        else:
            self.proven.pop(key, None)

    def _withdraw(self, call: Done, kind: str, lane: Lane, known: bool) -> None:
        """What was proven holds no longer once something new was done, or for a call that has another outcome now.

        A model that was asked something else has changed nothing that a tool could see.
        """
        if not known and not call.failed:
            for key, proofs in list(self.proven.items()):
                if lane in proofs and (kind != MODEL or proofs[lane].data["kind"] == MODEL):
                    self._unprove(key, lane)
        elif known:
            self._unprove(call.key, lane)

    def _prove(self, calls: list[Done], kind: str, lane: Lane) -> None:
        last, same = calls[-1], _same_outcome(calls)
        if len(same) >= self._limits.repeats:
            how = "failed each time" if last.failed else "had the same result each time"
            sentence = f"{last.name} was called {len(same)} times with the same arguments and {how}"
            self._refuse({last.key}, kind, lane, same, sentence)
        length, turning = _cycle(calls, self._limits.longest_cycle)
        if turning:
            names = ", ".join(dict.fromkeys(one.name for one in turning))
            sentence = f"calls of {names} go round in a cycle of {length} with the same results, {len(turning)} so far"
            self._refuse({one.key for one in turning}, kind, lane, turning, sentence)

    def _refuse(self, keys: set[int], kind: str, lane: Lane, calls: list[Done], sentence: str) -> None:
        first, last = calls[0], calls[-1]
        proof = Finding(
            trace_id=lane[0],
            span_ids=[one.span_id for one in calls],
            time_ns=last.start_ns,
            detector="repeated_call" if len(keys) == 1 else "cycle",
            severity="error",
            message=f"{sentence}{since(first.start_ns)}",
            data={"calls": list(dict.fromkeys(one.name for one in calls)), "since_ns": first.start_ns, "kind": kind},
        )
        for key in keys:
            self.proven[key] = {**self.proven.get(key, {}), lane: proof}


def _same_outcome(calls: list[Done]) -> list[Done]:
    last = calls[-1]
    same = [one for one in calls if one.key == last.key]
    differing = [number for number, one in enumerate(same) if one.outcome != last.outcome]
    return same[differing[-1] + 1 :] if differing else same


def _cycle(calls: list[Done], longest: int) -> tuple[int, list[Done]]:
    """The length of the round that the last calls repeat and all calls that go round, once that is proven."""
    for length in range(2, longest + 1):
        again = 0
        while len(calls) > again + length and _is_same(calls[-again - 1], calls[-again - 1 - length]):
            again += 1
        if again >= max(length, _SHORTEST_PROOF):
            turning = calls[-again - length :]
            return length, turning if len({one.key for one in turning}) > 1 else []
    return 0, []


def _is_same(one: Done, other: Done) -> bool:
    return one.key == other.key and one.outcome == other.outcome
