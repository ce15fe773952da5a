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
from instrument.model import Finding
from instrument.thresholds import Thresholds

MODEL = "llm"
_MOST_SUSPICIONS = 15
_SHORTEST_PROOF = 3
"""Calls that must have come again before a cycle of two is refused: A B A B A."""


class Breaker:
    """Remembers the last calls of each trace; safe to be used from several threads."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._lock = Lock()
        self._traces: OrderedDict[str | None, dict[str, deque[Done]]] = OrderedDict()
        self.proven: dict[int, dict[str | None, Finding]] = {}
        self.suspicions: dict[str | None, tuple[Suspicion, ...]] = {}
        self.movable: set[str | None] = set()
        """Traces with suspicions that a call which shows nothing itself could change."""

    def check(self, name: str, mark: int, trace_id: str | None, given: object = None) -> Finding | None:
        """What speaks against this call, or None; a look into two tables. Without a trace, what any trace has shown."""
        if mark != UNKNOWN and (proofs := self.proven.get(hash((name, mark)))) is not None:
            found = next(iter(list(proofs.values())), None) if trace_id is None else proofs.get(trace_id)
            if found is not None:
                return found
        return self._suspected(Asked(name, hash((name, mark)), given), trace_id) if self.suspicions else None

    def suspect(self, finding: Finding, calls: Sequence[Call]) -> None:
        """Take in a finding from behind and the calls that prove it."""
        if finding.detector not in SUSPECTED or finding.severity == "info":
            return
        fresh = Suspicion(finding, calls, self._limits)
        with self._lock:
            kinds = self._traces.get(finding.trace_id, {})
            since = (done for kind, calls in kinds.items() if kind != MODEL for done in list(calls))
            fresh.free = any(fresh.is_freed_by(done) for done in since)
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

    def note(self, call: Done, kind: str, trace_id: str | None) -> None:
        """Take in a call that has ended, on its own thread."""
        with self._lock:
            calls = self._begin(trace_id).setdefault(kind, deque(maxlen=self._limits.window))
            known = any(one.key == call.key for one in calls)
            calls.append(call)
            self._learn(calls, kind, trace_id, known)
            if self.suspicions and kind != MODEL:
                self.settle(call, trace_id)

    def learn(self, calls: Sequence[Done], kind: str, trace_id: str | None, known: bool) -> None:
        """As `note`, with the last calls kept elsewhere: `calls` ends with the new one, `known` if it came before."""
        with self._lock:
            self._learn(calls, kind, trace_id, known)

    def forget(self, trace_id: str | None) -> None:
        """The trace has ended."""
        if trace_id in self._traces or self.proven or self.suspicions:
            with self._lock:
                self._drop(trace_id)

    def _begin(self, trace_id: str | None) -> dict[str, deque[Done]]:
        if trace_id not in self._traces:
            if len(self._traces) >= self._limits.traces:
                self._drop(next(iter(self._traces)))
            self._traces[trace_id] = {}
        self._traces.move_to_end(trace_id)
        return self._traces[trace_id]

    def _learn(self, calls: Sequence[Done], kind: str, trace_id: str | None, known: bool) -> None:
        call = calls[-1]
        if self.proven:
            self._withdraw(call, kind, trace_id, known)
        if known and call.fingerprint != UNKNOWN:
            self._prove(list(calls), kind, trace_id)

    def _drop(self, trace_id: str | None) -> None:
        self._traces.pop(trace_id, None)
        self.suspicions.pop(trace_id, None)
        self.movable.discard(trace_id)
        for key in [key for key, proofs in self.proven.items() if trace_id in proofs]:
            self._unprove(key, trace_id)

    def _unprove(self, key: int, trace_id: str | None) -> None:
        left = {trace: proof for trace, proof in self.proven.get(key, {}).items() if trace != trace_id}
        if left:
            self.proven[key] = left
        else:
            self.proven.pop(key, None)

    def _withdraw(self, call: Done, kind: str, trace_id: str | None, known: bool) -> None:
        """What was proven holds no longer once something new was done, or for a call that has another outcome now.

        A model that was asked something else has changed nothing that a tool could see.
        """
        if not known and not call.failed:
            for key, proofs in list(self.proven.items()):
                if trace_id in proofs and (kind != MODEL or proofs[trace_id].data["kind"] == MODEL):
                    self._unprove(key, trace_id)
        elif known:
            self._unprove(call.key, trace_id)

    def _prove(self, calls: list[Done], kind: str, trace_id: str | None) -> None:
        last, same = calls[-1], _same_outcome(calls)
        if len(same) >= self._limits.repeats:
            how = "failed each time" if last.failed else "had the same result each time"
            sentence = f"{last.name} was called {len(same)} times with the same arguments and {how}"
            self._refuse({last.key}, kind, trace_id, same, sentence)
        length, turning = _cycle(calls, self._limits.longest_cycle)
        if turning:
            names = ", ".join(dict.fromkeys(one.name for one in turning))
            sentence = f"{names} go round in a cycle of {length} with the same results, {len(turning)} calls so far"
            self._refuse({one.key for one in turning}, kind, trace_id, turning, sentence)

    def _refuse(self, keys: set[int], kind: str, trace_id: str | None, calls: list[Done], sentence: str) -> None:
        first, last = calls[0], calls[-1]
        proof = Finding(
            trace_id=trace_id,
            span_ids=[one.span_id for one in calls],
            time_ns=last.start_ns,
            detector="repeated_call" if len(keys) == 1 else "cycle",
            severity="error",
            message=f"{sentence}{since(first.start_ns)}",
            data={"calls": list(dict.fromkeys(one.name for one in calls)), "since_ns": first.start_ns, "kind": kind},
        )
        for key in keys:
            self.proven[key] = {**self.proven.get(key, {}), trace_id: proof}


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
