"""Quantiles of whole numbers without end in bounded memory: a merging t-digest.

After Dunning and Ertl, "Computing Extremely Accurate Quantiles Using t-Digests" (arXiv:1902.04023). Neighbours are kept
as their mean and how many they are. The ranks are divided into cells that are equally wide in the arcsine of the rank,
the paper's scale k1: the nearer to an end, the fewer stand together. The least and the greatest stand alone.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate, pairwise, starmap
from math import cos, isfinite, pi
from operator import add, mul, truediv

_CELLS = 200
_BOUNDS = [(1 - cos(pi * cell / _CELLS)) / 2 for cell in range(1, _CELLS)]
MOST_MEANS = 4 * _CELLS
"""So many are kept before neighbours are joined: the more, the less it costs."""


class Digest:
    """The distribution of whole numbers: exact for up to 200 of them."""

    __slots__ = ("_means", "_weights")

    def __init__(self) -> None:
        self._means, self._weights = array("d"), array("q")

    def extend(self, values: Iterable[int]) -> None:
        """Take in whole numbers; many at once cost least."""
        ordered = sorted(values)
        if not isfinite(sum(ordered)):
            raise ValueError("what is not finite has no rank")
        if len(ordered) > _CELLS:
            cells, weights = _cells_of_single(len(ordered))
            self._take(array("d", map(truediv, map(sum, map(ordered.__getitem__, cells)), weights)), weights)
        else:
            self._take(array("d", ordered), array("q", [1]) * len(ordered))

    def merge(self, other: Digest) -> None:
        """Take in what another has taken in."""
        self._take(other._means, other._weights)

    def quantiles(self, *shares: float) -> list[float]:
        """The values below which these shares (0 to 1) of all lie, interpolated between means; 0 without any."""
        if not self._means:
            return [0.0] * len(shares)
        means, weights = self._ordered()
        ends = list(accumulate(weights))
        return [_at(share * (ends[-1] - 1) + 0.5, means, weights, ends) for share in shares]

    def _take(self, means: array[float], weights: array[int]) -> None:
        self._means, self._weights = self._means + means, self._weights + weights
        if len(self._means) > MOST_MEANS:
            self._join_neighbours()

    def _join_neighbours(self) -> None:
        means, weights = self._ordered()
        ends = list(accumulate(weights, initial=0))
        doubled_middles, doubled = list(map(add, ends, ends[1:])), 2 * ends[-1]
        cells = _cells(len(means), [bisect_left(doubled_middles, bound * doubled) for bound in _BOUNDS])
        joined = array("q", map(sum, map(weights.__getitem__, cells)))
        sums = list(map(mul, means, weights))
        between = [
            min(max(sum(sums[cell]) / weight, means[cell.start]), means[cell.stop - 1])  # rounded it might pass them
            for cell, weight in zip(cells, joined, strict=True)
        ]
        self._means, self._weights = array("d", between), joined

    def _ordered(self) -> tuple[list[float], list[int]]:
        means, weights = self._means.tolist(), self._weights.tolist()
        order = sorted(range(len(means)), key=means.__getitem__)
        return [means[at] for at in order], [weights[at] for at in order]


@lru_cache(maxsize=16)
def _cells_of_single(count: int) -> tuple[list[slice], array[int]]:
    """Where so many single values are parted, into half as many cells, and how many stand in each."""
    cells = _cells(count, [int(bound * count + 0.5) for bound in _BOUNDS[1::2]])
    return cells, array("q", [cell.stop - cell.start for cell in cells])


def _cells(count: int, bounds: list[int]) -> list[slice]:
    return list(starmap(slice, pairwise(sorted({0, 1, *bounds, count - 1, count}))))


def _at(rank: float, means: list[float], weights: list[int], ends: list[int]) -> float:
    def middle(at: int) -> float:
        return ends[at] - weights[at] / 2

    above = bisect_left(range(len(ends)), rank, key=middle)
    if above == 0:
        return means[0]
    back = (middle(above) - rank) / (middle(above) - middle(above - 1))
    return means[above] - (means[above] - means[above - 1]) * back
