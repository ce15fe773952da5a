"""Calls that no span shows: of tools that are not decorated, and those with which one agent hands over to another.

What a model wished for stands in its answer and what came of it in the next prompt, under the same id. Where tool calls
were recorded in between these were it. The spans that prove what is found are those of the model calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from instrument.attributes import AGENT_ID
from instrument.detectors.answers import Wish
from instrument.detectors.calls import call_of, encoded
from instrument.detectors.patterns import Patterns
from instrument.model import AGAIN_OF, Finding, Span
from instrument.thresholds import Thresholds

_MOST_WAITING = 64
_ANSWERS = b'"tool_call_response"'
_MARK = "#"
"""Stands between the id of a model call and the number of the call among those it wished for."""


class Waiting(NamedTuple):
    """A call that a model wished for, until its result is known: what of the model call is needed then."""

    wish: Wish
    number: int
    span_id: str
    parent_id: str | None
    start_ns: int
    agent: Any


class Unseen:
    """Watches what the models of one run wish for."""

    def __init__(self, limits: Thresholds) -> None:
        self._limits = limits
        self._waiting: dict[str, Waiting] = {}
        """By the id of the wish."""
        self._patterns: Patterns | None = None

    def seen(self) -> None:
        """Tool calls were recorded."""
        self._waiting.clear()

    def feed(self, span: Span, asked: list[Wish]) -> list[Finding]:
        """Findings from the calls whose results this model call was told; `asked` is what it wished for itself."""
        found = [finding for call in self._answered(span) for finding in self._look(call)]
        for number, wish in enumerate(asked):
            if wish.id:
                agent = span.attributes.get(AGENT_ID)
                self._waiting[wish.id] = Waiting(wish, number, span.span_id, span.parent_id, span.end_ns, agent)
        while len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return found

    def _answered(self, span: Span) -> Iterator[Span]:
        if self._waiting:
            for wish_id, result in _results(encoded(span.input), self._waiting.keys()):
                yield _made(self._waiting.pop(wish_id), result, span)

    def _look(self, span: Span) -> list[Finding]:
        if self._patterns is None:
            self._patterns = Patterns(self._limits)
        call = call_of(span)
        return [_of_models(finding) for finding in self._patterns.feed(call, self._patterns.window.holds(call.key))]


def _made(call: Waiting, result: Any, told: Span) -> Span:
    """The call as it would have been recorded; `told` is the model call that was told its result."""
    arguments = call.wish.given
    return Span(
        trace_id=told.trace_id,
        span_id=f"{call.span_id}{_MARK}{call.number}",
        parent_id=call.parent_id,
        name=call.wish.name,
        kind="tool",
        start_ns=call.start_ns,
        duration_ns=max(0, told.start_ns - call.start_ns),
        status="ok",
        input=arguments if isinstance(arguments, dict) else {"arguments": call.wish.arguments},
        output=result,
        attributes={AGENT_ID: call.agent},
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


def _results(prompt: bytes, waiting: Set[str]) -> list[tuple[str, Any]]:
    """Those of the results that are waited for, by the id of their call, in order; they stand at the prompt's end.

    There are none where its messages are stored apart.
    """
    found: dict[str, Any] = {}
    if _ANSWERS in prompt:
        with suppress(msgspec.DecodeError):
            for message in reversed(_decode(prompt).messages):
                if len(found) == len(waiting):
                    break
                if _ANSWERS in bytes(message):
                    parts = reversed(_decode_message(message).parts)
                    found.update(_answers(parts, waiting - found.keys()))
    return [*found.items()][::-1]


def _answers(parts: Iterable[dict[str, Any]], waiting: Set[str]) -> Iterator[tuple[str, Any]]:
    for part in parts:
        wish_id = part.get("id")
        if isinstance(wish_id, str) and wish_id in waiting and "response" in part:
            yield wish_id, part["response"]
