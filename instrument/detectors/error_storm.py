"""Failures piling up: several in a row, one tool failing on and on between other work, or half of all calls.

A tool that catches its errors and gives their text back, for the model to read, has failed as well.
"""

from __future__ import annotations

from instrument.detectors.calls import Call
from instrument.detectors.told import Growth, names, retold, told, worth_telling
from instrument.detectors.window import Window
from instrument.model import Finding
from instrument.thresholds import Thresholds


class ErrorStorm:
    """Watches the calls of one trace."""

    def __init__(self, limits: Thresholds) -> None:
        self._in_a_row = limits.failures_in_a_row
        self._of_one_tool = limits.failures_of_one_tool
        self._share = limits.failing_share
        self._growth: Growth = {}
        self._failures = self._straight = 0
        self._begin: Call | None = None

    def feed(self, call: Call, window: Window) -> Finding | None:
        """A finding when this failure is one too many."""
        if not call.failed:
            return None
        calls = [*window.calls, call]
        self._count(calls)
        return self._row(calls) or self._tool(call, calls) or (self._half(calls) if window.full else None)

    def _count(self, calls: list[Call]) -> None:
        """Count the failures of this storm. A new one begins where no other call in the window has failed."""
        if not any(one.failed for one in calls[:-1]):
            self._failures = 0
            self._growth.pop("storm", None)
        self._failures += 1

    def _row(self, calls: list[Call]) -> Finding | None:
        row = _failing_end(calls)
        self._straight = len(row) if len(row) < len(calls) else max(len(row), self._straight + 1)
        if self._begin is None or self._straight == len(row):
            self._begin = row[0]
        if len(row) < self._in_a_row:
            return None
        whole = row if self._begin is row[0] else [self._begin, *row]  # the window holds only the last of many
        return self._told(whole, f"{self._straight} calls in a row {_how(row)} ({names(row)})")

    def _tool(self, call: Call, calls: list[Call]) -> Finding | None:
        of_tool = _failing_end([one for one in calls if one.name == call.name])
        if len(of_tool) < self._of_one_tool:
            return None
        return self._told(of_tool, f"{call.name} {_how(of_tool)} {len(of_tool)} times without a success")

    def _half(self, calls: list[Call]) -> Finding | None:
        failed = [one for one in calls if one.failed]
        if len(failed) < self._share * len(calls):
            return None
        return self._told(failed, f"{len(failed)} of the last {len(calls)} calls {_how(failed)} ({names(failed)})")

    def _told(self, failed: list[Call], sentence: str) -> Finding | None:
        """One call that fails over and over is not told here: `again_after_failure` and `repeated_call` say more."""
        if len({one.key for one in failed}) < 2 or not worth_telling(self._growth, "storm", self._failures):
            return None
        found = told("error_storm", sentence, failed, calls=sorted({one.name for one in failed}), times=self._failures)
        return retold(self._growth, "storm", found)


def _failing_end(calls: list[Call]) -> list[Call]:
    successes = [number for number, one in enumerate(calls) if not one.failed]
    return calls[successes[-1] + 1 :] if successes else calls


def _how(failed: list[Call]) -> str:
    by_word = sum(one.by_word for one in failed)
    if not by_word:
        return "failed"
    return "gave errors as results" if by_word == len(failed) else "failed or gave errors as results"
