"""Two runs as the page takes them: what a row tells of two values, and which rows take another time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.tree import Trace, traces
from instrument.model import Span
from instrument.views.compared import Run, compared, compared_calls
from tests.recorded import MS, call, finding, log, span

TEXTS = st.text("ab 1(\n", max_size=90)


def told(a: Trace, b: Trace) -> Any:
    return compared(Run(a, "ok"), Run(b, "ok"), lambda trace: trace.findings)


def of(*outputs: Any, took: int = 5) -> Trace:
    """A run with a call for each output, the last of which takes so long."""
    calls = [span(n, 1, name=f"call{n}", output=output) for n, output in enumerate(outputs, 2)]
    last = span(len(calls) + 2, len(calls) + 1, name="inside", duration_ns=took * MS)
    return next(traces([span(1, duration_ns=(100 + took) * MS), *calls, last]))


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_what_is_told_of_two_values_is_where_they_differ(before: str, one: str, two: str, behind: str) -> None:
    """For all texts: the parts that are told differ where the texts do."""
    a, b = before + one + behind, before + two + behind
    changes = [parts[-2:] for _, changes in told(of(a), of(b))["rows"]["changes"] for parts in changes]
    assert [True] * len(changes) == [gone != new for gone, new in changes]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (f"{'x' * 50} in shop.py (63 lines)", f"{'x' * 50} in shop.py (66 lines)", ["…xxx in shop.py (", "63", "66"]),
        ("short", "other", ["", "short", "other"]),
        (f"one {'y ' * 300}z", f"two {'y ' * 300}z", ["", "one", "two"]),
        ("y" * 500 + "1", "y" * 500 + "2", [f"…{'y' * 16}", f"{'y' * 40}1", f"{'y' * 40}2"]),
        ("short", None, ["", "short", "(nothing)"]),
    ],
)
def test_whole_words_around_the_first_difference_are_told(a: str, b: str | None, expected: list[str]) -> None:
    """With a little of what stands before them; short values are told whole."""
    assert expected == told(of(a), of(b))["rows"]["changes"][0][1][0][-3:]


def test_steps_and_agents_of_one_name_are_told_apart() -> None:
    """By the number of the step, by whose run it is."""
    step = span(2, 1, kind="step", name="step", attributes={"instrument.iteration": 3})
    worker = span(3, 1, kind="agent", name="run", input={"n": 1}, attributes={"gen_ai.agent.id": "worker-1"})
    trace = next(traces([span(1), step, worker]))
    assert {"", "#3", "worker-1 n=1"} == set(told(trace, trace)["rows"]["brief"])


def test_the_tokens_of_a_row_are_those_in_and_out() -> None:
    """Of what is no call of a model none are known."""
    trace = next(traces([span(1), call(2, 1)]))
    assert [None, 110] == told(trace, trace)["rows"]["a"]["tokens"]


def test_a_call_that_takes_much_longer_is_a_difference() -> None:
    """It alone, not the calls that waited for it."""
    found = told(of(1), of(1, took=95))
    assert (None, [[2, "takes longer"]]) == (
        found["first"],
        [[row, one[0][1]] for row, one in found["rows"]["changes"]],
    )


def test_calls_beside_each_other_that_take_much_longer_are_told_each() -> None:
    """Neither waited for the other."""
    a, b = (
        next(
            traces(
                [span(1, duration_ns=200 * MS), *(span(n, 1, name=f"call{n}", duration_ns=took * MS) for n in (2, 3))]
            )
        )
        for took in (10, 60)
    )
    assert [1, 2] == [row for row, _ in told(a, b)["rows"]["changes"]]


def test_hints_are_no_findings() -> None:
    """As the list of runs counts them."""
    a = next(traces([span(1), finding(1), finding(1, severity="info", detector="growth")]))
    rows = told(a, next(traces([span(1)])))["figures"]
    assert [["findings", "1", "0", "-1"]] == [row for row in rows if row[0] == "findings"]


def test_a_call_of_one_run_alone_is_told_with_what_lies_below_it() -> None:
    """By what it was given, and how many went or came with it."""
    alone, whole = (
        next(traces(records)) for records in ([span(1)], [span(1), span(2, 1, input=7), span(3, 2), span(4, 3)])
    )
    for a, b, kind in ((alone, whole, "new"), (whole, alone, "gone")):
        first = told(a, b)["first"]
        assert (2, [[(kind, "7")]]) == (first["below"], first["lines"])


def test_of_a_call_alone_its_figures_and_what_it_was_given_are_told() -> None:
    """Nothing stands for the other side."""
    found = compared_calls(span(1, input={"n": 1}, duration_ns=MS), None)
    figures = [["status", "ok", "", ""], ["time", "1 ms", "", ""]]
    assert {"figures": figures, "changes": [["removed", "", [[("gone", '{"n":1}')]]]]} == found


UNTIMED = span(1, attributes={"instrument.times": "order"}, status="error")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (span(1), [["status", "ok", "ok", ""], ["time", "5 ms", "5 ms", ""]]),
        (UNTIMED, [["status", "ok", "error", "differs"], ["time", "5 ms", "–", ""]]),
    ],
)
def test_the_figures_of_two_calls_stand_beside_each_other(other: Span, expected: list[list[str]]) -> None:
    """With what differs; a time that is not known is no time."""
    assert expected == compared_calls(span(1), other)["figures"]


@pytest.mark.parametrize(("status", "expected"), [("running", "running"), ("unfinished", "unfinished")])
def test_a_call_that_has_not_ended_is_told_as_its_run_is(status: str, expected: str) -> None:
    """In the row, in what changed and in the first divergence."""
    a, b = (next(traces([span(1, status=one)])) for one in ("ok", "open"))
    found = compared(Run(a, "ok"), Run(b, status), lambda trace: trace.findings)
    row = found["words"][found["rows"]["b"]["status"][0]]
    assert [expected] * 3 == [row, found["rows"]["changes"][0][1][0][-1], found["first"]["lines"][1][0][1]]


def test_runs_without_a_call_are_not_called_the_same() -> None:
    """Of runs that only logged there is nothing to compare, and no money is told where nothing was spent."""
    logged = next(traces([log(1, 1)]))
    found = told(logged, logged)
    assert ("nothing to compare", False) == (
        found["nothing"].split(":")[0],
        "money" in [row[0] for row in found["figures"]],
    )
