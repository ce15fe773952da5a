"""The ledger in SQLite: a file that any number of processes share."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from decimal import Decimal
from pathlib import Path

from msgspec.structs import astuple

from instrument.errors import InstrumentError
from instrument.money import EXACT, decimal_text
from instrument.store import folder
from instrument.store.entries import COLUMNS, COUNTED, LATER_COUNTS, By, Row, Total, conditions, in_order, upsert
from instrument.store.turns import turn_in

WAIT_SECONDS = 2.0
"""How long a writer waits for another process before it puts its rows by."""

_STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""


def _create_calls(connection: sqlite3.Connection) -> None:
    tokens = ", ".join(f"{name} INTEGER" for name in ("input", "cached", "cache_write", "output", "reasoning", "audio"))
    connection.execute(f"""
        CREATE TABLE calls (
            time_ns INTEGER NOT NULL, run TEXT NOT NULL, trace_id TEXT NOT NULL, span_id TEXT NOT NULL,
            agent_id TEXT, operation TEXT, model_requested TEXT, model_answered TEXT, provider TEXT,
            {tokens}, source TEXT NOT NULL,
            usd TEXT, usd_input TEXT, usd_cached TEXT, usd_cache_write TEXT, usd_output TEXT,
            basis TEXT NOT NULL, price_date TEXT, status TEXT NOT NULL, service_tier TEXT, session TEXT, user TEXT,
            UNIQUE (run, span_id)
        ){_STRICT}""")
    connection.execute("CREATE INDEX calls_by_time ON calls (time_ns)")


def _create_budgets(connection: sqlite3.Connection) -> None:
    """What processes share of a budget: see `reservations`. `warned` is the highest share that was told."""
    connection.execute(f"""
        CREATE TABLE budgets (
            name TEXT NOT NULL, window TEXT NOT NULL,
            usd TEXT NOT NULL DEFAULT '0', estimated TEXT NOT NULL DEFAULT '0',
            tokens INTEGER NOT NULL DEFAULT 0, calls INTEGER NOT NULL DEFAULT 0, warned INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (name, window)
        ){_STRICT}""")
    connection.execute(f"""
        CREATE TABLE reservations (
            call TEXT NOT NULL, name TEXT NOT NULL, window TEXT NOT NULL,
            usd TEXT, tokens INTEGER NOT NULL, time_ns INTEGER NOT NULL,
            pid INTEGER NOT NULL, started TEXT NOT NULL, machine TEXT NOT NULL, state TEXT NOT NULL,
            PRIMARY KEY (call, name, window)
        ){_STRICT}""")
    connection.execute("CREATE INDEX reservations_by_budget ON reservations (name, window)")


def _add_counts(connection: sqlite3.Connection) -> None:
    for name in LATER_COUNTS:
        connection.execute(f"ALTER TABLE calls ADD COLUMN {name} INTEGER")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create_calls, _create_budgets, _add_counts)
"""Each brings a ledger from the version of its index to the next one."""


_WRITE = upsert("calls", "?")

_KEYS: dict[str | None, str] = {
    None: "NULL",
    "model": "coalesce(model_answered, model_requested)",
    "operation": "operation",
    "agent": "agent_id",
    "session": "session",
    "user": "user",
    "day": "date(time_ns / 1000000000, 'unixepoch')",
}


# Writing


def in_folder(place: Path) -> Path:
    """The ledger of a recording folder, or of a project with a recording folder in it."""
    places = (place / folder.LEDGER, place / folder.NAME / folder.LEDGER)
    return next((file for file in places if file.is_file()), places[0])


def open_ledger(path: Path) -> sqlite3.Connection:
    """A connection to write with; makes the file (for its owner only) and brings its schema up to date.

    Raises `sqlite3.Error` when the file is locked or damaged (`is_locked`, `is_corrupt`), `InstrumentError` when it is
    the database of something else or a ledger of a newer version.
    """
    _make_private(path)
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def write(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Enter the rows in one transaction; a call that is already there is brought up to date."""
    with transaction(connection):
        connection.executemany(_WRITE, map(astuple, rows))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything in the block or nothing of it. Takes its turn among the writers at the beginning."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file is no SQLite database or one with broken pages."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process holds the file just now."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_passing(error: sqlite3.Error) -> bool:
    """Whether the file cannot be written just now: a full disk, no more file handles, a folder that is read-only."""
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file from another one that may take its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path, seen: tuple[int, int] | None) -> Path | None:
    """Rename the damaged ledger that was `seen` (`identity`), so that a new one can begin; gives its new path.

    None when it has gone already: of several writers that see the damage one sets the file aside. Its log goes first:
    beside a new database it would be taken for that one's own.
    """
    with turn_in(path.parent):  # not on the file: closing it would take SQLite's own locks away
        if seen is None or identity(path) != seen:
            return None
        aside = _beside(path, "corrupt")
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        return aside


