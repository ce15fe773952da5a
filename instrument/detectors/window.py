"""The last calls of one trace, and of each of its agents."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from instrument.attributes import AGENT_ID
from instrument.detectors.calls import Call, agent_of, call_of, without_text
from instrument.model import Span

M = TypeVar("M")

MOST_AGENTS = 64
"""So many agents of a run are remembered by themselves."""

_SWEPT = 127
"""After so many calls a window lets go of marks that it no longer holds."""


class Window:
    """The last calls of one trace, oldest first: one less than `size`, so that with the next call `size` are seen.

    Calls that could begin no pattern are only `noted`; they are made calls of when somebody asks for them. `count` is
    the place of the next call, `oldest` that of the oldest one that is still held.
    """

    __slots__ = ("_calls", "_keys", "_outcomes", "_swept", "count", "noted", "oldest", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.noted: deque[Span] = deque(maxlen=size - 1)
        self.count = self.oldest = self._swept = 0
        self._keys: dict[int, int] = {}
        self._outcomes: dict[int, int] = {}
        self._calls: deque[Call] = deque(maxlen=size - 1)

    @property
    def calls(self) -> deque[Call]:
        """The calls."""
        self._make_calls_of_noted()
        return self._calls

    @property
    def full(self) -> bool:
        """Whether with the next call as many are seen as ever can be."""
        return len(self.calls) == self.size - 1

    def holds(self, key: int) -> bool:
        """Whether a call with this key is among the last ones."""
        return bool(self.calls) and self._keys.get(key, -1) >= self.oldest

    def holds_outcome(self, outcome: int) -> bool:
        """Whether one of the last calls had this outcome."""
        return bool(self.calls) and self._outcomes.get(outcome, -1) >= self.oldest

    def add(self, call: Call) -> None:
        """Take the newest call in."""
        self._make_calls_of_noted()
        self._hold(call, self.count)
        self._move(1)

    def note(self, row: Sequence[Span]) -> None:
        """Take the newest calls in, of which a glance was enough."""
        self.noted.extend(row[1 - self.size :])
        self._move(len(row))

    def given(self, name: str) -> list[Any]:
        """The arguments of the calls of this name, as they came; None where they are not kept."""
        return [call.given_plain for call in self._unnoted() if call.name == name] + [
            span.input for span in self.noted if span.name == name
        ]

    def told(self, name: str) -> list[Any]:
        """The results of the calls of this name, as they came; None where they are not kept."""
        return [call.told_plain for call in self._unnoted() if call.name == name] + [
            span.output for span in self.noted if span.name == name
        ]

    def _unnoted(self) -> Iterable[Call]:
        return islice(self._calls, max(0, len(self._calls) + len(self.noted) - self.size + 1), None)

    def _move(self, calls: int) -> None:
        """So many more calls are in; now and then let go of marks that are no longer held."""
        self.count += calls
        self.oldest = max(0, self.count + 1 - self.size)
        if self.count >= self._swept + _SWEPT:
            self._swept = self.count
            self._keys, self._outcomes = self._recent(self._keys), self._recent(self._outcomes)

    def _make_calls_of_noted(self) -> None:
        while self.noted:
            call = call_of(self.noted.popleft())
            call.wordy, call.unread = False, call.wordy
            self._hold(call, self.count - len(self.noted) - 1)

    def _hold(self, call: Call, place: int) -> None:
        self._calls.append(call)
        self._keys[call.key] = self._outcomes[call.outcome] = place

    def _recent(self, places: dict[M, int]) -> dict[M, int]:
        return {mark: place for mark, place in places.items() if place >= self.oldest}


class OwnCalls:
    """The last calls of each agent of a run, once it has several: what the others do meanwhile hides none of them.

    They are held without their text, so that many agents take little memory.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._only: str | None = None
        self._of: OrderedDict[str, deque[Call]] = OrderedDict()

    def has_several(self, row: Sequence[Span]) -> bool:
        """Whether the run has several agents, with those of these calls."""
        if self._of:
            return True
        agents = [span.attributes.get(AGENT_ID) for span in row]
        return agents.count(agents[0]) < len(row) or agent_of(row[0]) != self._only

    def of(self, agent: str) -> Sequence[Call]:
        """Those of this agent, oldest first; none while the run has no other."""
        if self._only is None:
            self._only = agent
        if not self._of:
            if agent == self._only:
                return ()
            self._of[self._only] = self._held(map(without_text, self._window.calls))
        if agent not in self._of:
            if len(self._of) >= MOST_AGENTS:
                self._of.popitem(last=False)
            self._of[agent] = self._held(())
        self._of.move_to_end(agent)
        return self._of[agent]

    def add(self, call: Call) -> None:
        """Take the newest call in, for whose agent was asked."""
        if self._of:
            self._of[call.agent].append(without_text(call))

    def _held(self, calls: Iterable[Call]) -> deque[Call]:
        return deque(calls, maxlen=self._window.size - 1)


def is_among(calls: Iterable[Call], key: int) -> bool:
    """Whether a call with this key is one of them."""
    return any(one.key == key for one in calls)
