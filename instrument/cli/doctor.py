"""`instrument doctor`: the settings in effect and where each came from, and whether everything they ask for works."""

from __future__ import annotations

import argparse
import errno
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from instrument.cli.printing import say
from instrument.cli.sizes import in_words
from instrument.origins import masked
from instrument.record import failures
from instrument.store import folder
from instrument.store.ledgers import file_of
from instrument.store.postgres import Database, is_postgres, shown
from instrument.version import __version__
from instrument.views.theme import theme_for, wrapped

if TYPE_CHECKING:
    from instrument.settings import Setting, Settings

PACKAGES = ("wrapt", "msgspec", "pydantic", "pydantic-settings", "loguru", "tiktoken", "genai-prices", "openai")
WAIT_SECONDS = 2.0
"""How long to wait for a ledger that another process has locked."""
_PROBE = "instrument_doctor"


class Check(NamedTuple):
    """One thing that was tried, whether it works, and what was seen."""

    name: str
    works: bool
    detail: str


class Examination(NamedTuple):
    """All that the doctor found; `notes` are no faults, `oldest` is the oldest event file's last write."""

    settings: list[Setting]
    folder: Check
    files: int
    bytes: int
    oldest: str | None
    sinks: list[Check]
    tokens: list[Check]
    versions: dict[str, str | None]
    notes: list[str]

    @property
    def faults(self) -> list[str]:
        """One sentence for each thing that is wrong."""
        checks = [check for check in (self.folder, *self.sinks, *self.tokens) if not check.works]
        wrong = [setting.problem for setting in self.settings if setting.problem]
        return wrong + [f"{check.name}: {check.detail}" for check in checks]


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doctor", help="show the settings in effect and where each came from, and try everything they ask for"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 when all is fine, 1 when something is wrong."""
    examination = examine()
    say(_as_json(examination) if args.json else _as_text(examination))
    return 1 if examination.faults else 0


def examine() -> Examination:
    """Read the settings and try what they ask for. Whatever is written for a trial is removed again."""
    from instrument.settings import explain, load_lenient

    settings, _ = load_lenient()
    held = folder.contents(settings.folder)
    return Examination(
        settings=explain(),
        folder=_folder(settings),
        files=len(held.events) + len(held.blobs) + len(held.ledger),
        bytes=held.bytes,
        oldest=_day(held.events[0].modified) if held.events else None,
        sinks=[_tried(name, _trial(name), settings) for name in settings.sinks],
        tokens=[_tried(name, _ranks(model), settings) for name, model in _ENCODINGS],
        versions=_versions(),
        notes=_notes(settings),
    )


def _folder(settings: Settings) -> Check:
    if "jsonl" not in settings.sinks and "ledger" not in settings.sinks:
        return Check("folder", True, f"{settings.folder}: no sink in use writes there")
    return _tried("folder", lambda asked: _write_below(asked.folder), settings)


def _notes(settings: Settings) -> list[str]:
    from instrument.settings import find_folder

    notes = [] if settings.enabled else ["recording is switched off: enabled is false"]
    if settings.enabled and not settings.sinks:
        notes.append("nothing is kept, as there is no sink: INSTRUMENT_ENABLED=0 saves the work as well")
    found = find_folder(settings)
    if found is not None and found != settings.folder:
        notes.append(f"without a path, reading verbs read {found}, which was found above")
    return notes


