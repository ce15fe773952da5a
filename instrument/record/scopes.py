"""The scope of a budget: its limits, what was spent in it and what is reserved by calls that are running.

Arithmetic and a lock, no input or output. A scope that has refused a call stays shut, so that an agent that swallows
the exception does not go on spending.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple
from weakref import WeakSet

from instrument import forks
from instrument.errors import BudgetExceeded, SettingsError
from instrument.money import EXACT, PERIODS
from instrument.record.switch import switch
from instrument.record.texts import valid

WARN_AT = (50, 80, 100)
ZERO = Decimal(0)

PROMPT_FACTOR, PROMPT_SLACK = Decimal("1.1"), 50
"""How far a prompt may be from its count before the call: what providers add around messages is not published."""


class Ask(NamedTuple):
    """What one call may take: at most when it is reserved, in fact when it is settled. `usd` is None while unpriced.

    `tokens` are all, `output` those of the answer. `estimated` marks what rests on a guess, such as the prompt of a
    decorated function: what it makes of its arguments is not known before.
    """

    usd: Decimal | None
    tokens: int
    output: int = 0
    estimated: bool = False

    @property
    def prompt(self) -> int:
        """Tokens that go in."""
        return self.tokens - self.output


class Limits(NamedTuple):
    """What a scope may spend; None is no limit."""

    usd: Decimal | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    strict: bool = False


class Spent(NamedTuple):
    """What was spent (calls that are running count as calls), and what running calls may still take."""

    usd: Decimal = ZERO
    tokens: int = 0
    calls: int = 0
    reserved_usd: Decimal = ZERO
    reserved_tokens: int = 0


class Settled(NamedTuple):
    """What settling a call came to: the share of 50, 80 or 100 percent that was passed for the first time, and why the
    scope is shut, if this call shut it."""

    passed: int | None = None
    shut: str | None = None


def limits_of(given: Mapping[str, Any]) -> Limits:
    """Limits from numbers as users write them; raises `SettingsError` that names what is wrong."""
    unknown = sorted(set(given) - set(Limits._fields))
    if unknown:
        raise SettingsError(f"a budget has no {unknown[0]!r}; it knows {', '.join(Limits._fields)}")
    for name, value in given.items():
        if name != "strict" and value is not None and not _is_limit(value):
            raise SettingsError(f"budget {name}={value!r}: a limit is a number that is not negative")
    numbers = {name: value if name == "strict" else _number(value) for name, value in given.items()}
    money = given.get("usd")
    return Limits(**{**numbers, "usd": None if money is None else Decimal(str(money))})


def _is_limit(value: object) -> bool:
    try:
        return not isinstance(value, bool) and Decimal(str(value)).is_finite() and Decimal(str(value)) >= 0
    except ArithmeticError:
        return False


def _number(value: Any) -> Any:
    """The number that a text says, as the environment gives them."""
    if not isinstance(value, str):
        return value
    number = float(value)
    return int(number) if number.is_integer() else number


def excess(limits: Limits, spent: Spent, ask: Ask, title: str, seconds: float = 0.0) -> str | None:
    """Why a call does not fit, None where it does; `seconds` is how long ago the scope began."""
    if limits.calls is not None and spent.calls >= limits.calls:
        calls = "1 model call" if limits.calls == 1 else f"{limits.calls} model calls"
        return f"{title} allows {calls}, and {spent.calls} {'was' if spent.calls == 1 else 'were'} made"
    if limits.seconds is not None and seconds >= limits.seconds:
        return f"{title} allows {limits.seconds:g} seconds, and they are over"
    if limits.tokens is not None and spent.tokens + spent.reserved_tokens + ask.tokens > limits.tokens:
        return (
            f"{title} allows {limits.tokens} tokens: {spent.tokens} spent, {spent.reserved_tokens} reserved by "
            f"running calls, and this call may take {ask.tokens}"
        )
    if limits.usd is None:
        return None
    if ask.usd is None:
        return f"{title} is strict and the call has no known price" if limits.strict else None
    if EXACT.add(EXACT.add(spent.usd, spent.reserved_usd), ask.usd) > limits.usd:
        return (
            f"{title} allows {limits.usd:f} USD: {spent.usd:f} spent, {spent.reserved_usd:f} reserved by "
            f"running calls, and this call may take {ask.usd:f}"
        )
    return None


def overrun(limits: Limits, spent: Spent, reserved: Ask | None, took: Ask, title: str) -> str | None:
    """Why a call that has been settled shuts its scope: nothing can hold it any more. None where all is well."""
    if limits.usd is not None and spent.usd > limits.usd:
        return f"{title} is spent: {spent.usd:f} of {limits.usd:f} USD"
    if limits.tokens is not None and spent.tokens > limits.tokens:
        return f"{title} is spent: {spent.tokens} of {limits.tokens} tokens"
    if reserved is None or not _is_more(limits, reserved, took):
        return None
    if took.output > reserved.output:
        return (
            f"{title} is shut: a call answered with {took.output} tokens and had reserved {reserved.output}. Give "
            f"calls an output limit that the model keeps, or raise budget.assumed_output"
        )
    if not reserved.estimated and took.prompt > reserved.prompt * PROMPT_FACTOR + PROMPT_SLACK:
        return f"{title} is shut: a call's prompt was {took.prompt} tokens and had been counted as {reserved.prompt}"
    return None


def _is_more(limits: Limits, reserved: Ask, took: Ask) -> bool:
    """Whether a call took more than it had reserved, of what is limited."""
    dearer = limits.usd is not None and None not in (reserved.usd, took.usd) and took.usd > reserved.usd  # type: ignore[operator]  # neither is None
    return dearer or (limits.tokens is not None and took.tokens > reserved.tokens)


def fullest(limits: Limits, spent: Spent) -> tuple[Decimal, str, Decimal | int, Decimal | int]:
    """The limit that most was used of: the share that was used, what it limits, how much was used, and the limit."""
    used = (
        ("USD", spent.usd, limits.usd),
        ("tokens", spent.tokens, limits.tokens),
        ("calls", spent.calls, limits.calls),
    )
    shares = [(EXACT.divide(Decimal(much), Decimal(most)), what, much, most) for what, much, most in used if most]
    return max(shares, default=(ZERO, "USD", spent.usd, ZERO), key=itemgetter(0))


def share(limits: Limits, spent: Spent) -> int:
    """The highest of 50, 80 and 100 percent that was passed, else 0."""
    percent = int(fullest(limits, spent)[0] * 100)
    return max((step for step in WARN_AT if step <= percent), default=0)


class Budget:
    """One scope in this process: `reserve` before a call, then `settle` or `keep`."""

    is_of_trace = False
    """Whether it was opened with a trace, by the settings."""

    period: str | None = None
    """For how long processes share the account; None where it is of this process alone."""

    def __init__(self, limits: Limits, name: str | None = None) -> None:
        self.limits = limits
        self.name = name
        self.shut: str | None = None
        self._spent = Spent()
        self._reserved: dict[str, Ask] = {}
        self._begun = time.monotonic()
        self._warned = 0
        self._lock = threading.RLock()
        self._is_busy = False
        self._late: list[Callable[[], object]] = []
        _scopes.add(self)

    @property
    def title(self) -> str:
        """What the budget is called in messages."""
        return f"the budget {self.name!r}" if self.name else "the budget"

    @property
    def spent(self) -> Spent:
        """What was spent and what is reserved just now."""
        return self._here()

    @property
    def usd(self) -> Decimal:
        """US dollars spent."""
        return self.spent.usd

    @property
    def tokens(self) -> int:
        """Tokens spent."""
        return self.spent.tokens

    @property
    def calls(self) -> int:
        """Model calls made, running ones included."""
        return self.spent.calls

    @property
    def reserved_usd(self) -> Decimal:
        """Money that running calls may still take."""
        return self.spent.reserved_usd

    def reserve(self, call: str, ask: Ask) -> None:
        """Set aside what the call may take; raises `BudgetExceeded` when it does not fit, and shuts the scope."""
        with self._turn():
            why = self.shut or self._excess(self._here(), ask)
            if why is None:
                self._note(call, ask)
                return
            self.shut = why
        raise BudgetExceeded(why)

    def bind(self, url: str) -> None:
        """Say in which ledger the account is kept that processes share; this scope has none."""

    def mark_sent(self, call: str) -> None:
        """The call is about to be sent."""

    def settle(self, call: str, took: Ask | None) -> Settled:
        """Replace a reservation by what the call took; None gives everything back. A second time does nothing."""
        if self._comes_late(lambda: self.settle(call, took)):
            return Settled()
        with self._turn():
            return self._settled(call, took)

    def _settled(self, call: str, took: Ask | None) -> Settled:
        reserved = self._reserved.pop(call, None)
        if reserved is None:
            return Settled()
        if took is None:
            self._spent = self._spent._replace(calls=self._spent.calls - 1)
            return Settled()
        usd = took.usd if took.usd is not None else reserved.usd or ZERO
        self._spent = self._spent._replace(usd=EXACT.add(self._spent.usd, usd), tokens=self._spent.tokens + took.tokens)
        return Settled(self._newly_passed(), self._shut_by(self._here(), reserved, took))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One change at a time, and behind it, without the lock, what came in the middle of it."""
        late: list[Callable[[], object]] = []
        try:
            with self._lock:
                self._is_busy = True
                try:
                    yield
                finally:
                    self._is_busy, late, self._late = False, self._late, late
        finally:
            for step in late:
                step()

    def _comes_late(self, step: Callable[[], object]) -> bool:
        """Whether the garbage collector ends a call in the middle of a change: the step is done behind that one."""
        with self._lock:
            if self._is_busy:
                self._late.append(step)
            return self._is_busy

    def holds(self, call: str) -> bool:
        """Whether the call has a reservation."""
        return call in self._reserved

    def keep(self, call: str) -> Settled:
        """Nobody knows what the call took: what it had reserved counts as spent."""
        reserved = self._reserved.get(call)
        return Settled() if reserved is None else self.settle(call, reserved._replace(estimated=True))

    def spend(self, call: str, took: Ask) -> Settled:
        """Count what was taken without a reservation: work that turned out to be a model call."""
        if self._comes_late(lambda: self.spend(call, took)):
            return Settled()
        with self._turn():
            self._spent = self._spent._replace(
                usd=EXACT.add(self._spent.usd, took.usd or ZERO),
                tokens=self._spent.tokens + took.tokens,
                calls=self._spent.calls + 1,
            )
            return Settled(self._newly_passed(), self._shut_by(self._here(), None, took))

    def _after_fork(self) -> None:
        """In a forked child: calls that run belong to the parent, and so may whoever holds the lock."""
        self._lock, self._is_busy = threading.RLock(), False
        self._late.clear()
        self._reserved.clear()

    def _here(self) -> Spent:
        reserved = list(self._reserved.values())
        usd = ZERO
        for ask in reserved:
            usd = EXACT.add(usd, ask.usd or ZERO)
        return self._spent._replace(reserved_usd=usd, reserved_tokens=sum(ask.tokens for ask in reserved))

    def _note(self, call: str, ask: Ask) -> None:
        self._reserved[call] = ask
        self._spent = self._spent._replace(calls=self._spent.calls + 1)

    def _excess(self, spent: Spent, ask: Ask) -> str | None:
        return excess(self.limits, spent, ask, self.title, time.monotonic() - self._begun)

    def _shut_by(self, spent: Spent, reserved: Ask | None, took: Ask) -> str | None:
        why = None if self.shut is not None else overrun(self.limits, spent, reserved, took, self.title)
        self.shut = self.shut or why
        return why

    def _newly_passed(self) -> int | None:
        step = share(self.limits, self._spent)
        if step <= self._warned:
            return None
        self._warned = step
        return step


