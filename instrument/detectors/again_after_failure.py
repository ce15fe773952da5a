"""The same thing tried again right after it failed, and failed again, though nothing was changed in between."""

from __future__ import annotations

from instrument.detectors.calls import Call
from instrument.detectors.similarity import in_common, likeness, same_object
from instrument.detectors.told import Growth, brief, retold, told, worth_telling
from instrument.model import Finding
from instrument.thresholds import Thresholds

_KEPT = 16


class AgainAfterFailure:
    """Watches the calls of one trace; `attempts` are the first and last failures of one attempt in succession."""

    def __init__(self, limits: Thresholds) -> None:
        self._most = limits.failures_of_one_call
        self._alike = limits.reworded
        self._alike_after_failure = limits.reworded_same_answer
        self._growth: Growth = {}
        self.attempts: list[Call] = []
        self._times = 0

    def feed(self, call: Call) -> Finding | None:
        """A finding when this call failed as its like did just before."""
        if not call.failed:
            if self.attempts:
                self.attempts = []
                self._growth.pop("attempt", None)
            return None
        if self.attempts and self._same_attempt(self.attempts[-1], call):
            self.attempts = [*self.attempts[:1], *self.attempts[1:][1 - _KEPT :], call]
            self._times += 1
        else:
            self.attempts, self._times = [call], 1
            self._growth.pop("attempt", None)
        times = self._times
        if times < self._most + self._is_ordinary_retry(call) or not worth_telling(self._growth, "attempt", times):
            return None
        found = told(
            "again_after_failure",
            f"{brief(call)} failed {times} times in direct succession and was tried again with nothing changed",
            self.attempts,
            calls=[call.name],
            times=times,
        )
        return retold(self._growth, "attempt", found)

    def _is_ordinary_retry(self, call: Call) -> bool:
        """Whether one more try is what any careful program makes: after what may pass, or with no model in between."""
        by_program = call.answers == self.attempts[0].answers > 0
        return by_program or all(one.may_pass for one in self.attempts)

    def _same_attempt(self, before: Call, call: Call) -> bool:
        if before.name != call.name:
            return False
        if before.key == call.key:
            return True
        one, other = before.question, call.question
        if other.code and before.outcome != call.outcome:
            return False  # a program that fails differently has been worked on
        if likeness(one, other) >= self._alike:
            return True
        return same_object(one, other) and in_common(one, other) >= self._alike_after_failure
