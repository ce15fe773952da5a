"""`instrument diff A B --all`: all runs of two recordings side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from instrument.cli.main import main
from instrument.model import Failure, Record, Score, Span
from tests.recorded import MS, NOON, as_lines, call, head, run, span

Capture = pytest.CaptureFixture[str]
WRONG: dict[str, Any] = {"status": "error", "error": Failure("ValueError", "no")}


def case(number: int, task: Any = "a", *, judged: float | None = None, **fields: Any) -> list[Record]:
    """A run with a model call, and what it was judged."""
    trace_id = f"{number:032x}"
    root: Span = span(1, name="case", trace_id=trace_id, input={"task": task}, **fields)
    scores = [Score(trace_id=trace_id, time_ns=NOON, name="helpful", value=judged)] if judged is not None else []
    return [root, replace(call(2, 1), trace_id=trace_id), *scores]


def write(folder: Path, *cases: list[Record]) -> str:
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(as_lines(*(record for one in cases for record in one)))
    return str(folder)


def compared(capsys: Capture, *words: str) -> str:
    assert 0 == main(["diff", *words, "--all"])
    return capsys.readouterr().out


def test_figures_of_all_runs_stand_side_by_side(tmp_path: Path, capsys: Capture) -> None:
    """Sums of what is counted, the mean of scores, of time the median, of tokens and money what one run takes."""
    a = write(tmp_path / "a", *(case(n, judged=0.5, duration_ns=n * n * MS, **WRONG) for n in (3, 4, 9)))
    b = write(tmp_path / "b", case(1, judged=1.0, duration_ns=30 * MS), case(2, duration_ns=50 * MS))
    expected = [
        "A B B - A",
        "runs 3 2 -1",
        "failed 3 0 -3",
        "errors 3 0 -3",
        "findings 0 0",
        "score helpful 0.5 1 +0.5",
        "time of one, median 16 ms 40 ms +24 ms",
        "model calls in one 1 1",
        "tokens of one 110 110",
        "money of one $0.00100 $0.00100",
    ]
    assert expected == [" ".join(line.split()) for line in compared(capsys, a, b).partition("\n\n")[0].splitlines()]


def test_tasks_that_end_otherwise_are_told_the_worst_first(tmp_path: Path, capsys: Capture) -> None:
    """Runs of one name that were given the same, to the last letter; those that fail as often are left out."""
    long = "x" * 500
    a = write(tmp_path / "a", case(1, "a"), case(2, "b", **WRONG), case(3, "b"), case(4, "c"), case(5, f"{long}1"))
    b = write(tmp_path / "b", case(6, "a", **WRONG), case(7, "b"), case(8, "c"), case(9, f"{long}2", **WRONG))
    listed = compared(capsys, a, b).partition("the same task ended otherwise\n")[2].splitlines()[1:]
    assert [
        ["case", 'task="a"', "0", "of", "1", "1", "of", "1"],
        ["case", 'task="b"', "1", "of", "2", "0", "of", "1"],
    ] == [line.split() for line in listed]


def test_a_run_that_was_ended_from_outside_has_failed(tmp_path: Path, capsys: Capture) -> None:
    """What killed processes left behind."""
    left = [run(pid=2**22 - 1), replace(head(1, trace_id=f"{1:032x}"), name="case")]
    a, b = write(tmp_path / "a", left), write(tmp_path / "b", case(2))
    told = json.loads(compared(capsys, a, b, "--json"))
    assert (1, 0) == (told["a"]["failed"], told["b"]["failed"])


@pytest.mark.parametrize("words", [["a"], ["last", "b"], ["a", "b", "a"], []])
def test_two_places_are_needed(words: list[str], alone: Path, capsys: Capture) -> None:
    """One sentence, and exit code 2."""
    for name in "ab":
        write(alone / name, case(1))
    assert 2 == main(["diff", *words, "--all"])
    assert "--all is of two files or folders: name both" in capsys.readouterr().err


def test_a_place_without_runs_is_one_sentence(tmp_path: Path, capsys: Capture) -> None:
    """It must not look as if all had been well there."""
    a, b = write(tmp_path / "a", case(1)), write(tmp_path / "b")
    assert 2 == main(["diff", a, b, "--all"])
    assert f"there is no trace in {b}" in capsys.readouterr().err


def test_what_cannot_be_read_is_said_of_both(tmp_path: Path, capsys: Capture) -> None:
    """Figures of what is left must not pass for those of all."""
    places = [write(tmp_path / name, case(number)) for number, name in enumerate("ab", 1)]
    for place in places:
        (Path(place) / "b.jsonl").write_bytes(b"no record\n")
    main(["diff", *places, "--all"])
    said = capsys.readouterr().err
    assert [True, True] == [place in said for place in places]
