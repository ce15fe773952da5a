"""Rules of `instrument.detectors.history`, and of what is measured against it: slow, spending, tool abuse."""

from __future__ import annotations

import json
import random
import statistics
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.detectors import default
from instrument.detectors.history import Beyond, History, Series, bucket, middle
from instrument.errors import InstrumentError
from instrument.model import Span
from tests.detector_runs import Tape, feed, names, said

BEYOND = Beyond(times=3, least=0, enough=20, deviations=5)


@given(st.integers(0, 10**18))
def test_a_bucket_holds_its_value_to_seven_percent(value: int) -> None:
    """The middle of a bucket is never further from its values than a sixteenth."""
    assert abs(middle(bucket(value)) - value) <= value / 15


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_buckets_keep_the_order(one: int, other: int) -> None:
    """A larger value never lies in a smaller bucket."""
    assert (one <= other) <= (bucket(one) <= bucket(other))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
def test_the_median_is_right_to_seven_percent(values: list[int]) -> None:
    """Quantiles of the buckets are those of the values within the width of a bucket."""
    series = Series(BEYOND)
    for value in values:
        series.add(value)
    exact = statistics.median_low(values)
    assert abs(series.quantile(0.5) - exact) <= exact / 15


@given(st.lists(st.integers(0, 10**9), max_size=60), st.lists(st.integers(0, 10**9), max_size=60))
def test_merged_histories_are_the_history_of_both(one: list[int], other: list[int]) -> None:
    """Two processes' histories added are what one process would have seen."""
    together, first, second = Series(BEYOND), Series(BEYOND), Series(BEYOND)
    for value in one + other:
        together.add(value)
    for series, values in ((first, one), (second, other)):
        for value in values:
            series.add(value)
    first.merge(second.counts)
    assert together.counts == first.counts


def test_nothing_is_far_while_little_is_known() -> None:
    """The limit is infinite below the number of values that are enough."""
    series = Series(BEYOND)
    for _ in range(19):
        series.add(100)
    assert series.limit == float("inf")


def test_the_past_fades() -> None:
    """Values of long ago give way: what is usual follows the present."""
    series = Series(BEYOND)
    for value in (10, 1000):
        for _ in range(20_000):
            series.add(value)
    assert 900 < series.quantile(0.5) < 1100


def test_a_series_is_bounded() -> None:
    """However many values: some hundred buckets, some thousand counts."""
    series, rng = Series(BEYOND), random.Random(1)
    totals = [series.total for _ in range(30_000) if series.add(int(rng.lognormvariate(15, 5))) is None]
    assert (True, True, True) == (len(series.counts) < 500, max(totals) < 10_000, min(totals[6_000:]) > 3_000)


def test_names_are_bounded() -> None:
    """Names made of ids do not fill the memory."""
    history = History()
    for n in range(5_000):
        history.series("duration", f"request {n}", BEYOND)
    assert history.series("duration", "one more", BEYOND) is None


def test_the_largest_float_is_no_damage() -> None:
    """Seconds are recorded as floats by others: what is learned of the largest can be saved and read again."""
    learned = History({"first_token": {"m": {str(bucket(int(sys.float_info.max))): 1}}})
    assert learned.save() == History(learned.save()).save()


def test_saved_histories_are_plain_json() -> None:
    """What save() gives survives JSON and gives the same history."""
    detectors = default()
    feed(steps(30), detectors)
    saved = detectors.history.save()
    assert saved == default(history=json.loads(json.dumps(saved))).history.save()


@pytest.mark.parametrize("damaged", [3, {"a": [1]}, {"a": {"-1": 2}}, {"a": {"9999": 1}}, {"a": {"1": 2**60}}])
def test_damaged_histories_are_refused(damaged: object) -> None:
    """The error says which measure is damaged."""
    with pytest.raises(InstrumentError, match="'duration'"):
        History({"duration": damaged})


def steps(number: int, seconds: float = 0.2) -> list[Span]:
    tape = Tape()
    for n in range(number):
        tape.span("step", "span", seconds=seconds + n / 1000)
    return tape.spans


def test_a_call_far_beyond_its_history_is_slow() -> None:
    """Ten seconds where 0.2 are usual."""
    found = feed([*steps(30), *steps(1, seconds=10)])
    assert "slow" == found[0].detector
    assert "step took 10 s" in found[0].message


def test_calls_that_failed_do_not_say_what_is_usual() -> None:
    """They may have failed at once."""
    failed = [msgspec.structs.replace(span, status="error") for span in steps(30)]
    assert [] == feed([*failed, *steps(1, seconds=10)])


def test_a_little_slower_is_not_slow() -> None:
    """Below a second of difference nobody waits."""
    assert [] == feed([*steps(30), *steps(1, seconds=0.9)])


def test_a_name_without_history_is_not_slow() -> None:
    """What is usual is not known yet."""
    assert [] == feed([*steps(10), *steps(1, seconds=100)])


def test_history_of_another_process_counts() -> None:
    """The history handed in makes the very first call comparable."""
    detectors = default()
    feed(steps(30), detectors)
    assert {"slow"} == names(feed(steps(1, seconds=10), default(history=detectors.history.save())))


def test_long_tails_are_usual() -> None:
    """Healthy durations that spread over a factor of ten give no findings."""
    tape, rng = Tape(), random.Random(7)
    for _ in range(4_000):
        tape.span("ask", "span", seconds=rng.lognormvariate(0.5, 0.5))
    assert [] == feed(tape.spans)


