"""Records in JSONL files: whole lines are appended by any number of processes, and everything readable is read."""

from __future__ import annotations

import errno
import gzip
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.model import Batch, Other, Record, Span, decode, encode
from instrument.sinks.jsonl import JsonlSink
from instrument.store.jsonl import Appender, event_file, files, record_of, records
from tests.recorded import NOON, call, finding, log, review, run, span


def written(path: Path, *made: Record | bytes) -> Path:
    path.write_bytes(b"".join((one if isinstance(one, bytes) else encode(one)) + b"\n" for one in made))
    return path


def read(path: Path) -> tuple[list[Record], list[str]]:
    notices: list[str] = []
    return list(records(path, notices)), notices


# Reading


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """Every record comes back equal, in the order of the lines."""
    made = review()
    assert made == read(written(tmp_path / "a.jsonl", *made))[0]


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
    assert [span(1)] == read(path)[0]


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
    ],
)
def test_a_file_stands_for_what_it_held_before_it_was_rotated(
    tmp_path: Path, named: str, read_files: list[str]
) -> None:
    """One file leads to its older ones as well, also while it is just moved away; a numbered one is itself alone."""
    for name in ("b.jsonl", "b.10.jsonl.gz", "b.9.jsonl", "a.jsonl", "b.c.jsonl", "gone.1.jsonl"):
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


# Writing


def test_lines_are_appended_whole(tmp_path: Path) -> None:
    """What is appended stands in the file as it was given, one line each."""
    appender = Appender(tmp_path / "deep" / "a.jsonl")
    appender.append([b"1", b"2"])
    appender.append([b"3"])
    appender.close()
    assert b"1\n2\n3\n" == (tmp_path / "deep" / "a.jsonl").read_bytes()


def test_a_torn_file_is_continued_on_a_new_line(tmp_path: Path) -> None:
    """A process that died in the middle of a line does not spoil the first line of the next one."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"type":"sp')
    appender = Appender(path)
    appender.append([b"1"])
    appender.close()
    assert b'{"type":"sp\n1\n' == path.read_bytes()


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system takes only a part of the data at a time, all of it gets there."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    appender = Appender(tmp_path / "a.jsonl")
    appender.append([b"123456789"])
    appender.close()
    assert b"123456789\n" == (tmp_path / "a.jsonl").read_bytes()


FULL = """
import resource, sys
from pathlib import Path
from instrument.store.jsonl import Appender
appender = Appender(Path(sys.argv[1]))
appender.append([b"x" * 99] * 9)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (950, hard))
try:
    appender.append([b"y" * 99] * 2)
except OSError as error:
    print(error.strerror)
