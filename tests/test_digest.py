"""Quantiles out of a t-digest: exact for few values, near the true rank for many, in bounded memory."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instrument.analysis.digest import MOST_MEANS, Digest
from instrument.analysis.metrics import percentile

MANY = 3_000
SMOOTH: dict[str, Callable[[random.Random, int], int]] = {
    "narrow": lambda draw, at: int(draw.lognormvariate(15, 0.1)),
    "wide": lambda draw, at: int(draw.lognormvariate(15, 3)),
    "even": lambda draw, at: draw.randrange(10**9),
    "heavy tail": lambda draw, at: int(1000 * draw.paretovariate(0.5)),
    "heavy tails": lambda draw, at: int(draw.gauss(0, 1000) / (draw.random() + 1e-9)),
    "rising": lambda draw, at: at,
    "falling": lambda draw, at: -at,
    "from without": lambda draw, at: at if at % 2 else 2 * MANY - at,
    "from within": lambda draw, at: at if at % 2 else -at,
}
smooth = st.builds(
    lambda spread, draw: [SMOOTH[spread](draw, at) for at in range(MANY)],
    st.sampled_from(sorted(SMOOTH)),
    st.builds(random.Random, st.integers(0)),
)
numbers = st.integers(-(10**15), 10**15)
leaping = st.builds(
    lambda values, draw: draw.choices(values, [draw.random() ** 3 + 1e-9 for _ in values], k=MANY),
    st.lists(numbers, min_size=1, max_size=20),
    st.builds(random.Random, st.integers(0)),
)
batches = st.integers(1, 1_500)


def digest(values: list[int], batch: int = MANY) -> Digest:
    made = Digest()
    for start in range(0, len(values), batch):
        made.extend(values[start : start + batch])
    return made


@given(st.lists(numbers, max_size=200), batches, st.floats(0, 1))
def test_quantiles_of_few_values_are_exact(values: list[int], batch: int, share: float) -> None:
    """For all values and shares they are what interpolation between the values in order gives."""
    assert [pytest.approx(percentile(sorted(values), share), rel=1e-9)] == digest(values, batch).quantiles(share)


@settings(max_examples=30)
@given(smooth, batches, st.floats(0, 1))
def test_quantiles_of_values_without_gaps_have_their_rank_to_a_hundredth(
    values: list[int], batch: int, share: float
) -> None:
    """At worst, whatever their order and the batches that they come in."""
    (found,) = digest(values, batch).quantiles(share)
    values.sort()
    assert bisect_left(values, found) / MANY - 0.01 <= share <= bisect_right(values, found) / MANY + 0.01


@settings(max_examples=30)
@given(leaping, batches, st.floats(0, 1))
def test_quantiles_of_values_that_leap_have_their_rank_to_three_hundredths(
    values: list[int], batch: int, share: float
) -> None:
    """What is found lies between those of neighbouring shares, but for what floats round."""
    (found,) = digest(values, batch).quantiles(share)
    values.sort()
    below, above = (percentile(values, min(max(share + off, 0), 1)) for off in (-0.03, 0.03))
    assert below - abs(below) * 1e-9 <= found <= above + abs(above) * 1e-9


@pytest.mark.parametrize("spread", [0.1, 1, 3])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_quantiles_have_their_rank_to_half_a_hundredth_as_a_rule(spread: float, share: float) -> None:
    """For the narrow and the widest spread."""
    draw = random.Random(7)
    values = [int(draw.lognormvariate(15, spread)) for _ in range(20_000)]
    (found,) = digest(values, 1024).quantiles(share)
    values.sort()
    assert bisect_left(values, found) / 20_000 - 0.005 <= share <= bisect_right(values, found) / 20_000 + 0.005


@settings(max_examples=30)
@given(smooth | leaping, batches)
def test_the_least_and_the_greatest_are_exact(values: list[int], batch: int) -> None:
    """They stand alone, however many there are."""
    assert [min(values), max(values)] == digest(values, batch).quantiles(0, 1)


@given(numbers, st.integers(1, MANY), batches, st.floats(0, 1))
def test_of_one_value_again_and_again_every_quantile_is_it(value: int, count: int, batch: int, share: float) -> None:
    """To the last digit."""
    assert [value] == digest([value] * count, batch).quantiles(share)


@given(st.lists(numbers, max_size=50), st.lists(numbers, max_size=50), st.floats(0, 1))
def test_two_merged_are_the_digest_of_both(one: list[int], other: list[int], share: float) -> None:
    """For all values: names and processes can be added up."""
    merged = digest(one)
    merged.merge(digest(other))
    assert digest(one + other).quantiles(share) == pytest.approx(merged.quantiles(share), rel=1e-9)


def test_many_merged_have_nearly_the_rank_of_all() -> None:
    """As if one had taken in all."""
    draw = random.Random(7)
    parts = [[int(draw.lognormvariate(12 + part, 0.5)) for _ in range(MANY)] for part in range(10)]
    merged = Digest()
    for part in parts:
        merged.merge(digest(part, 512))
    values = sorted(value for part in parts for value in part)
    assert [pytest.approx(share, abs=0.005) for share in (0.1, 0.5, 0.9, 0.99)] == [
        bisect_left(values, found) / len(values) for found in merged.quantiles(0.1, 0.5, 0.9, 0.99)
    ]


@settings(max_examples=10)
@given(st.lists(batches, max_size=20))
def test_a_digest_stays_small(sizes: list[int]) -> None:
    """However many values there are and however they come, no more than so many means are kept."""
    made, kept = Digest(), []
    for size in sizes:
        made.extend(range(size))
        made.merge(made)
        kept.append(len(made._means))
    assert MOST_MEANS >= max(kept, default=0)


def test_an_empty_digest_has_no_quantiles() -> None:
    """They read as zero."""
    assert [0.0, 0.0] == Digest().quantiles(0, 1)


@pytest.mark.parametrize("wrong", [nan, inf, -inf])
def test_what_is_not_finite_is_not_taken_in(wrong: Any) -> None:
    """Nor is what came with it."""
    made = digest([1, 2, 3])
    with pytest.raises(ValueError, match="not finite"):
        made.extend([4, wrong, 5])
    assert [1, 3] == made.quantiles(0, 1)
