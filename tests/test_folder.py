"""The recording folder: private, and kept small without losing what is in use."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instrument.store import folder as folders
from instrument.store.folder import BLOB_REST_SECONDS, contents, create, prune, trim
from instrument.store.processes import is_there
from tests.programs import python

DEAD_PID = 2**22 + 1
"""Above the largest number that Linux gives a process."""
LONG_AGO = time.time() - 2 * BLOB_REST_SECONDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = create(tmp_path / ".instrument")
    (place / "events").mkdir()
    (place / "blobs").mkdir()
    return place


def digest_of(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def blob(folder: Path, content: str, modified: float = LONG_AGO, bytes_: int = 1000) -> Path:
    path = folder / "blobs" / digest_of(content)
    path.write_bytes(b"x" * bytes_)
    os.utime(path, (modified, modified))
    return path


def events(
    folder: Path, name: str, *, age: float = 0, pid: int = DEAD_PID, blobs: tuple[str, ...] = (), bytes_: int = 1000
) -> Path:
    """An event file of about that size, last written `age` seconds ago."""
    head = json.dumps({"type": "run", "run": name, "pid": pid, "start_ns": time.time_ns()})
    body = "".join(json.dumps({"x": {"$blob": f"sha256:{digest_of(one)}"}}) + "\n" for one in blobs)
    path = folder / "events" / f"{name}.jsonl"
    path.write_text((head + "\n" + body).ljust(bytes_ - 1) + "\n")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


# Making the folder


def test_folder_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    """A new folder is its owner's alone and keeps itself out of git."""
    place = create(tmp_path / "a/b/.instrument")
    assert (0o700, "*\n") == (place.stat().st_mode & 0o777, (place / ".gitignore").read_text())


def test_git_sees_nothing_of_it(tmp_path: Path) -> None:
    """Git itself does not list a file of the folder."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (create(tmp_path / ".instrument") / "ledger.db").write_text("")
    found = subprocess.run(["git", "-C", tmp_path, "status", "--porcelain", "-uall"], capture_output=True, check=True)
    assert b"" == found.stdout


def test_a_folder_in_use_is_left_as_it_is(tmp_path: Path) -> None:
    """A folder with files of someone else's does not get a .gitignore that would hide them."""
    (tmp_path / "main.py").write_text("")
    create(tmp_path)
    assert ["main.py"] == os.listdir(tmp_path)


def test_making_it_twice_changes_nothing(folder: Path) -> None:
    """To make a folder that is there is no error, and its .gitignore may have been edited."""
    (folder / ".gitignore").write_text("mine")
    create(folder)
    assert "mine" == (folder / ".gitignore").read_text()


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    """Where a file has the folder's name, making it raises OSError."""
    (tmp_path / "x").write_text("")
    with pytest.raises(OSError):
        create(tmp_path / "x")


def test_loading_it_loads_no_settings() -> None:
    """The module is loaded when recording starts and must not bring pydantic along."""
    code = "import sys, instrument.store.folder; sys.exit('pydantic' in sys.modules)"
    assert 0 == python("-c", code).returncode


# Measuring


def test_contents_are_told_apart(folder: Path) -> None:
    """Events come oldest first, blobs and ledger with their sizes; other files are not counted."""
    events(folder, "b", age=5, bytes_=300)
    events(folder, "a", age=9, bytes_=400)
    blob(folder, "x", bytes_=50)
    (folder / "ledger.db").write_bytes(b"x" * 7)
    (folder / "ledger.db-wal").write_bytes(b"x" * 3)
    (folder / "events" / "notes.txt").write_text("mine")
    held = contents(folder)
    assert ["a.jsonl", "b.jsonl"] == [file.path.name for file in held.events]
    assert (750, 760) == (held.prunable_bytes, held.bytes)


@pytest.mark.parametrize("name", ["missing", "file", "file/below"])
def test_no_folder_has_no_contents(name: str, tmp_path: Path) -> None:
    """Where there is no folder there is nothing, and that is no error."""
    (tmp_path / "file").write_text("")
    assert (0, []) == (contents(tmp_path / name).bytes, trim(tmp_path / name, 1))


# Pruning


def test_oldest_go_first(folder: Path) -> None:
    """Event files go in the order of their last write, until the rest fits."""
    for age, name in enumerate("dcba"):
        events(folder, name, age=age)
    pruned = prune(folder, max_bytes=2000)
    assert (["a.jsonl", "b.jsonl"], 2000) == (names([file.path for file in pruned.removed]), pruned.left_bytes)
    assert ["c.jsonl", "d.jsonl"] == sorted(os.listdir(folder / "events"))


def test_days_are_kept(folder: Path) -> None:
    """Files last written before that many days go, whatever their size."""
    events(folder, "old", age=2.1 * 86_400)
    events(folder, "new", age=1.9 * 86_400)
    assert ["old.jsonl"] == names([file.path for file in prune(folder, keep_days=2).removed])


