"""Texts looked for in everything that lies below a path."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from instrument.model import Record, encode
from instrument.store.blobs import Blobs
from instrument.store.contents import Search
from tests.recorded import TRACE, as_lines, log, span, write

OTHER = "07e5" * 8


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A recording folder with two runs, one of them in a file that was gzipped."""
    place = tmp_path / "events"
    place.mkdir()
    (place / "a.jsonl.gz").write_bytes(gzip.compress(as_lines(span(1, output="The needle"), span(2, 1))))
    write(
        place / "b.jsonl",
        span(3, trace_id=OTHER, input={"q": "hay"}),
        log(3, trace_id=OTHER, message="Über den Wolken"),
    )
    return place


def found(path: Path, text: str) -> list[str]:
    search = Search(path, text)
    assert search.look()
    return list(search.found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("NEEDLE", [TRACE]), ("hay", [OTHER]), ("über", [OTHER]), ("straw", []), ("span", [OTHER, TRACE])],
    ids=["gzipped", "plain", "a log, and a capital beyond English", "nowhere", "everywhere"],
)
def test_a_text_leads_to_the_runs_that_hold_it(events: Path, text: str, expected: list[str]) -> None:
    """Whatever its case, in spans and logs, each run once."""
    assert sorted(expected) == sorted(found(events.parent, text))


def test_long_values_that_lie_apart_are_looked_into(events: Path) -> None:
    """The record has their beginning and end only."""
    reference = Blobs(events.parent / "blobs").put([b'"', b"hay " * 9000, b"the needle", b" and hay" * 9000, b'"'])
    write(events / "a.jsonl.gz", span(1, output={"$blob": reference, "bytes": 1, "head": "hay", "tail": "hay"}))
    assert [TRACE] == found(events.parent, "the needle")


def test_it_is_looked_for_a_while_at_a_time(events: Path) -> None:
    """What was found so far is known, and how much was looked at; the next look goes on where the last one was."""
    search = Search(events.parent, "span")
    seen = [(search.look(0), len(search.found), 0 < search.share < 1) for _ in range(4)]
    assert [(False, 1, True), (False, 1, True), (False, 2, True), (False, 2, True)] == seen
    assert (True, 1) == (search.look(0), search.share)


def test_what_is_written_later_is_looked_at_alone(events: Path) -> None:
    """The next look is at the new lines, not at all again."""
    search = Search(events.parent, "straw")
    search.look()
    with (events / "b.jsonl").open("ab") as file:
        file.write(encode(later()) + b"\n")
    assert (False, [OTHER], True) == (search.look(0), list(search.found), search.look(0))


def later() -> Record:
    return span(4, 3, trace_id=OTHER, output="straw")
