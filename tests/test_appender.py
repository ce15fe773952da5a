"""Rules of `instrument.store.appender`: lines are whole, whoever else writes, dies or takes the file away."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instrument.store.appender import Appender
from instrument.store.jsonl import files
from tests.programs import begun, python


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


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("number", "fails"), [(errno.EIO, True), (errno.EINVAL, False)])
def test_what_the_disk_does_not_confirm_is_not_written_twice(
    number: int, fails: bool, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that count as not written are not there when they are appended again; what has no disk, a pipe or a
    terminal, confirms nothing, and is written once."""

    def refuse(fd: int) -> None:
        raise OSError(number, "")

    appender = Appender(tmp_path / "a.jsonl", fsync=True, shared=shared)
    appender.append([b"1"])
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError) if fails else nullcontext():
        appender.append([b"2"])
    monkeypatch.undo()
    if fails:
        appender.append([b"2"])
    appender.close()
    assert b"1\n2\n" == (tmp_path / "a.jsonl").read_bytes()


FULL = """
import resource, sys
from pathlib import Path
from instrument.store.appender import Appender
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
    assert ("File too large\n", 900) == (python("-c", FULL, path).stdout, path.stat().st_size)


def test_a_write_that_is_taken_back_leaves_a_torn_file_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What half a line ends with is continued on a new line at the next try as well."""

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.jsonl"
    path.write_bytes(b"half")
    appender = Appender(path)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "write", full)
        appender.append([b"whole"])
    appender.append([b"whole"])
    appender.close()
    assert b"half\nwhole\n" == path.read_bytes()


def test_a_full_file_is_set_aside_under_a_number(tmp_path: Path) -> None:
    """No file exceeds the limit, which may be reached, nothing is lost, and the file without a number is the newest."""
    appender = Appender(tmp_path / "a.jsonl", rotate_bytes=82)
    for number in range(5):
        appender.append([str(number).encode() * 40])
    appender.close()
    held = {file.name: file.read_bytes()[:1] + file.read_bytes()[-2:-1] for file in files(tmp_path)}
    assert {"a.1.jsonl": b"01", "a.2.jsonl": b"23", "a.jsonl": b"44"} == held


def test_what_is_longer_than_a_file_may_be_has_one_of_its_own(tmp_path: Path) -> None:
    """It is written, once, and the next one begins another file."""
    appender = Appender(tmp_path / "a.jsonl", rotate_bytes=5)
    for line in (b"rather long", b"b"):
        appender.append([line])
    appender.close()
    assert {"a.1.jsonl": b"rather long\n", "a.jsonl": b"b\n"} == {one.name: one.read_bytes() for one in files(tmp_path)}


def test_numbers_go_on_behind_the_highest(tmp_path: Path) -> None:
    """Where older parts were deleted no newer one gets a number below those that are there."""
    (tmp_path / "a.3.jsonl").write_bytes(b"old\n")
    appender = Appender(tmp_path / "a.jsonl", rotate_bytes=5)
    appender.append([b"one"])
    appender.append([b"two"])
    appender.close()
    assert ["a.3.jsonl", "a.4.jsonl", "a.jsonl"] == sorted(os.listdir(tmp_path))


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
    holder = begun("-c", HOLD, path)
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

    monkeypatch.setattr("instrument.store.appender.time", SimpleNamespace(monotonic=lambda: now[0]))
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

    monkeypatch.setattr("instrument.store.appender.time", SimpleNamespace(monotonic=lambda: now[0]))
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

    monkeypatch.setattr("instrument.store.appender.fcntl.fcntl", refuse)
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
