"""Many calls, nothing new: a search that goes on though its results are silent.

A result is news by its words that are neither in the question nor in the calls before. Calls that name other objects
than before (another file, another customer) are work even when their results are a bare `ok`. Programs and commands
print parts of what they are made of, which is no sign of silence, so more of them are needed.
"""

from __future__ import annotations

from collections.abc import Iterator

from instrument.detectors.calls import UNKNOWN, Call
from instrument.detectors.similarity import fills_blanks, same_object
from instrument.detectors.told import Growth, gone_on, names, told, worth_telling
from instrument.detectors.window import Window
from instrument.model import Finding
from instrument.thresholds import Thresholds

_KEPT = 15


class NoProgress:
    """Watches the calls of one trace; `idle` are the calls without news in direct succession so far."""

    def __init__(self, limits: Thresholds) -> None:
        self._most = limits.calls_without_news
        self._most_programs = limits.programs_without_news
        self._resembling = limits.resembling
        self._resembling_same_answer = limits.resembling_same_answer
        self._new_words = limits.new_words
        self._new_share = limits.new_share
        self._idle: list[Call] = []
        self.idle = 0
        self._growth: Growth = {}

    def feed(self, call: Call, window: Window) -> Finding | None:
        """A finding when this call is one too many without news."""
        if call.fingerprint == UNKNOWN or (call.is_silent and not call.failed):
            return None
        if not (call.wordy and self._is_idle(call, window)):
            self._wake()
            return None
        self._idle = [*self._idle[-_KEPT:], call]
        self.idle += 1
        most = self._most_programs if call.question.code else self._most
        if self.idle < most or not worth_telling(self._growth, "silence", self.idle):
            return None
        found = told(
            "no_progress",
            f"{self.idle} calls of {names(self._idle)} that resemble each other brought nothing new",
            self._idle,
            calls=sorted({one.name for one in self._idle}),
            times=self.idle,
        )
        return gone_on(self._growth, "silence", found)

    def _wake(self) -> None:
        if self.idle:
            self._idle, self.idle = [], 0
            self._growth.pop("silence", None)

    def _is_idle(self, call: Call, window: Window) -> bool:
        resembles = any(self._resembles(one, call) for one in window.calls if one.name == call.name)
        return resembles and (call.failed or self._brings_nothing(call, window))

    def _resembles(self, before: Call, call: Call) -> bool:
        if before.key == call.key:
            return before.outcome == call.outcome
        alike = call.likeness(before)
        loose = alike >= self._resembling_same_answer and not call.question.code
        if alike >= self._resembling or (loose and call.tells_no_more(before)):
            return not fills_blanks(before.question, call.question)
        return call.failed and before.failed and same_object(before.question, call.question)

    def _brings_nothing(self, call: Call, window: Window) -> bool:
        most = min(self._new_words, self._new_share * len(call.answer))
        news = call.answer
        for known in _known(call, window):
            if len(news) <= most:
                break
            news = news - known
        return len(news) <= most


def _known(call: Call, window: Window) -> Iterator[frozenset[str]]:
    """The words that are no news; each text is read when it is asked for, likely ones first."""
    yield call.asked
    for one in reversed(window.calls):
        yield one.answer
    for one in reversed(window.calls):
        yield one.asked
