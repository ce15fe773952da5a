"""Numbers about spans: counts, times, tokens and money by what people ask for."""

from __future__ import annotations

import statistics
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.metrics import Tally, Timing, measure, percentile
from instrument.analysis.totals import Total, total
from instrument.analysis.tree import traces
from instrument.model import Cost, Failure, Usage
from tests.recorded import MS, call, finding, log, review, span

WRONG = Failure("ValueError", "no")


def of_review() -> Any:
    (trace,) = traces(review())
    return measure(trace.spans, trace.logs, trace.findings)


def test_a_review_is_counted() -> None:
    """Spans, iterations, calls, errors, warnings and findings of one review."""
    found = of_review()
    calls = (found.spans, found.iterations, found.model_calls, found.tool_calls)
    assert ((15, 3, 4, 3), (1, 1, 1)) == (calls, (found.errors, found.warnings, found.findings))


def test_wall_time_runs_from_the_first_start_to_the_last_end() -> None:
    """Gaps count, overlaps do not count twice."""
    assert 104 * MS == measure([span(1, duration_ns=10 * MS), span(5, duration_ns=2 * MS), span(100)]).wall_ns


def test_times_by_name() -> None:
    """Calls, failures, sum, mean, percentiles and the longest, in nanoseconds."""
    spans = [span(n, name="f", duration_ns=n * 100, status="error" if n == 5 else "ok") for n in range(1, 6)]
    assert Timing(5, 1, 1500, 300.0, 300.0, 480.0, 500, 460.0, 496.0) == measure(spans).by_name["f"]


