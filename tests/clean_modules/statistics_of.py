"""Plain statistics of a list of numbers."""

from __future__ import annotations

import math


def mean(values: list[float]) -> float:
    """The arithmetic mean; 0 for no values."""
    if not values:
        return 0.0
    return sum(values) / len(values)


def variance(values: list[float]) -> float:
    """The sample variance; needs two values."""
    count = len(values)
    if count < 2:
        raise ValueError("variance needs two values")
    middle = mean(values)
    return sum((value - middle) ** 2 for value in values) / (count - 1)


def deviation(values: list[float]) -> float:
    return math.sqrt(variance(values))


def median(values: list[float]) -> float:
    if not values:
        raise ValueError("median of no values")
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def percentile(values: list[float], share: float) -> float:
    if not values:
        raise ValueError("percentile of no values")
    ordered = sorted(values)
    place = min(int(share * len(ordered)), len(ordered) - 1)
    return ordered[place]


def spread(values: list[float]) -> float:
    if len(values) == 0:
        return 0.0
    return max(values) - min(values)


def moving_average(values: list[float], width: int) -> list[float]:
    if width < 1:
        raise ValueError("width must be at least 1")
    result = []
    for index in range(len(values) - width + 1):
        window = values[index : index + width]
        result.append(sum(window) / width)
    return result


def normalised(values: list[float]) -> list[float]:
    total = sum(values)
    if total == 0:
        return [0.0 for _ in values]
    return [value / total for value in values]
