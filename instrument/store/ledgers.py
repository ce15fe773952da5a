"""Ledgers by address: a file of SQLite or a PostgreSQL database, which can be asked the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from instrument.errors import InstrumentError
from instrument.store import ledger, postgres
from instrument.store.entries import By, Row, Total
from instrument.store.postgres import is_postgres, shown

Address = Path | str
"""A path, `sqlite:///…`, or `postgresql://…`."""


def rows(
    place: Address,
    since_ns: int | None = None,
    until_ns: int | None = None,
    run: str | None = None,
    trace_id: str | None = None,
) -> Iterator[Row]:
    """The calls in order of time, from `since_ns` on and before `until_ns`. Raises `InstrumentError` as `totals`."""
    if is_postgres(place):
        return postgres.rows(str(place), since_ns, until_ns, run, trace_id)
    return ledger.rows(file_of(place), since_ns, until_ns, run, trace_id)


def totals(
    place: Address, by: By | None = None, since_ns: int | None = None, until_ns: int | None = None
) -> list[Total]:
    """The calls added up, the dearest group first, days in their order; without `by` all in one total.

    Raises `InstrumentError` when there is no ledger or it cannot be read.
    """
    if is_postgres(place):
        return postgres.totals(str(place), by, since_ns, until_ns)
    return ledger.totals(file_of(place), by, since_ns, until_ns)


def enter(place: Address, found: Iterable[Row]) -> None:
    """Enter the rows in one transaction; those that are there already are brought up to date, none is doubled.

    Raises `InstrumentError` when the ledger cannot be written.
    """
    if is_postgres(place):
        with closing(postgres.Database(str(place))) as database:
            postgres.write(database, found)
        return
    path = file_of(place)
    try:
        with closing(ledger.open_ledger(path)) as connection:
            ledger.write(connection, found)
    except sqlite3.Error as error:
        raise InstrumentError(f"the ledger {path} cannot be written: {error}") from error


def file_of(place: Address) -> Path:
    """The SQLite file at `sqlite:///relative`, `sqlite:////absolute` or a plain path.

    Raises `InstrumentError` for the address of another kind of database.
    """
    path = str(place).removeprefix("sqlite:///")
    scheme, is_address, _ = path.partition("://")
    if is_address:
        raise InstrumentError(f"{scheme}://… is no ledger: give a file or postgresql://user@host/database")
    return Path(path)


def told(place: Address) -> str:
    """The address fit to be shown: without a password."""
    return shown(str(place)) if is_postgres(place) else str(file_of(place))
