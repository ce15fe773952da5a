"""Rules of `instrument.store.jsonl`: what is read of files that were written, torn, broken, rotated, compressed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.model import Cost, Finding, Log, Open, Other, Record, Run, Span, Usage, decode, encode
from instrument.store import jsonl
from instrument.store.jsonl import decoded, files, record_of, records
from tests.recorded import read, review, span


def written(path: Path, *made: Record | bytes) -> Path:
    path.write_bytes(b"".join((one if isinstance(one, bytes) else encode(one)) + b"\n" for one in made))
    return path


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """Every record comes back equal, in the order of the lines."""
    made = review()
    assert made == read(written(tmp_path / "a.jsonl", *made))[0]


def test_lines_say_what_goes_without_saying() -> None:
    """The version, and words that readers of their own look for, stand in the line; where a line lacks them they are meant."""
    head = {"trace_id": "a", "span_id": "b", "start_ns": 1, "name": "x"}
    called = Span(**head, duration_ns=1, kind="llm", status="ok", usage=Usage(), cost=Cost())
    lines = [encode(one) for one in (Run(), Log(time_ns=1), Finding(detector="d", message=""), Open(**head), called)]
    said = [
        '"schema":1',
        '"level":"INFO"',
        '"severity":"warning"',
        '"kind":"span"',
        '"reported"},"cost":{"basis":"unpriced"}',
    ]
    assert [True] * 5 == [word in line.decode() for word, line in zip(said, lines, strict=True)]


def test_the_half_written_last_line_is_skipped_with_a_notice(tmp_path: Path) -> None:
    """A process killed in the middle of a line costs that line only, and it is said."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode(span(1)) + b"\n" + encode(span(2))[:-20])
    assert ([span(1)], [f"{path}: the last line is half-written and was skipped"]) == read(path)


def test_a_last_line_without_newline_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """Only the newline is missing: the record is there."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode(span(1)))
    assert ([span(1)], []) == read(path)


@pytest.mark.parametrize(
    "broken",
    [b"{", b"nonsense", b"[]", b"7", b'{"type":"span"}', b'{"type":[]}', b"\x00" * 100, b"\xff\xfe", b"[" * 5000],
)
def test_a_broken_line_is_skipped_with_a_notice(tmp_path: Path, broken: bytes) -> None:
    """Whatever stands in a line, the lines around it are read, and the notice says which one it was."""
    path = written(tmp_path / "a.jsonl", span(1), broken, span(2))
    assert ([span(1), span(2)], [f"{path}: line 2 is no record and was skipped"]) == read(path)


def test_many_broken_lines_make_one_notice(tmp_path: Path) -> None:
    """The complaint about a file is one sentence, however broken the file is."""
    path = written(tmp_path / "a.jsonl", *[b"nonsense"] * 1000, span(1))
    assert [f"{path}: 1000 lines, the first of them line 1, are no records and were skipped"] == read(path)[1]


def test_without_a_list_for_notices_they_are_warnings(tmp_path: Path) -> None:
    """Nothing is skipped in silence."""
    path = written(tmp_path / "a.jsonl", b"nonsense")
    with pytest.warns(UserWarning, match="line 1 is no record"):
        list(records(path))


def test_a_record_behind_a_torn_one_is_recovered(tmp_path: Path) -> None:
    """In a shared file, what another process appended to a torn line is not lost with it."""
    path = written(tmp_path / "a.jsonl", encode(span(1))[:-30] + encode(span(2)))
    assert [span(2)] == read(path)[0]


def test_a_record_behind_several_torn_ones_is_recovered(tmp_path: Path) -> None:
    """Two processes were killed in the middle of a line, the third one's record is behind both."""
    path = written(tmp_path / "a.jsonl", encode(span(1))[:-30] + encode(span(2))[:-30] + encode(span(3)))
    assert [span(3)] == read(path)[0]


def test_a_torn_line_is_told_also_where_little_is_wanted(tmp_path: Path) -> None:
    """Whether a half-written line would have been wanted nobody knows."""
    path, notices = tmp_path / "a.jsonl", list[str]()
    path.write_bytes(encode(span(1)) + b"\n" + encode(span(2))[:-20])
    assert [] == list(decoded(path, decode, notices, wanted=lambda line: False))
    assert [f"{path}: the last line is half-written and was skipped"] == notices


def test_a_line_as_long_as_may_be_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is longer goes on in what is read next."""
    monkeypatch.setattr(jsonl, "MAX_LINE", 500)
    assert [span(1)] == read(written(tmp_path / "a.jsonl", b"x" * 499, span(1)))[0]


def test_a_file_that_cannot_be_read_is_an_error_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among others in a folder it is one notice."""

    def refused(file: Path) -> None:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path / "a.jsonl", span(1))
    monkeypatch.setattr(jsonl, "_opened", refused)
    assert ([], 1) == (read(tmp_path)[0], len(read(tmp_path)[1]))
    with pytest.raises(PermissionError):
        read(path)


