"""The same question in other words, or different questions that keep getting the same long answer.

Identifiers and numbers in the arguments must be the same, words of prose may be moved, added and dropped. Putting
another name into the same sentence is going through a list; only a long answer that is the same each time belies it.
"""

from __future__ import annotations

from instrument.detectors.calls import UNKNOWN, Call
from instrument.detectors.similarity import extends, fills_blanks
from instrument.detectors.told import Growth, brief, gone_on, told, worth_telling
from instrument.detectors.window import Window
from instrument.model import Finding
from instrument.thresholds import Thresholds


class NearRepeat:
    """Watches the calls of one trace."""

    def __init__(self, limits: Thresholds) -> None:
        self._repeats = limits.repeats
        self._alike = limits.reworded
        self._alike_same_answer = limits.reworded_same_answer
        self._telling = limits.telling_answer
        self._growth: Growth = {}
        self._family: frozenset[int] = frozenset()
        self._times = 0

    def feed(self, call: Call, window: Window) -> Finding | None:
        """A finding when this call asks once too often what was asked before."""
        if call.fingerprint == UNKNOWN:
            return None
        wordings = self._wordings(call, window)
        if len(wordings) < self._repeats or len({one.key for one in wordings}) == 1:
            return None
        return self._told(call, wordings)

    def _wordings(self, call: Call, window: Window) -> list[Call]:
        """This call and those before it that asked the same, each wording once for each outcome that repeats."""
        found: list[Call] = []
        outcome_of: dict[int, int] = {}
        direct = True
        for one in reversed(window.calls):
            if one.name != call.name or not self._asks_the_same(one, call, direct):
                direct = False
            elif outcome_of.setdefault(one.key, one.outcome) == one.outcome:
                found.append(one)
        if found and not call.failed:
            found += self._of_the_same_answer(call, found, window)
        return [*sorted(found, key=_start), call]

    def _of_the_same_answer(self, call: Call, found: list[Call], window: Window) -> list[Call]:
        """Calls with the answer of this one that resemble one of those found, if not this one."""
        others = [one for one in window.calls if one.name == call.name and one.outcome == call.outcome]
        return [
            one
            for one in others
            if one not in found and any(f.outcome == one.outcome and self._is_told_by_answer(f, one) for f in found)
        ]

    def _asks_the_same(self, before: Call, call: Call, direct: bool) -> bool:
        same_answer = before.outcome == call.outcome
        if before.key == call.key:
            return same_answer
        if same_answer and not call.failed and self._is_told_by_answer(before, call):
            return True
        return (call.wordy or before.letters == call.letters) and self._is_reworded(before, call, direct)

    def _is_told_by_answer(self, before: Call, call: Call) -> bool:
        if call.letters == before.letters or len(call.answer) >= self._telling:
            return True
        one, other = before.question, call.question
        if call.is_silent or other.code:
            return False  # what acts and says nothing says the same of every act
        if not other.words:
            return extends(one, other)
        return call.likeness(before) >= self._alike_same_answer and not fills_blanks(one, other)

    def _is_reworded(self, before: Call, call: Call, direct: bool) -> bool:
        """Programs and commands that resemble each other ask the same only in direct succession: they act.

        What was done in between may have been the edit that makes the same command a new one.
        """
        if call.likeness(before) < self._alike or (call.question.code and not direct):
            return False
        return not fills_blanks(before.question, call.question)

    def _told(self, call: Call, wordings: list[Call]) -> Finding | None:
        times = self._times_of_family(wordings)
        if not worth_telling(self._growth, "family", times):
            return None
        found = told(
            "near_repeat",
            f"{call.name} was asked nearly the same {times} times in other words, last as {brief(call)}",
            wordings,
            calls=[call.name],
            times=times,
        )
        return gone_on(self._growth, "family", found)

    def _times_of_family(self, wordings: list[Call]) -> int:
        """How often this question was asked so far; a question that shares no wording with the last one is new."""
        if self._family.isdisjoint(one.key for one in wordings[:-1]):
            self._growth.pop("family", None)
            self._times = 0
        self._family = frozenset(one.key for one in wordings)
        self._times = max(self._times + 1, len(wordings))
        return self._times


def _start(call: Call) -> int:
    return call.start_ns
