"""The run begins again: its first steps come once more, in their order, and mostly with the results they had."""

from __future__ import annotations

from typing import Any

from instrument.detectors.calls import Call
from instrument.detectors.told import Growth, names, retold, told, worth_telling
from instrument.model import Finding
from instrument.thresholds import Thresholds


class Restart:
    """Watches the calls of one trace; `keys` are those of its first steps."""

    def __init__(self, limits: Thresholds) -> None:
        self._steps = limits.first_steps
        self._first: list[Call] = []
        self._again: list[Call] = []
        self._times = 0
        self._growth: Growth = {}
        self.keys: frozenset[int] = frozenset()

    @property
    def waiting(self) -> bool:
        """Whether the first steps are known and none of them has just come again."""
        return len(self._first) == self._steps and not self._again

    def given(self, name: str) -> list[Any]:
        """What those of the first steps that are calls of this name were given, as it came."""
        return [call.given_plain for call in self._first if call.name == name]

    def feed(self, call: Call) -> Finding | None:
        """A finding when this call completes the first steps for another time."""
        if len(self._first) < self._steps:
            self._first.append(call)
            self.keys |= {call.key}
            return None
        if call.key != self._first[len(self._again)].key:
            self._again.clear()
        if call.key == self._first[len(self._again)].key:
            self._again.append(call)
        if len(self._again) < self._steps:
            return None
        again, self._again = self._again, []
        return self._told(again)

    def _told(self, again: list[Call]) -> Finding | None:
        unchanged = sum(call.outcome == first.outcome for call, first in zip(again, self._first, strict=True))
        distinct = len({call.key for call in again})
        if distinct < 2 or 2 * unchanged <= self._steps:
            return None
        self._times += 1
        if not worth_telling(self._growth, "restart", self._times):
            return None
        found = told(
            "restart",
            f"the run began again from its first steps ({names(again)}), {self._times + 1} beginnings so far",
            [*self._first, *again],
            calls=[call.name for call in again],
            times=self._times + 1,
        )
        return retold(self._growth, "restart", found)
