"""A sequence of calls that comes round again: A B A B, A B C A B C, with the same results each round."""

from __future__ import annotations

from itertools import islice

from instrument.detectors.calls import Call
from instrument.detectors.told import Growth, gone_on, names, told, worth_telling
from instrument.detectors.window import Window
from instrument.model import Finding
from instrument.thresholds import Thresholds


class Cycle:
    """Watches the calls of one trace; `turning` says whether the last call was part of a cycle."""

    def __init__(self, limits: Thresholds) -> None:
        self._lengths = range(2, limits.longest_cycle + 1)
        self._runs = dict.fromkeys(self._lengths, 0)
        self._growth: Growth = {}
        self.turning = False

    def feed(self, call: Call, window: Window) -> Finding | None:
        """A finding when this call closes the second round."""
        if not window.holds(call.key):
            self._stop()
            return None
        self._count(call, window)
        length = next((n for n in self._lengths if self._runs[n] >= n), None)
        self.turning = length is not None and window.calls[-1].key != call.key
        return self._told(call, window, length) if length is not None and self.turning else None

    def _count(self, call: Call, window: Window) -> None:
        for length in self._lengths:
            before = window.calls[-length] if len(window.calls) >= length else None
            same = before is not None and before.key == call.key and before.outcome == call.outcome
            self._runs[length] = self._runs[length] + 1 if same else 0

    @property
    def begun(self) -> bool:
        """Whether calls have come again at the distance of a possible round."""
        return any(self._runs.values())

    def _stop(self) -> None:
        self.turning = False
        if self.begun:
            self._runs = dict.fromkeys(self._lengths, 0)

    def _told(self, call: Call, window: Window, length: int) -> Finding | None:
        calls = self._runs[length] + length
        if calls == 2 * length:
            self._growth.pop(length, None)
        if not worth_telling(self._growth, length, calls):
            return None
        seen = [*islice(window.calls, max(0, len(window.calls) - calls + 1), None), call]
        found = told(
            "cycle",
            f"calls of {names(seen[-length:])} go round in a cycle of {length} with the same results, {calls} so far",
            seen,
            calls=[one.name for one in seen[-length:]],
            times=calls // length,
        )
        return gone_on(self._growth, length, found)
