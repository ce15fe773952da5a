"""What is usual counts afterwards as it did live, and nothing that is checked changes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument import agent, building, tool
from instrument.analysis.report import every_finding, findings_of
from instrument.analysis.tree import traces
from instrument.cli.main import main
from instrument.detectors import Detectors, History, default
from instrument.model import UNWATCHED, Finding, Record, Run, Span, encode
from instrument.settings import only
from instrument.store import history
from instrument.testing import record
from instrument.thresholds import thresholds
from tests.detector_runs import Tape, feed
from tests.recorded import MS, span, write

USUAL: dict[str, dict[str, dict[str, int]]] = {
    "duration": {"search": {"200": 40}},
    "calls": {"search": {"2": 9}},
    "run_tokens": {"": {"90": 9}},
}
"""Searches that took 60 milliseconds, two in each run; runs of a few thousand tokens."""

WATCHED = Run(run="watched", instrument="1.0")


def slow(run: str = "one") -> list[Span]:
    """A search that took nine seconds."""
    return [replace(span(1, name="search", kind="tool", duration_ns=9_000 * MS, input={"q": 1}, output="far"), run=run)]


def written(folder: Path, *records: Record) -> str:
    write(folder / "a.jsonl", *records)
    history.save(folder, USUAL)
    return str(folder)


def detectors(found: list[Finding]) -> set[str]:
    return {one.detector for one in found}


def test_what_is_usual_is_known_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A call far beyond the history of the folder is found in a trace that nobody watched."""
    main(["check", written(tmp_path, *slow()), "--json"])
    assert ["slow"] == [one["detector"] for one in json.loads(capsys.readouterr().out)["findings"]]


@pytest.mark.parametrize("path", ["", ".instrument", ".instrument/events", ".instrument/events/a.jsonl"])
def test_it_is_found_from_whatever_is_read(tmp_path: Path, path: str) -> None:
    """A project, its recording folder, the events in it or one file of them."""
    (tmp_path / ".instrument" / "events").mkdir(parents=True)
    (tmp_path / ".instrument" / "events" / "a.jsonl").touch()
    history.save(tmp_path / ".instrument", USUAL)
    assert USUAL == history.near(tmp_path / path, print).save()


@pytest.mark.parametrize(("remembers", "known"), [(True, USUAL), (False, {})])
def test_a_recording_knows_what_is_usual(tmp_path: Path, remembers: bool, known: Any) -> None:
    """One that is written to the folder does; the test kit reads nothing."""
    written(tmp_path)
    watch = building._detectors(only(dir=tmp_path), remembers)
    assert known == watch.history.save()  # type: ignore[union-attr]  # they are on


def test_checking_teaches_nothing(tmp_path: Path) -> None:
    """The history is the same after a check as before it."""
    place = written(tmp_path, *slow())
    before = (tmp_path / history.NAME).read_bytes()
    main(["check", place])
    assert before == (tmp_path / history.NAME).read_bytes()


