"""The verb `doctor`: it tells where settings came from, and tries for real whether everything works."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from instrument.allowed import SINKS
from instrument.cli import doctor, trials
from instrument.cli.doctor import examine
from instrument.cli.trials import TRIALS, Check
from instrument.sinks.chosen import OURS
from instrument.store.ledger import open_ledger


@pytest.fixture(autouse=True)
def _alone(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with no variable of ours and no ranks to load."""
    monkeypatch.setattr(doctor, "ENCODINGS", ())


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    doctor.add(parser.add_subparsers())
    args = parser.parse_args(["doctor", *words])
    run: Callable[[argparse.Namespace], int] = args.run
    return run(args)


def sinks(names: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    monkeypatch.setenv("INSTRUMENT_SINKS", names)
    return {check.name: check for check in examine().sinks}


# What it prints


def test_all_is_fine_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """In an empty folder with no settings everything works, and it exits with 0."""
    assert (0, True) == (call(), capsys.readouterr().out.endswith("all is fine\n"))


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Trying does not leave a file or a folder."""
    examine()
    assert [] == os.listdir(tmp_path)


def test_settings_are_shown_with_their_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each key has a line with its value and where it came from."""
    monkeypatch.setenv("INSTRUMENT_SAMPLE_RATE", "0.5")
    call()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sample_rate", "0.5", "environment", "variable", "INSTRUMENT_SAMPLE_RATE"] in lines
    assert ["capture.content", "true", "default"] in lines


def test_wrong_settings_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that cannot be used is told, and it exits with 1."""
    monkeypatch.setenv("INSTRUMENT_SINKZ", "x")
    assert (1, True) == (call(), "did you mean INSTRUMENT_SINKS?" in capsys.readouterr().out)


@pytest.mark.parametrize(
    ("variable", "value", "note"),
    [
        ("INSTRUMENT_ENABLED", "0", "recording is switched off: enabled is false"),
        ("INSTRUMENT_SINKS", "", "nothing is kept, as there is no sink: INSTRUMENT_ENABLED=0 saves the work as well"),
    ],
)
def test_a_recording_that_is_off_is_told(variable: str, value: str, note: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That nothing is recorded, or nothing kept, is said, and is no fault."""
    monkeypatch.setenv("INSTRUMENT_DIR", "here")  # or a folder above this one would be told of
    monkeypatch.setenv(variable, value)
    examination = examine()
    assert ([note], []) == (examination.notes, examination.faults)


def test_no_sinks_are_shown_as_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Their section does not go missing."""
    monkeypatch.setenv("INSTRUMENT_SINKS", "")
    call()
    assert "\nsinks\n  none\n" in capsys.readouterr().out


def test_a_folder_found_above_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading verbs would read another folder than records go to, that is said."""
    (tmp_path / ".instrument").mkdir()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir("below")
    assert [True] == [str(tmp_path / ".instrument") in note for note in examine().notes]
    monkeypatch.chdir(tmp_path)
    assert [] == examine().notes


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json everything comes as one object."""
    call("--json")
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {"fine", "faults", "notes", "settings", "folder", "sinks", "tokens", "versions"} == shown.keys()
    assert {"key": "enabled", "value": True, "source": "default", "problem": None} == shown["settings"][0]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_secrets_are_masked(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No secret is shown, be it a sink's option, a refused value or in what an import raised."""
    Path("leaky.py").write_text("raise ValueError('http://me:hunter2@host')")
    monkeypatch.setenv("INSTRUMENT_SINK", json.dumps({"a.b:C": {"api_key": "hunter2", "url": "http://u:hunter2@h"}}))
    monkeypatch.setenv("INSTRUMENT_LEDGER__URL", "postgres://u:hunter2@h/db")
    monkeypatch.setenv("INSTRUMENT_PASSWORD", "hunter2")
    monkeypatch.setenv("INSTRUMENT_SINKS", "leaky:Sink")
    call(*words)
    shown = capsys.readouterr().out
    assert (False, True) == ("hunter2" in shown, "***" in shown)


def test_it_prints_on_a_stream_without_unicode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On an ASCII stream what cannot be shown is escaped."""
    monkeypatch.setenv("INSTRUMENT_SERVICE", "prüfer")
    with open(tmp_path / "out", "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        call()
    assert "pr\\xfcfer" in (tmp_path / "out").read_text()


def test_versions() -> None:
    """The versions of what matters are there, None for what is not installed."""
    versions = examine().versions
    assert {"instrument", "python", "sqlite", *doctor.PACKAGES} == versions.keys()
    assert None is doctor._version("no-such-package-at-all")


# The folder


def test_the_folder_is_measured(tmp_path: Path) -> None:
    """Files, bytes and the oldest event file are told."""
    events = tmp_path / ".instrument" / "events"
    events.mkdir(parents=True)
    for day in (1, 2):
        (events / f"{day}.jsonl").write_bytes(b"x" * 10)
        os.utime(events / f"{day}.jsonl", (day * 86_400, day * 86_400))
    (tmp_path / ".instrument" / "ledger.db").touch()
    examination = examine()
    assert (3, 20, "1970-01-02 00:00:00 UTC") == (examination.files, examination.bytes, examination.oldest)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder with a ledger and events that can be read only; root steps down for the time of the test."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "events").mkdir()
        with closing(sqlite3.connect(f"{place}/ledger.db")) as connection:
            connection.executescript("CREATE TABLE calls (x); PRAGMA user_version = 1")
        for path, mode in ((place, 0o555), (f"{place}/events", 0o555), (f"{place}/ledger.db", 0o444)):
            os.chmod(path, mode)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield Path(place)
        os.seteuid(user)
        for path in (place, f"{place}/events"):
            os.chmod(path, 0o755)


def test_a_read_only_folder_is_told(read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a read-only folder neither events nor ledger work, and the reason is told."""
    monkeypatch.setenv("INSTRUMENT_DIR", str(read_only))
    found = sinks("jsonl,ledger", monkeypatch)
    assert (False, f"{read_only}/events: Permission denied") == found["jsonl"][1:]
    assert (False, True) == (found["ledger"].works, "readonly database" in found["ledger"].detail)
    assert (False, f"{read_only}: Permission denied") == examine().folder[1:]


def test_a_folder_that_no_sink_needs_is_no_fault(read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sink that writes there the folder may be read-only."""
    monkeypatch.setenv("INSTRUMENT_DIR", str(read_only))
    sinks("memory", monkeypatch)
    assert [] == examine().faults


def test_a_file_in_the_folders_place_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file has the folder's name, nothing can be written below it."""
    path = Path(".instrument").absolute()
    path.write_text("")
    assert (False, f"{path}: Not a directory") == sinks("jsonl", monkeypatch)["jsonl"][1:]


# The sinks


def test_every_sink_can_be_made_and_tried() -> None:
    """Each name that the setting `sinks` takes has what makes it and what tries it."""
    assert (set(SINKS), set(SINKS)) == (set(OURS), set(TRIALS))


@pytest.mark.parametrize("name", ["console", "jsonl", "ledger", "memory"])
def test_built_in_sinks_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each built-in sink works in an empty folder."""
    found = sinks(name, monkeypatch)[name]
    assert found.works, found


@pytest.mark.parametrize(("status", "works"), [(200, True), (400, True), (401, False), (0, False)])
def test_a_collector_is_asked(status: int, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a request that says nothing: it may refuse that (400), but not us (401), and must be there (0: it is not)."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.common", reason="needs the extra otlp")
    from tests.loopback import free_port
    from tests.otlp_receiver import Answer, receiver

    with receiver() as collector, free_port() as port:
        collector.answer = Answer(status)
        url = collector.url if status else f"http://127.0.0.1:{port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        found = sinks("otlp", monkeypatch)["otlp"]
    assert (works, True) == (found.works, url in found.detail), found


def test_an_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink of a program would be off."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://")
    assert not sinks("otlp", monkeypatch)["otlp"].works


def test_a_shared_file_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared event file is opened for appending, and stays as it is."""
    path = tmp_path / "all.jsonl"
    monkeypatch.setenv("INSTRUMENT_JSONL__PATH", "all.jsonl")
    assert (True, f"{tmp_path} can be written") == sinks("jsonl", monkeypatch)["jsonl"][1:]
    path.write_text("{}\n")
    assert (True, f"{path} can be appended to") == sinks("jsonl", monkeypatch)["jsonl"][1:]
    assert "{}\n" == path.read_text()
    path.unlink()
    path.mkdir()
    assert (False, f"{path}: Is a directory") == sinks("jsonl", monkeypatch)["jsonl"][1:]


def ledger(tmp_path: Path, sql: str = "") -> Path:
    (tmp_path / ".instrument").mkdir()
    path = tmp_path / ".instrument" / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA user_version = 1; CREATE TABLE mine (x); {sql}")
    return path


def test_a_ledger_is_tried_and_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger takes a transaction, which is rolled back."""
    path = ledger(tmp_path)
    assert (True, f"{path} can be written") == sinks("ledger", monkeypatch)["ledger"][1:]
    with closing(sqlite3.connect(path)) as connection:
        assert [("mine",)] == connection.execute("SELECT name FROM sqlite_master").fetchall()


def test_a_locked_ledger_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that another process keeps locked does not work."""
    monkeypatch.setattr(trials, "WAIT_SECONDS", 0.05)
    with closing(sqlite3.connect(ledger(tmp_path), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert (False, "OperationalError: database is locked") == sinks("ledger", monkeypatch)["ledger"][1:]


def test_a_file_that_is_no_ledger_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is no database does not work."""
    ledger(tmp_path).write_text("not a database at all" * 100)
    assert (False, "DatabaseError: file is not a database") == sinks("ledger", monkeypatch)["ledger"][1:]


def test_a_ledger_of_this_version_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs leave it."""
    open_ledger(tmp_path / "own.db").close()
    monkeypatch.setenv("INSTRUMENT_LEDGER__URL", f"sqlite:///{tmp_path}/own.db")
    assert sinks("ledger", monkeypatch)["ledger"].works


def test_a_database_of_something_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink would leave it alone."""
    path = ledger(tmp_path, "PRAGMA user_version = 0")
    expected = f"ValueError: {path} is the database of something else: name another file for the ledger"
    assert (False, expected) == sinks("ledger", monkeypatch)["ledger"][1:]


def test_a_ledger_of_a_newer_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that a newer version has written is not ours to write."""
    path = ledger(tmp_path, "PRAGMA user_version = 999")
    expected = f"ValueError: {path} is of version 999, written by a newer instrument: update this one"
    assert (False, expected) == sinks("ledger", monkeypatch)["ledger"][1:]


def test_a_closed_stderr_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without stderr the console does not work."""
    monkeypatch.setattr(sys, "stderr", None)
    assert (False, "there is no stderr") == sinks("console", monkeypatch)["console"][1:]


@pytest.mark.parametrize(
    ("code", "works", "detail"),
    [
        ("class Sink:\n write = flush = close = print", True, "can be imported; it was not started"),
        ("class Sink:\n flush = print", False, "TypeError: {name}:Sink is no sink: it has no write, close"),
        ("Sink = 5", False, "TypeError: {name}:Sink is no sink: it has no way to be called"),
        ("x = 1", False, "AttributeError: module '{name}' has no attribute 'Sink'"),
        ("1 / 0", False, "ZeroDivisionError: division by zero"),
        ("import no_such_module_at_all", False, "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise SystemExit(3)", False, "SystemExit: 3"),
    ],
)
def test_sinks_of_the_users_own(code: str, works: bool, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink in the working directory is imported, and what is wrong with it is told."""
    name = f"mine_{crc32(code.encode())}"
    Path(f"{name}.py").write_text(code)
    found = sinks(f"{name}:Sink", monkeypatch)[f"{name}:Sink"]
    assert (works, detail.format(name=name)) == found[1:]


def test_the_import_path_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking in the working directory for a sink leaves sys.path alone."""
    before = list(sys.path)
    sinks("no.such.module:Sink", monkeypatch)
    assert before == sys.path


def test_ranks_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped ranks are loaded, which checks their checksum."""
    monkeypatch.setattr(doctor, "ENCODINGS", (("cl100k_base", "gpt-4"),))
    assert [Check("cl100k_base", True, "100277 tokens, the checksum is right")] == examine().tokens