def test_without_a_limit_nothing_in_use_goes(folder: Path) -> None:
    """With neither limit only blobs that nothing refers to are removed."""
    events(folder, "a", blobs=("used",))
    blob(folder, "used")
    unused = blob(folder, "unused")
    assert [unused] == [file.path for file in prune(folder).removed]


def test_dry_run_removes_nothing(folder: Path) -> None:
    """A dry run tells the same and leaves every file."""
    events(folder, "a", blobs=("x",))
    blob(folder, "x")
    planned = prune(folder, max_bytes=0, dry_run=True)
    assert ["a.jsonl"] == os.listdir(folder / "events")
    assert planned == prune(folder, max_bytes=0)


def test_blobs_go_with_the_last_file_that_refers_to_them(folder: Path) -> None:
    """A blob stays while a remaining event file mentions it, even inside of encoded text, and goes with the last."""
    first = events(folder, "first", age=9, blobs=("shared", "own"))
    second = events(folder, "second", age=5)
    second.write_text(second.read_text() + json.dumps(json.dumps({"$blob": f"sha256:{blob(folder, 'shared').name}"})))
    own, shared = blob(folder, "own"), blob(folder, "shared")
    assert {first, own} == {file.path for file in prune(folder, max_bytes=second.stat().st_size + 1000).removed}
    assert {second, shared} == {file.path for file in prune(folder, max_bytes=0).removed}


def test_blobs_count_toward_the_limit(folder: Path) -> None:
    """What goes with an event file counts as freed: no more files go than are needed."""
    events(folder, "a", age=9, blobs=("big",))
    blob(folder, "big", bytes_=5000)
    events(folder, "b", age=5)
    assert ["a.jsonl"] == [file.path.name for file in prune(folder, max_bytes=1500).removed if file.path.suffix]


