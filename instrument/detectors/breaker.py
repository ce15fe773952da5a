"""What is asked before a call, on the caller's thread: would it continue what was already proven useless?

Only exact repeats and cycles are proven by fingerprints alone; everything dearer is judged behind. A proof holds until
something else has been done with success: then the call may be tried once more.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from threading import Lock

from instrument.detectors.calls import UNKNOWN, Done
from instrument.detectors.thresholds import Thresholds
from instrument.detectors.told import clock
from instrument.model import Finding

_SHORTEST_PROOF = 3
"""Calls that must have come again before a cycle of two is refused: A B A B A."""


class Breaker:
    """Remembers the last calls of each trace; safe to be used from several threads."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._lock = Lock()
        self._traces: OrderedDict[str | None, dict[str, deque[Done]]] = OrderedDict()
        self.proven: dict[int, dict[str | None, Finding]] = {}

    def check(self, name: str, mark: int, trace_id: str | None) -> Finding | None:
        """What speaks against this call, or None; one look into a table. Without a trace, what any trace has proven."""
        if not self.proven or mark == UNKNOWN:
            return None
        proofs = self.proven.get(hash((name, mark)))
        if proofs is None:
            return None
        return next(iter(list(proofs.values())), None) if trace_id is None else proofs.get(trace_id)

    def note(self, call: Done, kind: str, trace_id: str | None) -> None:
        """Take in a call that has ended, on its own thread."""
        with self._lock:
            calls = self._begin(trace_id).setdefault(kind, deque(maxlen=self._limits.window))
            known = any(one.key == call.key for one in calls)
            calls.append(call)
            self._learn(calls, trace_id, known)

    def learn(self, calls: Sequence[Done], trace_id: str | None, known: bool) -> None:
        """As `note`, with the last calls kept elsewhere: `calls` ends with the new one, `known` if it came before."""
        with self._lock:
            self._learn(calls, trace_id, known)

    def forget(self, trace_id: str | None) -> None:
        """The trace has ended."""
        if trace_id in self._traces or self.proven:
            with self._lock:
                self._drop(trace_id)

    def _begin(self, trace_id: str | None) -> dict[str, deque[Done]]:
        if trace_id not in self._traces:
            if len(self._traces) >= self._limits.traces:
                self._drop(next(iter(self._traces)))
            self._traces[trace_id] = {}
        return self._traces[trace_id]

    def _learn(self, calls: Sequence[Done], trace_id: str | None, known: bool) -> None:
        call = calls[-1]
        if self.proven:
            self._withdraw(call, trace_id, known)
        if known and call.fingerprint != UNKNOWN:
            self._prove(list(calls), trace_id)

    def _drop(self, trace_id: str | None) -> None:
        self._traces.pop(trace_id, None)
        for key in [key for key, proofs in self.proven.items() if trace_id in proofs]:
            self._unprove(key, trace_id)

    def _unprove(self, key: int, trace_id: str | None) -> None:
        left = {trace: proof for trace, proof in self.proven.get(key, {}).items() if trace != trace_id}
        if left:
            self.proven[key] = left
        else:
            self.proven.pop(key, None)

    def _withdraw(self, call: Done, trace_id: str | None, known: bool) -> None:
        """What was proven holds no longer once something new was done, or for a call that has another outcome now."""
        if not known and not call.failed:
            for key in [key for key, proofs in self.proven.items() if trace_id in proofs]:
                self._unprove(key, trace_id)
        elif known:
            self._unprove(call.key, trace_id)

    def _prove(self, calls: list[Done], trace_id: str | None) -> None:
        last, same = calls[-1], _same_outcome(calls)
        if len(same) >= self._limits.repeats:
            how = "failed each time" if last.failed else "had the same result each time"
            sentence = f"{last.name} was called {len(same)} times with the same arguments and {how}"
            self._refuse({last.key}, trace_id, same, sentence)
        turning = _cycle(calls, self._limits.longest_cycle)
        if turning:
            names = ", ".join(dict.fromkeys(one.name for one in turning))
            sentence = f"{names} go round in a cycle of {len(turning)} calls with the same results"
            self._refuse({one.key for one in turning}, trace_id, calls, sentence)

    def _refuse(self, keys: set[int], trace_id: str | None, calls: list[Done], sentence: str) -> None:
        first, last = calls[0], calls[-1]
        proof = Finding(
            trace_id=trace_id,
            span_ids=[one.span_id for one in calls],
            time_ns=last.start_ns,
            detector="repeated_call" if len(keys) == 1 else "cycle",
            severity="error",
            message=f"{sentence}, since {clock(first.start_ns)}.",
            data={"calls": list(dict.fromkeys(one.name for one in calls)), "since_ns": first.start_ns},
        )
        for key in keys:
            self.proven[key] = {**self.proven.get(key, {}), trace_id: proof}


def _same_outcome(calls: list[Done]) -> list[Done]:
    last = calls[-1]
    same = [one for one in calls if one.key == last.key]
    differing = [number for number, one in enumerate(same) if one.outcome != last.outcome]
    return same[differing[-1] + 1 :] if differing else same


def _cycle(calls: list[Done], longest: int) -> list[Done]:
    """The round that the last calls repeat, once it is whole and three calls long; empty when they do not go round."""
    for length in range(2, longest + 1):
        again = max(length, _SHORTEST_PROOF)
        pairs = [(calls[-n], calls[-n - length]) for n in range(1, again + 1)] if len(calls) >= again + length else []
        if pairs and all(one.key == before.key and one.outcome == before.outcome for one, before in pairs):
            round_ = calls[-length:]
            return round_ if len({one.key for one in round_}) > 1 else []
    return []