def test_unknown_types_and_keys_are_kept(tmp_path: Path) -> None:
    """Records of a later version lose nothing on the way through this one."""
    later = b'{"type":"hologram","run":"r1","size":3}'
    richer = encode(span(1))[:-1] + b',"colour":"red"}'
    kinds = [type(one) for one in read(written(tmp_path / "a.jsonl", later, richer))[0]]
    again = [json.loads(encode(one)) for one in read(tmp_path / "a.jsonl")[0]]
    assert ([Other, Span], [json.loads(later), json.loads(richer)]) == (kinds, again)


@given(st.sampled_from(review()), st.dictionaries(st.text(max_size=5).map("new {}".format), st.integers(), max_size=3))
def test_the_fast_way_reads_as_the_slow_one(record: Record, more: dict[str, int]) -> None:
    """For every record with any keys added, the fast reader gives what `model.decode` gives."""
    line = json.dumps({**more, **json.loads(encode(record))}).encode()
    assert decode(line) == record_of(line)


def test_an_endless_line_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than any record is passed over in pieces, so that it cannot fill the memory."""
    monkeypatch.setattr("instrument.store.jsonl.MAX_LINE", 1000)
    path = written(tmp_path / "a.jsonl", b"x" * 5000, span(1))
    assert ([span(1)], [f"{path}: a line longer than 0 MiB was skipped"]) == read(path)


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    """A file that was compressed after its process ended is read like the others, whatever it is called."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(encode(span(1)) + b"\n"))
    assert [span(1)] == read(path)[0]


def test_of_a_cut_gzip_the_rest_is_said_to_be_missing(tmp_path: Path) -> None:
    """In a folder, a damaged archive costs what is behind the damage and is named."""
    data = gzip.compress(b"".join(encode(span(number)) + b"\n" for number in range(1000)))
    (tmp_path / "a.jsonl.gz").write_bytes(data[: len(data) // 2])
    found, notices = read(tmp_path)
    assert (True, True) == (0 < len(found) < 1000, "the rest could not be read" in notices[0])


def test_a_copy_that_is_being_compressed_is_not_read_twice(tmp_path: Path) -> None:
    """While `gzip` works both files are there; the records count once."""
    written(tmp_path / "a.jsonl", span(1))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(encode(span(1)) + b"\n"))
    assert [span(1)] == read(tmp_path)[0]


def test_rotated_files_come_before_the_current_one(tmp_path: Path) -> None:
    """Of one recording the numbered files are older, by their number and not by their name."""
    for name in ("b.jsonl", "b.10.jsonl", "b.9.jsonl", "a.jsonl", "notes.txt", "b.jsonl.lock"):
        written(tmp_path / name, span(1))
    assert ["a.jsonl", "b.9.jsonl", "b.10.jsonl", "b.jsonl"] == [file.name for file in files(tmp_path)]


@pytest.mark.parametrize(
    ("named", "read_files"),
    [
        ("b.jsonl", ["b.9.jsonl", "b.10.jsonl.gz", "b.jsonl"]),
        ("b.9.jsonl", ["b.9.jsonl"]),
        ("gone.jsonl", ["gone.1.jsonl"]),
        ("all.log", ["all.1.jsonl", "all.log"]),
    ],
)
def test_a_file_stands_for_what_it_held_before_it_was_rotated(
    tmp_path: Path, named: str, read_files: list[str]
) -> None:
    """One file leads to its older ones as well, also while it is just moved away; a numbered one is itself alone."""
    for name in (
        "b.jsonl",
        "b.10.jsonl.gz",
        "b.9.jsonl",
        "a.jsonl",
        "b.c.jsonl",
        "gone.1.jsonl",
        "all.1.jsonl",
        "all.log",
    ):
        written(tmp_path / name, span(1))
    assert read_files == [file.name for file in files(tmp_path / named)]


@pytest.mark.parametrize("place", ["", ".instrument", ".instrument/events", ".instrument/events/a.jsonl"])
def test_a_file_or_any_folder_around_it_can_be_named(tmp_path: Path, place: str) -> None:
    """The project folder, the recording folder, its events and the file itself all lead to the records."""
    (tmp_path / ".instrument/events").mkdir(parents=True)
    written(tmp_path / ".instrument/events/a.jsonl", span(1))
    assert [span(1)] == read(tmp_path / place)[0]


def test_nothing_there_is_one_clear_error(tmp_path: Path) -> None:
    """A path that does not exist is named in the error."""
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*missing"):
        read(tmp_path / "missing")
