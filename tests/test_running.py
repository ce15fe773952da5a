"""Running numbers: exact counts, bounded memory, and `instrument.metrics()`."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import instrument
from instrument.analysis import running
from instrument.analysis.metrics import OTHERS, measure
from instrument.analysis.running import MOST_NAMES, Numbers, Running
from instrument.model import Usage
from instrument.testing import record
from tests.recorded import call, finding, log, span, update

durations = st.integers(0, 10**15)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["tool", "llm"]), durations, st.booleans())))
def test_counts_are_those_of_the_whole_trace(calls: list[tuple[str, str, int, bool]]) -> None:
    """For all spans calls, errors, sums, means and the longest are exact, by name and by kind, what took most first."""
    spans = [
        span(n, name=name, kind=kind, duration_ns=took, status="error" if failed else "ok")
        for n, (name, kind, took, failed) in enumerate(calls)
    ]
    numbers, exact = fed(*spans), measure(spans)
    for found, expected in ((numbers.by_name, exact.by_name), (numbers.by_kind, exact.by_kind)):
        assert [(key, known(timing)) for key, timing in expected.items()] == [
            (key, known(timing)) for key, timing in found.items()
        ]


def known(timing: object) -> list[object]:
    return [getattr(timing, name) for name in ("count", "errors", "total_ns", "mean_ns", "max_ns")]


def fed(*records: object) -> Numbers:
    takes = Running()
    takes.feed(records)
    return takes.numbers()


def test_asking_changes_nothing() -> None:
    """What is found at the end is the same whether or not somebody has asked before."""
    asked, unasked = Running(), Running()
    for number in range(3_000):
        records = [span(number, name="f", duration_ns=number * 7919 % 3_001)]
        asked.feed(records)
        unasked.feed(records)
        if number % 500 == 0:
            asked.numbers()
    assert unasked.numbers() == asked.numbers()


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
    calls = [call(n, name=f"f{n}", attributes={"gen_ai.request.model": f"m{n}"}) for n in range(50)]
    found = fed(*calls, *calls, *(finding(n, detector=f"d{n}") for n in range(50)))
    assert (100, 11, 11, 11) == (found.calls, len(found.by_name), len(found.by_model), len(found.findings))
    assert (2, 2, 80) == (found.by_name["f9"].count, found.by_model["m9"].calls, found.by_model[OTHERS].calls)
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