def _make_private(path: Path) -> None:
    if not path.parent.is_dir():
        folder.create(path.parent)
    # A file that is there may be in use here: closing it would take SQLite's own locks away.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite does not wait for its turn here when several processes begin at once."""
    patience = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > patience:
                raise
            time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection, path)
    if version == len(MIGRATIONS):
        return
    with _backed_up(connection, path, version) if version else nullcontext(), transaction(connection):
        version = _version(connection, path)  # another process may have been faster
        if not version and holds_tables(connection):
            raise InstrumentError(f"{path} is the database of something else: name another file for the ledger")
        for migrate in MIGRATIONS[version:]:
            migrate(connection)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def holds_tables(connection: sqlite3.Connection) -> bool:
    """Whether there is anything in the database; without a version that is something else's."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


@contextmanager
def _backed_up(connection: sqlite3.Connection, path: Path, version: int) -> Iterator[None]:
    """Keep a copy of the ledger beside it, but not where the block fails, as on a full disk: each try makes its own."""
    while True:
        copy = _beside(path, f"version-{version}")
        with suppress(FileExistsError):  # another process has been faster
            os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            break
    try:
        with closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
        yield
    except BaseException:
        with suppress(OSError):
            copy.unlink()
        raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise InstrumentError(f"the ledger {path} is of a newer version: update instrument, or name another file")
    return version


def _beside(path: Path, what: str) -> Path:
    """A name beside the ledger that is not taken."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (Path(f"{path}.{what}-{stamp}{more}") for more in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(name for name in names if not name.exists())


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


# Reading


def rows(
    path: Path,
    since_ns: int | None = None,
    until_ns: int | None = None,
    run: str | None = None,
    trace_id: str | None = None,
) -> Iterator[Row]:
    """The calls in order of time, from `since_ns` on and before `until_ns`. Raises `InstrumentError` as `totals`."""
    where, values = conditions(since_ns, until_ns, run, trace_id)
    with _reading(path) as connection:
        there = {column[1] for column in connection.execute("PRAGMA table_info(calls)")}
        columns = (name if name in there else f"NULL {name}" for name in COLUMNS)
        query = f"SELECT {', '.join(columns)} FROM calls {where} ORDER BY time_ns, rowid"
        for values_of_row in connection.execute(query, values):
            yield Row(**dict(zip(COLUMNS, values_of_row, strict=True)))


def totals(path: Path, by: By | None = None, since_ns: int | None = None, until_ns: int | None = None) -> list[Total]:
    """The calls added up, the dearest group first, days in their order; without `by` all in one total.

    Raises `InstrumentError` when there is no ledger or it cannot be read.
    """
    where, values = conditions(since_ns, until_ns)
    grouped = f"SELECT {_KEYS[by]} AS key, {COUNTED}, money(usd) FROM calls {where}"
    with _reading(path) as connection:
        connection.create_aggregate("money", 1, _Money)  # type: ignore[arg-type]  # typeshed knows numbers only
        found = connection.execute(grouped + (" GROUP BY key" if by else ""), values).fetchall()
    return in_order(found, by)


class _Money:
    """An SQL aggregate that adds up decimal text exactly; NULL where there is none."""

    def __init__(self) -> None:
        self.sum: Decimal | None = None

    def step(self, usd: str | None) -> None:
        if usd is not None:
            self.sum = EXACT.add(self.sum or Decimal(0), Decimal(usd))

    def finalize(self) -> str | None:
        return None if self.sum is None else decimal_text(self.sum)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise InstrumentError(f"there is no ledger at {path}")
    try:
        with closing(_opened_to_read(path)) as connection:
            if _version(connection, path):
                yield connection
            elif holds_tables(connection):
                raise InstrumentError(f"{path} is not a ledger")
            else:  # whoever began it was killed before the first row
                with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
                    _migrate(empty, path)
                    yield empty
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise InstrumentError(f"{path} is not a ledger: name a ledger.db, or the folder that has one") from error
        raise InstrumentError(f"the ledger {path} cannot be read: {error}") from error


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; in a read-only folder one that does without the files SQLite keeps beside it."""
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=WAIT_SECONDS)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:
        connection.close()
        if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or _has_log(path):
            raise
        return sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)
    return connection


def _has_log(path: Path) -> bool:
    """Whether a part of the ledger lies in its log still, so that the file alone is not the whole."""
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0