def test_a_trace_is_not_judged_by_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each trace is held against the history alone, however many slow ones are checked before it."""
    many = [replace(slow()[0], trace_id=f"{n:032x}", span_id=f"{n:016x}") for n in range(1, 41)]
    main(["check", written(tmp_path, *many), "--json"])
    assert 40 == json.loads(capsys.readouterr().out)["failing"]


def test_what_was_watched_stands_as_it_was_judged() -> None:
    """What is usual now says nothing of a run that was judged by what was usual then."""
    (trace,) = traces([WATCHED, *slow("watched")])
    assert [] == list(findings_of(trace, history=History(USUAL)))


def test_what_nobody_watched_is_judged_now() -> None:
    """A run of ours with the detectors off is held against the history."""
    (trace,) = traces([replace(WATCHED, resource={UNWATCHED: True}), *slow("watched")])
    assert {"slow"} == detectors(list(findings_of(trace, history=History(USUAL))))


@pytest.mark.parametrize(("action", "resource"), [("off", {UNWATCHED: True}), ("warn", {})])
def test_a_run_says_that_nobody_watched(action: str, resource: dict[str, bool]) -> None:
    """It stands in its head, so that it is seen afterwards."""
    with record(loops={"action": action}) as recorded:
        tool(name="search")(lambda: "far")()
    assert [resource] == [one.resource for one in recorded.records if isinstance(one, Run)]


DAMAGED = {
    "no json": (b'{"duration": ', "is no JSON and counts for nothing: delete it"),
    "no text": (b"\xff\x00", "is no JSON"),
    "endless": (b"[" * 100_000, "is no JSON"),
    "a list": (b"[1]", "counts for nothing: the history is damaged"),
    "no numbers": (b'{"duration": {"search": {"many": "few"}}}', "the history of 'duration' is damaged"),
    "a number without end": (b'{"duration": {"search": {"9": Infinity}}}', "the history of 'duration' is damaged"),
    "a bucket that cannot be": (b'{"duration": {"search": {"999999999": 9}}}', "the history of 'duration' is damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_history_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """One sentence says so, once; the check goes on without it, and so does a recording."""
    content, sentence = DAMAGED[name]
    place = written(tmp_path, *slow())
    (tmp_path / history.NAME).write_bytes(content)
    assert 0 == main(["check", place])
    (told,) = capsys.readouterr().err.splitlines()
    assert (True, True) == (str(tmp_path / history.NAME) in told, sentence in told)
    said: list[str] = []
    assert ({}, 1) == (default(history=history.known(tmp_path, said.append)).history.save(), len(said))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from(["", "ok", "fault"])), max_size=30)
)
def test_the_same_is_found_live_and_afterwards(calls: list[tuple[str, int, str]]) -> None:
    """For all scripts of calls: what detectors find in the finished trace is what they found while it grew."""
    with record() as recorded:
        agent(name="run")(lambda: [_made(*call) for call in calls])()
    (trace,) = traces(recorded.spans)
    afterwards = [replace(one, run=recorded.spans[0].run) for one in every_finding(trace)]
    assert sorted(map(encode, recorded.findings)) == sorted(map(encode, afterwards))


def _made(name: str, query: int, result: str) -> object:
    @tool(name=name)
    def asked(query: int) -> str:
        if result == "fault":
            raise ValueError("the service is away")
        return result

    try:
        return asked(query)
    except ValueError:
        return None


def test_history_copied_learns_alone() -> None:
    """What a copy is taught the original does not know."""
    mine = History(USUAL)
    tape = Tape()
    tape.tool("search", "far")
    feed([*tape.spans, tape.root()], Detectors(thresholds(), mine.copy()))
    assert History(USUAL).save() == mine.save()


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    """What cannot be saved there is no fault of the recording."""
    place = tmp_path / "mine"
    place.write_text("mine")
    history.save(place, USUAL)
    assert "mine" == place.read_text()


def test_processes_that_end_together_add_up(tmp_path: Path) -> None:
    """Of two that began with the same history and learned at the same time the file has what both have learned."""
    history.save(tmp_path, USUAL)
    began = [history.known(tmp_path, pytest.fail) for _ in range(2)]
    for mine in began:
        tape = Tape()
        tape.tool("search", "near")
        feed([*tape.spans, tape.root()], Detectors(thresholds(), mine))
        history.save(tmp_path, mine.learned())
    before, after = History(USUAL), history.known(tmp_path, pytest.fail)
    assert 2 == _durations(after) - _durations(before)


def test_what_was_learned_is_told_once() -> None:
    """A recording that is closed again has nothing to add."""
    mine = History(USUAL)
    tape = Tape()
    tape.tool("search", "near")
    feed([*tape.spans, tape.root()], Detectors(thresholds(), mine))
    assert [True, False] == ["duration" in mine.learned() for _ in range(2)]


def _durations(known: History) -> int:
    return sum(known.save()["duration"]["search"].values())
