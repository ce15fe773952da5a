"""Rules of `instrument.sinks.jsonl`: every batch gets to the process's file, or is kept, or is counted."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import textwrap
from pathlib import Path

import pytest

from instrument.model import Batch, encode
from instrument.sinks.jsonl import JsonlSink
from instrument.store.jsonl import event_file
from tests.programs import python
from tests.recorded import NOON, call, finding, log, read, review, run, span


def test_a_process_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    """The file is called after the start and the run, below the recording folder."""
    sink = JsonlSink(tmp_path / ".instrument", run())
    sink.write(Batch(review()))
    sink.close()
    path = tmp_path / ".instrument/events/20261123T120000Z-r1.jsonl"
    assert (path, path, review()) == (sink.path, event_file(tmp_path / ".instrument", "r1", NOON), read(path)[0])


def test_the_lines_of_the_batch_are_written_as_they_are(tmp_path: Path) -> None:
    """What was redacted on its way is not encoded again from the record."""
    sink = JsonlSink(tmp_path, run(), path=tmp_path / "shared.log")
    sink.write(Batch([span(1)], lines=[b'{"redacted":1}']))
    sink.close()
    assert b'{"redacted":1}\n' == (tmp_path / "shared.log").read_bytes()


def test_files_are_private_and_out_of_git(tmp_path: Path) -> None:
    """Folders are 0700, files 0600, and the recording folder ignores itself."""
    sink = JsonlSink(tmp_path / ".instrument", run())
    sink.write(Batch([span(1)]))
    sink.close()
    assert sink.path is not None
    modes = [stat.S_IMODE(place.stat().st_mode) for place in (tmp_path / ".instrument", sink.path.parent, sink.path)]
    assert ([0o700, 0o700, 0o600], "*\n") == (modes, (tmp_path / ".instrument/.gitignore").read_text())


def test_a_folder_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    """Records do not vanish into a file that has no name any more."""
    sink = JsonlSink(tmp_path / ".instrument", run())
    sink.write(Batch([span(1)]))
    for place in sorted((tmp_path / ".instrument").rglob("*"), reverse=True):
        place.rmdir() if place.is_dir() else place.unlink()
    (tmp_path / ".instrument").rmdir()
    sink.write(Batch([span(2)]))
    sink.close()
    assert [span(2)] == read(tmp_path)[0]


def in_the_way(folder: Path) -> Path:
    """A file where the sink wants a folder: even root cannot write there."""
    (folder / "events").parent.mkdir(exist_ok=True)
    (folder / "events").write_text("")
    return folder


@pytest.mark.parametrize("is_taken", [False, True], ids=["free", "taken by another file"])
def test_a_program_that_closes_all_descriptors_loses_nothing(tmp_path: Path, is_taken: bool) -> None:
    """A daemon closes every descriptor: ours is opened anew, and a file that got its number is left alone."""
    sink = JsonlSink(tmp_path / ".instrument", run())
    sink.write(Batch([span(1)]))
    assert sink._appender is not None
    number = sink._appender._fd
    with (tmp_path / "theirs").open("wb") as theirs:
        os.dup2(theirs.fileno(), number)
    if not is_taken:
        os.close(number)
    sink.write(Batch([span(2)]))
    sink.close()
    if is_taken:
        os.close(number)  # raises if we did
    assert ([span(1), span(2)], b"") == (read(tmp_path)[0], (tmp_path / "theirs").read_bytes())


def test_a_closed_stderr_does_not_become_the_file(tmp_path: Path) -> None:
    """What is written to descriptor 2 after it was closed does not get between the records."""
    program = """
    import os, sys
    from pathlib import Path
    from instrument.sinks.jsonl import JsonlSink
    from instrument.model import Batch
    from tests.recorded import run, span
    os.close(2)
    sink = JsonlSink(Path(sys.argv[1]), run())
    sink.write(Batch([span(1)]))
    try:
        os.write(2, b"lost")
    except OSError:
        pass
    sink.close()
    """
    python("-c", textwrap.dedent(program), tmp_path)
    assert ([span(1)], []) == read(tmp_path)


def test_a_pipe_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    """In the place of the file it counts as a fault: what is written there would keep the worker for ever."""
    os.mkfifo(tmp_path / "all.jsonl")
    sink = JsonlSink(tmp_path, run(), path=tmp_path / "all.jsonl", report=lambda sentence: None)
    sink.write(Batch([span(1)]))
    assert {f"{os.strerror(errno.ENXIO)}, to be tried again": 1} == sink.kept


def test_what_cannot_be_written_is_written_when_it_can_be(tmp_path: Path) -> None:
    """An unusable folder costs nothing as long as it becomes usable within the bound, and it is said once."""
    said: list[str] = []
    sink = JsonlSink(in_the_way(tmp_path / "f"), run(), report=said.append)
    sink.write(Batch([span(1)]))
    (tmp_path / "f/events").unlink()
    sink.write(Batch([span(2)]))
    sink.close()
    assert ([span(1), span(2)], {}, 1) == (read(tmp_path / "f")[0], dict(sink.lost), len(said))


def test_what_could_not_be_written_until_the_end_is_told_at_the_end(tmp_path: Path) -> None:
    """Who was told that it would be tried again hears what became of it."""
    said: list[str] = []
    folder = in_the_way(tmp_path / "f")
    sink = JsonlSink(folder, run(), report=said.append)
    sink.write(Batch([span(1), span(2)]))
    sink.close()
    assert f"2 records are lost, {sink.path} could not be written: File exists, until the end" == said[-1]


def test_what_does_not_fit_the_bound_is_counted_as_lost(tmp_path: Path) -> None:
    """Memory stays bounded: the oldest records are given up, counted by reason."""
    size = len(encode(span(1)))
    sink = JsonlSink(in_the_way(tmp_path / "f"), run(), backlog_bytes=3 * size + 5, report=lambda sentence: None)
    for number in range(1, 8):
        sink.write(Batch([span(number)]))
    (tmp_path / "f/events").unlink()
    sink.flush()
    sink.close()
    assert ([span(5), span(6), span(7)], {"File exists": 4}) == (read(tmp_path / "f")[0], dict(sink.lost))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork_the_child_opens_the_file_for_itself(tmp_path: Path) -> None:
    """Parent and child append to one file without sharing a turn."""
    sink = JsonlSink(tmp_path, run(), path=tmp_path / "a.jsonl")
    sink.write(Batch([span(1)]))
    child = multiprocessing.get_context("fork").Process(target=lambda: sink.write(Batch([span(2)])))
    child.start()
    child.join()
    sink.write(Batch([span(3)]))
    sink.close()
    assert [span(1), span(2), span(3)] == read(tmp_path)[0]


def test_fsync_asks_the_disk_at_every_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`durability="fsync"` confirms each batch before the next one."""
    confirmed: list[int] = []
    monkeypatch.setattr(os, "fsync", confirmed.append)
    sink = JsonlSink(tmp_path, run(), durability="fsync")
    sink.write(Batch([span(1), call(2)]))
    sink.write(Batch([log(3), finding(1)]))
    sink.close()
    assert 2 == len(confirmed)
