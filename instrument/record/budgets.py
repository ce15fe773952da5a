"""Budgets: a limit on money, tokens, calls or time that refuses the next call, not the one after.

Reserve before, settle after: a model call that begins reserves what it may cost at most, so that calls that run at the
same time cannot pass the limit together; when it ends, the reservation is replaced by what it did cost. A call that
failed unsent, or that its service refused, costs nothing; one whose fate nobody knows (a timeout, a cancelled task, a
killed process) counts with what it had reserved.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from weakref import WeakSet

from instrument.attributes import PROVIDER
from instrument.kinds import MODEL_KINDS
from instrument.model import Cost, Usage
from instrument.pricing import Prices
from instrument.record import llm, scopes
from instrument.record.context import Place, at, current, place_with
from instrument.record.logs import write
from instrument.record.notices import notice
from instrument.record.recorder import Recorder
from instrument.record.scopes import Ask, Budget, Limits, Settled, scope_of
from instrument.record.spans import LiveSpan, amiss
from instrument.record.switch import installed
from instrument.request import Request, request

ASSUMED_OUTPUT = 4096
"""Output tokens that a call without an output limit reserves."""

OUTPUT_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")

UNSENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ConnectionRefusedError", "gaierror"})
"""Exceptions, by name, with which a call ends that never left."""

UNKNOWN = frozenset({
    "ReadTimeout", "WriteTimeout", "TimeoutException", "APITimeoutError", "TimeoutError", "ReadError", "WriteError",
    "CloseError", "RemoteProtocolError", "RemoteDisconnected", "IncompleteRead", "ConnectionResetError",
    "ConnectionAbortedError", "BrokenPipeError", "KeyboardInterrupt", "SystemExit",
})  # fmt: skip
"""Exceptions, by name, that do not say whether the service did the work and will bill it."""

MOST_TRACES, MOST_NAMES = 1000, 1000


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
    """Model calls inside spend at most this much: US dollars, tokens, calls, seconds since the block began.

    A call that may not fit is refused with `BudgetExceeded` before it is made. Nested budgets draw on the outer ones,
    threads and tasks share. With a `period` (hour, day, week, month or year in UTC, or total) all processes that give
    the same `name` share what is spent in it, through the ledger; each applies its own limits. A model without a known
    price passes a budget in money with a warning, or is refused when `strict`; so is every call while the ledger of a
    shared budget cannot be used. Budgets hold also where recording is off. Raises `SettingsError` for a limit that
    cannot be one.
    """
    limits = {"usd": usd, "tokens": tokens, "calls": calls, "seconds": seconds, "strict": strict}
    scope = scope_of({**limits, "name": name, "period": period})
    _in_force.add(scope)
    hold()
    outer = current.get()
    try:
        with at(place_with(outer, budgets=(*(outer.budgets if outer else ()), scope))):
            yield scope
    finally:
        _in_force.discard(scope)


def are_in_force() -> bool:
    """Whether something must hold budgets, recording or not."""
    return scopes.declared or bool(_in_force)


_in_force: WeakSet[Budget] = WeakSet()


def hold() -> None:
    """See that there is a recorder to hold budgets, also where recording is off."""
    if installed() is None:
        from instrument.wiring import hold_budgets

        hold_budgets()


class BudgetGuard:
    """Asks the budgets of the place before a model call and tells them afterwards.

    `per_trace` limits every trace by itself, `shared` all of them together; `ledger` is where budgets with a period are
    kept.
    """

    def __init__(
        self,
        prices: Prices,
        per_trace: Limits | None = None,
        assumed_output: int = ASSUMED_OUTPUT,
        ledger: str | None = None,
        shared: Budget | None = None,
    ) -> None:
        self._prices = prices
        self._per_trace = per_trace
        self._assumed_output = assumed_output
        self._ledger = ledger
        self._shared = shared
        self._process = os.getpid()
        self._told_about: set[str] = set()
        self._traces: OrderedDict[str, Budget] = OrderedDict()
        self._prompts: dict[str, int] = {}

    def before(self, span: LiveSpan) -> None:
        """Open the budgets that begin with this span; reserve what a model call may take."""
        self._open(span)
        if span.kind in MODEL_KINDS and span.budgets:
            self._reserve(span, self._asked(span))

    def after(self, span: LiveSpan) -> None:
        """Settle the call at what it took."""
        if self._process != os.getpid():
            return  # a forked child ends what its parent began: the parent settles it
        if span.budgets and not span.refused:
            self._settle(span)

    def met(self, span: Any) -> None:
        """Open the budgets that a call is charged to of which others tell; it cannot be refused any more."""
        self._open(span)

    def spent(self, recorder: Recorder, span: Any, usage: Usage, cost: Cost | None) -> None:
        """Charge such a call. Where it passes a limit that is said, and the next call that asks is refused."""
        ask = took(usage, cost)
        if ask is not None and self._process == os.getpid():
            for scope in span.budgets:
                tell(recorder, scope, scope.spend(span.span_id, ask))

    def _reserve(self, span: LiveSpan, asked: Ask) -> None:
        reserved: list[Budget] = []
        try:
            for scope in span.budgets:
                scope.reserve(span.span_id, asked)
                reserved.append(scope)
            for scope in reserved:
                scope.mark_sent(span.span_id)
        except BaseException:
            for scope in reserved:
                scope.settle(span.span_id, None)
            raise

    def _settle(self, span: LiveSpan) -> None:
        is_call = span.kind in MODEL_KINDS
        usage, cost = self._took(span) if is_call or span.tokens else (None, None)
        if usage is None and _goes_on(span):
            return  # in the background: it is settled when it is fetched
        ask = took(usage, cost)
        if ask is not None and span.asked is None:
            self._remember_prompt(span.name, ask.prompt)
        keeps = usage is None and is_call and _is_unknown(span)
        for scope in span.budgets:
            if ask is not None and not scope.holds(span.span_id):
                settled = scope.spend(span.span_id, ask)
            else:
                settled = scope.keep(span.span_id) if keeps else scope.settle(span.span_id, ask)
            tell(span.recorder, scope, settled)

    def _took(self, span: LiveSpan) -> tuple[Usage | None, Cost | None]:
        return llm.settled(span, self._prices, span.recorder.now())

    def _open(self, span: LiveSpan) -> None:
        if self._per_trace is not None and not any(scope.is_of_trace for scope in span.budgets):
            span.budgets = (*span.budgets, self._of_trace(span, self._per_trace))
        if self._shared is not None and self._shared not in span.budgets:
            span.budgets = (*span.budgets, self._shared)
        if span.plan is not None and span.plan.budget is not None:
            span.budgets = (*span.budgets, scope_of(span.plan.budget, span.name))
        if self._ledger is not None:
            for scope in span.budgets:
                scope.bind(self._ledger)

    def _of_trace(self, span: LiveSpan, limits: Limits) -> Budget:
        """The trace's own budget: one for all that belongs to a trace which began in another process."""
        scope = self._traces.get(span.trace_id)
        if scope is None:
            scope = Budget(limits)
            scope.is_of_trace = True
            if span.parent_id is not None or span.plan is None:  # a span of others hands nothing down
                scope = self._traces.setdefault(span.trace_id, scope)  # another thread may have been faster
                while len(self._traces) > MOST_TRACES:
                    self._traces.popitem(last=False)
        return scope

    def _asked(self, span: LiveSpan) -> Ask:
        """What the call may take at most. Where that cannot be worked out, what its output may cost."""
        arguments = span.asked or llm.arguments_of(span)
        asked = request(arguments)
        model = span.plan.model or asked.model
        output = 0 if span.kind == "embedding" else self._output_limit(arguments, asked, span)
        prompt = self._prompt(span, asked, model)
        usd = self._price(span, asked, model, Usage(input=prompt, output=output))
        if usd is None and any(scope.limits.usd is not None for scope in span.budgets):
            self._once(
                span, f"unpriced {model}", f"{_without_price(model)}: a budget in money cannot hold it", "WARNING"
            )
        return Ask(usd, prompt + output, output, estimated=span.asked is None)

    def _prompt(self, span: LiveSpan, asked: Request, model: str | None) -> int:
        if not scopes.count_tokens(span.budgets):
            return 0
        try:
            counted = llm.prompt_tokens(span, asked, model)
            return counted if span.asked is not None else max(counted, self._prompts.get(span.name, 0))
        except Exception as fault:  # noqa: BLE001 - a prompt that cannot be counted is no way around a budget
            amiss(span.recorder, "prompt", fault)
            return 0

    def _remember_prompt(self, name: str, tokens: int) -> None:
        """Of a decorated function only the arguments are seen before: its longest prompt so far says more."""
        if len(self._prompts) < MOST_NAMES or name in self._prompts:
            self._prompts[name] = max(tokens, self._prompts.get(name, 0))

    def _price(self, span: LiveSpan, asked: Request, model: str | None, usage: Usage) -> Decimal | None:
        """US dollars at the tier that is asked for; at the usual price where the tier has none of its own."""
        provider = llm.text_in((span.attributes or {}).get(PROVIDER))
        tier = asked.settings.get("service_tier")
        for one in (tier, None) if isinstance(tier, str) else (None,):
            cost = self._prices.cost(usage, model, provider=provider, tier=one)
            if cost.usd is not None:
                return Decimal(cost.usd)
        return None

    def _output_limit(self, arguments: Mapping[str, Any], asked: Request, span: LiveSpan) -> int:
        """Output tokens of all choices together."""
        choices = asked.settings.get("n") if span.asked is not None else None  # a function's own `n` means anything
        given = (arguments.get(name) for name in OUTPUT_LIMITS)
        limit = next((value for value in given if type(value) is int and value >= 0), None)
        if limit is None:
            sentence = f"a call without an output limit reserves {self._assumed_output} output tokens"
            if scopes.count_tokens(span.budgets):
                self._once(span, "assumed", sentence, "INFO")
            limit = self._assumed_output
        return limit * (choices if type(choices) is int and choices > 0 else 1)

    def _once(self, span: LiveSpan, key: str, sentence: str, level: str) -> None:
        if key not in self._told_about:
            self._told_about.add(key)
            _say(span.recorder, "BUDGET_NOTICE", sentence, level=level, aloud=True)


