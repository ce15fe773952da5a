"""The ledger in PostgreSQL: the same rows and totals as in SQLite, for a team's processes on any number of hosts.

The tables are `instrument_calls`, `instrument_budgets` and `instrument_reservations`, in the first schema of the search
path. Needs the extra `postgres`. Whatever the server does, callers see `Unreachable` or `InstrumentError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import astuple

from instrument import forks
from instrument.allowed import DATABASES
from instrument.errors import InstrumentError
from instrument.money import decimal_text
from instrument.store.entries import COLUMNS, COUNTED, LATER_COUNTS, By, Row, Total, conditions, in_order, upsert

if TYPE_CHECKING:
    import psycopg

CONNECT_SECONDS, LOCK_SECONDS, STATEMENT_SECONDS = 5, 10, 60
"""How long to wait for the server, for another process's turn, and for one statement."""

AT_ONCE = 1_000
"""Rows that are read from the server at a time."""

_MONEY = tuple(name for name in COLUMNS if name.startswith("usd"))
_QUOTED = tuple(f'"{name}"' if name == "user" else name for name in COLUMNS)  # a keyword of SQL
_WRITE = upsert("instrument_calls", "%s", _QUOTED)
_KEYS: dict[str | None, str] = {
    None: "NULL::text",
    "model": "coalesce(model_answered, model_requested)",
    "operation": "operation",
    "agent": "agent_id",
    "session": "session",
    "user": '"user"',
    "day": "to_char(to_timestamp(time_ns / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}


class Unreachable(InstrumentError):
    """The server cannot be reached, went away, or its driver is missing: what was not done can be tried again."""


def is_postgres(place: object) -> bool:
    """Whether an address names a PostgreSQL database."""
    return isinstance(place, str) and place.startswith(DATABASES)


def shown(url: str) -> str:
    """The address without user and password: hosts and database, as far as they can be told from a password."""
    place = _PLACE.fullmatch(url)
    return f"postgresql://{place[1] if place is not None else '…'}"


_PLACE = re.compile(r"\w+://(?:[^/?#]*@)?([^@/?#]*(?:/[^@?#]*)?)(?:\?[^@]*)?")


class Database:
    """One connection, opened when it is first needed and again after it was lost; a forked child opens its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._process = 0

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """Everything in the block or nothing of it. Raises `Unreachable` or `InstrumentError`."""
        psycopg = _driver()
        try:
            connection = self._connected()
            with connection.transaction():
                yield connection
        except psycopg.OperationalError as error:
            self.close()
            raise Unreachable(f"the ledger {shown(self.url)} cannot be reached: {_first_line(error)}") from None
        except psycopg.Error as error:
            raise InstrumentError(f"the ledger {shown(self.url)} cannot be used: {_first_line(error)}") from None

    def close(self) -> None:
        """Give the connection back. One of the parent's is left alone: closing it would end the parent's session."""
        connection, self._connection = self._connection, None
        if connection is not None and self._process != os.getpid():
            _left_to_parents.append(connection)
        elif connection is not None:
            connection.close()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is not None and (self._process != os.getpid() or self._connection.closed):
            self.close()
        if self._connection is None:
            self._connection, self._process = _opened(self.url), os.getpid()
        return self._connection


_left_to_parents: list[Any] = []


def _driver() -> Any:
    try:
        with forks.importing:
            import psycopg
    except ImportError as error:  # also where psycopg is there and finds no libpq
        raise Unreachable(
            f"a ledger in PostgreSQL needs psycopg: pip install 'agent-instrument[postgres]' ({_first_line(error)})"
        ) from None
    return psycopg


def _opened(url: str) -> psycopg.Connection[Any]:
    from instrument.store.processes import this_process

    connection: psycopg.Connection[Any] = _driver().connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        options=f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout={STATEMENT_SECONDS}s",
        keepalives_idle=30,
        tcp_user_timeout=10_000,
        application_name="instrument",
    )
    try:
        _migrate(connection, url)
        connection.execute("SELECT pg_advisory_lock_shared(%s)", (owner(*this_process()),))
    except BaseException:
        connection.close()
        raise
    return connection


def owner(*process: Any) -> int:
    """The number of a process's advisory lock, which it holds as long as it is connected."""
    import hashlib

    digest = hashlib.blake2b("/".join(map(str, process)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _create(connection: psycopg.Connection[Any]) -> None:
    tokens = ", ".join(f"{name} BIGINT" for name in ("input", "cached", "cache_write", "output", "reasoning", "audio"))
    connection.execute(f"""
        CREATE TABLE instrument_calls (
            time_ns BIGINT NOT NULL, run TEXT NOT NULL, trace_id TEXT NOT NULL, span_id TEXT NOT NULL,
            agent_id TEXT, operation TEXT, model_requested TEXT, model_answered TEXT, provider TEXT,
            {tokens}, source TEXT NOT NULL, {", ".join(f"{name} NUMERIC" for name in _MONEY)},
            basis TEXT NOT NULL, price_date TEXT, status TEXT NOT NULL, service_tier TEXT, session TEXT, "user" TEXT,
            PRIMARY KEY (run, span_id)
        )""")
    connection.execute("CREATE INDEX instrument_calls_by_time ON instrument_calls (time_ns)")
    connection.execute("""
        CREATE TABLE instrument_budgets (
            name TEXT NOT NULL, term TEXT NOT NULL,
            usd NUMERIC NOT NULL DEFAULT 0, estimated NUMERIC NOT NULL DEFAULT 0,
            tokens BIGINT NOT NULL DEFAULT 0, calls BIGINT NOT NULL DEFAULT 0, warned INT NOT NULL DEFAULT 0,
            PRIMARY KEY (name, term)
        )""")
    connection.execute("""
        CREATE TABLE instrument_reservations (
            call TEXT NOT NULL, name TEXT NOT NULL, term TEXT NOT NULL, usd NUMERIC, tokens BIGINT NOT NULL,
            made TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(), owner BIGINT NOT NULL,
            pid BIGINT NOT NULL, started TEXT NOT NULL, machine TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'reserved',
            PRIMARY KEY (call, name, term)
        )""")
    connection.execute("CREATE INDEX instrument_reservations_by_name ON instrument_reservations (name)")


def _add_counts(connection: psycopg.Connection[Any]) -> None:
    for name in LATER_COUNTS:
        connection.execute(f"ALTER TABLE instrument_calls ADD COLUMN {name} BIGINT")


MIGRATIONS: tuple[Callable[[psycopg.Connection[Any]], None], ...] = (_create, _add_counts)
"""Each brings the tables from the version of its index to the next one."""

_MIGRATING = 7_266_271_925_302_158_211
"""The advisory lock under which one process at a time looks after the schema."""


def _migrate(connection: psycopg.Connection[Any], url: str) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
        connection.execute("CREATE TABLE IF NOT EXISTS instrument_schema (version INT NOT NULL)")
        found = connection.execute("SELECT version FROM instrument_schema").fetchone()
        version = found[0] if found is not None else 0
        if version > len(MIGRATIONS):
            raise InstrumentError(f"the ledger {shown(url)} is of a newer version: update instrument")
        for migrate in MIGRATIONS[version:]:
            migrate(connection)
        if found is None:
            connection.execute("INSERT INTO instrument_schema VALUES (%s)", (len(MIGRATIONS),))
        else:
            connection.execute("UPDATE instrument_schema SET version = %s", (len(MIGRATIONS),))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


# Writing and reading


def write(database: Database, rows: Iterable[Row]) -> None:
    """Enter the rows in one transaction; a call that is already there is brought up to date."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.executemany(_WRITE, [tuple(map(_storable, astuple(row))) for row in rows])


def _storable(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def rows(
    url: str,
    since_ns: int | None = None,
    until_ns: int | None = None,
    run: str | None = None,
    trace_id: str | None = None,
) -> Iterator[Row]:
    """The calls in order of time, as `store.ledger.rows`."""
    where, values = conditions(since_ns, until_ns, run, trace_id)
    query = f"SELECT {', '.join(_QUOTED)} FROM instrument_calls {_marked(where)} ORDER BY time_ns, run, span_id"
    with (
        closing(Database(url)) as database,
        database.transaction() as connection,
        connection.cursor(name="instrument_rows") as cursor,
    ):
        cursor.itersize = AT_ONCE
        for found in cursor.execute(query, values):
            yield Row(**{name: _plain(name, value) for name, value in zip(COLUMNS, found, strict=True)})


def totals(url: str, by: By | None = None, since_ns: int | None = None, until_ns: int | None = None) -> list[Total]:
    """The calls added up, as `store.ledger.totals`."""
    where, values = conditions(since_ns, until_ns)
    query = f"SELECT {_KEYS[by]} AS key, {COUNTED}, sum(usd) FROM instrument_calls {_marked(where)}"
    with closing(Database(url)) as database, database.transaction() as connection:
        found = connection.execute(query + (" GROUP BY key" if by else ""), values).fetchall()
    return in_order([tuple(_whole(value) for value in row) for row in found], by)


def _whole(value: Any) -> Any:
    """PostgreSQL adds up whole numbers as NUMERIC; what has decimals is money."""
    exponent = value.as_tuple().exponent if hasattr(value, "as_tuple") else None
    return value if exponent is None or exponent else int(value)


def _marked(where: str) -> str:
    return where.replace("?", "%s")


def _plain(name: str, value: Any) -> Any:
    return decimal_text(value) if name in _MONEY and value is not None else value