def _versions() -> dict[str, str | None]:
    ours = {"instrument": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    return {**ours, **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# Trials: each says what it saw, or raises.

Trial = Callable[["Settings"], str]


def _tried(name: str, trial: Trial, settings: Settings) -> Check:
    try:
        return Check(name, True, trial(settings))
    except (Exception, SystemExit) as fault:  # noqa: BLE001 - a user's sink may raise anything when it is imported
        return Check(name, False, _why(fault))


def _why(fault: BaseException) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    return str(masked(failures.in_words(fault)))


def _trial(name: str) -> Trial:
    return TRIALS.get(name) or (lambda settings: _loaded(name))


def _console(settings: Settings) -> str:
    stream = sys.stderr
    if stream is None:
        raise OSError(errno.EBADF, "there is no stderr")
    stream.write("")
    stream.flush()
    return f"stderr, {'a' if stream.isatty() else 'no'} terminal, from {settings.console.level} on"


def _jsonl(settings: Settings) -> str:
    if settings.jsonl_path is None:
        return _write_below(settings.folder / "events")
    if not settings.jsonl_path.exists():
        return _write_below(settings.jsonl_path.parent)
    with open(settings.jsonl_path, "ab"):
        return f"{settings.jsonl_path} can be appended to"


def _write_below(place: Path) -> str:
    """Write and remove a file there, or where the folder would be made."""
    existing = _existing(place)
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=f".{_PROBE}-") as trial:
            trial.write(b"\n")
            trial.flush()
    except OSError as fault:  # the folder is at fault, not the name of the trial file
        raise OSError(fault.errno, fault.strerror, str(existing)) from None
    return f"{place} can be written" if existing == place else f"{place} will be made when it is first needed"


def _existing(place: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(at for at in (place, *place.parents) if os.path.lexists(at))


def _ledger(settings: Settings) -> str:
    if is_postgres(settings.ledger_url):
        return _reached(settings.ledger_url)
    path = file_of(settings.ledger_url)
    if path.exists():
        _write_and_roll_back(path)
        return f"{path} can be written"
    with tempfile.TemporaryDirectory(dir=_existing(path.parent), prefix=f".{_PROBE}-") as place:
        _write_and_roll_back(Path(place) / path.name)
    return f"{path} will be made when it is first needed"


def _reached(url: str) -> str:
    with closing(Database(url)) as database, database.transaction():
        return f"{shown(url)} can be written"


def _write_and_roll_back(path: Path) -> None:
    from instrument.store.ledger import MIGRATIONS, holds_tables

    with closing(sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
        if (version := connection.execute("PRAGMA user_version").fetchone()[0]) > len(MIGRATIONS):
            raise ValueError(f"{path} is of version {version}, written by a newer instrument: update this one")
        if not version and holds_tables(connection):
            raise ValueError(f"{path} is the database of something else: name another file for the ledger")
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(f"CREATE TABLE {_PROBE} (x)")
        finally:
            connection.execute("ROLLBACK")


def _memory(settings: Settings) -> str:
    return "keeps records in this process only"


def _otlp(settings: Settings) -> str:
    """Send an empty request: it goes the whole way, through proxies and certificates too, and leaves nothing there."""
    from instrument.sinks.otlp.outcome import LATER
    from instrument.sinks.otlp.sink import check_installed
    from instrument.sinks.otlp.target import signals_of, target_of

    signals = signals_of(os.environ)
    if not signals:
        return "every signal is switched off by OTEL_*_EXPORTER"
    target = target_of(signals[0], os.environ, settings.otlp.endpoint, settings.otlp.protocol)
    check_installed({target.protocol})
    from instrument.sinks.otlp.transport import sender

    outcome = sender(signals[0], target)(b"", WAIT_SECONDS)
    if outcome.state == LATER:
        raise ConnectionError(f"{target.shown}: {outcome.why}")
    return f"{target.shown} answers"


TRIALS: dict[str, Trial] = {"console": _console, "jsonl": _jsonl, "ledger": _ledger, "memory": _memory, "otlp": _otlp}
"""What each of our own sinks is tried with."""


def _loaded(name: str) -> str:
    """Import a sink that is not built in, as a program in this folder would, without building it."""
    from instrument.sinks.chosen import maker

    with _importing_from_here():
        sink = maker(name)
    missing = [method for method in ("write", "flush", "close") if isinstance(sink, type) and not hasattr(sink, method)]
    if missing or not callable(sink):
        raise TypeError(f"{name} is no sink: it has no {', '.join(missing) or 'way to be called'}")
    return "can be imported; it was not started"


@contextmanager
def _importing_from_here() -> Iterator[None]:
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


_ENCODINGS = (("o200k_base", "gpt-4o"), ("cl100k_base", "gpt-4"))


def _ranks(model: str) -> Trial:
    def trial(settings: Settings) -> str:
        from instrument.tokens import encoding

        return f"{encoding(model).n_vocab} tokens, the checksum is right"

    return trial


# What is printed.


def _as_json(examination: Examination) -> str:
    shown = {
        "fine": not examination.faults,
        "faults": examination.faults,
        "notes": examination.notes,
        "settings": [setting._asdict() for setting in examination.settings],
        "folder": {
            **examination.folder._asdict(),
            "files": examination.files,
            "bytes": examination.bytes,
            "oldest": examination.oldest,
        },
        "sinks": [check._asdict() for check in examination.sinks],
        "tokens": [check._asdict() for check in examination.tokens],
        "versions": examination.versions,
    }
    return json.dumps(shown, indent=2, default=str)


def _as_text(examination: Examination) -> str:
    held = f"{examination.files} files, {in_words(examination.bytes)}"
    parts = [
        (
            "settings",
            _table(
                [(setting.key, _value(setting.value, setting.key), setting.source) for setting in examination.settings]
            ),
        ),
        ("folder", [*_checks([examination.folder]), f"    {held}, oldest events {examination.oldest or '-'}"]),
        ("sinks", _checks(examination.sinks) or ["none"]),
        ("tokens", _checks(examination.tokens)),
        ("versions", _versions_in_lines(examination.versions)),
        ("notes", examination.notes),
        ("wrong" if examination.faults else "all is fine", examination.faults),
    ]
    return "\n".join(line for head, lines in parts if lines or head == "all is fine" for line in _section(head, lines))


def _versions_in_lines(versions: dict[str, str | None]) -> list[str]:
    width = theme_for(sys.stdout).width
    told = ", ".join(f"{name}\xa0{version or '-'}" for name, version in versions.items())
    return [line.replace("\xa0", " ") for line in wrapped(told, (width or 100) - 2)]


def _section(head: str, lines: list[str]) -> list[str]:
    return [head, *(f"  {line}" for line in lines)]


def _checks(checks: list[Check]) -> list[str]:
    width = max((len(check.name) for check in checks), default=0)
    return [f"{'ok' if check.works else 'no'}  {check.name:<{width}}  {check.detail}" for check in checks]


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"{key:<{first}}  {value:<{min(second, 40)}}  {source}" for key, value, source in rows]


def _value(value: Any, key: str) -> str:
    if value is None:
        from instrument.setting_tables import UNSET

        return UNSET.get(key, "none")
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
