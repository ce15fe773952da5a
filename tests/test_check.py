"""`instrument check`: findings with evidence and advice, and an exit code for CI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.report import findings_of
from instrument.cli.main import main
from instrument.detectors import ADVICE, default
from instrument.model import Cost, Failure, Record, Score, Span
from tests.recorded import MS, NOON, TRACE, call, finding, fold, head, run, span, write

Capture = pytest.CaptureFixture[str]
OTHER = "b0b" + "0" * 29
BUSY = Failure("RateLimitError", "429")


def looping(times: int = 3, trace: str = TRACE) -> list[Span]:
    """An agent that asks the same over and over."""
    asked: dict[str, Any] = {"kind": "tool", "name": "search", "input": {"q": "tides"}, "output": "no result was found"}
    calls = [span(10 * n, 1, trace_id=trace, **asked) for n in range(1, times + 1)]
    return [*calls, span(1, name="agent", kind="agent", duration_ns=900 * MS, trace_id=trace)]


def written(folder: Path, *records: Record) -> str:
    return str(write(folder / "a.jsonl", *records).parent)


def checked(capsys: Capture, *words: str) -> tuple[int, str]:
    code = main(["check", *words])
    return code, capsys.readouterr().out


# What counts as found


def test_what_detectors_find_afterwards_is_found() -> None:
    """A trace that was recorded without detectors, or imported, is watched now."""
    assert ["repeated_call"] == [one.detector for one in findings_of(fold(*looping()))]


def test_what_was_recorded_and_is_found_again_counts_once() -> None:
    """The record is kept: it says when it was said."""
    spans = looping()
    watch = default()
    recorded = [one for each in spans for one in watch.feed(each)]
    assert recorded == list(findings_of(fold(*spans, *recorded)))


def test_what_others_have_recorded_is_kept() -> None:
    """A finding that no detector of ours makes now."""
    assert ["same_call"] == [one.detector for one in findings_of(fold(span(1), finding(1)))]


def test_spans_are_watched_in_order_of_their_end() -> None:
    """As they would have been live: a root that began first ends last."""
    spans = looping()
    assert findings_of(fold(*spans)) == findings_of(fold(*reversed(spans)))


def test_a_call_that_never_ended_is_found() -> None:
    """The process was killed while a tool hung for ten minutes."""
    hanging = head(2, 1, kind="tool", name="fetch")
    assert ["stalled"] == [one.detector for one in findings_of(fold(hanging, span(1, duration_ns=600_000 * MS)))]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values, st.sampled_from(["tool", "llm", "span", "retrieval"]))
def test_any_content_can_be_watched(asked: Any, told: Any, kind: str) -> None:
    """For all inputs and outputs that a file can hold."""
    spans = [span(n, kind=kind, name="f", input=asked, output=told) for n in range(4)]
    assert all(one.message for one in findings_of(fold(*spans)))


# What is shown


def test_each_finding_is_shown_with_evidence_and_advice(tmp_path: Path, capsys: Capture) -> None:
    """The calls with id, time and arguments, and what to do."""
    out = checked(capsys, written(tmp_path, *looping()))[1]
    parts = ["warning repeated_call:", f"{20:016x}  12:00:00Z  5 ms  search({{", ADVICE["repeated_call"]]
    assert [] == [part for part in parts if part not in " ".join(out.split("\n      "))]


def test_what_failed_again_and_again_is_not_to_be_cached(tmp_path: Path, capsys: Capture) -> None:
    """The advice is about the failure, and the evidence names it in the place of a prompt."""
    failed = [span(n, 1, kind="llm", name="chat", input={"messages": []}, status="error", error=BUSY) for n in (2, 3)]
    found = finding(2, 3, detector="repeated_call", data={"failed": True})
    out = checked(capsys, written(tmp_path, span(1), *failed, found))[1]
    assert (False, True) == ("cache" in out, "5 ms  chat  RateLimitError: 429\n" in out)


@pytest.mark.parametrize(("words", "said"), [((), True), (("--max-errors", "0"), False)])
def test_that_runs_failed_is_said(tmp_path: Path, capsys: Capture, words: tuple[str, ...], said: bool) -> None:
    """It is no finding unless that is asked for, and `0 findings` alone would look as if all were well."""
    out = checked(capsys, written(tmp_path, span(1, status="error", error=BUSY)), *words)[1]
    assert said == ("; 1 run failed, which only --max-errors 0 counts as found" in " ".join(out.split()))


@pytest.mark.parametrize(("number", "left"), [(20, "… 14 more"), (7, "… 1 more")])
def test_long_rows_of_evidence_are_cut_in_the_middle(tmp_path: Path, capsys: Capture, number: int, left: str) -> None:
    """Of many equal calls the first and the last ones are enough."""
    out = checked(capsys, written(tmp_path, span(1), finding(*[1] * number)))[1]
    assert (6, True) == (out.count(f"{1:016x}"), left in out)


def test_json_has_everything(tmp_path: Path, capsys: Capture) -> None:
    """For programs: findings with evidence and how many of them fail the check."""
    told = json.loads(checked(capsys, written(tmp_path, *looping()), "--json")[1])
    (one,) = told["findings"]
    expected = (1, 1, "repeated_call", TRACE, [f"{n:016x}" for n in (10, 20, 30)])
    seen = [proof["span_id"] for proof in one["evidence"]]
    assert expected == (told["traces"], told["failing"], one["detector"], one["trace_id"], seen)


# How it ends


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("info", None, 0),
        ("info", "info", 1),
        ("warning", None, 1),
        ("warning", "error", 0),
        ("error", "error", 1),
        ("strange", "warning", 1),
        ("strange", "error", 0),
    ],
)
def test_the_exit_code(tmp_path: Path, capsys: Capture, severity: str, fail_on: str | None, code: int) -> None:
    """1 for findings at or above the severity; one that is unknown counts as a warning."""
    words = [written(tmp_path, span(1), finding(1, severity=severity)), *(["--fail-on", fail_on] if fail_on else [])]
    assert code == checked(capsys, *words)[0]


def test_a_clean_trace_passes(tmp_path: Path, capsys: Capture) -> None:
    """Nothing found: 0, and it says so."""
    expected = (0, "1 trace checked: 0 findings, 0 at or above warning\n")
    assert expected == checked(capsys, written(tmp_path, span(1)))


def test_nothing_to_check_is_bad_use(tmp_path: Path, capsys: Capture) -> None:
    """An empty recording must not pass for a clean one."""
    assert 2 == checked(capsys, written(tmp_path))[0]


@pytest.mark.parametrize(("words", "code"), [([], 1), (["last"], 0), (["3f2a"], 1), (["b0b", "3f2a"], 1)])
def test_traces_can_be_chosen(tmp_path: Path, capsys: Capture, words: list[str], code: int) -> None:
    """All by default; else those that are named."""
    later = span(5000, trace_id=OTHER, start_ns=NOON + 10**12)
    assert code == checked(capsys, *words, "--path", written(tmp_path, *looping(), later))[0]


def test_traces_are_shown_in_order_of_their_start(tmp_path: Path, capsys: Capture) -> None:
    """Not in the order in which they end in the file; what cannot be read is said once."""
    earlier = [msgspec.structs.replace(one, start_ns=one.start_ns - 10**12) for one in looping(trace=OTHER)]
    folder = written(tmp_path, *looping(), *earlier)
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"type"')
    assert 1 == main(["check", folder])
    said = capsys.readouterr()
    titles = [line.split()[1] for line in said.out.splitlines() if line.startswith("agent ")]
    assert ([OTHER[:12], TRACE[:12]], 1) == (titles, said.err.count("half-written"))


# What a trace may take


SPENT = [
    span(1, name="agent", kind="agent", duration_ns=900 * MS),
    call(2, 1, tokens=(100, 10), usd="0.3", duration_ns=100 * MS),
    call(200, 1, tokens=(900, 90), usd="0.31", duration_ns=600 * MS),
]
BROKE = Failure("ValueError", "no")
FAILED = {"status": "error", "error": BROKE}
REFUSAL = {"status": "refused", "error": BROKE}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--max-usd 0.61 --max-tokens 1100 --max-seconds 0.9 --max-errors 0", []),
        ("--max-usd 0.6", ["$0.61 spent, $0.60 allowed"]),
        ("--max-usd 0", ["$0.61 spent, $0.00 allowed"]),
        ("--max-tokens 1099", ["1,100 tokens taken, 1,099 allowed"]),
        ("--max-seconds 0.8999", ["it took 0.9 s, 0.8999 s allowed"]),
    ],
)
def test_what_a_trace_may_take(tmp_path: Path, capsys: Capture, words: str, expected: list[str]) -> None:
    """To the last digit: as much as is allowed is no finding, more is one that ends with 1, whatever fails else."""
    code, out = checked(capsys, written(tmp_path, *SPENT), *words.split(), "--json", "--fail-on", "error")
    assert (len(expected), expected) == (code, [one["message"] for one in json.loads(out)["findings"]])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--max-usd 0.5", ["$0.31", "$0.30"]),
        ("--max-tokens 9", ["990 tokens", "110 tokens"]),
        ("--max-seconds 0.1", ["0.6 s itself", "0.2 s itself", "0.1 s itself"]),
    ],
)
def test_spans_that_took_most_prove_it(tmp_path: Path, capsys: Capture, words: str, expected: list[str]) -> None:
    """With what each took of it, most first."""
    out = checked(capsys, written(tmp_path, *SPENT), *words.split())[1]
    assert expected == [line.split("  ")[4] for line in out.splitlines() if line.startswith("    0")]


def test_what_is_told_of_a_limit_for_programs(tmp_path: Path, capsys: Capture) -> None:
    """What is allowed, and what was reached in the unit of the option; without limits nothing of them."""
    folder = written(tmp_path, *SPENT)
    found, free = (json.loads(checked(capsys, folder, *words, "--json")[1]) for words in (["--max-seconds", "0.5"], []))
    assert ({"seconds": 0.5}, 0.9, False) == (
        found["allowed"],
        found["findings"][0]["data"]["reached"],
        "allowed" in free,
    )


def test_money_that_is_estimated_is_told_so(tmp_path: Path, capsys: Capture) -> None:
    """As everywhere, by a tilde."""
    guessed = call(2, 1, cost=Cost(usd="0.3", basis="estimated"))
    out = checked(capsys, written(tmp_path, span(1), guessed), "--max-usd", "0.1", "--json")[1]
    assert ["~$0.30 spent, $0.10 allowed"] == [one["message"] for one in json.loads(out)["findings"]]


def test_of_a_call_whose_price_is_known_the_tokens_need_not_be(tmp_path: Path, capsys: Capture) -> None:
    """As some services tell the one alone."""
    assert 0 == checked(capsys, written(tmp_path, span(1), call(2, 1, usage=None)), "--max-usd", "9")[0]


@pytest.mark.parametrize("status", ["error", "cancelled", "refused"])
def test_a_call_that_did_not_come_to_its_end_leaves_no_doubt(tmp_path: Path, capsys: Capture, status: str) -> None:
    """That it says nothing of tokens and money is no news."""
    ended = call(2, 1, usage=None, cost=None, status=status)
    assert 0 == checked(capsys, written(tmp_path, span(1), ended), "--max-usd", "9", "--max-tokens", "9")[0]


@pytest.mark.parametrize(
    ("option", "silent"),
    [
        ("--max-usd", call(2, 1, usd=None)),
        ("--max-usd", call(2, 1, usage=None, cost=None)),
        ("--max-tokens", call(2, 1, usage=None, cost=None)),
        ("--max-seconds", span(1, attributes={"instrument.times": "unknown"})),
    ],
)
def test_what_is_not_known_passes_no_limit(tmp_path: Path, capsys: Capture, option: str, silent: Span) -> None:
    """It is a warning of its own, with the calls that say nothing."""
    root = [span(1)] if silent.parent_id else []
    code, out = checked(capsys, written(tmp_path, *root, silent), option, "9", "--json")
    (one,) = json.loads(out)["findings"]
    seen = "is not known" in one["message"], [proof["span_id"] for proof in one["evidence"]]
    assert (1, "warning", True, [silent.span_id]) == (code, one["severity"], *seen)


ONE = "1 error, 0 allowed"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([span(1)], []),
        ([span(1), span(2, 1, **FAILED)], [ONE]),
        ([span(1), span(2, 1, **FAILED), span(3, 1, status="error")], ["2 errors, 0 allowed"]),
        ([span(1, **FAILED), span(2, 1, **FAILED)], [ONE]),
        ([span(1), span(2, 1, **REFUSAL)], []),
        ([span(1, **FAILED), span(2, 1, **REFUSAL)], [ONE]),
        ([run(pid=2**22 + 1), head(1), span(2, 1)], [f"{ONE}; its process was ended from outside"]),
        (
            [
                span(1, **{**FAILED, "error": Failure("ExceptionGroup", "tasks", causes=[FAILED["error"]])}),
                span(2, 1, **FAILED),
            ],
            [ONE],
        ),
    ],
    ids=["none", "survived", "two", "passed on", "refused", "ended by a refusal", "killed", "passed on in a group"],
)
def test_errors_are_counted_where_they_began(
    tmp_path: Path, capsys: Capture, records: list[Record], expected: list[str]
) -> None:
    """As in `runs` and `stats`; a run that did not come to its end counts, whatever ended it."""
    out = checked(capsys, written(tmp_path, *records), "--max-errors", "0", "--json")[1]
    assert expected == [one["message"] for one in json.loads(out)["findings"]]


@pytest.mark.parametrize(
    "words", ["--max-usd x", "--max-usd=-1", "--max-seconds inf", "--max-tokens 1.5", "--max-errors ²"]
)
def test_a_limit_that_is_none_is_bad_use(tmp_path: Path, capsys: Capture, words: str) -> None:
    """The option is named, and what can be given."""
    assert 2 == main(["check", written(tmp_path, *SPENT), *words.split()])
    assert re.search(rf"argument {words[:9]}.*: '.*' is no .*: give ", capsys.readouterr().err)


# Scores


def judged(*values: float | str, name: str = "helpful") -> list[Record]:
    """A run for each judgement, a number or a word."""
    records: list[Record] = []
    for number, value in enumerate(values, 1):
        how: dict[str, Any] = {"label": value} if isinstance(value, str) else {"value": value}
        trace_id = f"{number:032x}"
        records += [span(number, trace_id=trace_id), Score(trace_id=trace_id, time_ns=NOON, name=name, **how)]
    return records


@pytest.mark.parametrize(
    ("values", "least", "code", "said"),
    [
        ((0.5, 1.0), "helpful=0.75", 0, ""),
        ((0.5, 0.9), "helpful=0.75", 1, "the score helpful is 0.7 on average of 2: at least 0.75 is asked for"),
        ((-1.0, "bad"), "helpful=-0.5", 1, "the score helpful is -1 on average of 1: at least -0.5 is asked for"),
        (("good",), "helpful=0", 1, "the score helpful has no number: at least 0 is asked for"),
        ((1.0,), "tone=0", 1, "the score tone has no number: at least 0 is asked for"),
    ],
    ids=["as much", "less", "words beside", "words alone", "never given"],
)
def test_the_mean_of_a_score_is_asked_for(
    values: tuple[float | str, ...], least: str, code: int, said: str, tmp_path: Path, capsys: Capture
) -> None:
    """Over all runs that are checked; that nobody gave it is not fine."""
    found, out = checked(capsys, written(tmp_path, *judged(*values)), "--min-score", least)
    assert (code, said) == (found, "\n".join(out.splitlines()[1:]))


def test_scores_that_are_too_low_are_in_the_json(tmp_path: Path, capsys: Capture) -> None:
    """With what was asked for; the others are fine."""
    path = written(tmp_path, *judged(0.5), *judged(1, name="tone"))
    _, out = checked(capsys, path, "--min-score", "helpful=0.8", "--min-score", "tone=1", "--json")
    low = [{"name": "helpful", "least": 0.8, "mean": 0.5, "count": 1}]
    assert ({"helpful": 0.8, "tone": 1.0}, low) == tuple(json.loads(out)[key] for key in ("scores", "too_low"))


@pytest.mark.parametrize("word", ["helpful", "=1", "helpful=x", "helpful=nan", "helpful="])
def test_a_score_without_its_least_is_one_sentence(word: str, capsys: Capture) -> None:
    """Exit code 2."""
    assert 2 == main(["check", "--min-score", word])
    assert "is no score and its least: give them as helpful=0.8" in capsys.readouterr().err
