"""Budgets that processes share: the same as in one process, kept in the ledger's database.

Where the database cannot be used, a strict budget refuses every call, and any other one goes on with what this process
alone has spent; either is said once. A shut scope is shut in its process until its hour, day or month is over; other
processes are refused by what is left.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from weakref import WeakSet

from instrument.errors import BudgetExceeded, InstrumentError
from instrument.record.notices import notice
from instrument.record.scopes import Ask, Budget, Limits, Settled, Spent, share
from instrument.store.reservations import Account, Accounts, Booked, Claim, Standing, accounts_at

R = TypeVar("R")

WINDOWS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m", "year": "%Y", "total": ""}
"""How long the account of each period lasts, as the form of its name in UTC; `total` is never renewed."""

MOST_WAITING = 10_000
"""Settlements kept while the database cannot be used."""

_FAULTS = (sqlite3.Error, OSError, InstrumentError)

_ledgers: dict[str, Accounts] = {}
_in_use: dict[str, WeakSet[SharedBudget]] = {}
_of_parents: list[object] = []


class SharedBudget(Budget):
    """One scope on an account that other processes draw on as well. `bind` says where the account is kept."""

    def __init__(self, limits: Limits, name: str, period: str) -> None:
        super().__init__(limits, name)
        self.period: str = period
        self._url: str | None = None
        self._accounts: dict[str, Account] = {}
        self._waiting: deque[Callable[[Accounts], Any]] = deque(maxlen=MOST_WAITING)
        self._fault = ""
        self._entering = threading.RLock()
        self._window = self._account().window

    @property
    def title(self) -> str:
        """What the budget is called in messages, with the time that it is for."""
        window = self._account().window
        return f"the budget {self.name!r} of {window} UTC" if window else f"the budget {self.name!r}"

    @property
    def spent(self) -> Spent:
        """How the account stands in its present window, for all processes; of this process while that is unknown."""
        found = self._try(lambda ledger: ledger.standing(self._account()))
        return self._here() if found is None else Spent(*found)

    def bind(self, url: str) -> None:
        """Say in which ledger the account is kept; the first time counts."""
        if self._url is None:
            self._url = url
            _in_use.setdefault(url, WeakSet()).add(self)

    def reserve(self, call: str, ask: Ask) -> None:
        """As in one process. Where the database cannot be used, strict refuses, and else this process counts alone."""
        account = self._account()
        self._begin_window(account.window)
        if self.shut is not None:
            raise BudgetExceeded(self.shut)

        def refuse(standing: Standing) -> str | None:
            return self._excess(Spent(*standing), ask)

        found = self._try(lambda ledger: ledger.reserve(account, Claim(call, ask.usd, ask.tokens), refuse))
        if found is None and self.limits.strict:
            raise BudgetExceeded(f"{self.title} is strict and cannot use its ledger: {self._fault}")
        why = self._excess(self._here(), ask) if found is None else found.refusal
        if why is not None:
            self.shut = why
            raise BudgetExceeded(why)
        with self._lock:
            self._note(call, ask)
        if found is not None:
            self._accounts[call] = account
            self._tell_of_dead(found.buried)

    def mark_sent(self, call: str) -> None:
        """The call is about to be sent."""
        account = self._accounts.get(call)
        if account is not None:
            self._try(lambda ledger: ledger.mark_sent(account, call))

    def settle(self, call: str, took: Ask | None) -> Settled:
        """As in one process; what cannot be entered now is entered later."""
        reserved = self._reserved.get(call)
        if reserved is None:
            return Settled()
        here = super().settle(call, took)
        account = self._accounts.pop(call, None)
        if took is None:
            if account is not None:
                self._enter(lambda ledger: ledger.give_back(account, call))
            return here
        booked = self._enter(self._booking(account, call, reserved, took))
        if booked is None:
            return here
        return Settled(booked.passed, here.shut or self._shut_by(Spent(*booked.standing), reserved, took))

    def spend(self, call: str, took: Ask) -> Settled:
        """As in one process."""
        here = super().spend(call, took)
        booked = self._enter(self._booking(None, call, None, took))
        if booked is None:
            return here
        return Settled(booked.passed, here.shut or self._shut_by(Spent(*booked.standing), None, took))

    def close(self) -> None:
        """The scope is left: enter what is waiting, and let go of the ledger when no other scope needs it."""
        url = self._url
        if url is None:
            return
        if self._waiting:
            self._enter(lambda ledger: None)
        scopes = _in_use.get(url, WeakSet())
        if not self._reserved:
            scopes.discard(self)
        if not scopes and url in _ledgers:
            _ledgers[url].close()

    def _account(self) -> Account:
        return Account(str(self.name), datetime.fromtimestamp(time.time(), UTC).strftime(WINDOWS[self.period]))

    def _begin_window(self, window: str) -> None:
        """A new hour, day or month begins with a new account, and open."""
        with self._lock:
            if window != self._window:
                self._window, self.shut = window, None
                self._spent, self._warned = Spent(calls=len(self._reserved)), 0

    def _booking(
        self, account: Account | None, call: str, reserved: Ask | None, took: Ask
    ) -> Callable[[Accounts], Booked | None]:
        at_most = None if reserved is None else reserved.usd
        claim = Claim(call, took.usd if took.usd is not None else at_most, took.tokens)

        def book(ledger: Accounts) -> Booked | None:
            return ledger.settle(
                account or self._account(),
                claim,
                lambda standing: share(self.limits, Spent(*standing)),
                estimated=took.estimated,
                was_reserved=account is not None,
            )

        return book

    def _enter(self, step: Callable[[Accounts], R]) -> R | None:
        """Do it in the ledger, after what is still waiting; where that is not possible, later."""
        with self._entering:
            self._waiting.append(step)
            done: R | None = None
            while self._waiting:
                first = self._waiting[0]
                outcome = self._try(lambda ledger: [first(ledger)])  # noqa: B023 - called at once
                if outcome is None:
                    return None
                self._waiting.popleft()
                done = outcome[0]
            return done

    def _try(self, step: Callable[[Accounts], R]) -> R | None:
        """What `step` gives; None where the ledger cannot be used, which is said once."""
        if self._url is None:
            return None
        try:
            return step(_ledger(self._url))
        except _FAULTS as error:
            self._fault = str(error)
            strict, open_ = "refuses every call, as it is strict", "counts what this process spends alone"
            rule = strict if self.limits.strict else open_
            notice(f"the budget {self.name!r} cannot use its ledger and {rule} ({self._fault})")
        return None

    def _after_fork(self) -> None:
        super()._after_fork()
        self._entering = threading.RLock()
        self._accounts.clear()
        self._waiting.clear()

    def _tell_of_dead(self, buried: int) -> None:
        if buried:
            notice(
                f"{self.title}: {buried} model calls were under way in a process that died; they count with what they "
                "had reserved (estimated)"
            )


def _ledger(url: str) -> Accounts:
    """One connection for each ledger, for all scopes of this process."""
    return _ledgers[url] if url in _ledgers else _ledgers.setdefault(url, accounts_at(url))


def _leave_to_parent() -> None:
    """In a forked child: connections, and locks that some thread may hold, stay with the parent."""
    global _ledgers
    _of_parents.append(_ledgers)
    _ledgers = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
