"""Budgets that processes of several hosts share, in PostgreSQL: as `reservations`, with row locks.

Each step is one transaction that locks the rows of its budget, so that no two processes decide on the same money. A
process holds an advisory lock while it is connected; where that is free and the reservation is old enough for its
owner to have come back, the owner counts as dead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from instrument.store.postgres import Database, Unreachable, owner
from instrument.store.processes import Process, is_dead, this_process
from instrument.store.reservations import ZERO, Account, Booked, Claim, Reserved, Standing

if TYPE_CHECKING:
    import psycopg

R = TypeVar("R")

BACK_SECONDS = 60
"""How long a process of another host may be without a connection before its reservations are dealt with."""

_ONE = "call = %s AND name = %s AND term = %s"


class PostgresAccounts:
    """The accounts in a PostgreSQL ledger (`reservations.Accounts`), for all threads of this process."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._lock = threading.Lock()

    def reserve(self, account: Account, claim: Claim, refuse: Callable[[Standing], str | None]) -> Reserved:
        """Set aside what a call may take, unless `refuse` gives a reason against it."""

        def step(connection: psycopg.Connection[Any]) -> Reserved:
            buried = _bury(connection, account.name)
            why = refuse(_standing(connection, account, without=claim.call))
            if why is None:
                _insert(connection, account, claim)
            return Reserved(why, buried)

        return self._alone(account, step)

    def mark_sent(self, account: Account, call: str) -> None:
        """The call is about to be sent: from now on its process takes the money with it when it dies."""
        self._alone(
            account,
            lambda connection: connection.execute(
                f"UPDATE instrument_reservations SET state = 'sent' WHERE {_ONE}", (call, *account)
            ),
        )

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

        def step(connection: psycopg.Connection[Any]) -> Booked | None:
            if not _take_out(connection, account, took.call) and was_reserved:
                return None
            _add(connection, account, took.usd or ZERO, took.tokens, 1, estimated=estimated)
            standing = _standing(connection, account)
            return Booked(standing, _newly_passed(connection, account, share(standing)))

        return self._alone(account, step)

    def give_back(self, account: Account, call: str) -> None:
        """The call was not made, or cost nothing."""
        self._alone(account, lambda connection: _take_out(connection, account, call))

    def standing(self, account: Account) -> Standing:
        """How the account stands now."""

        def step(connection: psycopg.Connection[Any]) -> Standing:
            _bury(connection, account.name)
            return _standing(connection, account)

        return self._alone(account, step)

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        with self._lock:
            self._database.close()

    def _alone(self, account: Account, step: Callable[[psycopg.Connection[Any]], R]) -> R:
        """Do it in one transaction that nothing comes between; once more where the connection had been lost before."""
        with self._lock:
            try:
                return self._once(account, step)
            except _LostBefore:
                return self._once(account, step)

    def _once(self, account: Account, step: Callable[[psycopg.Connection[Any]], R]) -> R:
        begun = False
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO instrument_budgets (name, term) VALUES (%s, %s) ON CONFLICT DO NOTHING", account
                )
                connection.execute(
                    "SELECT 1 FROM instrument_budgets WHERE name = %s ORDER BY term FOR UPDATE", (account.name,)
                )
                begun = True
                return step(connection)
        except Unreachable as error:
            if begun:
                raise
            raise _LostBefore(str(error)) from None


class _LostBefore(Unreachable):
    """The connection was found to be lost before anything was done."""


def _insert(connection: psycopg.Connection[Any], account: Account, claim: Claim) -> None:
    process = this_process()
    connection.execute(
        "INSERT INTO instrument_reservations (call, name, term, usd, tokens, owner, pid, started, machine)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (claim.call, *account, claim.usd, claim.tokens, owner(*process), *process),
    )


def _take_out(connection: psycopg.Connection[Any], account: Account, call: str) -> bool:
    """Remove a reservation, and what was booked for it if its process was taken for dead; whether there was one."""
    found = connection.execute(
        f"DELETE FROM instrument_reservations WHERE {_ONE} RETURNING usd, tokens, state", (call, *account)
    ).fetchone()
    if found is not None and found[2] == "buried":
        _add(connection, account, -(found[0] or ZERO), -found[1], -1, estimated=True)
    return found is not None


def _standing(connection: psycopg.Connection[Any], account: Account, without: str = "") -> Standing:
    spent = connection.execute(
        "SELECT usd, tokens, calls FROM instrument_budgets WHERE name = %s AND term = %s", account
    ).fetchone()
    running = connection.execute(
        "SELECT count(*), coalesce(sum(usd), 0), coalesce(sum(tokens), 0) FROM instrument_reservations"
        " WHERE name = %s AND term = %s AND state != 'buried' AND call != %s",
        (*account, without),
    ).fetchone()
    usd, tokens, calls = spent or (ZERO, 0, 0)
    count, reserved, reserved_tokens = running or (0, ZERO, 0)
    return Standing(usd, tokens, calls + count, reserved, int(reserved_tokens))


def _add(
    connection: psycopg.Connection[Any], account: Account, usd: Decimal, tokens: int, calls: int, *, estimated: bool
) -> None:
    """Book an amount; what rests on an estimate is kept apart as well."""
    connection.execute(
        "INSERT INTO instrument_budgets AS b (name, term, usd, estimated, tokens, calls)"
        " VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (name, term) DO UPDATE SET usd = b.usd + excluded.usd,"
        " estimated = b.estimated + excluded.estimated, tokens = b.tokens + excluded.tokens,"
        " calls = b.calls + excluded.calls",
        (*account, usd, usd if estimated else ZERO, tokens, calls),
    )


def _newly_passed(connection: psycopg.Connection[Any], account: Account, share: int) -> int | None:
    changed = connection.execute(
        "UPDATE instrument_budgets SET warned = %s WHERE name = %s AND term = %s AND warned < %s",
        (share, *account, share),
    ).rowcount
    return share if changed else None


def _bury(connection: psycopg.Connection[Any], name: str) -> int:
    """Deal with what dead processes have reserved; returns how many calls were settled at their reservations."""
    found = connection.execute(
        "SELECT call, term, usd, tokens, state, owner, made < clock_timestamp() - make_interval(secs => %s),"
        " pid, started, machine FROM instrument_reservations WHERE name = %s AND state != 'buried' AND owner != %s",
        (BACK_SECONDS, name, owner(*this_process())),
    ).fetchall()
    fate = {row[5]: _is_gone(connection, row[5], Process(*row[7:]), is_old=row[6]) for row in found}
    lost = [row for row in found if fate[row[5]]]
    for call, term, usd, tokens, state, *_ in lost:
        one = (call, name, term)
        if state == "sent":
            connection.execute(f"UPDATE instrument_reservations SET state = 'buried' WHERE {_ONE}", one)
            _add(connection, Account(name, term), usd or ZERO, tokens, 1, estimated=True)
        else:
            connection.execute(f"DELETE FROM instrument_reservations WHERE {_ONE}", one)
    return sum(row[4] == "sent" for row in lost)


def _is_gone(connection: psycopg.Connection[Any], number: int, process: Process, *, is_old: bool) -> bool:
    """Whether the owner is dead: known of processes of this machine, told by its lock of those of another one."""
    dead = is_dead(process)
    if dead is not None:
        return dead
    if not is_old:
        return False
    free = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (number,)).fetchone()
    return bool(free and free[0])
