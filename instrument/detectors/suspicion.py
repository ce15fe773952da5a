"""What a finding says against the next call where equal fingerprints are not the point: questions that resemble each
other, tools that fail on and on, a run that begins again, a limit that was passed.

Such a finding comes from behind, when the calls have been read. From then on the call that would continue its pattern
is spoken against, until something else has been done with success; then it may be tried once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from msgspec import Raw

from instrument.detectors.calls import Call, Done, encoded
from instrument.detectors.same_answer import is_empty
from instrument.detectors.similarity import Question, fills_blanks, likeness, question
from instrument.detectors.words import letters
from instrument.model import Finding
from instrument.thresholds import Thresholds

BY_NAME = frozenset({"error_storm", "tool_abuse"})
"""Patterns that any call of the tools goes on with."""

BY_LIKENESS = frozenset({"near_repeat", "again_after_failure", "no_progress"})
"""Patterns that a call goes on with when it asks what was asked."""

BY_INPUT = frozenset({"restart"})
"""Patterns that a call goes on with when it is one of those that prove them."""

SUSPECTED = BY_NAME | BY_LIKENESS | BY_INPUT


class Asked:
    """A call that is to be made: its name, the key of its input, and its input for who must read it."""

    def __init__(self, name: str, key: int, given: object) -> None:
        self.name = name
        self.key = key
        self._input = encoded(given)

    @property
    def is_known(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._input)

    @cached_property
    def question(self) -> Question:
        """What is asked."""
        return question(self._input)

    @cached_property
    def letters(self) -> str:
        """The input without case, blanks and punctuation."""
        return letters(self._input)


class Suspicion:
    """One finding as it stands against further calls of its trace; `free` once something else was done with success.

    One that `endures` is not let go of: a limit that was passed stays passed.
    """

    def __init__(self, finding: Finding, calls: Sequence[Call], limits: Thresholds) -> None:
        self.finding = finding
        self.free = False
        self.endures = finding.detector == "tool_abuse"
        self._calls = calls
        self._keys = {call.key for call in calls}
        self._names = frozenset(finding.data.get("calls", ()))
        self._alike = _alike(finding, calls, limits)
        self._last_ns = max((call.start_ns for call in calls), default=0)

    @property
    def pattern(self) -> tuple[str, frozenset[str]]:
        """What it is about: a newer one about the same takes its place."""
        return self.finding.detector, self._names

    def is_continued_by(self, asked: Asked) -> bool:
        """Whether the call would go on with the pattern."""
        if self.finding.detector in BY_INPUT:
            return asked.key in self._keys
        if asked.name not in self._names:
            return False
        if self.finding.detector in BY_NAME or asked.key in self._keys:
            return True
        return asked.is_known and any(self._resembles(call, asked) for call in self._calls if call.name == asked.name)

    def is_freed_by(self, done: Done) -> bool:
        """Whether this call was something else, done with success, or the success of a tool that failed on and on."""
        if done.failed or self.endures or done.start_ns <= self._last_ns:
            return False
        if self.finding.detector == "error_storm":
            return True
        return done.key not in self._keys if self.finding.detector in BY_INPUT else done.name not in self._names

    def is_renewed_by(self, call: Call) -> bool:
        """Whether the one try that was free went on with the pattern."""
        needs_failure = self.finding.detector in ("error_storm", "again_after_failure")
        return (call.failed or not needs_failure) and self.is_continued_by(Asked(call.name, call.key, Raw(call.input)))

    def _resembles(self, before: Call, asked: Asked) -> bool:
        if self._alike is None or before.letters == asked.letters:
            return True
        alike = likeness(before.question, asked.question) >= self._alike
        return alike and not fills_blanks(before.question, asked.question)


def _alike(finding: Finding, calls: Sequence[Call], limits: Thresholds) -> float | None:
    """How much a question must resemble those that were asked; None where it does not matter what is asked.

    Where different questions had one empty answer the search itself is in vain.
    """
    if finding.detector == "no_progress":
        return None if calls and all(is_empty(call.output) for call in calls) else limits.resembling
    has_one_answer = len({call.outcome for call in calls}) == 1
    return limits.reworded_same_answer if has_one_answer else limits.reworded
