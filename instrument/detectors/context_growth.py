"""Context growth: the prompt grows turn by turn towards the model's window, and old content is paid for again.

What goes on with what is told by the contents of prompts, and by their sizes where those are not recorded.
"""

from __future__ import annotations

from collections import deque

from instrument.detectors.answers import model_of
from instrument.detectors.prompts import Pieces, Prompt, may_go_on, prompt_of
from instrument.detectors.told import Beginning, Growth, retold, some, told, worth_telling
from instrument.model import Finding, Span
from instrument.thresholds import Thresholds, window_of

_MOST_LINES = 16
_MOST_CONVERSATIONS = 4
_LOOKED_AT = 0.5
"""Prompts are compared from this share of `grown_tokens` on: to compare those of many short calls costs much
and tells little."""
_STOPS_OF_A_BATCH = 0.3
"""Where at least this share of prompts is no longer than the one before, they are no conversation but a batch of
independent questions: of these half would be, by chance."""
_A_FEW = 3
_OF_USE = 0.5
"""The share of what was sent again that must lead its prompt, for a cache to be the answer."""
_WORTH_NAMING = 0.01


class ContextGrowth:
    """Watches the model calls of one run, those of one name and model together."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._lines: dict[tuple[str, str | None], Line] = {}

    def feed(self, span: Span) -> list[Finding]:
        """Findings when the prompt comes near the window, has grown manyfold, or was mostly sent before."""
        tokens = span.usage.input if span.usage is not None else None
        if tokens is None:
            return []
        model = model_of(span)
        key = (span.name, model)
        if key not in self._lines:
            if len(self._lines) >= _MOST_LINES:
                del self._lines[next(iter(self._lines))]
            self._lines[key] = Line(span, window_of(model, self._limits))
        return self._lines[key].feed(span, tokens, self._limits)


class Line:
    """The calls of one name and model, which may belong to several conversations; all counts are tokens."""

    def __init__(self, first: Span, window: int) -> None:
        self._first = Beginning(first.span_id, first.start_ns)
        self._window = window
        self._sent = 0
        self._again = 0.0
        self._leading = 0.0
        self._growth: Growth = {}
        self._conversations: deque[Conversation] = deque(maxlen=_MOST_CONVERSATIONS)
        """The one that went on last stands first."""

    def feed(self, span: Span, tokens: int, limits: Thresholds) -> list[Finding]:
        """Take in one model call with its prompt tokens."""
        is_short = tokens < _LOOKED_AT * limits.grown_tokens
        prompt = None if is_short else prompt_of(span, tokens)
        own, is_certain = self._conversation_of(prompt, span)
        before = own if own.turns or not self._conversations else self._conversations[0]
        again, leading = _sent_before(prompt, tokens, before)
        own.add(tokens, prompt, is_certain, unread=span if is_short else None)
        self._make_first(own)
        if own.is_one or (prompt is not None and prompt.is_whole):
            cached = (span.usage.cached or 0) if span.usage is not None else 0
            self._again += max(0, again - cached)
            self._leading += max(0, leading - cached)
        self._sent += tokens
        return some(self._near_window(span, tokens, limits), own.grown(span, limits), self._paid_again(span, limits))

    def _conversation_of(self, prompt: Prompt | None, span: Span) -> tuple[Conversation, bool]:
        """The conversation that the prompt goes on with, perhaps a new one, and whether its contents say so."""
        for one in self._conversations:
            if one.is_gone_on_with_by(prompt):
                return one, True
        for one in self._conversations:
            if one.may_be_gone_on_with_by(prompt):
                return one, False
        return Conversation(span), False

    def _make_first(self, own: Conversation) -> None:
        if own in self._conversations:
            self._conversations.remove(own)
        elif self._conversations:
            self._conversations[0].rest()
        self._conversations.appendleft(own)

    def _near_window(self, span: Span, tokens: int, limits: Thresholds) -> Finding | None:
        if tokens < limits.context_share * self._window or not worth_telling(self._growth, "window", tokens):
            return None
        share = f"{tokens / self._window:.0%} of the model's window of {self._window:,} tokens"
        sentence = f"the prompt of {span.name} fills {share}"
        found = _told("window", self._first, span, sentence, severity="warning", prompt=tokens, window=self._window)
        return retold(self._growth, "window", found)

    def _paid_again(self, span: Span, limits: Thresholds) -> Finding | None:
        again = round(self._again)
        if again < limits.resent_tokens or 2 * again < self._sent or not worth_telling(self._growth, "resent", again):
            return None
        found = _told(
            "resent",
            self._first,
            span,
            f"{again:,} of {self._sent:,} prompt tokens of {span.name} were sent before and paid for again; "
            + _cure(again, self._leading, limits.cached_price),
            resent=again,
            sent=self._sent,
            saved=round(self._leading * (1 - limits.cached_price)),
        )
        return retold(self._growth, "resent", found)


class Conversation:
    """The model calls that carry one growing prompt."""

    def __init__(self, first: Span) -> None:
        self._first = Beginning(first.span_id, first.start_ns)
        self.turns = 0
        self.last = 0
        self._prompt: Prompt | None = None
        self._unread: Span | None = None
        self._news: Pieces | None = None
        self._new_from = 0
        self._smallest = 0
        self._stops = 0
        self._growth: Growth = {}

    def is_gone_on_with_by(self, prompt: Prompt | None) -> bool:
        """Whether the contents of a prompt say that it is the next of this conversation.

        Who goes on sends again what was new the last time. What questions of a batch have in common never was.
        """
        last = None if prompt is None else self.prompt
        if prompt is None or last is None or not (prompt.is_whole and last.is_whole):
            return False
        return prompt.begins_with(last) or prompt.holds_most_of(self.news)

    def may_be_gone_on_with_by(self, prompt: Prompt | None) -> bool:
        """Whether contents do not tell."""
        return prompt is None or self.prompt is None or may_go_on(prompt, self.prompt)

    @property
    def prompt(self) -> Prompt | None:
        """The last prompt, read when one is to be compared with it; None where its contents are not known."""
        if self._unread is not None:
            self._prompt, self._unread = prompt_of(self._unread, self.last), None
        return self._prompt

    @property
    def news(self) -> Pieces:
        """What was new in the last prompt."""
        if self._news is None:
            self._news = {} if self.prompt is None else self.prompt.pieces_from(self._new_from)
        return self._news

    def rest(self) -> None:
        """Another conversation is going on: keep of the last prompt what is less."""
        if self._prompt is not None and self.news and self._prompt.pieces:
            self._prompt.text = None

    def add(self, tokens: int, prompt: Prompt | None, is_certain: bool, unread: Span | None) -> None:
        """Take in the next prompt, which is one of this conversation for certain, or as far as is known.

        One that is short is not read yet.
        """
        before = None if prompt is None else self.prompt
        self._prompt, self._unread = prompt, unread
        self._news, self._new_from = None, 0
        self.turns += 1
        self._stops += tokens <= self.last and not is_certain
        self._smallest = min(self._smallest or tokens, tokens)
        self.last = tokens
        if prompt is None or before is None:
            return
        if prompt.text is not None and before.text is not None and prompt.begins_with(before):
            self._new_from = len(before.text)
        else:
            self._news = prompt.pieces_beyond(before)

    @property
    def is_one(self) -> bool:
        """Whether prompts mostly grow, as those of one conversation do. Those of a batch have nothing in common."""
        return _STOPS_OF_A_BATCH * self.turns > self._stops

    def grown(self, span: Span, limits: Thresholds) -> Finding | None:
        """A finding when the last prompt has grown manyfold."""
        prompt, first, turns = self.last, self._smallest, self.turns
        times = prompt / max(first, 1)
        if not self.is_one or prompt < limits.grown_tokens or times < limits.context_growth or turns < _A_FEW:
            return None
        if not worth_telling(self._growth, "growth", times):
            return None
        sentence = f"the prompt of {span.name} has grown from {first:,} to {prompt:,} tokens in {turns} turns"
        found = _told("growth", self._first, span, sentence, prompt=prompt, first=first, turns=turns)
        return retold(self._growth, "growth", found)


def _sent_before(prompt: Prompt | None, tokens: int, before: Conversation) -> tuple[float, float]:
    """How many of the tokens the prompt before held, and with how many both begin; all, where sizes alone are known."""
    known = None if prompt is None else before.prompt  # which may have to be read first
    if prompt is None or known is None or not (prompt.is_whole and known.is_whole):
        again = float(min(before.last, tokens))
        parts_early = prompt is not None and known is not None and prompt.parts_early_from(known)
        return again, 0.0 if parts_early else again
    again, leading = prompt.shared_with(known)
    return again * tokens, leading * tokens


def _cure(again: int, leading: float, price: float) -> str:
    saved = f"about {round(leading * (1 - price)):,} of them"
    if leading >= _OF_USE * again:
        return f"a prompt cache would have saved the price of {saved}"
    little = f"the price of only {saved}" if leading >= _WORTH_NAMING * again else "hardly anything"
    return f"a prompt cache would have saved {little}, because what changes stands before them"


def _told(
    measure: str, first: Beginning, last: Span, sentence: str, /, *, severity: str = "info", **data: int
) -> Finding:
    about = {"measure": measure, "calls": [last.name], **data}
    return told("context_growth", sentence, [last], first, severity=severity, **about)
