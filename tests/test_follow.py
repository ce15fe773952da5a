"""Files that grow while they are read: every line once, whatever happens to the files meanwhile."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.model import encode
from instrument.store.follow import Follower
from tests.recorded import span

LINES = [encode(span(number)) + b"\n" for number in range(6)]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    place = tmp_path / "events"
    place.mkdir()
    return place


def add(file: Path, *lines: bytes) -> None:
    with open(file, "ab") as stream:
        stream.writelines(lines)


def new(follower: Follower) -> list[bytes]:
    return [line for _, line in follower.new()]


def test_each_line_comes_once(events: Path) -> None:
    """As the file grows."""
    follower = Follower(events.parent)
    seen = []
    for line in LINES[:3]:
        add(events / "a.jsonl", line)
        seen.append(new(follower))
    assert [[LINES[0]], [LINES[1]], [LINES[2]], []] == [*seen, new(follower)]


def test_a_half_written_line_is_waited_for(events: Path) -> None:
    """It comes when the rest is there."""
    follower = Follower(events.parent)
    add(events / "a.jsonl", LINES[0], LINES[1][:30])
    first = new(follower)
    add(events / "a.jsonl", LINES[1][30:])
    assert ([LINES[0]], [LINES[1]]) == (first, new(follower))


def test_a_last_line_without_newline_counts_when_it_is_whole(events: Path) -> None:
    """Files that somebody edited may end so."""
    add(events / "a.jsonl", LINES[0].rstrip())
    assert [LINES[0].rstrip()] == new(Follower(events.parent))


def test_rotation_is_followed(events: Path) -> None:
    """What was read under the old name is not read again."""
    follower = Follower(events.parent)
    add(events / "a.jsonl", LINES[0])
    first = new(follower)
    os.rename(events / "a.jsonl", events / "a.1.jsonl")
    add(events / "a.1.jsonl", LINES[1])
    add(events / "a.jsonl", LINES[2])
    assert ([LINES[0]], [LINES[1], LINES[2]]) == (first, new(follower))


def test_a_file_that_is_gzipped_goes_on(events: Path) -> None:
    """Its lines are not new, and their places hold."""
    follower = Follower(events.parent)
    add(events / "a.jsonl", *LINES[:2])
    places = [place for place, _ in follower.new()]
    (events / "a.jsonl.gz").write_bytes(gzip.compress((events / "a.jsonl").read_bytes() + LINES[2]))
    (events / "a.jsonl").unlink()
    assert ([LINES[2]], LINES[:2]) == (new(follower), list(follower.lines(places)))


def test_a_file_that_was_gzipped_before_is_read(events: Path) -> None:
    """As if it were not."""
    (events / "a.jsonl.gz").write_bytes(gzip.compress(b"".join(LINES)))
    assert LINES == new(Follower(events.parent))


def test_a_file_that_is_written_anew_is_read_anew(events: Path) -> None:
    """From its beginning."""
    follower = Follower(events.parent)
    add(events / "a.jsonl", *LINES[:3])
    new(follower)
    (events / "a.jsonl").write_bytes(LINES[4])
    assert [LINES[4]] == new(follower)


def test_what_is_gone_is_left_out(events: Path) -> None:
    """Of the lines that are asked for again, and of the folder."""
    follower = Follower(events.parent)
    add(events / "a.jsonl", LINES[0])
    add(events / "b.jsonl", LINES[1])
    places = [place for place, _ in follower.new()]
    (events / "a.jsonl").unlink()
    assert ([LINES[1]], []) == (list(follower.lines(places)), new(follower))


def test_a_folder_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    """Nothing is there yet, which is no error."""
    follower = Follower(tmp_path / "later")
    before = new(follower)
    (tmp_path / "later").mkdir()
    add(tmp_path / "later/a.jsonl", LINES[0])
    assert ([], [LINES[0]]) == (before, new(follower))


@given(st.lists(st.integers(0, 2000), max_size=8), st.permutations(range(6)))
def test_wherever_writing_pauses_all_lines_come_once(cuts: list[int], asked: list[int]) -> None:
    """And any of them can be read again, in any order."""
    import tempfile

    whole = b"".join(LINES)
    stops = sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.jsonl"
        file.touch()
        follower = Follower(file)
        found: list[tuple[int, bytes]] = []
        for start, stop in zip([0, *stops], stops, strict=False):
            add(file, whole[start:stop])
            found += follower.new()
        lines = [line for _, line in found]
        joined = [place for place, line in found if line.strip()]
        again = list(follower.lines([joined[index] for index in asked if index < len(joined)]))
    assert (whole, [LINES[index] for index in asked if index < len(joined)]) == (b"".join(lines), again)
