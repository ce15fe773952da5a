"""Running numbers: exact counts, quantiles within the promised error, bounded memory, and `instrument.metrics()`."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from decimal import Decimal
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

import instrument
from instrument.analysis import running
from instrument.analysis.metrics import OTHERS, measure
from instrument.analysis.running import MOST_NAMES, Numbers, Running, Sketch
from instrument.model import Usage
from instrument.testing import record
from tests.recorded import call, finding, log, span, update

durations = st.integers(0, 10**15)


def sketch(values: list[int]) -> Sketch:
    made = Sketch()
    made.extend(values)
    return made


def ranks(values: list[int], found: float) -> tuple[float, float]:
    """The shares of values below, and not above, what was found."""
    ordered = sorted(values)
    return bisect_left(ordered, found) / len(ordered), bisect_right(ordered, found) / len(ordered)


@given(st.lists(durations, min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_of_few_values_are_exact(values: list[int], share: float) -> None:
    """For all values and shares what is found lies between the values next to that rank."""
    ordered = sorted(values)
    (found,) = sketch(values).quantiles(share)
    place = share * (len(ordered) - 1)
    below, above = ordered[max(0, floor(place) - 1)], ordered[min(len(ordered) - 1, ceil(place) + 1)]
    assert below * (1 - 1e-9) <= found <= above * (1 + 1e-9)


@pytest.mark.parametrize("spread", [0.1, 1, 3])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_quantiles_of_many_values_have_nearly_their_rank(spread: float, share: float) -> None:
    """Half a per cent of the ranks is the most that they are off, for the narrow and the widest spread."""
    draw = random.Random(7)
    values = [int(draw.lognormvariate(15, spread)) for _ in range(20_000)]
    below, above = ranks(values, *sketch(values).quantiles(share))
    assert below - 0.005 <= share <= above + 0.005


@given(st.lists(durations, max_size=50), st.lists(durations, max_size=50), st.floats(0, 1))
def test_two_sketches_merged_are_the_sketch_of_both(one: list[int], other: list[int], share: float) -> None:
    """For all values: processes can be added up."""
    merged = sketch(one)
    merged.merge(sketch(other))
    assert sketch(one + other).quantiles(share) == pytest.approx(merged.quantiles(share), rel=1e-9)


def test_a_sketch_stays_small() -> None:
    """However many values there are, no more than so many are remembered."""
    made = sketch([*range(50_000)])
    assert 200 >= made._digest.n_centroids


def test_an_empty_sketch_has_no_quantiles() -> None:
    """They read as zero."""
    assert [0.0, 0.0] == Sketch().quantiles(0, 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["tool", "llm"]), durations, st.booleans())))
def test_counts_are_those_of_the_whole_trace(calls: list[tuple[str, str, int, bool]]) -> None:
    """For all spans calls, errors, sums, means and the longest are exact, by name and by kind."""
    spans = [
        span(n, name=name, kind=kind, duration_ns=took, status="error" if failed else "ok")
        for n, (name, kind, took, failed) in enumerate(calls)
    ]
    numbers, exact = fed(*spans), measure(spans)
    for found, expected in ((numbers.by_name, exact.by_name), (numbers.by_kind, exact.by_kind)):
        assert {key: known(timing) for key, timing in expected.items()} == {
            key: known(timing) for key, timing in found.items()
        }


def known(timing: object) -> list[object]:
    return [getattr(timing, name) for name in ("count", "errors", "total_ns", "mean_ns", "max_ns")]


def fed(*records: object) -> Numbers:
    takes = Running()
    takes.feed(records)
    return takes.numbers()


def test_tokens_and_money_are_added_by_model() -> None:
    """Exactly, as decimals; what came late counts too."""
    found = fed(call(1), call(2, usd="0.002"), span(3), update(3, usage=Usage(input=5)), log(1))
    expected = (Decimal("0.003"), 225, {"gpt-4.1-mini": 2, OTHERS: 1})
    assert expected == (found.total.usd, found.total.tokens, {key: one.calls for key, one in found.by_model.items()})


def test_a_call_whose_tokens_come_late_is_one_call() -> None:
    """A response that was fetched after its call had ended is counted once, with its tokens."""
    found = fed(span(1, kind="llm"), update(1, usage=Usage(input=5, output=2)))
    assert (1, 7) == (found.total.calls, found.total.tokens)


def test_findings_are_counted_by_detector() -> None:
    """Each as it was told."""
    assert {"same_call": 2, "slow": 1} == fed(finding(1), finding(2), finding(3, detector="slow")).findings


def test_names_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most that are told apart the rest stand together."""
    monkeypatch.setattr(running, "MOST_NAMES", 10)
    found = fed(*(call(n, name=f"f{n}", attributes={"gen_ai.request.model": f"m{n}"}) for n in range(50)))
    assert (50, 11, 11) == (found.calls, len(found.by_name), len(found.by_model))
    assert MOST_NAMES >= 10


def test_metrics_of_a_running_program() -> None:
    """Calls and failures by name and kind, as soon as they are flushed."""

    @instrument.tool
    def halve(number: int) -> float:
        return 1 / number / 2

    with record():
        for number in (1, 2, 0):
            try:
                halve(number)
            except ZeroDivisionError:
                continue
        instrument.flush()
        found = instrument.metrics()
    assert (3, 1, 3, 1) == (found.calls, found.errors, found.by_name["halve"].count, found.by_kind["tool"].errors)
