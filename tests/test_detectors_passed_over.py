"""Calls that could begin no pattern are only noted: that must change nothing but the time it takes."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from instrument.detectors import Detectors, default, fingerprint, outcome
from instrument.detectors import watch as watching
from instrument.detectors.glance import answer_anew, ask_anew
from instrument.model import Failure, Finding, Span

TEXTS = ["a", "b", "seven words of prose about the tides", "prose about the seven tides in other words", "x" * 1_100]


def encoded(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def run_of(seed: int) -> list[Span]:
    """One run: mostly healthy calls, between them repeats, cycles, failures, silence and equal answers."""
    draw = random.Random(seed)
    kinds = [lambda n: {"n": n}, lambda n: {"q": draw.choice(TEXTS), "n": n}, lambda n: {"q": TEXTS[4] + str(n)}]
    kinds += [lambda n: {"q": f"key {n}"}, lambda n: {"q": ["key", {"n": n}]}]
    usual, never_says = draw.choice(kinds), draw.random() < 0.2
    pool = [draw.choice(kinds)(n) for n in range(4)]
    spans, now = [], 1_700_000_000_000_000_000
    for n in range(draw.randint(5, 90)):
        now += draw.choice([1_000, 40_000_000, 400_000_000])
        repeats = draw.random() < 0.3
        asked: Any = draw.choice(pool) if repeats else usual(1_000 + n)
        told: Any = draw.choice([None, "ok", f"{n} found", {"a": "y" * 300, "b": str(n)}, n, "x" * 400, [{"n": n}]])
        if never_says:
            told = None
        elif repeats and draw.random() < 0.6:
            told = "the same"
        failed = draw.random() < 0.1
        spans.append(
            Span(
                trace_id="a" * 32, span_id=f"{n:016x}", start_ns=now, duration_ns=5, kind="tool",
                name=draw.choice(["look", "look", "turn"]), status="error" if failed else "ok",
                error=Failure("E", draw.choice(["x", "y"])) if failed else None,
                input=encoded(asked) if draw.random() < 0.2 or "[" in str(asked) else asked,
                output=None if failed else encoded(told) if type(told) is list else told,
            )
        )  # fmt: skip
    return spans


def found_in(spans: list[Span], by_rows: bool) -> list[Finding]:
    watch = default()
    if not by_rows:
        return [finding for span in spans for finding in watch.feed(span)]
    return [finding for span in watch.worth_feeding(spans) for finding in watch.feed(span)]


@given(st.integers(0, 2**32), st.integers(2, 4))
def test_passing_over_changes_no_finding(seed: int, shortest: int) -> None:
    """With every call looked at, the findings of a run are the same."""
    spans = run_of(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "SHORTEST_ROW", shortest)
        patch.setattr(watching, "LONG_ROW", 2 * shortest)
        assert found_in(spans, by_rows=False) == found_in(spans, by_rows=True)


def healthy(calls: int) -> list[Span]:
    """One run in which no call is like another."""
    return [
        Span(
            trace_id="a" * 32, span_id=f"{n:016x}", start_ns=n, duration_ns=5, kind="tool", name="look", status="ok",
            input={"n": n, "q": f"key-{n}"}, output=n,
        )
        for n in range(calls)
    ]  # fmt: skip


SHAPES: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "numbers": lambda n: ({"n": n}, n),
    "words": lambda n: ({"q": f"key {n}"}, f"{n} found"),
    "nested arguments": lambda n: (encoded({"q": [{"key": n}]}), n),
    "nested results": lambda n: ({"n": n}, encoded([{"path": "a.py", "line": n}])),
    "no results": lambda n: ({"n": n}, None),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_most_calls_of_a_healthy_run_pass(shape: str) -> None:
    """Of a run in which no call is like another nearly all are passed over, row by row."""
    shaped = [SHAPES[shape](n) for n in range(100)]
    spans = [replace(span, input=given, output=told) for span, (given, told) in zip(healthy(100), shaped, strict=True)]
    watch = default()
    fed = [watch.feed(span) for span in watch.worth_feeding(spans)]
    assert len(fed) < 20


def test_where_nothing_passes_few_rows_are_glanced_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Glances at calls that all give one answer would only cost: with each row they become fewer."""
    glances = []
    passes = Detectors._passes
    monkeypatch.setattr(Detectors, "_passes", lambda *given: [passes(*given), glances.append(1)][0])
    watch = default()
    spans = [replace(span, output="ok") for span in healthy(64 * 30)]
    assert len(spans) == len([watch.feed(span) for span in watch.worth_feeding(spans)])
    assert 6 * 31 >= len(glances)


