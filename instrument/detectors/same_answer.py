"""One answer to every question: a tool that used to say more gives the same result to different questions in a row.

A tool that never said anything else, such as one that only confirms, is not meant. Empty results are a search in vain;
an answer with content (`in stock`) may well be true of many things and is worth a hint only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from instrument.detectors.calls import UNKNOWN, Call, call_of, plain
from instrument.detectors.told import Growth, gone_on, told, worth_telling
from instrument.model import Finding, Span
from instrument.thresholds import Thresholds

_EMPTY_TEXTS = frozenset(("", "[]", "{}", "None", "null"))
_MOST_TOOLS = 64
_KEPT = 16


class SameAnswer:
    """Watches the calls of one trace; `of` are the answers by tool."""

    def __init__(self, limits: Thresholds) -> None:
        self._most = limits.calls_without_news + 1
        self.of: dict[str, Answers] = {}
        self._growth: Growth = {}

    def feed(self, call: Call) -> Finding | None:
        """A finding when this question is one too many with the same answer."""
        answers = self.of.get(call.name)
        if answers is None:
            self._begin(call)
            return None
        if answers.add(call) < self._most or not answers.varied:
            return None
        if not worth_telling(self._growth, (call.name, call.outcome), answers.times):
            return None
        found = told(
            "no_progress",
            f"{call.name} gave {answers.times} different questions in a row one answer, after it had given others",
            answers.calls,
            severity="warning" if is_empty(call.output) else "info",
            measure="one answer",
            calls=[call.name],
            times=answers.times,
        )
        return gone_on(self._growth, (call.name, call.outcome), found)

    def again(self, name: str, outcome: int) -> bool:
        """Whether the last call of this tool had this answer."""
        answers = self.of.get(name)
        return answers is not None and answers.again(outcome)

    def _begin(self, call: Call) -> None:
        if len(self.of) >= _MOST_TOOLS:
            del self.of[next(iter(self.of))]
        self.of[call.name] = Answers(call)


class Answers:
    """What one tool answered: how many different questions in a row got the answer that the last one got."""

    __slots__ = ("_last", "calls", "times", "varied")

    def __init__(self, call: Call) -> None:
        self._last: Call | Span = call
        self.calls: tuple[Call, ...] = ()
        self.times = 1
        self.varied = False

    @property
    def last(self) -> Call:
        """The last call."""
        if not isinstance(self._last, Call):
            self._last = call_of(self._last)
        return self._last

    @property
    def told(self) -> Any:
        """The last answer as it came; None where it is not kept."""
        return self._last.told_plain if isinstance(self._last, Call) else self._last.output

    def again(self, outcome: int) -> bool:
        """Whether the last call had this answer."""
        return self.last.outcome == outcome

    def note(self, span: Span) -> None:
        """Take in a call whose answer differs, at a glance, from the one before."""
        self._last, self.times = span, 1

    def add(self, call: Call) -> int:
        """Take in the next call; how many different questions now had the answer of this one."""
        last, self._last = self.last, call
        if last.outcome != call.outcome:
            self.varied = self.varied or not (last.failed or call.failed)
            self.times = 1
            return 1
        if self.times == 1:
            self.calls = (last,)
        if last.key != call.key and not call.failed and call.fingerprint != UNKNOWN:
            self.calls = (*self.calls[1 - _KEPT :], call)
            self.times += 1
        return self.times


def is_empty(output: bytes) -> bool:
    """Whether an encoded result says nothing: `[]`, `{"found":[],"total":0}`, the text of such a one."""
    return output == b"" or _says_nothing(plain(Raw(output)), output)


def _says_nothing(value: Any, output: bytes) -> bool:
    if isinstance(value, dict | list):
        return not any(_leaves(value))
    return value in _EMPTY_TEXTS if isinstance(value, str) else output == b"null"


def _leaves(value: Any) -> Iterator[bool]:
    """Of each part of a result that holds no others: whether it says something."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    else:
        yield bool(value)
