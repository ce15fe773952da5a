"""All patterns of one trace: each of its calls is shown to each pattern, the plainest finding about it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from instrument.detectors.again_after_failure import AgainAfterFailure
from instrument.detectors.calls import Call, key_of, outcome
from instrument.detectors.cycle import Cycle
from instrument.detectors.error_storm import ErrorStorm
from instrument.detectors.glance import answer_anew, ask_anew
from instrument.detectors.near_repeat import NearRepeat
from instrument.detectors.no_progress import NoProgress
from instrument.detectors.repeated_call import RepeatedCall
from instrument.detectors.restart import Restart
from instrument.detectors.same_answer import SameAnswer
from instrument.detectors.told import some
from instrument.detectors.window import OwnCalls, Window, is_among
from instrument.detectors.words import Vocabulary
from instrument.model import Finding, Span
from instrument.thresholds import Thresholds

READ_A_SECOND = 25
READ_AT_ONCE = 24
"""Of calls whose arguments hold prose so many are read in a second of the run, and so many in a burst (calls that a
model asked for at once); reading one and comparing it with the last ones costs a tenth of a millisecond. Those
before it of which a glance was enough count as well: they are read to be compared with it."""

READ_OF_A_BURST = 1 / 1024
"""The share of calls that is read where they follow each other faster than that: such a run is led by no model, and
what it costs to watch is then a share of its calls, not of the time that a busy machine makes of them."""

M = TypeVar("M")

_STEP_NS = 1_000_000_000 // READ_A_SECOND


class Patterns:
    """The tool calls of one trace and what watches them."""

    def __init__(self, limits: Thresholds) -> None:
        self.window = Window(limits.window)
        self.own = OwnCalls(self.window)
        self._telling_bytes = limits.telling_answer
        self._cycle = Cycle(limits)
        self._restart = Restart(limits)
        self._repeated = RepeatedCall(limits)
        self._again = AgainAfterFailure(limits)
        self._storm = ErrorStorm(limits)
        self._near = NearRepeat(limits)
        self._silence = NoProgress(limits)
        self._answers = SameAnswer(limits)
        self._calm = False
        self._time = float(READ_AT_ONCE)
        self._met_at = 0
        self._vocabulary: Vocabulary | None = None

    def passed_over(self, call: Call, times: int) -> None:
        """So many calls equal to this one were made and not looked at."""
        self._repeated.count(call, times)

    def passes(self, row: Sequence[Span], tools: Mapping[str, list[Span]]) -> bool:
        """Whether a glance shows that no pattern could begin with any of these calls; they are noted then.

        Nearly all calls of a run that makes them by the thousand end here: a fifth of what a look at each costs. Prose
        that is too long for a glance to tell its words is not read then: no model rewords so many questions at once.
        Of calls that are made no faster than they can be read each is looked at.
        """
        if not self._calm or row[-1].start_ns - row[0].start_ns >= len(row) * _STEP_NS:
            return False
        if self.own.has_several(row):
            return False
        if not all(self._is_new(name, calls) for name, calls in tools.items()):
            return False
        for name, calls in tools.items():
            self._answers.of[name].note(calls[-1])
        self.window.note(row)
        return True

    def _is_new(self, name: str, calls: list[Span]) -> bool:
        """Whether a glance shows that these calls of one tool differ from each other and from the last ones."""
        answers = self._answers.of.get(name)
        if answers is None:
            return False
        given, told = [span.input for span in calls], [span.output for span in calls]
        if answers.varied:
            are_told = answer_anew(told, [*self.window.told(name), answers.told])
        elif answers.last.is_silent and all(one is None for one in told):
            are_told = True  # a tool that never says anything: nothing follows from its saying nothing again
        else:
            return False
        are_asked = ask_anew(given, [*self.window.given(name), *self._restart.given(name)])
        return (are_asked or _differ(map(key_of, calls), self._knows_key)) and (
            are_told or _differ(map(outcome, told), lambda one: answers.again(one) or self.window.holds_outcome(one))
        )

    def _knows_key(self, key: int | None) -> bool:
        return key is None or key in self._restart.keys or self.window.holds(key)

    def feed(self, call: Call, known: bool) -> list[Finding]:
        """What this call shows; `known` says that the window holds its equal."""
        if call.wordy and not self._has_time_to_read(call):
            call.wordy = False
        own = self.own.of(call.agent)
        if self._calm and not (known or is_among(own, call.key) or self._may_show_something(call)):
            found = some(self._answers.feed(call))
        elif self._is_passed_on(call):
            return []
        else:
            found = some(*self._look(call, own))
        self.window.add(call)
        self.own.add(call)
        return found

    def _has_time_to_read(self, call: Call) -> bool:
        """Whether prose is read: no model leads a run that makes hundreds of calls a second, so only some are."""
        since = call.start_ns - self._met_at
        self._met_at = call.start_ns
        self._time = min(READ_AT_ONCE, self._time + (since / _STEP_NS if since >= _STEP_NS else READ_OF_A_BURST))
        unread = [one for one in self.window.calls if one.unread and one.name == call.name]
        if self._time < 1 + len(unread):
            return False
        self._time -= 1 + len(unread)
        for one in unread:
            one.unread = False
        return True

    def _may_show_something(self, call: Call) -> bool:
        """Whether any pattern but `same_answer` could begin with this call; for most calls of a healthy run: no."""
        return (
            call.failed
            or call.wordy
            or call.key in self._restart.keys
            or (self._answers.again(call.name, call.outcome) and not call.is_silent)
            or (self.window.holds_outcome(call.outcome) and len(call.output) > self._telling_bytes)
        )

    def _look(self, call: Call, own: Sequence[Call]) -> list[Finding | None]:
        window = self.window
        if call.wordy and (self._vocabulary is None or self._vocabulary.is_full):
            self._vocabulary = Vocabulary()
        call.vocabulary = self._vocabulary
        cycle, restart = self._cycle.feed(call, window), self._restart.feed(call)
        found = [cycle]
        if not self._cycle.turning:
            found += [
                restart,
                self._repeated.feed(call, window, own),
                self._near.feed(call, window),
                self._silence.feed(call, window),
                self._answers.feed(call),
            ]
        found += [self._again.feed(call), self._storm.feed(call, window)]
        self._calm = self._restart.waiting and not (self._cycle.begun or self._silence.idle or self._again.attempts)
        return found

    def _is_passed_on(self, call: Call) -> bool:
        """Whether the call before, which this one made, has failed as well: that is one failure, not two."""
        last = self.window.calls[-1] if self.window.calls else None
        return last is not None and call.failed and last.failed and last.parent_id == call.span_id


def _differ(marks: Iterable[M], is_known: Callable[[M], bool]) -> bool:
    """Whether each is new, among these too: what a glance cannot tell of nested values and of texts with blanks."""
    seen: set[M] = set()
    for mark in marks:
        if mark in seen or is_known(mark):
            return False
        seen.add(mark)
    return True