def test_times_by_kind_put_names_together() -> None:
    """What has one kind under several names is one line."""
    found = measure([span(1, kind="tool", name="a"), span(2, kind="tool", name="b", duration_ns=7 * MS)]).by_kind
    assert (2, 12 * MS, 6.0 * MS) == (found["tool"].count, found["tool"].total_ns, found["tool"].p50_ns)


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=50))
def test_percentiles_are_those_of_the_standard_library(values: list[int]) -> None:
    """For all values, p50 and p95 equal `statistics.quantiles` by the inclusive method."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    assert pytest.approx((cuts[49], cuts[94])) == (percentile(sorted(values), 0.5), percentile(sorted(values), 0.95))


def test_numbered_steps_are_iterations() -> None:
    """Where steps carry a number, other spans of kind step (a decorated model call, say) are none."""
    steps = [span(1, kind="step", attributes={"instrument.iteration": 1}), span(2, kind="step")]
    assert 1 == measure(steps).iterations


def test_without_numbers_every_step_is_an_iteration() -> None:
    """In a trace where none is numbered, but for those around a model call; each trace is judged by itself."""
    around = span(3, kind="step", attributes={"instrument.no_iteration": True})
    numbered = span(9, kind="step", trace_id="b" * 32, attributes={"instrument.iteration": 1})
    assert 3 == measure([span(1, kind="step"), span(2, kind="step"), around, numbered]).iterations


def test_an_exception_that_passes_through_spans_is_one_error() -> None:
    """The tool, the step and the agent it went through all failed, but one thing went wrong."""
    spans = [span(n, n - 1 or None, status="error", error=WRONG) for n in (1, 2, 3)]
    assert 1 == measure(spans).errors


def test_other_exceptions_are_errors_of_their_own() -> None:
    """A step that fails for another reason than its child counts."""
    parent = span(1, status="error", error=Failure("KeyError", "x"))
    children = [span(n, 1, status="error", error=WRONG) for n in (2, 3)]
    assert 3 == measure([parent, *children]).errors


def test_cancelled_is_no_error() -> None:
    """Work that was told to stop did not fail."""
    assert 0 == measure([span(1, status="cancelled")]).errors


@pytest.mark.parametrize(("level", "expected"), [("info", 0), ("WARNING", 1), ("warn", 1), ("critical", 1)])
def test_logs_from_warning_up_are_warnings(level: str, expected: int) -> None:
    """Whatever the capitals."""
    assert expected == measure([], [log(1, level=level)]).warnings


def test_tokens_and_money_by_model_operation_and_agent() -> None:
    """Each call counts once in each grouping, dearest first; calls that name none stand under a dash."""
    found = of_review()
    assert (
        {"gpt-4.1-mini": 3, "my-local-model": 1},
        {"think": 3, "create_plan": 1},
        {"reviewer-1": 4},
        Decimal("0.002397"),
    ) == (
        {name: spent.calls for name, spent in found.by_model.items()},
        {name: spent.calls for name, spent in found.by_operation.items()},
        {name: spent.calls for name, spent in found.by_agent.items()},
        found.by_model["gpt-4.1-mini"].usd,
    )


def test_the_model_that_answered_wins() -> None:
    """Providers answer with a dated name; that is what was paid for."""
    attributes = {"gen_ai.request.model": "m", "gen_ai.response.model": "m-2026"}
    assert ["m-2026"] == list(measure([call(1, attributes=attributes)]).by_model)


def test_unpriced_calls_are_counted_apart() -> None:
    """They add tokens and no money, and the total says how many there are."""
    spent = total([call(1), call(2, usd=None)])
    assert (Decimal("0.001"), 1, 1, 220) == (spent.usd, spent.priced, spent.unpriced, spent.tokens)


def test_money_of_unpriced_calls_alone_is_unknown() -> None:
    """Never zero."""
    assert None is total([call(1, usd=None)]).usd


def test_free_calls_cost_nothing() -> None:
    """That is known, unlike the price of an unpriced call."""
    spent = total([call(1, cost=Cost(usd="0", basis="free")), call(2, cost=Cost(basis="free"))])
    assert (Decimal(0), 2, 0) == (spent.usd, spent.free, spent.unpriced)


def test_usage_without_a_cost_is_unpriced() -> None:
    """A file written without prices does not read as free."""
    assert 1 == total([call(1, cost=None)]).unpriced


def test_a_failed_call_costs_nothing_and_counts_as_a_call() -> None:
    """It reports neither tokens nor money: its price is not unknown."""
    spent = total([call(1, usage=None, cost=None, status="error")])
    assert (1, Decimal(0), 0) == (spent.calls, spent.usd, spent.unpriced)


@pytest.mark.parametrize("text", ["nonsense", "NaN", "Infinity", "1E+999999", ""])
def test_money_that_is_none_is_unpriced(text: str) -> None:
    """What another program wrote into a cost cannot spoil the sum."""
    assert Total(calls=1, input=100, output=10, usd=None, unpriced=1) == total([call(1, usd=text)])


@given(st.lists(st.decimals(0, 1000, places=9), max_size=30))
def test_money_is_added_exactly(amounts: list[Decimal]) -> None:
    """For all amounts the total is their exact sum."""
    assert sum(amounts, Decimal(0)) == total([call(n, usd=str(amount)) for n, amount in enumerate(amounts)]).usd


def test_agents_without_calls_of_their_own_spend_nothing() -> None:
    """A span that carries no usage adds nothing, whatever is below it."""
    assert Total() == total([span(1, kind="agent"), span(2, kind="tool")])


def test_without_timings_the_sums_stay() -> None:
    """A tally that keeps no durations knows the rest."""
    tally = Tally(timings=False)
    tally.add(span(1, name="f"))
    tally.add(span(2, name="f", duration_ns=7 * MS, status="error"))
    assert Timing(2, 1, 12 * MS, 6.0 * MS, 0.0, 0.0, 7 * MS) == tally.metrics().by_name["f"]


def test_an_absurd_duration_does_not_stop_the_count() -> None:
    """A damaged number in a file is cut to the longest that can be."""
    assert 2**63 - 1 == measure([span(1, duration_ns=10**30)]).by_name["span1"].max_ns


def test_usage_may_be_partial() -> None:
    """Providers leave counts out."""
    found = measure([call(1, usage=Usage(output=3), cost=None)]).total
    assert (0, 3) == (found.input, found.output)


def test_nothing_measures_as_nothing() -> None:
    """No spans: all counts are zero."""
    empty = measure([])
    assert (0, 0, 0, {}) == (empty.spans, empty.wall_ns, empty.total.calls, empty.by_name)


def test_tools_by_use() -> None:
    """The most used first."""
    spans = [span(n, kind="tool", name=name) for n, name in enumerate("abbbcc")]
    assert ["b", "c", "a"] == list(measure(spans).tools)


def test_findings_are_counted() -> None:
    """Warnings and errors, each pattern once; what is only worth knowing (info) did not go wrong."""
    told = [finding(1), finding(2, severity="info"), finding(3, data={"again_of": finding(1).span_ids[0]})]
    assert 1 == measure([], [], told).findings


def test_what_has_no_times_is_counted_and_not_timed() -> None:
    """A span of which only the order is known is in no percentile, mean or sum."""
    spans = [
        span(1, name="a", duration_ns=6 * MS),
        span(2, name="a", duration_ns=1, attributes={"instrument.times": "order only"}),
    ]
    timing = measure(spans).by_name["a"]
    assert (2, 1, 6 * MS, 6 * MS, 6 * MS) == (
        timing.count, timing.untimed, timing.p50_ns, timing.mean_ns, timing.total_ns,
    )  # fmt: skip
