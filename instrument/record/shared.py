"""Budgets that processes share: the same as in one process, kept in the ledger's database.

Where the database cannot be used, a strict budget refuses every call, and any other one goes on with what this process
alone has spent; either is said once. A shut scope is shut in its process until its hour, day or month is over; other
processes are refused by what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

from instrument.errors import BudgetExceeded
from instrument.record.joint import FAULTS, joint
from instrument.record.notices import notice
from instrument.record.scopes import Ask, Budget, Limits, Settled, Spent, share
from instrument.store.reservations import Account, Accounts, Booked, Claim, Standing

R = TypeVar("R")

WINDOWS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m", "year": "%Y", "total": ""}
"""How long the account of each period lasts, as the form of its name in UTC; `total` is never renewed."""

MOST_TOKENS = 10**12
"""No call takes so many."""


class SharedBudget(Budget):
    """One scope on an account that other processes draw on as well. `bind` says where the account is kept."""

    def __init__(self, limits: Limits, name: str, period: str) -> None:
        super().__init__(limits, name)
        self.period: str = period
        self._url: str | None = None
        self._accounts: dict[str, Account] = {}
        self._fault = ""
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
        self._url = self._url or url

    def reserve(self, call: str, ask: Ask) -> None:
        """As in one process. Where the database cannot be used, strict refuses, and else this process counts alone."""
        account = self._account()
        self._begin_window(account.window)
        if self.shut is not None:
            raise BudgetExceeded(self.shut)

        def refuse(standing: Standing) -> str | None:
            return self._excess(Spent(*standing), ask)

        found = self._try(lambda ledger: ledger.reserve(account, Claim(call, ask.usd, _stored(ask.tokens)), refuse))
        if found is None and self.limits.strict:
            raise BudgetExceeded(f"{self.title} is strict and cannot use its ledger: {self._fault}")
        why = self._excess(self._here(), ask) if found is None else found.refusal
        if why is not None:
            self.shut = why
            raise BudgetExceeded(why)
        with self._turn():
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
        if self._comes_late(lambda: self.settle(call, took)):
            return Settled()
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
        if self._comes_late(lambda: self.spend(call, took)):
            return Settled()
        here = super().spend(call, took)
        booked = self._enter(self._booking(None, call, None, took))
        if booked is None:
            return here
        return Settled(booked.passed, here.shut or self._shut_by(Spent(*booked.standing), None, took))

    def _account(self) -> Account:
        return Account(
            _kept_name(str(self.name)), datetime.fromtimestamp(time.time(), UTC).strftime(WINDOWS[self.period])
        )

    def _begin_window(self, window: str) -> None:
        """A new hour, day or month begins with a new account, and open."""
        with self._turn():
            if window != self._window:
                self._window, self.shut = window, None
                self._spent, self._warned = Spent(calls=len(self._reserved)), 0

    def _booking(
        self, account: Account | None, call: str, reserved: Ask | None, took: Ask
    ) -> Callable[[Accounts], Booked | None]:
        at_most = None if reserved is None else reserved.usd
        claim = Claim(call, took.usd if took.usd is not None else at_most, _stored(took.tokens))

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
        """Do it in the ledger; where that is not possible, later."""
        return self._try(step, waits=True)

    def _try(self, step: Callable[[Accounts], R], waits: bool = False) -> R | None:
        """What `step` gives; None where the ledger cannot be used, which is said once."""
        if self._url is None:
            return None
        ledger = joint(self._url)
        try:
            return ledger.enter(step) if waits else ledger.ask(step)
        except FAULTS as error:
            self._fault = str(error)
            strict, open_ = "refuses every call, as it is strict", "counts what this process spends alone"
            rule = strict if self.limits.strict else open_
            notice(f"the budget {self.name!r} cannot use its ledger and {rule} ({self._fault})")
        return None

    def _after_fork(self) -> None:
        super()._after_fork()
        self._accounts.clear()

    def _tell_of_dead(self, buried: int) -> None:
        if buried:
            calls = "1 model call was" if buried == 1 else f"{buried} model calls were"
            notice(f"{self.title}: {calls} under way in a process that died, and counts as what was reserved for it")


@lru_cache(1024)
def _kept_name(name: str) -> str:
    """The name without a secret that it holds, as a budget for each key of a service may; alike on every machine."""
    from instrument.redact import Redactor

    return Redactor(b"the name of a budget").text(name)


def _stored(tokens: int) -> int:
    """As many as databases can add up: a call may be allowed any number."""
    return min(tokens, MOST_TOKENS)