def test_calls_of_several_tools_in_turns_pass_as_well() -> None:
    """And what lies between them and is no call of a tool."""
    turns = [("look", "tool"), ("think", "step"), ("turn", "tool")]
    spans = [
        replace(span, name=turns[n % 3][0], kind=turns[n % 3][1], parent_id="b" * 16)
        for n, span in enumerate(healthy(200))
    ]
    watch = default()
    fed = [watch.feed(span) for span in watch.worth_feeding(spans)]
    assert len(fed) < 60


def test_a_slow_call_is_found_in_the_row_that_tells_what_is_usual() -> None:
    """The limit may be reached with any call of a row: what takes over a second is looked at."""
    spans = healthy(60)
    spans[40] = replace(spans[40], duration_ns=5_000_000_000)
    assert ["slow"] == [finding.detector for finding in found_in(spans, by_rows=True)]


def test_too_many_calls_are_told_of_when_they_are_made() -> None:
    """Where calls are passed over the finding comes with the call that is one too many, and again when they doubled."""
    expected = [finding.span_ids for finding in found_in(healthy(500), by_rows=False)]
    assert [f"{200:016x}", f"{401:016x}"] == [last for _, last in expected]
    assert expected == [finding.span_ids for finding in found_in(healthy(500), by_rows=True)]


def test_a_tool_that_was_called_too_often_while_passed_over_is_refused() -> None:
    """The finding speaks against further calls, as one does that came with a call that was looked at."""
    watch = default()
    found = [finding for span in watch.worth_feeding(healthy(300)) for finding in watch.feed(span)]
    assert found[:1] == [watch.check("look", "tool", fingerprint({"n": 7_000}), "a" * 32)]


LONG = "y" * 1_500
PARTS = st.sampled_from(
    [0, 1, -1, -2, True, None, 1.0, 0.5, -0.0, nan, inf, "x", "x ", " x", "z", "", "7", "[1]", '{"a": 1}', LONG, LONG + "z", "z" + LONG, [1], {"a": "x"}]
)  # fmt: skip
INPUTS = st.dictionaries(st.sampled_from("ab"), PARTS, max_size=2)
ORDERED_INPUTS = st.tuples(INPUTS, st.booleans()).map(
    lambda drawn: dict(reversed(drawn[0].items())) if drawn[1] else drawn[0]
)
RESULTS = PARTS | ORDERED_INPUTS | st.lists(PARTS, max_size=2) | st.just(Raw(b"1"))


@given(st.lists(ORDERED_INPUTS, min_size=1, max_size=4), st.lists(ORDERED_INPUTS, max_size=3))
def test_arguments_that_are_new_at_a_glance_are_new(row: list[Any], known: list[Any]) -> None:
    """For all calls: their fingerprints differ from each other and from those that are known."""
    if ask_anew(row, known):
        assert len(row) == len({*map(fingerprint, row)} - {*map(fingerprint, known)})


@given(st.lists(RESULTS, min_size=1, max_size=4), st.lists(RESULTS, max_size=3))
def test_answers_that_are_new_at_a_glance_are_new(row: list[Any], known: list[Any]) -> None:
    """For all results: their outcomes differ from each other and from those that are known."""
    if answer_anew(row, known):
        assert len(row) == len({*map(outcome, row)} - {*map(outcome, known)})


