"""Judgements over many runs: how often each was given, the mean of its numbers, how often each of its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from instrument.analysis.metrics import MOST_GROUPS, OTHERS

MOST_WORDS = 20
"""So many different words of one score are told, the commonest first."""


class Judged(Struct, frozen=True):
    """How often a score was given; of its numbers the mean, the lowest and the highest, of its words how often each."""

    count: int
    mean: float | None = None
    lowest: float | None = None
    highest: float | None = None
    words: dict[str, int] = {}


class Judgements:
    """What is known of one score so far, from scores or their heads in any order."""

    def __init__(self) -> None:
        self.numbers = 0
        self.sum = 0.0
        self.lowest: float | None = None
        self.highest: float | None = None
        self.words: Counter[str] = Counter()

    def add(self, score: Any) -> None:
        """Count one."""
        value = score.value
        if value is None:
            word = score.label or ""
            self.words[word if word in self.words or len(self.words) < MOST_GROUPS else OTHERS] += 1
            return
        self.numbers += 1
        self.sum += value
        self.lowest = value if self.lowest is None else min(self.lowest, value)
        self.highest = value if self.highest is None else max(self.highest, value)

    def told(self) -> Judged:
        """What they come to."""
        return Judged(
            self.numbers + self.words.total(),
            self.sum / self.numbers if self.numbers else None,
            self.lowest,
            self.highest,
            dict(sorted(self.words.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]),
        )


class TooLow(Struct, frozen=True):
    """A score whose mean over `count` numbers, None for none, is less than the `least` that is asked for."""

    name: str
    least: float
    mean: float | None
    count: int


def too_low(scores: Iterable[Any], least: Mapping[str, float]) -> list[TooLow]:
    """Those of the asked-for scores whose mean is too low, or which nobody gave."""
    known = {name: Judgements() for name in least}
    for score in scores:
        if score.name in known:
            known[score.name].add(score)
    found = ((name, least[name], one.told().mean, one.numbers) for name, one in known.items())
    return [TooLow(*one) for one in found if one[2] is None or one[2] < one[1]]


def told(judgements: Mapping[str, Judgements]) -> dict[str, Judged]:
    """What they come to, by the names of the scores."""
    return {name: judgements[name].told() for name in sorted(judgements)}
