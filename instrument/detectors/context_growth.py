"""Context growth: the prompt grows turn by turn towards the model's window, and old content is paid for again."""

from __future__ import annotations

from instrument.detectors.answers import model_of
from instrument.detectors.told import Growth, retold, since, worth_telling
from instrument.model import Finding, Span
from instrument.thresholds import Thresholds, window_of

_MOST_CONVERSATIONS = 16
_STOPS_OF_A_BATCH = 0.3
"""The share of prompts no longer than the one before: half where questions are independent, few in a conversation."""


class ContextGrowth:
    """Watches the model calls of one run, each conversation (calls of one name and model) for itself."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._conversations: dict[tuple[str, str | None], Conversation] = {}

    def feed(self, span: Span) -> list[Finding]:
        """Findings when the prompt comes near the window, has grown manyfold, or was mostly sent before."""
        prompt = span.usage.input if span.usage is not None else None
        if prompt is None:
            return []
        model = model_of(span)
        key = (span.name, model)
        if key not in self._conversations:
            if len(self._conversations) >= _MOST_CONVERSATIONS:
                del self._conversations[next(iter(self._conversations))]
            self._conversations[key] = Conversation(span, window_of(model, self._limits))
        return self._conversations[key].feed(span, prompt, self._limits)


class Conversation:
    """The model calls that carry one growing prompt; all counts are tokens."""

    def __init__(self, first: Span, window: int) -> None:
        self._first = first
        self._window = window
        self._turns = 0
        self._smallest = 0
        self._last = 0
        self._sent = 0
        self._resent = 0
        self._stops = 0
        self._growth: Growth = {}

    def feed(self, span: Span, prompt: int, limits: Thresholds) -> list[Finding]:
        """Take in one model call with its prompt tokens."""
        cached = (span.usage.cached or 0) if span.usage is not None else 0
        self._turns += 1
        self._sent += prompt
        self._resent += max(0, min(self._last, prompt) - cached)
        self._stops += prompt <= self._last
        self._smallest = min(self._smallest or prompt, prompt)
        self._last = prompt
        found = [self._near_window(span, prompt, limits)]
        if self._is_one:
            found += self._grown(span, prompt, limits), self._paid_again(span, limits)
        return [finding for finding in found if finding is not None]

    @property
    def _is_one(self) -> bool:
        """Whether prompts mostly grow, as those of one conversation do. Those of a batch have nothing in common."""
        return _STOPS_OF_A_BATCH * self._turns > self._stops

    def _near_window(self, span: Span, prompt: int, limits: Thresholds) -> Finding | None:
        if prompt < limits.context_share * self._window or not worth_telling(self._growth, "window", prompt):
            return None
        share = f"{prompt / self._window:.0%} of the model's window of {self._window:,} tokens"
        sentence = f"the prompt of {span.name} fills {share}"
        return self._told("window", span, "warning", sentence, prompt=prompt, window=self._window)

    def _grown(self, span: Span, prompt: int, limits: Thresholds) -> Finding | None:
        times = prompt / max(self._smallest, 1)
        if prompt < limits.grown_tokens or times < limits.context_growth or self._turns < 3:
            return None
        if not worth_telling(self._growth, "growth", times):
            return None
        sentence = (
            f"the prompt of {span.name} has grown from {self._smallest:,} to {prompt:,} tokens in {self._turns} turns"
        )
        return self._told("growth", span, "info", sentence, prompt=prompt, first=self._smallest, turns=self._turns)

    def _paid_again(self, span: Span, limits: Thresholds) -> Finding | None:
        again = self._resent
        if again < limits.resent_tokens or 2 * again < self._sent or not worth_telling(self._growth, "resent", again):
            return None
        saved = round(again * (1 - limits.cached_price))
        sentence = (
            f"{again:,} of {self._sent:,} prompt tokens of {span.name} were sent before and paid for again; "
            f"a prompt cache would have saved the price of about {saved:,} of them"
        )
        return self._told("resent", span, "info", sentence, resent=again, sent=self._sent, saved=saved)

    def _told(self, measure: str, span: Span, severity: str, sentence: str, **data: int) -> Finding:
        found = Finding(
            trace_id=span.trace_id,
            span_ids=list(dict.fromkeys((self._first.span_id, span.span_id))),
            time_ns=span.start_ns + span.duration_ns,
            detector="context_growth",
            severity=severity,
            message=f"{sentence}{since(self._first.start_ns)}",
            data={"measure": measure, "calls": [span.name], "since_ns": self._first.start_ns, **data},
        )
        return retold(self._growth, measure, found)
