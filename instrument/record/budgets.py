"""Budgets: a limit on money, tokens, calls or time that refuses the next call, not the one after.

Reserve before, settle after: a model call that begins reserves what it may cost at most, so that calls that run at the
same time cannot pass the limit together; when it ends, the reservation is replaced by what it did cost. A scope that
has refused a call stays shut, so that an agent that swallows the exception does not go on spending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

from instrument import tokens
from instrument.errors import BudgetExceeded, SettingsError
from instrument.model import Cost, Usage
from instrument.pricing import Prices
from instrument.record import llm
from instrument.record.context import at, current, place_with
from instrument.record.logs import write
from instrument.record.recorder import Recorder
from instrument.record.spans import MODEL_KINDS, LiveSpan
from instrument.usage import request

ASSUMED_OUTPUT = 4096
"""Output tokens that a call without an output limit reserves."""

WARN_AT = (50, 80, 100)
OUTPUT_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")


class Ask(NamedTuple):
    """What one call may take: at most when it is reserved, in fact when it is settled. `usd` is None while unpriced."""

    usd: Decimal | None
    tokens: int


class Limits(NamedTuple):
    """What a scope may spend; None is no limit."""

    usd: Decimal | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    strict: bool = False


class Budget:
    """One scope: its limits, what was spent in it and what is reserved by calls that are running."""

    def __init__(self, limits: Limits, name: str | None = None) -> None:
        self.limits = limits
        self.name = name
        self.shut: str | None = None
        self.usd = Decimal(0)
        self.tokens = 0
        self.calls = 0
        self._reserved: dict[str, Ask] = {}
        self._begun = time.monotonic()
        self._warned = 0
        self._lock = threading.Lock()

    @property
    def reserved_usd(self) -> Decimal:
        """Money that running calls may still take."""
        return sum((ask.usd or Decimal(0) for ask in list(self._reserved.values())), Decimal(0))

    def reserve(self, span_id: str, ask: Ask) -> None:
        """Set aside what the call may take; raises `BudgetExceeded` when it does not fit, and shuts the scope."""
        with self._lock:
            why = self.shut or self._excess(ask)
            if why is None:
                self._reserved[span_id] = ask
                self.calls += 1
                return
            self.shut = why
        raise BudgetExceeded(why)

    def settle(self, span_id: str, took: Ask | None) -> int | None:
        """Replace a reservation by what the call took (None: it gives everything back).

        Returns the highest of 50, 80 and 100 percent that was passed for the first time.
        """
        with self._lock:
            if self._reserved.pop(span_id, None) is None:
                return None
            if took is None:
                self.calls -= 1
                return None
            self.usd += took.usd or 0
            self.tokens += took.tokens
            if self.limits.usd is not None and self.usd > self.limits.usd:
                self.shut = self.shut or f"{self._title()} is spent: {self.usd:f} of {self.limits.usd:f} USD"
            return self._newly_passed()

    def _excess(self, ask: Ask) -> str | None:
        limits = self.limits
        reserved_tokens = sum(other.tokens for other in self._reserved.values())
        if limits.calls is not None and self.calls >= limits.calls:
            return f"{self._title()} allows {limits.calls} model calls, and {self.calls} were made"
        if limits.seconds is not None and time.monotonic() - self._begun >= limits.seconds:
            return f"{self._title()} allows {limits.seconds:g} seconds, and they are over"
        if limits.tokens is not None and self.tokens + reserved_tokens + ask.tokens > limits.tokens:
            return (
                f"{self._title()} allows {limits.tokens} tokens: {self.tokens} spent, {reserved_tokens} reserved by "
                f"running calls, and this call may take {ask.tokens}"
            )
        if limits.usd is None:
            return None
        if ask.usd is None:
            return f"{self._title()} is strict and the model has no known price" if limits.strict else None
        if self.usd + self.reserved_usd + ask.usd > limits.usd:
            return (
                f"{self._title()} allows {limits.usd:f} USD: {self.usd:f} spent, {self.reserved_usd:f} reserved by "
                f"running calls, and this call may take {ask.usd:f}"
            )
        return None

    def _title(self) -> str:
        return f"the budget {self.name!r}" if self.name else "the budget"

    def _newly_passed(self) -> int | None:
        limits = self.limits
        shares = [
            spent / limit
            for spent, limit in ((self.usd, limits.usd), (self.tokens, limits.tokens), (self.calls, limits.calls))
            if limit
        ]
        percent = int(max(shares, default=0) * 100)
        passed = max((step for step in WARN_AT if step <= percent), default=0)
        if passed <= self._warned:
            return None
        self._warned = passed
        return passed


@contextmanager
def budget(
    usd: float | Decimal | str | None = None,
    tokens: int | None = None,
    calls: int | None = None,
    seconds: float | None = None,
    name: str | None = None,
    period: str | None = None,
    strict: bool = False,
) -> Iterator[Budget]:
    """Model calls inside spend at most this much: US dollars, tokens, calls, seconds since the start.

    A call that may not fit is refused with `BudgetExceeded` before it is made. Nested budgets draw on the outer ones,
    threads and tasks share. A model without a known price passes a budget in money with a warning, or is refused
    when `strict`. Raises `SettingsError` for a limit that cannot be one.
    """
    if period is not None:
        raise SettingsError("a budget with a period is shared through the ledger, which this version cannot do yet")
    scope = Budget(
        limits_of({"usd": usd, "tokens": tokens, "calls": calls, "seconds": seconds, "strict": strict}), name
    )
    outer = current.get()
    with at(place_with(outer, budgets=(*(outer.budgets if outer else ()), scope))):
        yield scope


def limits_of(given: Mapping[str, Any]) -> Limits:
    """Limits from numbers as users write them; raises `SettingsError` that names what is wrong."""
    unknown = sorted(set(given) - set(Limits._fields))
    if unknown:
        raise SettingsError(f"a budget has no {unknown[0]!r}; it knows {', '.join(Limits._fields)}")
    for name, value in given.items():
        if name != "strict" and value is not None and not _is_limit(value):
            raise SettingsError(f"budget {name}={value!r}: a limit is a number that is not negative")
    money = given.get("usd")
    return Limits(**{**given, "usd": None if money is None else Decimal(str(money))})


def _is_limit(value: object) -> bool:
    try:
        return not isinstance(value, bool) and Decimal(str(value)).is_finite() and Decimal(str(value)) >= 0
    except ArithmeticError:
        return False


class BudgetGuard:
    """Asks the budgets of the place before a model call and tells them afterwards."""

    def __init__(self, prices: Prices, per_trace: Limits | None = None, assumed_output: int = ASSUMED_OUTPUT) -> None:
        self._prices = prices
        self._per_trace = per_trace
        self._assumed_output = assumed_output
        self._told_about: set[str] = set()

    def before(self, span: LiveSpan) -> None:
        """Open the budgets that begin with this span; reserve what a model call may take."""
        self._open(span)
        if span.kind not in MODEL_KINDS or not span.budgets:
            return
        asked = self._asked(span)
        reserved: list[Budget] = []
        try:
            for scope in span.budgets:
                scope.reserve(span.span_id, asked)
                reserved.append(scope)
        except BudgetExceeded:
            for scope in reserved:
                scope.settle(span.span_id, None)
            raise

    def after(self, span: LiveSpan) -> None:
        """Settle the call at what it took; a call that failed without usage gives its reservation back."""
        if not span.budgets or span.plan is None or span.plan.kind not in MODEL_KINDS:
            return
        took = self._took(span) if span.kind in MODEL_KINDS else None
        for scope in span.budgets:
            passed = scope.settle(span.span_id, took)
            if passed is not None:
                _say(span.recorder, "BUDGET_WARNING", f"{scope._title()} is {passed}% spent", spent_usd=str(scope.usd))

    def _open(self, span: LiveSpan) -> None:
        if self._per_trace is not None and span.parent_id is None:
            span.budgets = (*span.budgets, Budget(self._per_trace))
        if span.plan is not None and span.plan.budget is not None:
            span.budgets = (*span.budgets, Budget(limits_of(span.plan.budget), span.name))

    def _asked(self, span: LiveSpan) -> Ask:
        arguments = span.asked or llm.arguments_of(span)
        asked = request(arguments)
        model = asked.model or (span.plan.model if span.plan is not None else None)
        prompt = tokens.estimate_messages(asked.input_messages, model, asked.tools)
        output = self._output_limit(arguments, span)
        cost = self._prices.cost(Usage(input=prompt, output=output), model)
        if cost.usd is None and any(scope.limits.usd is not None for scope in span.budgets):
            self._once(
                span, f"unpriced {model}", f"the model {model} has no known price: a budget in money cannot hold it"
            )
        return Ask(None if cost.usd is None else Decimal(cost.usd), prompt + output)

    def _output_limit(self, arguments: Mapping[str, Any], span: LiveSpan) -> int:
        given = (arguments.get(name) for name in OUTPUT_LIMITS)
        limit = next((value for value in given if isinstance(value, int)), None)
        if limit is None:
            self._once(span, "assumed", f"a call without an output limit reserves {self._assumed_output} output tokens")
        return self._assumed_output if limit is None else limit

    def _took(self, span: LiveSpan) -> Ask | None:
        usage, cost = llm.settled(span, self._prices, span.recorder.now())
        if usage is None:
            return None if span.status != "ok" else Ask(None, 0)
        return took(usage, cost)

    def _once(self, span: LiveSpan, key: str, sentence: str) -> None:
        if key not in self._told_about:
            self._told_about.add(key)
            _say(span.recorder, "BUDGET_NOTICE", sentence)


def took(usage: Usage | None, cost: Cost | None) -> Ask | None:
    """What a call took, from its usage and cost; None where it has no usage."""
    if usage is None:
        return None
    usd = Decimal(cost.usd) if cost is not None and cost.usd is not None else None
    return Ask(usd, (usage.input or 0) + (usage.output or 0))


def _say(recorder: Recorder, event: str, sentence: str, **metadata: Any) -> None:
    write(recorder, event, sentence, "WARNING", metadata, logger="instrument")
