"""Budgets that processes share, in the ledger's database: what was spent under a name, and what running calls may take.

A call reserves before it is sent and is settled after. Each step is one transaction that takes its turn among the
writers, so that no two processes decide on the same money. Reservations of dead processes are dealt with by whoever
comes next: a call that had not been sent gives its reservation back, one that had been is settled at the reservation.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, Protocol

from instrument.money import EXACT, decimal_text
from instrument.store import ledger
from instrument.store.connection import Connection
from instrument.store.ledgers import file_of
from instrument.store.postgres import is_postgres
from instrument.store.processes import Process, is_dead, this_process

WAIT_SECONDS = 10.0
"""How long a call waits for its turn."""

FOREIGN_SECONDS = 3600.0
"""After so long a reservation from a machine that cannot be asked counts as one of a dead process."""

ZERO = Decimal(0)


class Account(NamedTuple):
    """What is shared: a name, and the hour, day or month in UTC (`2026-11-23`; empty for all time)."""

    name: str
    window: str


class Standing(NamedTuple):
    """How an account stands: US dollars, tokens and calls that were spent, and what running calls may still take."""

    usd: Decimal
    tokens: int
    calls: int
    reserved_usd: Decimal
    reserved_tokens: int


class Claim(NamedTuple):
    """What one call, named by its span, may take or took; `usd` is None while the price is unknown."""

    call: str
    usd: Decimal | None
    tokens: int


class Reserved(NamedTuple):
    """The outcome of a request: why it was refused, if it was, and how many calls of dead processes were settled."""

    refusal: str | None
    buried: int


class Booked(NamedTuple):
    """The outcome of settling: the new standing, and the share that was passed where nobody was told of it before."""

    standing: Standing
    passed: int | None


class Accounts(Protocol):
    """The accounts in one ledger, for all threads of this process; each method is one step that nothing comes between.

    Methods raise `InstrumentError`, `OSError` or `sqlite3.Error` when the ledger cannot be used.
    """

    def reserve(self, account: Account, claim: Claim, refuse: Callable[[Standing], str | None]) -> Reserved:
        """Set aside what a call may take, unless `refuse` gives a reason against it. A second time changes nothing."""

    def mark_sent(self, account: Account, call: str) -> None:
        """The call is about to be sent: from now on its process takes the money with it when it dies."""

    def settle(
        self,
        account: Account,
        took: Claim,
        share: Callable[[Standing], int],
        *,
        estimated: bool = False,
        was_reserved: bool = True,
    ) -> Booked | None:
        """Replace the call's reservation by what it took; None where it has none (any more) though it should.

        `share` says what part of the budget a standing is.
        """

    def give_back(self, account: Account, call: str) -> None:
        """The call was not made, or cost nothing."""

    def standing(self, account: Account) -> Standing:
        """How the account stands now."""

    def close(self) -> None:
        """Close the connection; the next call opens another one."""


def accounts_at(url: str) -> Accounts:
    """The accounts in the ledger at `postgresql://…`, `sqlite:///relative`, `sqlite:////absolute` or a plain path."""
    if is_postgres(url):
        from instrument.store.postgres_accounts import PostgresAccounts

        return PostgresAccounts(url)
    return Reservations(file_of(url))


class Reservations:
    """The accounts in an SQLite ledger."""

    def __init__(self, path: Path) -> None:
        self._connection = Connection(path, _opened_patiently)

    def reserve(self, account: Account, claim: Claim, refuse: Callable[[Standing], str | None]) -> Reserved:
        """Set aside what a call may take, unless `refuse` gives a reason against it."""
        with self._turn() as connection:
            buried = _bury(connection, account.name)
            why = refuse(_standing(connection, account, without=claim.call))
            if why is None:
                _insert(connection, account, claim)
            return Reserved(why, buried)

    def mark_sent(self, account: Account, call: str) -> None:
        """The call is about to be sent: from now on its process takes the money with it when it dies."""
        with self._turn() as connection:
            connection.execute(f"UPDATE reservations SET state = 'sent' WHERE {_ONE}", (call, *account))

    def settle(
        self,
        account: Account,
        took: Claim,
        share: Callable[[Standing], int],
        *,
        estimated: bool = False,
        was_reserved: bool = True,
    ) -> Booked | None:
        """As `Accounts` says."""
        with self._turn() as connection:
            if not _take_out(connection, account, took.call) and was_reserved:
                return None
            _add(connection, account, took.usd or ZERO, took.tokens, 1, estimated=estimated)
            standing = _standing(connection, account)
            return Booked(standing, _newly_passed(connection, account, share(standing)))

    def give_back(self, account: Account, call: str) -> None:
        """The call was not made, or cost nothing."""
        with self._turn() as connection:
            _take_out(connection, account, call)

    def standing(self, account: Account) -> Standing:
        """How the account stands now."""
        with self._turn() as connection:
            _bury(connection, account.name)
            return _standing(connection, account)

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        self._connection.close()

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """One transaction: threads of this process queue at the connection, processes at the database."""
        with self._connection.used() as connection, ledger.transaction(connection):
            yield connection


def _opened_patiently(path: Path) -> sqlite3.Connection:
    patience = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection = ledger.open_ledger(path)
            connection.execute(f"PRAGMA busy_timeout = {int(WAIT_SECONDS * 1000)}")
            return connection
        except sqlite3.Error as error:
            if not ledger.is_locked(error) or time.monotonic() > patience:
                raise


_ONE = "call = ? AND name = ? AND window = ?"


def _insert(connection: sqlite3.Connection, account: Account, claim: Claim) -> None:
    usd = None if claim.usd is None else decimal_text(claim.usd)
    values = (claim.call, *account, usd, claim.tokens, time.time_ns(), *this_process())
    connection.execute(
        "INSERT OR IGNORE INTO reservations (call, name, window, usd, tokens, time_ns, pid, started, machine, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'reserved')",
        values,
    )


def _take_out(connection: sqlite3.Connection, account: Account, call: str) -> bool:
    """Remove a reservation, and what was booked for it if its process was taken for dead; whether there was one."""
    one = (call, *account)
    found = connection.execute(f"SELECT usd, tokens, state FROM reservations WHERE {_ONE}", one).fetchone()
    if found is not None and found[2] == "buried":
        _add(connection, account, EXACT.minus(Decimal(found[0] or 0)), -found[1], -1, estimated=True)
    connection.execute(f"DELETE FROM reservations WHERE {_ONE}", one)
    return found is not None


def _standing(connection: sqlite3.Connection, account: Account, without: str = "") -> Standing:
    spent = connection.execute(
        "SELECT usd, tokens, calls FROM budgets WHERE name = ? AND window = ?", account
    ).fetchone()
    running = connection.execute(
        "SELECT usd, tokens FROM reservations WHERE name = ? AND window = ? AND state != 'buried' AND call != ?",
        (*account, without),
    ).fetchall()
    usd, tokens, calls = spent or ("0", 0, 0)
    return Standing(
        Decimal(usd),
        tokens,
        calls + len(running),
        _sum(Decimal(one) for one, _ in running if one is not None),
        sum(one for _, one in running),
    )


def _sum(amounts: Iterator[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _add(
    connection: sqlite3.Connection, account: Account, usd: Decimal, tokens: int, calls: int, *, estimated: bool
) -> None:
    """Book an amount; what rests on an estimate is kept apart as well."""
    connection.execute("INSERT OR IGNORE INTO budgets (name, window) VALUES (?, ?)", account)
    before, guessed = connection.execute(
        "SELECT usd, estimated FROM budgets WHERE name = ? AND window = ?", account
    ).fetchone()
    sums = (EXACT.add(Decimal(before), usd), EXACT.add(Decimal(guessed), usd if estimated else ZERO))
    connection.execute(
        "UPDATE budgets SET usd = ?, estimated = ?, tokens = tokens + ?, calls = calls + ?"
        " WHERE name = ? AND window = ?",
        (*map(decimal_text, sums), tokens, calls, *account),
    )


def _newly_passed(connection: sqlite3.Connection, account: Account, share: int) -> int | None:
    changed = connection.execute(
        "UPDATE budgets SET warned = ? WHERE name = ? AND window = ? AND warned < ?", (share, *account, share)
    ).rowcount
    return share if changed else None


def _bury(connection: sqlite3.Connection, name: str) -> int:
    """Deal with what dead processes have reserved; returns how many calls were settled at their reservations.

    Rows of calls that had been sent are kept: should their process turn out to live, they are settled after all.
    """
    found = connection.execute(
        "SELECT call, window, usd, tokens, state, time_ns, pid, started, machine FROM reservations"
        " WHERE name = ? AND state != 'buried' AND NOT (pid = ? AND started = ? AND machine = ?)",
        (name, *this_process()),
    ).fetchall()
    fate = {process: is_dead(process) for process in {Process(*row[6:]) for row in found}}
    lost = [row for row in found if _is_lost(fate[Process(*row[6:])], row[5])]
    for call, window, usd, tokens, state, *_ in lost:
        one = (call, name, window)
        if state == "sent":
            connection.execute(f"UPDATE reservations SET state = 'buried' WHERE {_ONE}", one)
            _add(connection, Account(name, window), Decimal(usd or 0), tokens, 1, estimated=True)
        else:
            connection.execute(f"DELETE FROM reservations WHERE {_ONE}", one)
    return sum(row[4] == "sent" for row in lost)


def _is_lost(is_dead: bool | None, time_ns: int) -> bool:
    return time.time_ns() - time_ns > FOREIGN_SECONDS * 1e9 if is_dead is None else is_dead
