"""What `instrument doctor` tries: that what the settings ask for works."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from instrument.origins import masked
from instrument.record import failures
from instrument.store.ledgers import file_of
from instrument.store.postgres import Database, is_postgres, shown

if TYPE_CHECKING:
    from instrument.settings import Settings

WAIT_SECONDS = 2.0
"""How long to wait for a ledger that another process has locked."""
_PROBE = "instrument_doctor"


class Check(NamedTuple):
    """One thing that was tried, whether it works, and what was seen."""

    name: str
    works: bool
    detail: str


Trial = Callable[["Settings"], str]
"""Says what it saw, or raises."""


def tried(name: str, trial: Trial, settings: Settings) -> Check:
    """What came of a trial, whatever it raises."""
    try:
        return Check(name, True, trial(settings))
    except (Exception, SystemExit) as fault:  # noqa: BLE001 - a user's sink may raise anything when it is imported
        return Check(name, False, _why(fault))


def _why(fault: BaseException) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    return str(masked(failures.in_words(fault)))


def trial_of(name: str) -> Trial:
    """What a sink of this name, ours or another, is tried with."""
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
        return write_below(settings.folder / "events")
    if not settings.jsonl_path.exists():
        return write_below(settings.jsonl_path.parent)
    with open(settings.jsonl_path, "ab"):
        return f"{settings.jsonl_path} can be appended to"


def write_below(place: Path) -> str:
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
        connection.execute("BEGIN IMMEDIATE")  # closing rolls back
        connection.execute(f"CREATE TABLE {_PROBE} (x)")


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


ENCODINGS = (("o200k_base", "gpt-4o"), ("cl100k_base", "gpt-4"))
"""Encodings that we ship, each with a model that has it."""


def ranks(model: str) -> Trial:
    """Whether the tokens of a model can be counted."""

    def trial(settings: Settings) -> str:
        from instrument.tokens import encoding

        return f"{encoding(model).n_vocab} tokens, the checksum is right"

    return trial
