"""Spending: a model call, or a whole run, that costs far more than is usual; in tokens where no price is known."""

from __future__ import annotations

from decimal import Decimal

from instrument.attributes import AGENT_ID, AGENT_NAME, LEDGER_OPERATION
from instrument.detectors.calls import plain
from instrument.detectors.history import Beyond, History
from instrument.detectors.told import Growth, number, retold, some, told, worth_telling
from instrument.model import Finding, Span
from instrument.money import EXACT, money
from instrument.thresholds import Thresholds

_MICRO = 1_000_000


class Spending:
    """Adds up one run."""

    def __init__(self, limits: Thresholds, history: History) -> None:
        self._history = history
        self._usd = _beyond(limits, limits.spent_usd * _MICRO, limits.history_calls)
        self._tokens = _beyond(limits, limits.spent_tokens, limits.history_calls)
        self._run_usd = _beyond(limits, limits.spent_usd * _MICRO, limits.history_runs)
        self._run_tokens = _beyond(limits, limits.spent_tokens, limits.history_runs)
        self._spent = {"run_usd": 0, "run_tokens": 0}
        self._agent = ""
        self._first: Span | None = None
        self._growth: Growth = {}

    def feed(self, span: Span) -> list[Finding]:
        """Findings when this model call, or the run with it, is far above its history."""
        self._first = self._first or span
        self._agent = self._agent or _agent(span)
        usd, tokens = micro_usd(span), tokens_of(span)
        self._spent["run_usd"] += usd or 0
        self._spent["run_tokens"] += tokens
        return some(self._call(span, usd, tokens), self._run(span))

    def end(self, succeeded: bool) -> None:
        """The run is over; what a successful one cost becomes part of what is usual for its agent."""
        for measure, beyond in (("run_usd", self._run_usd), ("run_tokens", self._run_tokens)):
            series = self._history.series(measure, self._agent, beyond) if self._spent[measure] and succeeded else None
            if series is not None:
                series.add(self._spent[measure])

    def _call(self, span: Span, usd: int | None, tokens: int) -> Finding | None:
        measure, value, beyond = ("tokens", tokens, self._tokens) if usd is None else ("usd", usd, self._usd)
        operation = str(plain(span.attributes.get(LEDGER_OPERATION)) or span.name)
        series = self._history.series(measure, operation, beyond) if value else None
        if series is None:
            return None
        limit, usual = series.limit, series.quantile(0.5) if value > series.limit else 0.0
        series.add(value)
        return self._told(span, span, measure, operation, value, usual) if value > limit else None

    def _run(self, span: Span) -> Finding | None:
        for measure, beyond in (("run_usd", self._run_usd), ("run_tokens", self._run_tokens)):
            value = self._spent[measure]
            series = self._history.series(measure, self._agent, beyond) if value else None
            if series is not None and value > series.limit and self._first is not None:
                name = f"this run of {self._agent}" if self._agent else "this run"
                return self._told(self._first, span, measure, name, value, series.quantile(0.5))
        return None

    def _told(self, first: Span, span: Span, measure: str, name: str, value: int, usual: float) -> Finding | None:
        if not worth_telling(self._growth, (measure, name), value):
            return None
        times = f"{number(value / max(usual, 1))} times what is usual ({_amount(measure, usual)})"
        found = told(
            "spending",
            f"{name} cost {_amount(measure, value)}, {times}",
            [first, span],
            measure=measure,
            calls=[name],
            value=value,
            median=round(usual),
        )
        return retold(self._growth, (measure, name), found)


def _agent(span: Span) -> str:
    """The agent that made a call, by its id, else by its name."""
    get = span.attributes.get
    return str(plain(get(AGENT_ID)) or plain(get(AGENT_NAME)) or "")


def micro_usd(span: Span) -> int | None:
    """What a call cost in millionths of a dollar; None where its price is unknown, or no number."""
    if span.cost is None or span.cost.usd is None:
        return None
    try:
        return round(float(span.cost.usd) * _MICRO)
    except (ValueError, OverflowError):
        return None


def tokens_of(span: Span) -> int:
    """All tokens of a call, those read and those written."""
    return (span.usage.input or 0) + (span.usage.output or 0) if span.usage is not None else 0


def _beyond(limits: Thresholds, least: float, enough: int) -> Beyond:
    return Beyond(deviations=limits.deviations, times=limits.times_usual, least=least, enough=enough)


def _amount(measure: str, value: float) -> str:
    return money(EXACT.divide(Decimal(value), _MICRO)) if measure.endswith("usd") else f"{value:,.0f} tokens"
