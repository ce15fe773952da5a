"""Running numbers: exact counts, quantiles within the promised error, bounded memory, and `instrument.metrics()`."""

from __future__ import annotations

from decimal import Decimal

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
    for value in values:
        made.add(value)
    return made


@given(st.lists(durations, min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_are_right_to_less_than_two_percent(values: list[int], share: float) -> None:
    """For all values and shares, compared with the value of that rank."""
    exact = sorted(values)[int(share * (len(values) - 1))]
    (found,) = sketch(values).quantiles(share)
    assert abs(found - exact) <= exact / 62


@given(st.lists(durations, max_size=50), st.lists(durations, max_size=50))
def test_two_sketches_merged_are_the_sketch_of_both(one: list[int], other: list[int]) -> None:
    """For all values: processes can be added up."""
    merged = sketch(one)
    merged.merge(sketch(other))
    assert sketch(one + other).counts == merged.counts


@given(st.lists(durations, max_size=300))
def test_a_sketch_stays_small(values: list[int]) -> None:
    """However many values there are, at most 32 buckets for each doubling."""
    assert all(bucket < 64 + 32 * 50 for bucket in sketch(values).counts)


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
