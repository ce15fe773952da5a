"""Slow: a call far beyond what is usual for its name, a model that writes slowly, a first token that comes late.

What is usual comes from the history of each name; far beyond it is a value by several robust deviations, by a factor
and by a second, all three.
"""

from __future__ import annotations

from msgspec.structs import replace

from instrument.attributes import FIRST_CHUNK
from instrument.detectors.answers import model_of
from instrument.detectors.calls import plain
from instrument.detectors.history import Beyond, History, Series
from instrument.detectors.told import Growth, number, retold, seconds, some, told, worth_telling
from instrument.model import Finding, Span
from instrument.thresholds import Thresholds

_SECOND = 1_000_000_000
_FEWEST_TOKENS = 32


class Slow:
    """Watches all spans of all traces; `durations` are the series of the names that it has met."""

    def __init__(self, limits: Thresholds, history: History) -> None:
        self._history = history
        self.never_ns = limits.slow_seconds * _SECOND
        """What takes no longer is not slow, whatever is usual."""
        self._beyond = Beyond(
            deviations=limits.deviations, times=limits.times_usual, least=self.never_ns, enough=limits.history_calls
        )
        self._per_token = replace(self._beyond, least=0)
        self.durations: dict[str, Series] = {}
        self._growth: Growth = {}

    def feed(self, span: Span) -> Finding | None:
        """A finding when the span took far longer than is usual for its name."""
        name, duration = span.name, span.duration_ns
        series = self.durations.get(name) or self._durations_of(name)
        if series is None:
            return None
        limit = series.limit
        if span.status == "ok":
            series.add(duration)
        if duration <= limit:
            return None
        return self._told(span, "slow", name, duration, series, f"{name} took {seconds(duration)}")

    def feed_model_call(self, span: Span) -> list[Finding]:
        """Findings when the model began late or wrote slowly; `span` is a model call that has ended."""
        model = model_of(span) or span.name
        return some(self._first_token(span, model), self._pace(span, model))

    def _first_token(self, span: Span, model: str) -> Finding | None:
        waited = plain(span.attributes.get(FIRST_CHUNK))
        if not isinstance(waited, int | float) or waited < 0:
            return None
        sentence = f"the first token of {model} came after {seconds(waited * _SECOND)}"
        return self._compare(span, "first_token", model, int(waited * _SECOND), self._beyond, sentence)

    def _pace(self, span: Span, model: str) -> Finding | None:
        written = span.usage.output if span.usage is not None else None
        if written is None or written < _FEWEST_TOKENS or span.status != "ok":
            return None
        each = span.duration_ns // written
        sentence = f"{model} wrote {written} tokens at {number(_SECOND / max(each, 1))} a second"
        return self._compare(span, "ns_per_token", model, each, self._per_token, sentence)

    def _compare(
        self, span: Span, measure: str, model: str, value: int, beyond: Beyond, sentence: str
    ) -> Finding | None:
        series = self._history.series(measure, model, beyond)
        if series is None:
            return None
        limit = series.limit
        series.add(value)
        return self._told(span, measure, model, value, series, sentence) if value > limit else None

    def _durations_of(self, name: str) -> Series | None:
        series = self._history.series("duration", name, self._beyond)
        if series is not None:
            self.durations[name] = series
        return series

    def _told(self, span: Span, measure: str, name: str, value: int, series: Series, sentence: str) -> Finding | None:
        if not worth_telling(self._growth, (span.trace_id, measure, name), value):
            return None
        usual = series.quantile(0.5)
        each = " a token" if measure == "ns_per_token" else ""
        found = told(
            "slow",
            f"{sentence}, {number(value / max(usual, 1))} times what is usual ({seconds(usual)}{each})",
            [span],
            measure=measure,
            calls=[name],
            value_ns=value,
            median_ns=round(usual),
            p90_ns=round(series.quantile(0.9)),
            known=series.total,
        )
        return retold(self._growth, (span.trace_id, measure, name), found)