def tell(recorder: Recorder, scope: Budget, settled: Settled) -> None:
    """Log which share of a budget was passed for the first time, and what shut it."""
    if settled.passed is not None:
        _, what, used, limit = scopes.fullest(scope.limits, scope.spent)
        sentence = f"{scope.title} is {settled.passed}% spent: {used} of {limit} {what}"
        spent: dict[str, Any] = {f"spent_{what.lower()}": str(used)}
        _say(recorder, "BUDGET_WARNING", sentence, **spent)
    if settled.shut is not None:
        _say(recorder, "BUDGET_SHUT", settled.shut, aloud=True, spent_usd=str(scope.usd))


def took(usage: Usage | None, cost: Cost | None) -> Ask | None:
    """What a call took, from its usage and cost; None where it has no usage."""
    if usage is None:
        return None
    usd = Decimal(cost.usd) if cost is not None and cost.usd is not None else None
    output = usage.output or 0
    return Ask(usd, (usage.input or 0) + output, output, estimated=usage.source == "estimated")


def _goes_on(span: LiveSpan) -> bool:
    return span.status == "ok" and bool((span.asked or {}).get("background"))


def _is_unknown(span: LiveSpan) -> bool:
    """Whether a call without usage may have been billed all the same."""
    if span.status != "error":
        return True  # cancelled under way, or answered with something that says nothing of tokens
    names = {kind.rpartition(".")[2] for kind, *_ in (span.error[2] if span.error is not None else ())}
    return not names & UNSENT and bool(names & UNKNOWN)


def _without_price(model: str | None) -> str:
    return "a call that names no model has no known price" if model is None else f"the model {model} has no known price"


def _say(
    recorder: Recorder, event: str, sentence: str, *, level: str = "WARNING", aloud: bool = False, **metadata: Any
) -> None:
    """A log record, also where the trace is not stored; on stderr where there is no sink and it must be heard."""
    place = current.get()
    if recorder.stores and (place is None or place.sampled):
        write(recorder, event, sentence, level, metadata, logger="instrument")
    elif recorder.stores:
        with at(Place()):
            write(recorder, event, sentence, level, metadata, logger="instrument")
    elif aloud:
        notice(sentence)