def test_blobs_in_folders_by_their_first_digits_are_known(folder: Path) -> None:
    """A blob may lie below a folder named for the first digits of its hash."""
    digest = digest_of("x")
    for path in (folder / "blobs" / digest[:2] / digest[2:], folder / "blobs" / digest[:2] / f"{digest}.json"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        os.utime(path, (LONG_AGO, LONG_AGO))
    events(folder, "a", blobs=("x",))
    assert (2, []) == (len(contents(folder).blobs), prune(folder).removed)


def test_young_blobs_stay(folder: Path) -> None:
    """A blob is written before the record that mentions it, so that a young one is never taken for unused."""
    events(folder, "a")
    blob(folder, "young", modified=time.time())
    assert [] == prune(folder).removed


def test_blobs_of_an_unknown_file_stay(folder: Path) -> None:
    """Without any event file in the folder, its blobs belong to a file that is elsewhere."""
    blob(folder, "x")
    assert [] == prune(folder, max_bytes=0).removed


@pytest.mark.parametrize("name", ["all.jsonl", "all.log"])
def test_blobs_of_a_shared_file_stay(folder: Path, tmp_path: Path, name: str) -> None:
    """Blobs that a shared event file outside of the folder, or a rotation of it, mentions are in use."""
    shared = tmp_path / name
    shared.write_text(f'"sha256:{blob(folder, "x").name}"')
    (tmp_path / "all.1.jsonl").write_text(f'"sha256:{blob(folder, "y").name}"')
    events(folder, "a")
    assert ["a.jsonl"] == names([file.path for file in prune(folder, max_bytes=0, shared=shared).removed])


def test_references_across_reads_and_in_gzip_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference is found wherever a read ends in it, and in a file that was gzipped afterwards."""
    monkeypatch.setattr(folders, "_CHUNK", 100)
    blob(folder, "x")
    plain = events(folder, "a", blobs=("x",))
    plain.with_suffix(".jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert [] == prune(folder).removed


def test_files_that_are_not_ours_stay(folder: Path) -> None:
    """Only event files and blobs are removed: not the ledger, not what someone else put there, not a link's target."""
    for name in ("ledger.db", "notes.jsonl", "events/notes.txt", "blobs/notes.txt"):
        (folder / name).write_text("mine")
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    (folder / "events" / "link.jsonl").symlink_to(folder / "notes.jsonl")
    (folder / "spool").mkdir()
    (folder / "spool" / "elsewhere").symlink_to(folder)
    events(folder, "a")
    prune(folder, max_bytes=0)
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {
        ".gitignore",
        "ledger.db",
        "notes.jsonl",
        "events/notes.txt",
        "blobs/notes.txt",
        "events/link.jsonl",
    } == left


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.communicate(b"\n", timeout=30)


def test_files_of_a_living_process_stay(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """The files of a running process stay with their rotations and blobs, and go when it has ended."""
    blob(folder, "x")
    events(folder, "run", age=90_000, pid=process.pid, blobs=("x",))
    rotated = events(folder, "run.1", age=99_000)
    rotated.write_text('{"type":"log"}\n')
    pruned = prune(folder, max_bytes=0, keep_days=0)
    assert ([], ["run.1.jsonl", "run.jsonl"]) == (pruned.removed, names(pruned.alive))
    process.kill()
    process.wait()
    assert 3 == len(prune(folder, max_bytes=0).removed)


def test_a_number_used_again_is_not_the_same_process(folder: Path) -> None:
    """A process that started after the recording did is another one, whatever its number."""
    path = events(folder, "a", pid=os.getpid())
    assert [path] == prune(folder, max_bytes=0).alive
    path.write_text(json.dumps({"type": "run", "pid": os.getpid(), "start_ns": time.time_ns() - 400 * 86_400 * 10**9}))
    assert [path] == [file.path for file in prune(folder, max_bytes=0).removed]


def test_the_files_of_a_living_process_stay_though_the_clock_was_set(folder: Path) -> None:
    """Where the clock has been set forward every process seems to be younger than its recording: who has the file open
    is the one that writes it."""
    path = events(folder, "20200101T000000Z-a1b2", pid=os.getpid())
    head = {"type": "run", "run": "a1b2", "pid": os.getpid(), "start_ns": time.time_ns() - 400 * 86_400 * 10**9}
    path.write_text(json.dumps(head))
    with path.open("ab"):
        assert [path] == prune(folder, max_bytes=0).alive
    assert [path] == [file.path for file in prune(folder, max_bytes=0).removed]


def test_nobody_is_sent_a_signal_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks elsewhere whether a process is there presses Ctrl-C in it there."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, signal: sent.append(pid))
    monkeypatch.setattr(sys, "platform", "win32")
    assert (True, []) == (is_there(os.getpid()), sent)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\n", b'{"type":"run","pid":-1}\n', b'{"type":"run","pid":"x"}\n'])
def test_a_file_without_a_head_stays_while_it_is_young(content: bytes, folder: Path) -> None:
    """Where the head cannot be read, a file that was written lately may be in use; an old one is not."""
    path = events(folder, "a")
    path.write_bytes(content)
    assert [path] == prune(folder, max_bytes=0).alive
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert [path] == [file.path for file in prune(folder, keep_days=0).removed]


@pytest.mark.parametrize("number", [10**30, 2**63, 2**31])
def test_impossible_process_numbers_are_dead(number: int, folder: Path) -> None:
    """A head with a number that no process has is that of a dead one, not an error."""
    events(folder, "a", pid=number, age=2 * BLOB_REST_SECONDS)
    assert ["a.jsonl"] == names([file.path for file in prune(folder, max_bytes=0).removed])


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder with one event file that can be read and not changed; root steps down for the time of the test."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "events").mkdir()
        events(Path(place), "a")
        for path in (place, f"{place}/events"):
            os.chmod(path, 0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield Path(place)
        os.seteuid(user)
        for path in (place, f"{place}/events"):
            os.chmod(path, 0o755)


def test_what_cannot_be_removed_is_told(read_only: Path) -> None:
    """In a folder that is read-only nothing is removed, and each file is named with the reason."""
    pruned = prune(read_only, max_bytes=0)
    assert ([], [f"{read_only}/events/a.jsonl: Permission denied"]) == (pruned.removed, pruned.failed)


# Trimming at the start of a process


def test_trim_leaves_a_folder_below_its_cap_alone(folder: Path) -> None:
    """Up to the cap nothing is removed."""
    events(folder, "a")
    assert [] == trim(folder, 1000)


def test_trim_cuts_to_a_share_of_the_cap(folder: Path) -> None:
    """Above the cap the oldest go until nine tenths of it are left, so that the next start has nothing to do."""
    for age in range(20):
        events(folder, f"{99 - age}", age=age)
    removed = trim(folder, 10_000)
    assert (11, 9000, []) == (len(removed), contents(folder).prunable_bytes, trim(folder, 10_000))


def test_trim_without_a_cap_removes_nothing(folder: Path) -> None:
    """A cap of 0 is none."""
    events(folder, "a")
    assert [] == trim(folder, 0)


def test_trim_never_raises(read_only: Path) -> None:
    """Where nothing can be removed, or there can be no folder, trimming does nothing."""
    assert ([], []) == (trim(read_only, 1), trim("a\0b", 1))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(st.tuples(st.integers(200, 3000), st.sets(st.integers(0, 5))), max_size=8),
    limit=st.integers(0, 15_000),
)
def test_prune_keeps_the_rules(
    files: list[tuple[int, set[int]]], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For every folder and limit: what stays fits or is nothing, is the newest, and every blob it mentions is there."""
    folder = tmp_path_factory.mktemp("prune")
    for part in ("events", "blobs"):
        (folder / part).mkdir()
    for age, (size, used) in enumerate(files):
        events(folder, f"{age:02}", age=age, bytes_=size, blobs=tuple(map(str, used)))
        for one in used:
            blob(folder, str(one), bytes_=700)
    pruned = prune(folder, max_bytes=limit)
    held = contents(folder)
    left = len(held.events)
    assert held.prunable_bytes <= limit or left == 0
    assert [f"{age:02}.jsonl" for age in reversed(range(left))] == [file.path.name for file in held.events]
    expected = {digest_of(str(one)) for _, used in files[:left] for one in used}
    assert expected == {file.path.name for file in held.blobs}
    assert pruned.left_bytes == held.prunable_bytes