def test_a_late_first_token_is_slow() -> None:
    """The time to the first chunk is measured against the model's own."""
    tape = Tape()
    for n in range(31):
        waited = 0.3 + n / 100 if n < 30 else 9.0
        tape.model(said(f"{n}"), attributes={"gen_ai.response.time_to_first_chunk": waited}, seconds=9.5)
    assert "first token of chat came after 9 s, 19.9 times what is usual (453 ms)" in feed(tape.spans)[0].message


def test_a_model_that_writes_slowly_is_slow() -> None:
    """Tokens a second, so that a long answer is not slow by its length."""
    tape = Tape()
    for n in range(30):
        tape.model(said(f"{n}"), written=100 + 10 * n, seconds=1 + n / 10)
    tape.model(said("at last"), written=40, seconds=4)
    assert ["ns_per_token"] == [finding.data["measure"] for finding in feed(tape.spans)]


def runs(number: int, calls: int, **model: object) -> list[Span]:
    spans: list[Span] = []
    for n in range(number):
        tape = Tape(f"{n:032x}")
        for call in range(calls):
            tape.tool("search", f"{n} {call}", number=call)
        tape.model(said(f"{n}"), **model)
        tape.root()
        spans += tape.spans
    return spans


def test_far_more_calls_than_earlier_runs_needed_are_abuse() -> None:
    """Earlier runs needed four searches: this one is found long before the limit without a history."""
    found = feed([*runs(6, 4), *runs(1, 30)])
    assert [("tool_abuse", 13), ("tool_abuse", 26)] == [(one.detector, one.data["times"]) for one in found]


def test_the_limit_is_told_until_enough_is_known() -> None:
    """One earlier run with 300 calls is no reason to say that at most 300 are usual, when the 201st is told."""
    assert ["the limit is 200"] * 2 == [found.message.split(", ")[1] for found in feed([*runs(2, 300)])]


def test_runs_that_failed_are_no_measure() -> None:
    """Only what successful runs needed and cost counts."""
    few = runs(6, 4, usd="0.02")
    spans = [msgspec.structs.replace(span, status="error") if span.kind == "agent" else span for span in few]
    tape = Tape("9" * 32)
    for n in range(30):
        tape.model(said(f"{n}"), usd="0.02")
    assert [] == feed([*spans, *runs(1, 30), *tape.spans])


def test_an_expensive_call_is_spending() -> None:
    """A call for ninety cents where one cent is usual; the message names both."""
    tape = Tape()
    for n in range(30):
        tape.model(said(f"{n}"), usd=f"0.0{100 + n}")
    tape.model(said("dear"), usd="0.90")
    assert "chat cost $0.9000, 76.4 times what is usual ($0.0118)" in feed(tape.spans)[0].message


@pytest.mark.parametrize(("measure", "spent"), [("run_usd", {"usd": "0.02"}), ("run_tokens", {"prompt": 20_000})])
def test_an_expensive_run_is_spending(measure: str, spent: dict[str, Any]) -> None:
    """Each call is ordinary, their sum is not: from the first to the one that was too much."""
    tape = Tape("9" * 32)
    for n in range(30):
        tape.model(said(f"{n}"), **spent)
    found = [one for one in feed([*runs(6, 1, **spent), *tape.spans]) if one.detector == "spending"]
    assert {(measure, tape.spans[0].span_id)} == {(one.data["measure"], one.span_ids[0]) for one in found}


@pytest.mark.parametrize(("agent", "expected"), [("classifier", {"run_usd"}), ("researcher", set())])
def test_a_run_is_held_against_those_of_its_agent(agent: str, expected: set[str]) -> None:
    """Also where agents have names and no ids: what one usually costs says nothing of another."""
    tape = Tape("9" * 32)
    for n in range(30):
        tape.model(said(f"{n}"), usd="0.02", attributes={"gen_ai.agent.name": agent})
    usual = runs(6, 1, usd="0.02", attributes={"gen_ai.agent.name": "classifier"})
    found = feed([*usual, *tape.spans])
    assert expected == {finding.data["measure"] for finding in found if finding.detector == "spending"}


def test_without_a_price_tokens_are_compared() -> None:
    """An unknown model is measured in tokens."""
    tape = Tape()
    for n in range(30):
        tape.model(said(f"{n}"), prompt=1000 + n)
    tape.model(said("much"), prompt=90_000)
    assert "tokens" in {finding.data.get("measure") for finding in feed(tape.spans)}


def team(agents: int, calls: int) -> list[Span]:
    """A run of agents that work at once."""
    tape = Tape()
    for call in range(calls):
        for n in range(agents):
            tape.tool("search", f"{n} {call}", agent=n, number=call)
            tape.spans[-1] = msgspec.structs.replace(tape.spans[-1], attributes={"gen_ai.agent.id": f"worker-{n}"})
    return tape.spans


def test_what_earlier_runs_needed_counts_for_all_agents_together() -> None:
    """They share the work that one did then."""
    assert [("tool_abuse", 13)] == [(one.detector, one.data["times"]) for one in feed([*runs(6, 4), *team(2, 10)])]


def test_of_several_agents_each_has_the_limit_to_itself() -> None:
    """Twelve that search twenty times each do no more than one of them alone would be let do."""
    assert [] == feed(team(12, 20))


def test_the_one_of_several_agents_that_passes_the_limit_is_named() -> None:
    """Its own calls are counted."""
    found = feed([*team(2, 20), *(span for span in team(3, 230) if span.attributes["gen_ai.agent.id"] == "worker-2")])
    assert ["search was called 201 times by worker-2 in this run"] == [one.message.split(", ")[0] for one in found]
