"""What is usual: durations, costs and counts of earlier calls and runs by name, as small mergeable histograms.

A histogram has eight buckets to an octave, as HDR histograms do, so that quantiles are right to about 6% whatever the
range. It holds at most a few hundred numbers; when it has seen `_MOST_VALUES` all counts are halved, so that what is
usual follows the present.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from instrument.errors import InstrumentError

_MOST_VALUES = 8_192
_MOST_SERIES = 2_048
_MOST_FRESH = 128
"""So many values wait at most to be put into buckets together."""
_FINE = 16
_MOST_LOG = 100.0
_LAST, _MOST_TIMES = 8_192, 1 << 53
"""No bucket of what a float can hold lies behind this one, no count is larger."""
_NORMAL = 1.4826
"""Median absolute deviation of normally distributed values times this is their standard deviation."""


def bucket(value: int) -> int:
    """The bucket of a whole number from 0 on; larger numbers never lie in smaller buckets."""
    if value < _FINE:
        return max(value, 0)
    shift = value.bit_length() - 4
    return shift * 8 + (value >> shift)


def least(number: int) -> int:
    """The smallest value in a bucket."""
    if number < _FINE:
        return number
    shift = number // 8 - 1
    return (number - shift * 8) << shift


def middle(number: int) -> float:
    """The value in the middle of a bucket."""
    return (least(number) + least(number + 1) - 1) / 2


Saved = dict[str, dict[str, dict[str, int]]]


class Beyond(Struct, frozen=True, kw_only=True):
    """When a value is far beyond what is usual, which is the quantile `usual` of the values known before.

    It must be beyond it by all three: by `deviations` (robust ones, of the logarithms), by the factor `times` and by
    the amount `least`. Nothing is far before `enough` values are known.
    """

    times: float
    least: float
    enough: int
    deviations: float = 0.0
    usual: float = 0.5


class Series:
    """The values of one measure of one name; beyond `limit` is far, it is infinite while too few are known."""

    __slots__ = ("_beyond", "_counts", "_fresh", "_judged", "_learned", "_room", "_total", "limit")

    def __init__(self, beyond: Beyond, counts: Mapping[int, int] | None = None) -> None:
        self._beyond = beyond
        self._counts = dict(counts or {})
        self._total = sum(self._counts.values())
        self._fresh: list[int] = []
        self._learned: dict[int, int] = {}
        self.limit = math.inf
        self._judged = self._room = 0
        self._judge()

    @property
    def counts(self) -> dict[int, int]:
        """How many values lie in each bucket."""
        self._sort()
        return self._counts

    def learned(self) -> dict[int, int]:
        """Those of them that have come since this was asked last, and not by `merge`."""
        self._sort()
        learned, self._learned = self._learned, {}
        return learned

    @property
    def total(self) -> int:
        """How many values there are."""
        return self._total + len(self._fresh)

    def add(self, value: int) -> None:
        """Take in one value, 0 or more; it is sorted in with others, when somebody asks or the limit is due."""
        fresh = self._fresh
        fresh.append(value)
        if len(fresh) >= self._room:
            self._sort()

    def extend(self, values: Iterable[int]) -> None:
        """Take in several values, as `add` does one."""
        self._fresh.extend(values)
        if len(self._fresh) >= self._room:
            self._sort()

    def merge(self, counts: Mapping[int, int]) -> None:
        """Take in the values of another series."""
        mine = self.counts
        for number, times in counts.items():
            mine[number] = mine.get(number, 0) + times
        self._total, self._room = sum(mine.values()), 0
        self._judge()

    def quantile(self, share: float) -> float:
        """The value below which this share of all lies, right to about 6%; 0 of an empty series."""
        return _quantile([(middle(number), times) for number, times in self.counts.items()], share)

    def spread(self) -> float:
        """The median absolute deviation of the logarithms: durations and costs spread by factors, not by sums."""
        centre = math.log(max(self.quantile(0.5), 1))
        apart = [(abs(math.log(max(middle(number), 1)) - centre), times) for number, times in self.counts.items()]
        return _quantile(apart, 0.5)

    def _sort(self) -> None:
        """Put the fresh values into their buckets: in order, so that one look finds all that lie in the same one."""
        fresh, self._fresh = sorted(self._fresh), []
        counts, learned, at = self._counts, self._learned, 0
        while at < len(fresh):
            number = bucket(fresh[at])
            end = bisect_left(fresh, least(number + 1), at)
            counts[number] = counts.get(number, 0) + end - at
            learned[number] = learned.get(number, 0) + end - at
            at = end
        self._total += len(fresh)
        if self._total >= self._judged:
            self._judge()
        self._room = min(_MOST_FRESH, self._judged - self._total)

    def _judge(self) -> None:
        """Fix the limit anew; done each time the series has grown by a quarter."""
        if self._total >= _MOST_VALUES:
            self._halve()
        self._judged = self._total + max(self._beyond.enough, self._total // 4)
        if self._total < self._beyond.enough:
            self._judged = self._beyond.enough
            return
        usual = self.quantile(self._beyond.usual)
        factor = math.exp(min(self._beyond.deviations * _NORMAL * self.spread(), _MOST_LOG))
        self.limit = max(usual * max(factor, self._beyond.times), usual + self._beyond.least)

    def _halve(self) -> None:
        self._counts, self._learned = _halved(self._counts), _halved(self._learned)
        self._total = sum(self._counts.values())


class History:
    """All series by measure and name; `save()` gives plain values for JSON, `History(saved)` takes them back."""

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        self._saved: dict[tuple[str, str], dict[int, int]] = {}
        self._series: dict[tuple[str, str], Series] = {}
        if saved is not None:
            self.load(saved)

    def series(self, measure: str, name: str, beyond: Beyond) -> Series | None:
        """The series of a measure (`duration`, `cost`, …) of a name; None when too many names are known already."""
        key = (measure, name)
        found = self._series.get(key)
        if found is None and (key in self._saved or len(self._series) + len(self._saved) < _MOST_SERIES):
            found = self._series[key] = Series(beyond, self._saved.pop(key, None))
        return found

    def copy(self) -> History:
        """What is known here, for one who may learn more without teaching it to this one."""
        fresh = History()
        fresh._saved = {**self._saved, **{key: dict(series.counts) for key, series in self._series.items()}}
        return fresh

    def known(self, measure: str, name: str) -> Series | None:
        """The series of a measure of a name where one has been asked for before."""
        return self._series.get((measure, name))

    def load(self, saved: Mapping[str, Any]) -> None:
        """Add what `save()` gave, of this process or another; raises `InstrumentError` for anything else."""
        if not isinstance(saved, Mapping):
            raise InstrumentError("the history is damaged (no table of measures); delete it to begin a new one")
        for measure, by_name in saved.items():
            for name, counts in _checked(by_name, measure).items():
                self._merge((measure, name), counts)

    def save(self) -> Saved:
        """All series as plain values: measure → name → bucket → how many."""
        return _plain({**self._saved, **{key: series.counts for key, series in self._series.items()}})

    def learned(self) -> Saved:
        """The same of what was learned here since this was asked last: what others may `load` to know it as well."""
        return _plain({key: counts for key, series in self._series.items() if (counts := series.learned())})

    def _merge(self, key: tuple[str, str], counts: dict[int, int]) -> None:
        if key in self._series:
            self._series[key].merge(counts)
        elif key in self._saved or len(self._series) + len(self._saved) < _MOST_SERIES:
            mine = self._saved.setdefault(key, {})
            for number, times in counts.items():
                mine[number] = mine.get(number, 0) + times


def _plain(known: Mapping[tuple[str, str], Mapping[int, int]]) -> Saved:
    saved: Saved = {}
    for (measure, name), counts in known.items():
        saved.setdefault(measure, {})[name] = {str(number): times for number, times in counts.items()}
    return saved


def _halved(counts: Mapping[int, int]) -> dict[int, int]:
    return {number: times // 2 for number, times in counts.items() if times > 1}


def _checked(by_name: Any, measure: str) -> dict[str, dict[int, int]]:
    try:
        read = {
            str(name): {int(number): int(times) for number, times in counts.items()} for name, counts in by_name.items()
        }
    except (AttributeError, TypeError, ValueError, OverflowError) as fault:
        raise InstrumentError(
            f"the history of {measure!r} is damaged ({fault}); delete it to begin a new one"
        ) from None
    for counts in read.values():
        if not all(0 <= number <= _LAST and 0 <= times <= _MOST_TIMES for number, times in counts.items()):
            raise InstrumentError(
                f"the history of {measure!r} is damaged (a count that cannot be); delete it to begin a new one"
            )
    return read


def _quantile(weighted: list[tuple[float, int]], share: float) -> float:
    rank, passed = share * sum(times for _, times in weighted), 0
    for value, times in sorted(weighted):
        passed += times
        if passed >= rank:
            return value
    return 0.0
