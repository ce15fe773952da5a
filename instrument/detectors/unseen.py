"""Calls that no span shows: of tools that are not decorated, and those with which one agent hands over to another.

What a model wished for stands in its answer and what came of it in the next prompt, under the same id. Where tool calls
were recorded in between these were it. The spans that prove what is found are those of the model calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from instrument.attributes import AGENT_ID
from instrument.detectors.answers import Wish
from instrument.detectors.calls import call_of, encoded, plain
from instrument.detectors.patterns import Patterns
from instrument.model import AGAIN_OF, Finding, Span
from instrument.thresholds import Thresholds

_MOST_WAITING = 64
_ANSWERS = b'"tool_call_response"'
_MARK = "#"
"""Stands between the id of a model call and the number of the call among those it wished for."""


class Unseen:
    """Watches what the models of one run wish for."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._waiting: dict[str, Span] = {}
        """By the id of the wish: the call as it will have been, as soon as its result is known."""
        self._patterns: Patterns | None = None

    def seen(self) -> None:
        """Tool calls were recorded."""
        self._waiting.clear()

    def feed(self, span: Span, asked: list[Wish]) -> list[Finding]:
        """Findings from the calls whose results this model call was told; `asked` is what it wished for itself."""
        found = [finding for call in self._answered(span) for finding in self._look(call)]
        for number, wish in enumerate(asked):
            if wish.id:
                self._waiting[wish.id] = _to_be(span, wish, number)
        while len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return found

    def _answered(self, span: Span) -> Iterator[Span]:
        if not self._waiting:
            return
        for wish_id, result in _results(encoded(span.input)):
            call = self._waiting.pop(wish_id, None)
            if call is not None:
                yield replace(call, output=result, duration_ns=max(0, span.start_ns - call.start_ns))

    def _look(self, span: Span) -> list[Finding]:
        if self._patterns is None:
            self._patterns = Patterns(self._limits)
        call = call_of(span)
        return [_of_models(finding) for finding in self._patterns.feed(call, self._patterns.window.holds(call.key))]


def _to_be(span: Span, wish: Wish, number: int) -> Span:
    given = wish.arguments
    arguments = plain(Raw(given.encode())) if isinstance(given, str) else given
    return Span(
        trace_id=span.trace_id,
        span_id=f"{span.span_id}{_MARK}{number}",
        parent_id=span.parent_id,
        name=wish.name,
        kind="tool",
        start_ns=span.start_ns + span.duration_ns,
        duration_ns=0,
        status="ok",
        input=arguments if isinstance(arguments, dict) else {"arguments": given},
        attributes={key: value for key, value in span.attributes.items() if key == AGENT_ID},
    )


def _of_models(finding: Finding) -> Finding:
    """The finding with the ids of the model calls in place of ours."""
    data = dict(finding.data)
    if AGAIN_OF in data:
        data[AGAIN_OF] = _model(data[AGAIN_OF])
    return replace(finding, span_ids=list(dict.fromkeys(map(_model, finding.span_ids))), data=data)


def _model(span_id: str) -> str:
    return span_id.partition(_MARK)[0]


class _Messages(Struct):
    messages: list[Raw]


class _Message(Struct):
    parts: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_Messages).decode
_decode_message = msgspec.json.Decoder(_Message).decode


def _results(prompt: bytes) -> Iterator[tuple[str, Any]]:
    """The results in a prompt by the id of their call, in order; none where its messages are stored apart."""
    if _ANSWERS not in prompt:
        return
    try:
        answers = [_decode_message(message) for message in _decode(prompt).messages if _ANSWERS in bytes(message)]
    except msgspec.DecodeError:
        return
    for answer in answers:
        for part in answer.parts:
            if isinstance(part.get("id"), str) and "response" in part:
                yield part["id"], part["response"]