def scope_of(given: Mapping[str, Any], called: str | None = None) -> Budget:
    """The scope that keywords describe; `called` is its name where they give none."""
    if not isinstance(given, Mapping):
        raise SettingsError(f"budget={given!r}: a budget has names for its limits, as in {{'usd': 0.5}}")
    name, period = given.get("name"), given.get("period")
    limits = limits_of({key: value for key, value in given.items() if key not in ("name", "period")})
    if period is None:
        return Budget(limits, name or called)
    if period not in PERIODS:
        raise SettingsError(f"budget period={period!r}: a period is one of {', '.join(PERIODS)}")
    if not isinstance(name, str) or not name or "\0" in name or valid(name) is not name:
        raise SettingsError(f"budget period={period!r}: a budget that processes share needs a name, in valid Unicode")
    with forks.importing:
        from instrument.record.shared import SharedBudget

    return SharedBudget(limits, name, period)


declared = False
"""Whether some agent was decorated with a budget of its own."""


def count_tokens(budgets: Iterable[Budget]) -> bool:
    """Whether one of them limits tokens or their price, so that prompts are counted before they are sent."""
    return any(scope.limits.usd is not None or scope.limits.tokens is not None for scope in budgets)


def declare(given: Mapping[str, Any]) -> None:
    """An agent has a budget of its own: check its limits, and hold it also where recording is off."""
    global declared
    scope_of(given, "agent")
    declared = True
    if switch.decided:
        from instrument.record.budgets import hold

        hold()


_scopes: WeakSet[Budget] = WeakSet()


def _renew() -> None:
    for scope in list(_scopes):
        scope._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
