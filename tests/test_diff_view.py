"""`instrument diff`: what people see of a comparison, and how runs are named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.diff import Change, compare
from instrument.analysis.tree import traces
from instrument.cli.main import main
from instrument.views.changed_words import changed_words
from instrument.views.difference import NOTHING, difference, place
from instrument.views.theme import Theme, cells
from tests.recorded import call, span, write
from tests.simulated import Plan, Step, Tool, Twist, simulate

Capture = pytest.CaptureFixture[str]
PLAN = Plan((Step((Tool("read", "one"), Tool("search", "two"))), Step((Tool("run", "one"),))))
TWIST = Twist("prompt", 1)


@pytest.fixture
def here(alone: Path) -> Path:
    """A folder with three runs recorded in it, as the working directory: two alike, one with another prompt."""
    (alone / ".instrument/events").mkdir(parents=True)
    for seed, twist in ((1, Twist()), (2, Twist()), (3, TWIST)):
        write(alone / f".instrument/events/{seed}.jsonl", *simulate(PLAN, twist, seed).spans)
    return alone


def told(capsys: Capture, *words: str, code: int = 0) -> str:
    assert code == main(["diff", *words])
    out, err = capsys.readouterr()
    return out if code == 0 else err


def told_json(capsys: Capture, *words: str) -> Any:
    return json.loads(told(capsys, *words, "--json"))


def trace(seed: int) -> str:
    return simulate(PLAN, seed=seed).trace_id


def test_refused_calls_have_a_row_where_there_are_any(here: Path, capsys: Capture) -> None:
    """They are no errors: without it a run that a budget ended shows an error in its status alone."""
    before = told(capsys)
    records = span(1, start_ns=2**61), span(2, 1, status="refused", start_ns=2**61)
    write(here / ".instrument/events/4.jsonl", *records)
    row = re.search(r"^refused +0 +1 +\+1$", told(capsys), re.MULTILINE)
    assert (False, True) == ("\nrefused" in before, row is not None)


def test_the_last_two_runs_are_compared(here: Path, capsys: Capture) -> None:
    """Where none is named."""
    found = told_json(capsys)
    assert (trace(2), trace(3), "prompt") == (found["a"]["trace_id"], found["b"]["trace_id"], found["first"]["cause"])


def test_that_the_last_two_runs_are_of_two_agents_is_said(here: Path, capsys: Capture) -> None:
    """Where nobody named them; they are compared all the same."""
    other = span(1, name="other", start_ns=2**61)
    write(here / ".instrument/events/4.jsonl", other)
    assert (0, 0) == (main(["diff"]), main(["diff", "last~1", "last"]))
    assert ["note: the last two runs are of review and other: "] == re.findall("note: .*: ", capsys.readouterr().err)


@pytest.mark.parametrize("words", [["{1}", "{3}"], ["last~2", "last"], ["run1", "run3"], [".instrument/events/1.jsonl", "{3}"], ["{1}", "last", "--path", "."], ["last~2", "last", "."]])  # fmt: skip
def test_runs_are_named_in_many_ways(here: Path, capsys: Capture, words: list[str]) -> None:
    """By the first digits of a trace or a run, by their place from the end, by file."""
    found = told_json(capsys, *(word.replace("{1}", trace(1)[:8]).replace("{3}", trace(3)) for word in words))
    assert (trace(1), trace(3)) == (found["a"]["trace_id"], found["b"]["trace_id"])


def test_a_folder_alone_is_where_both_runs_are(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with every other verb."""
    monkeypatch.chdir("/")
    assert trace(2) == told_json(capsys, str(here))["a"]["trace_id"]


def test_what_changed_is_shown_before_its_consequences(here: Path, capsys: Capture) -> None:
    """Figures first, then the first divergence with its place and both texts, then what may follow."""
    out = told(capsys)
    marks = ["tokens in", "first divergence: another prompt", "review > iteration > chat gpt-4.1 (llm): message 1 (system)", "- be brief", "+ be thorough", "what may follow from it ("]  # fmt: skip
    assert (marks, True) == ([mark for mark in marks if mark in out], [out.find(mark) for mark in marks] == sorted(out.find(mark) for mark in marks))  # fmt: skip


def test_equal_runs_say_so(here: Path, capsys: Capture) -> None:
    """Nothing but times differs."""
    assert NOTHING in told(capsys, "last~2", "last~1")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["abc"], "no trace"),
        (["last~3"], "there is no last~3: "),
        (["last"], "last is the last trace itself: name another one"),
        (["missing.jsonl"], "missing.jsonl"),
    ],
)
def test_bad_use_is_one_sentence(here: Path, capsys: Capture, words: list[str], sentence: str) -> None:
    """Exit code 2."""
    assert sentence in told(capsys, *words, code=2)


@pytest.mark.parametrize("cause", ["task", "prompt", "result", "removed", "added", "other call", "order", "concurrency", "error", "nothing"])  # fmt: skip
@pytest.mark.parametrize("width", [40, 60, 100])
def test_every_cause_fits_the_width(cause: str, width: int) -> None:
    """No line of ours is wider than the terminal, but for values that are one long word."""
    text = difference(compare(simulate(PLAN), simulate(PLAN, Twist(cause), seed=2)), Theme(width=width))
    assert [] == [line for line in text.splitlines() if cells(line) > width and not line.startswith("    ")]


