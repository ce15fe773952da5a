"""The same call again, with nothing gained: same name, same arguments, and the same result or failure each time.

Paging asks with other arguments, polling gets other results: neither counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from instrument.detectors.calls import Call
from instrument.detectors.told import Growth, brief, gone_on, told, worth_telling
from instrument.detectors.window import Window, is_among
from instrument.model import Finding
from instrument.thresholds import Thresholds


class RepeatedCall:
    """Watches the calls of one trace: those of tools, or those of models."""

    def __init__(self, limits: Thresholds, of_models: bool = False) -> None:
        self._of_models = of_models
        self._repeats = limits.repeats
        self._totals: dict[int, int] = {}
        self._growth: Growth = {}

    def feed(self, call: Call, window: Window, own: Sequence[Call]) -> Finding | None:
        """A finding when this call is one repeat too many among the last ones, or among those of its agent alone."""
        if not (window.holds(call.key) or is_among(own, call.key)):
            return None
        same = max(same_outcome(call, window.calls), same_outcome(call, own), key=len)
        if len(same) < self._repeats:
            self._totals.pop(call.key, None)
            self._growth.pop(call.key, None)
            return None
        return self._told(call, same)

    def count(self, call: Call, times: int) -> None:
        """So many repeats were made that were not looked at each."""
        if call.key in self._totals:
            self._totals[call.key] += times

    def _told(self, call: Call, same: list[Call]) -> Finding | None:
        times = max(self._totals.get(call.key, 0) + 1, len(same))
        self._totals[call.key] = times
        if not worth_telling(self._growth, call.key, times):
            return None
        found = told(
            "repeated_call",
            self._sentence(call, times),
            same,
            calls=[call.name],
            times=times,
            failed=call.failed,
        )
        return gone_on(self._growth, call.key, found)

    def _sentence(self, call: Call, times: int) -> str:
        if self._of_models:
            outcome = "failed" if call.failed else "gave the same answer"
            return f"{call.name} was asked the same {times} times and {outcome} each time"
        outcome = "failed" if call.failed else "had the same result"
        return f"{brief(call)} was called {times} times with the same arguments and {outcome} each time"


def same_outcome(call: Call, before: Sequence[Call]) -> list[Call]:
    """The calls equal to this one, with it, oldest first, as far back as their outcome was the same."""
    same = [call]
    for earlier in reversed(before):
        if earlier.key == call.key:
            if earlier.outcome != call.outcome:
                break
            same.append(earlier)
    return same[::-1]