"""


def test_a_write_that_fails_half_way_is_taken_back(tmp_path: Path) -> None:
    """A full disk (here: a limit on the file's size) leaves whole lines only, so that the batch can be tried again."""
    path = tmp_path / "a.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
    assert ("File too large\n", 900) == (done.stdout, path.stat().st_size)


def test_a_full_file_is_set_aside_under_a_number(tmp_path: Path) -> None:
    """No file exceeds the limit, nothing is lost, and the file without a number is the newest."""
    appender = Appender(tmp_path / "a.jsonl", rotate_bytes=100)
    for number in range(5):
        appender.append([str(number).encode() * 40])
    appender.close()
    held = {file.name: file.read_bytes()[:1] + file.read_bytes()[-2:-1] for file in files(tmp_path)}
    assert {"a.1.jsonl": b"01", "a.2.jsonl": b"23", "a.jsonl": b"44"} == held


def append_many(path: Path, name: str, rotate_bytes: int) -> None:
    appender = Appender(path, rotate_bytes=rotate_bytes)
    for number in range(200):
        appender.append([f"{name}-{number}-".encode() + b"x" * (number % 50)] * 3)
    appender.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_share_a_file_that_rotates(tmp_path: Path) -> None:
    """Eight processes on one file with rotation: no line is torn, lost or doubled."""
    path = tmp_path / "shared.jsonl"
    names = [f"p{number}" for number in range(8)]
    workers = [multiprocessing.Process(target=append_many, args=(path, name, 10_000)) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = sorted(line for file in files(tmp_path) for line in file.read_bytes().splitlines())
    made = [f"{name}-{number}-{'x' * (number % 50)}".encode() for name in names for number in range(200)]
    assert (sorted(made * 3), True) == (lines, max(file.stat().st_size for file in files(tmp_path)) <= 10_000)


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_stopped_process_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the file's turn and never gives it back delays the others by a bounded time only."""
    monkeypatch.setattr("instrument.store.turns.WAIT_SECONDS", 0.05)
    path = tmp_path / "a.jsonl"
    path.touch()
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    os.kill(holder.pid, signal.SIGSTOP)
    appender = Appender(path)
    appender.append([b"1"])
    appender.close()
    holder.kill()
    holder.communicate()
    assert b"1\n" == path.read_bytes()


def test_a_file_is_looked_for_soon_after_a_look_that_took_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hung for an hour, or a process that was stopped, does not leave a deleted file unnoticed for ten."""
    now, path = [0.0], tmp_path / "a.jsonl"
    fstat, stat_of = os.fstat, os.stat

    def slow(look: Any) -> Any:
        def looked(*args: Any, **kwargs: Any) -> Any:
            now[0] += 3600.0
            return look(*args, **kwargs)

        return looked

    monkeypatch.setattr("instrument.store.jsonl.time", SimpleNamespace(monotonic=lambda: now[0]))
    appender = Appender(path, shared=False)
    appender.append([b"1"])
    monkeypatch.setattr(os, "fstat", slow(fstat))
    monkeypatch.setattr(os, "stat", slow(stat_of))
    now[0] += 1.0
    appender.append([b"2"])
    monkeypatch.setattr(os, "fstat", fstat)
    monkeypatch.setattr(os, "stat", stat_of)
    path.unlink()
    now[0] += 1.0
    appender.append([b"3"])
    appender.close()
    assert b"3\n" == path.read_bytes()


@pytest.mark.parametrize("seconds", [0.2, 20.0])
def test_what_was_written_to_a_deleted_file_between_two_looks_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Beside threads that compute nothing is lost with a file that was just deleted; what is older stays deleted."""
    now, path = [0.0], tmp_path / "a.jsonl"
    fstat = os.fstat

    def slow(fd: int) -> os.stat_result:
        now[0] += 0.01
        return fstat(fd)

    monkeypatch.setattr("instrument.store.jsonl.time", SimpleNamespace(monotonic=lambda: now[0]))
    appender = Appender(path, shared=False)
    appender.append([b"1"])
    monkeypatch.setattr(os, "fstat", slow)
    appender.append([b"2"])
    path.unlink()
    appender.append([b"3"])
    now[0] += seconds
    appender.append([b"4"])
    monkeypatch.setattr(os, "fstat", fstat)
    appender.close()
    assert (b"2\n3\n4\n" if seconds < 1 else b"4\n") == path.read_bytes()


def test_another_file_under_the_number_is_left_alone_between_two_looks(tmp_path: Path) -> None:
    """Where looks are seldom, too, nothing is written to a file that the program has put in the place of ours."""
    appender = Appender(tmp_path / "a.jsonl", shared=False)
    appender.append([b"1"])
    appender._sure_until = appender._look_due = float("inf")
    with (tmp_path / "theirs").open("wb") as theirs:
        os.dup2(theirs.fileno(), appender._fd)
    number = appender._fd
    appender.append([b"2"])
    appender.close()
    os.close(number)
    assert (b"1\n2\n", b"") == ((tmp_path / "a.jsonl").read_bytes(), (tmp_path / "theirs").read_bytes())


def test_the_last_descriptor_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file can be opened but no second descriptor be had it is written under the one that it got."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("instrument.store.jsonl.fcntl.fcntl", refuse)
    appender = Appender(tmp_path / "a.jsonl")
    appender.append([b"1"])
    appender.close()
    assert b"1\n" == (tmp_path / "a.jsonl").read_bytes()


def test_lines_of_a_file_that_is_closed_after_they_were_written_are_not_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who closes all descriptors while the file's turn is still ours has the lines once in it."""
    write = os.write

    def closed(fd: int, data: bytes) -> int:
        number = write(fd, data)
        os.close(fd)
        return number

    appender = Appender(tmp_path / "a.jsonl")
    monkeypatch.setattr(os, "write", closed)
    appender.append([b"1"])
    monkeypatch.setattr(os, "write", write)
    appender.append([b"2"])
    appender.close()
    assert b"1\n2\n" == (tmp_path / "a.jsonl").read_bytes()


# The sink


def test_a_process_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    """The file is called after the start and the run, below the recording folder."""
    sink = JsonlSink(tmp_path / ".instrument", run())
    sink.write(Batch(review()))
    sink.close()
    path = tmp_path / ".instrument/events/20261123T120000Z-r1.jsonl"
    assert (path, path, review()) == (sink.path, event_file(tmp_path / ".instrument", "r1", NOON), read(path)[0])


def test_the_lines_of_the_batch_are_written_as_they_are(tmp_path: Path) -> None:
    """What was redacted on its way is not encoded again from the record."""
    sink = JsonlSink(tmp_path, path=tmp_path / "shared.log")
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
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], check=True)
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
    sink = JsonlSink(tmp_path, path=tmp_path / "a.jsonl")
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