@pytest.mark.parametrize(("cause", "sign"), [("added", "+"), ("removed", "-")])
def test_a_call_that_one_run_alone_makes_is_told_by_its_arguments(cause: str, sign: str) -> None:
    """With the sign of its side."""
    text = difference(compare(simulate(PLAN), simulate(PLAN, Twist(cause), seed=2)), Theme(width=None))
    assert f'\n    {sign} {{"what":' in text


@pytest.mark.parametrize(("turned", "run"), [(False, "B"), (True, "A")])
def test_among_what_follows_such_a_call_is_told_by_its_arguments_too(turned: bool, run: str) -> None:
    """Whichever run makes it."""
    calls = call(2, 1, output="x"), span(9, 1, name="read", input={"p": 7})
    runs = [next(traces(spans)) for spans in ([span(1), *calls], [span(1), call(2, 1, output="y")])]
    text = difference(compare(*(reversed(runs) if turned else runs)), Theme(None))
    assert f'read: a call that {run} does not make  {{"p":7}}' in text


def test_a_status_that_differs_is_said_to() -> None:
    """It has no other difference."""
    a, b = (next(traces([span(1, status=status)])) for status in ("ok", "error"))
    assert re.search(r"^status +ok +error +differs$", difference(compare(a, b), Theme(None)), re.MULTILINE)


def test_values_that_read_alike_are_told_apart() -> None:
    """A number and the text of it: both at the first divergence and among what follows."""
    (a,), (b,) = (traces([span(1), span(2, 1, output=out), span(3, 1, output=out)]) for out in (22, "22"))
    text = difference(compare(a, b), Theme(width=None))
    assert [True] * 3 == [part in text for part in ("- 22\n", '+ "22"\n', '22 -> "22"')], text


@pytest.mark.parametrize(("above", "told"), [("abcd", "a > b > c > d > e"), ("zabcd", "... > a > b > c > d > e")])
def test_a_long_way_to_a_call_is_cut_at_its_beginning(above: str, told: str) -> None:
    """Four names above it are told, and that there are more."""
    change = Change(cause="result", name="e", kind="tool", path=tuple(above))
    assert f"{told} (tool)" == place(change)


def test_a_name_that_did_not_occur_has_no_time() -> None:
    """A dash stands for it, as for its tokens and money."""
    text = difference(compare(simulate(PLAN), simulate(PLAN, Twist("other call"), seed=2)), Theme(None))
    assert ["read 1 -> 0 15 ns -> -", "grep 0 -> 1 - -> 15 ns"] == [
        " ".join(row.split()) for row in text.splitlines()[-2:]
    ]


@pytest.mark.parametrize(("one", "two", "sign"), [(1, 3, "+"), (3, 1, "-")])
def test_more_time_and_money_have_a_plus_and_less_a_minus(one: int, two: int, sign: str) -> None:
    """As all other figures have."""
    a, b = (next(traces([span(1, duration_ns=n * 10**9), call(2, 1, usd=f"{n}")])) for n in (one, two))
    text = difference(compare(a, b), Theme(None))
    assert [f"{sign}2 s", f"{sign}$2.00"] == re.findall(r"^(?:time|money) .*  (\S.*)", text, re.MULTILINE)


@pytest.mark.parametrize("width", [40, 60])
def test_days_and_times_are_whole_where_it_is_narrow(width: int) -> None:
    """In a line each."""
    text = difference(compare(simulate(PLAN), simulate(PLAN, TWIST, seed=2)), Theme(width=width))
    shown = {line.split()[0]: line.split() for line in text.splitlines() if line[:1].isalpha()}
    assert [10, 10, 9, 9] == [len(word) for name in ("day", "began") for word in shown[name][1:3]]


# Words


def test_changed_words_are_marked() -> None:
    """What is gone and what is new, where it was."""
    text = changed_words("review the file a.py carefully", "review the folder a carefully", Theme())
    assert "review the [-file-]{+folder+} a[-.py-] carefully" == text


@given(st.text(alphabet="ab \n.", max_size=60), st.text(alphabet="ab \n.", max_size=60))
def test_both_texts_can_be_read_out(before: str, after: str) -> None:
    """For all short texts: without what is new it is the one, without what is gone the other."""
    import re

    told_ = changed_words(before, after, Theme(), around=1000)
    old = re.sub(r"\{\+.*?\+\}", "", told_).replace("[-", "").replace("-]", "")
    new = re.sub(r"\[-.*?-\]", "", told_).replace("{+", "").replace("+}", "")
    assert (before.replace("\n", "\\n"), after.replace("\n", "\\n")) == (old, new)


def test_long_texts_are_cut_around_the_change() -> None:
    """A page of equal text on both sides is not shown."""
    text = changed_words("x " * 3000 + "old " + "y " * 3000, "x " * 3000 + "new " + "y " * 3000, Theme())
    assert (True, True) == ("[-old-]{+new+}" in text, len(text) < 200)
