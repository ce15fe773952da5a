"""The verb `prune`: what it is told, what it prints, how it exits."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from instrument.cli.main import main
from tests.programs import begun

DAY = 86_400


@pytest.fixture
def folder(alone: Path) -> Path:
    """The working directory's folder with three event files of 1000 bytes, a, b and c, written 3, 2 and 1 days ago."""
    events = alone / ".instrument" / "events"
    events.mkdir(parents=True)
    for age, name in ((3, "a"), (2, "b"), (1, "c")):
        path = events / f"{name}.jsonl"
        path.write_text('{"type":"log"}'.ljust(999) + "\n")
        os.utime(path, (time.time() - age * DAY, time.time() - age * DAY))
    return events.parent


def call(*words: str) -> int:
    return main(["prune", *words])


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "events"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["a.jsonl", "b.jsonl", "c.jsonl"]),
        (["--max-bytes", "2kB"], ["b.jsonl", "c.jsonl"]),
        (["--max-bytes", "0"], []),
        (["--keep-days", "1.5"], ["c.jsonl"]),
        (["--max-bytes", "0", "--dry-run"], ["a.jsonl", "b.jsonl", "c.jsonl"]),
    ],
)
def test_limits(words: list[str], expected: list[str], folder: Path) -> None:
    """The oldest event files go until the limit holds; without one the cap of the settings is the limit."""
    assert (0, expected) == (call(*words), left(folder))


def test_the_cap_of_the_settings_is_the_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit on the command line retention.max_bytes holds."""
    monkeypatch.setenv("INSTRUMENT_RETENTION__MAX_BYTES", "1000")
    assert (0, ["c.jsonl"]) == (call(), left(folder))


def test_days_on_the_command_line_are_the_only_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cap of the settings does not come on top."""
    monkeypatch.setenv("INSTRUMENT_RETENTION__MAX_BYTES", "1000")
    assert (0, ["b.jsonl", "c.jsonl"]) == (call("--keep-days", "2.5"), left(folder))


def test_what_cannot_be_removed_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the exit code is 1; the others are removed."""

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == "a.jsonl":
            raise PermissionError(13, "Permission denied")
        os.unlink(path)

    monkeypatch.setattr(Path, "unlink", unlink)
    assert (1, ["a.jsonl"]) == (call("--max-bytes", "0"), left(folder))
    assert f"could not remove {folder}/events/a.jsonl: Permission denied\n" in capsys.readouterr().out


def test_no_cap_in_the_settings_removes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap of 0 in the settings is none."""
    monkeypatch.setenv("INSTRUMENT_RETENTION__MAX_BYTES", "0")
    assert (0, 3) == (call(), len(left(folder)))


def test_the_folder_is_found_from_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like other verbs it finds the nearest folder at or above the working directory."""
    (folder.parent / "below").mkdir()
    monkeypatch.chdir(folder.parent / "below")
    assert (0, []) == (call("--max-bytes", "0"), left(folder))


def test_the_folder_may_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on the command line is taken instead, or the recording folder in it."""
    monkeypatch.chdir("/")
    assert (0, ["c.jsonl"]) == (call(str(folder), "--max-bytes", "1000"), left(folder))
    assert (0, []) == (call(str(folder.parent), "--max-bytes", "0"), left(folder))


def test_blobs_of_the_shared_file_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs that the shared event file of the settings mentions are in use."""
    digest = "ab" * 32
    (folder / "blobs").mkdir()
    (folder / "blobs" / digest).write_text("x")
    os.utime(folder / "blobs" / digest, (0, 0))
    Path("all.jsonl").write_text(f'"sha256:{digest}"')
    monkeypatch.setenv("INSTRUMENT_JSONL__PATH", "all.jsonl")
    assert (0, [digest]) == (call(), os.listdir(folder / "blobs"))


def test_the_ledger_is_never_touched(folder: Path) -> None:
    """Whatever the limit, the ledger stays."""
    (folder / "ledger.db").write_text("money")
    call("--max-bytes", "0")
    assert "money" == (folder / "ledger.db").read_text()


def test_a_running_program_keeps_its_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file of a process that is running stays, and that is said."""
    program = (
        "import json, os, sys, time; print(json.dumps({'type': 'run', 'pid': os.getpid(), 'start_ns': time.time_ns()}),"
        "file=open(sys.argv[1], 'w'), flush=True); print(flush=True); input()"
    )
    with begun("-c", program, folder / "events" / "live.jsonl") as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert (0, ["live.jsonl"]) == (call("--max-bytes", "0"), left(folder))
        child.communicate("\n")
    assert "kept 1 event file that running processes may still write to" in capsys.readouterr().out


def test_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how many files went, how many bytes, and what stays."""
    call("--max-bytes", "1000")
    assert "removed 2 event files and 0 blobs (2 kB), 1 kB stay\n" == capsys.readouterr().out


def test_a_dry_run_lists_the_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run names each file that would go."""
    call("--max-bytes", "2000", "--dry-run")
    expected = f"would remove {folder}/events/a.jsonl\nwould remove 1 event file and 0 blobs (1 kB), 2 kB stay\n"
    assert expected == capsys.readouterr().out


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json it prints the same as one object."""
    call("--keep-days", "2.5", "--json")
    assert {
        "dry_run": False,
        "removed": [{"path": f"{folder}/events/a.jsonl", "bytes": 1000}],
        "freed_bytes": 1000,
        "left_bytes": 2000,
        "alive": [],
        "failed": [],
    } == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-bytes", "lots"], "'lots' is no size"),
        (["--keep-days", "-1"], "'-1' is no number of days: give a number such as 7 or 0.5"),
        (["--keep-days", "nan"], "'nan' is no number of days: give a number such as 7 or 0.5"),
        (["--keep-days", "1", "--max-bytes", "1"], "not allowed with argument"),
    ],
)
def test_bad_use(words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad arguments exit with 2 and say what is allowed."""
    code = call(*words)
    assert (2, True, 3) == (code, said in capsys.readouterr().err, len(left(folder)))


@pytest.mark.parametrize("words", [[], ["nowhere"]])
def test_no_folder(
    words: list[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where there is no folder, one sentence says so."""
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("INSTRUMENT_DIR", "other/.instrument")
    where = words[0] if words else f"at {tmp_path}/other/.instrument, which INSTRUMENT_DIR names"
    sentence = f"instrument: there is no recording folder {where}\n"
    assert (2, sentence) == (call(*words), capsys.readouterr().err)


def test_wrong_settings_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With settings that cannot be used it says which, and removes nothing."""
    monkeypatch.setenv("INSTRUMENT_SINKZ", "x")
    assert (2, 3) == (call("--max-bytes", "0"), len(left(folder)))
    assert "did you mean INSTRUMENT_SINKS" in capsys.readouterr().err
