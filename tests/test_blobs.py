"""Values stored apart by their content."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import stat
import time
from pathlib import Path

import pytest

from instrument.store.blobs import Blobs, folder_for, read
from tests.programs import begun, python


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".gitignore"]


def test_value_comes_back(tmp_path: Path) -> None:
    """What was stored is read by its reference."""
    store = Blobs(tmp_path / "blobs")
    reference = store.put([b'"one ', b'two"'])
    assert reference is not None
    assert b'"one two"' == read(tmp_path / "blobs", reference)


@pytest.mark.parametrize("path", [".", ".instrument", ".instrument/events", ".instrument/events/a.jsonl"])
def test_values_are_found_from_whatever_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A project, its recording folder, the events in it or one file of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".instrument" / "blobs").mkdir(parents=True)
    (tmp_path / ".instrument" / "events").mkdir()
    (tmp_path / ".instrument" / "events" / "a.jsonl").touch()
    assert Path(".instrument/blobs").resolve() == folder_for(path).resolve()


def test_reference_is_the_hash_of_the_content(tmp_path: Path) -> None:
    """A reference is `sha256:` and the hash of the content."""
    assert f"sha256:{hashlib.sha256(b'abc').hexdigest()}" == Blobs(tmp_path).put([b"abc"])


def test_folders_by_the_first_two_digits(tmp_path: Path) -> None:
    """Files lie in folders named by the first two digits of the hash."""
    digest = hashlib.sha256(b"abc").hexdigest()
    Blobs(tmp_path / "blobs").put([b"abc"])
    assert [tmp_path / "blobs" / digest[:2] / digest] == files_of(tmp_path / "blobs")


def test_same_value_is_stored_once(tmp_path: Path) -> None:
    """Equal content lies in one file, however often it is stored."""
    store = Blobs(tmp_path)
    assert store.put([b"abc"]) == store.put([b"ab", b"c"])
    assert 1 == len(files_of(tmp_path))


def test_value_stored_again_counts_as_young(tmp_path: Path) -> None:
    """A clean-up goes by age: a value that is referred to again gets a new time."""
    store = Blobs(tmp_path)
    store.put([b"abc"])
    (file,) = files_of(tmp_path)
    os.utime(file, (0, 0))
    store.put([b"abc"])
    assert file.stat().st_mtime > time.time() - 3600


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    """Files are 0600, folders 0700, whatever the umask."""
    before = os.umask(0)
    try:
        Blobs(tmp_path / ".instrument" / "blobs").put([b"abc"])
    finally:
        os.umask(before)
    (file,) = files_of(tmp_path)
    modes = [stat.S_IMODE(place.stat().st_mode) for place in (file, *file.parents[:3])]
    assert [0o600, 0o700, 0o700, 0o700] == modes


def test_file_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    """A file of another length than its content is no copy of it."""
    store = Blobs(tmp_path)
    reference = store.put([b"abc"])
    (file,) = files_of(tmp_path)
    file.write_bytes(b"a")
    store.put([b"abc"])
    assert reference is not None
    assert b"abc" == read(tmp_path, reference)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Where nothing can be written there is no reference, no exception, and the loss is counted by reason."""
    (tmp_path / "blobs").write_text("in the way")
    store = Blobs(tmp_path / "blobs")
    assert (None, {"ENOTDIR": 1}) == (store.put([b"abc"]), dict(store.lost))


def full_disk(folder: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    store = Blobs(folder)
    print(store.put([b"x" * 100_000]), dict(store.lost), files_of(Path(folder)))


def test_disk_that_is_full(tmp_path: Path) -> None:
    """A write that fails half-way leaves no file behind and is counted."""
    code = f"from tests.test_blobs import full_disk; full_disk({str(tmp_path)!r})"
    assert "None {'EFBIG': 1} []\n" == python("-c", code).stdout


def test_processes_store_the_same_values_at_once(tmp_path: Path) -> None:
    """Processes that store the same values at the same time leave each of them whole, once, and nothing else."""
    code = (
        "from instrument.store.blobs import Blobs\n"
        f"store = Blobs({str(tmp_path)!r})\n"
        "print(sum(store.put([str(n).encode() * 20_000]) is not None for n in range(50)))"
    )
    started = [begun("-c", code) for _ in range(3)]
    assert ["50\n"] * 3 == [process.communicate(timeout=60)[0] for process in started]
    stored = files_of(tmp_path)
    assert 50 == len(stored)
    assert all(file.name == hashlib.sha256(file.read_bytes()).hexdigest() for file in stored)


@pytest.mark.parametrize(
    "reference", ["", "sha256:12", "sha256:" + "0" * 63 + "/", "../../etc/passwd", "sha256:" + "A" * 64]
)
def test_what_is_no_reference(tmp_path: Path, reference: str) -> None:
    """Reading by anything but a reference says what one is, and touches no file."""
    with pytest.raises(ValueError, match="no reference to a stored value"):
        read(tmp_path, reference)


def test_value_that_is_gone(tmp_path: Path) -> None:
    """A value that is not there is a missing file."""
    with pytest.raises(FileNotFoundError):
        read(tmp_path, "sha256:" + "0" * 64)


def test_changed_file_is_not_passed_off(tmp_path: Path) -> None:
    """Content that does not match its name is refused."""
    reference = Blobs(tmp_path).put([b"abc"])
    files_of(tmp_path)[0].write_bytes(b"abd")
    with pytest.raises(ValueError, match="does not hold what its name says"):
        read(tmp_path, reference or "")