NUMBERED = [
    ([{"a": 1, "b": n} for n in range(5)], True),
    ([{"a": n % 2, "b": n // 2} for n in range(4)], True),
    ([{"a": n, "b": 0.5} for n in range(5)], True),
    ([{"a": n / 4} for n in range(5)], True),
    ([{"a": n * nan} for n in range(5)], False),
    ([{"q": f"{n} and {LONG}", "b": None} for n in range(5)], True),
    ([{"q": f"{LONG} and {n}"} for n in range(5)], True),
    ([{"q": f"key-{n}"} for n in range(5)], True),
    ([{"q": f"key {n}"} for n in range(5)], True),
    ([{"q": f"key  {n}"} for n in range(5)], False),
    ([{"q": f"key {n} "} for n in range(5)], False),
    ([{"q": f"two keys {n}", "p": f"page {n}"} for n in range(5)], False),
    ([{"a": n % 4} for n in range(5)], False),
]


@pytest.mark.parametrize(("row", "is_new"), NUMBERED)
def test_a_glance_sees_what_is_new(row: list[Any], is_new: bool) -> None:
    """Numbers, names and the ends of long texts tell calls apart; of prose a glance says nothing."""
    assert is_new == ask_anew(row, [])
    assert not ask_anew(row, row[-1:])


@pytest.mark.parametrize(
    "told", [lambda n: n, lambda n: n / 4, str, lambda n: [f"{n}", "x"], lambda n: {"ok": "yes", "n": n}]
)
def test_a_glance_sees_which_answers_are_new(told: Any) -> None:
    """Numbers, texts and what holds them."""
    row = [told(n) for n in range(5)]
    assert answer_anew(row, [])
    assert not answer_anew(row, row[-1:])


@pytest.mark.parametrize(
    "value", [{"b": 1, "a": "x  y"}, {"q": "two  blanks " + "x" * 50}, {"a": [1, {"b": None}]}, {}]
)
def test_encoded_and_plain_are_marked_alike(value: Any) -> None:
    """A short input has the same fingerprint, plain or encoded; so has a short result."""
    raw = Raw(msgspec.json.encode(value))
    assert (fingerprint(raw), outcome(Raw(b"7"))) == (fingerprint(value), outcome(7))


def test_numbers_that_python_hashes_alike_are_told_apart() -> None:
    """-1 and -2, 1 and True are different arguments."""
    assert 4 == len({fingerprint({"x": x}) for x in (-1, -2, 1, True)})


def state_of(spans: list[Span], by_rows: bool) -> Any:
    """What was found, which traces are remembered, and what is known of the durations of each name."""
    watch = default(limits={"traces": 8})
    found = [
        finding.message for span in (watch.worth_feeding(spans) if by_rows else spans) for finding in watch.feed(span)
    ]
    return found, set(watch._alone), set(watch._runs), {name: one.counts for name, one in watch._slow.durations.items()}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6), st.sampled_from("ab"), st.sampled_from(["tool", "span", "agent"]), st.integers(0, 1)
        ),
        max_size=7,
        unique_by=lambda one: (one[0], one[3]),
    )
)
def test_the_first_call_of_a_trace_is_only_noted(calls: list[tuple[int, str, str, int]]) -> None:
    """In rows of such calls, too, each trace is remembered and each duration known, as where each call is fed."""
    known = [replace(run_of(1)[0], name=name, trace_id=f"of {name}", input=None, output=None) for name in "ab"]
    spans = known + [
        replace(
            known[0], trace_id=f"t{trace}", span_id=f"{n:016x}", name=name, kind=kind, parent_id="p" if inner else None
        )
        for n, (trace, name, kind, inner) in enumerate(calls)
    ]
    assert state_of(spans, by_rows=False) == state_of(spans, by_rows=True)


def test_many_traces_of_one_call_forget_the_oldest() -> None:
    """As many are remembered as the setting says, those that came last."""
    first = replace(run_of(1)[0], name="look", status="ok", error=None)
    watch = default(limits={"traces": 8})
    for spans in ([first], [replace(first, trace_id=f"t{n}") for n in range(20)]):
        assert [] == [one for span in watch.worth_feeding(spans) for one in watch.feed(span)]
    assert [f"t{n}" for n in range(12, 20)] == list(watch._alone)
