"""A call as the detectors compare it: fingerprints of what was asked and of what came, text only for who must read."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import msgspec
from msgspec import Raw, Struct

from instrument.detectors.similarity import PROSE_SPACES, Question, distinct_words, json_text, letters, question
from instrument.model import Failure, Span

TOOL_KINDS = frozenset({"tool", "retrieval"})
UNKNOWN = 0
"""Fingerprint where nothing was recorded: such calls cannot be told apart and are never taken for equal."""

SILENT = frozenset((b"", b"null", b'""'))
"""Results, encoded, that say nothing."""

_READABLE = 8_192
_CANONICAL = 1_024
_PLAIN = re.compile(rb'\{"[\w.-]+":(?:-?\d+|true|false|null|"[\w./:@-]*")\}').fullmatch
_NUMBERS = re.compile(r"\w*\d\w*")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


def encoded(value: Any) -> bytes:
    """The value as JSON; empty for None, which stands for "not recorded"."""
    if value is None:
        return b""
    return bytes(value) if type(value) is Raw else _encode(value)


def plain(value: Any) -> Any:
    """A value decoded where it is still encoded; None for what is no JSON."""
    if type(value) is not Raw:
        return value
    try:
        return _decode(value)
    except msgspec.DecodeError:
        return None


def fingerprint(value: Any) -> int:
    """A hash that is equal for inputs that mean the same, within one process; `UNKNOWN` for None.

    The order of keys, white space at the ends of strings and in runs, and all of these within JSON that is itself
    text (as the arguments of tool calls are) make no difference, except in inputs over 1 KiB, which are taken as they
    are. Takes encoded JSON (`msgspec.Raw`) or plain values.
    """
    return _mark(encoded(value))


def outcome(output: Any, failure: Failure | None = None) -> int:
    """A hash that is equal for equal results, and for failures that differ in numbers only: times, ids, addresses."""
    if failure is None:
        return hash(encoded(output))
    return hash((failure.type, _NUMBERS.sub("#", failure.message[:500])))


def _mark(raw: bytes) -> int:
    return hash(raw) if len(raw) > _CANONICAL else hash(canonical(raw))


def canonical(raw: bytes) -> bytes:
    """JSON in its one form: keys sorted, white space collapsed; what is no JSON is given back as it is."""
    if not raw or _PLAIN(raw):
        return raw
    try:
        value = _decode(raw)
    except msgspec.DecodeError:
        return raw
    if b"\\" in raw or b"  " in raw or b'" ' in raw or b' "' in raw:
        value = _tidy(value)
    return _encode(value)


def _tidy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tidy(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_tidy(part) for part in value]
    if isinstance(value, str):
        nested = json_text(value)
        return " ".join(value.split()) if nested is None else _tidy(nested)
    return value


class Done(Struct, eq=False):
    """A call that has ended, without its text.

    `key` is equal for the same known input of the same name, `outcome` for the same result or failure.
    """

    name: str
    fingerprint: int
    key: int
    outcome: int
    failed: bool
    span_id: str
    start_ns: int


class Call(Done, eq=False):
    """A call with the text that detectors may have to read; `wordy` says that its arguments may hold prose."""

    end_ns: int
    trace_id: str
    parent_id: str | None
    input: bytes
    output: bytes
    wordy: bool
    _letters: str | None = None
    _question: Question | None = None
    _asked: frozenset[str] | None = None
    _answer: frozenset[str] | None = None

    @property
    def letters(self) -> str:
        """The arguments without case, blanks and punctuation: equal for `1+2` and `1 + 2`."""
        if self._letters is None:
            self._letters = letters(self.input)
        return self._letters

    @property
    def question(self) -> Question:
        """What was asked, decoded on first use."""
        if self._question is None:
            self._question = question(self.input)
        return self._question

    @property
    def asked(self) -> frozenset[str]:
        """The distinct words of the arguments, found on first use."""
        if self._asked is None:
            self._asked = distinct_words(self.input)
        return self._asked

    @property
    def answer(self) -> frozenset[str]:
        """The distinct words of the result, found on first use."""
        if self._answer is None:
            self._answer = distinct_words(self.output)
        return self._answer


def call_of(span: Span, readable: int = _READABLE) -> Call:
    """The span as a call; at most `readable` bytes of its text are kept for the detectors that must read."""
    name, start, failed = span.name, span.start_ns, span.status == "error"
    asked, told = span.input, span.output
    asked = bytes(asked) if type(asked) is Raw else encoded(asked)
    told = bytes(told) if type(told) is Raw else encoded(told)
    if asked == b"{}" and told in SILENT and not failed:
        asked = b""
    mark = hash(asked) if len(asked) > _CANONICAL or _PLAIN(asked) else _mark(asked)
    return Call(
        name,
        mark,
        hash((name, mark or span.span_id)),
        _failure(span, told) if failed else hash(told),
        failed,
        span.span_id,
        start,
        start + span.duration_ns,
        span.trace_id,
        span.parent_id,
        asked if len(asked) <= readable else asked[:readable],
        told if len(told) <= readable else told[:readable],
        asked.count(b" ") >= PROSE_SPACES or not asked.isascii(),
    )


def _failure(span: Span, told: bytes) -> int:
    return outcome(None, span.error or Failure("", told[:500].decode("utf-8", "replace")))


class Window:
    """The last calls of one trace, oldest first: one less than `size`, so that with the next call `size` are seen."""

    __slots__ = ("_last", "_size", "calls", "count")

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: dict[int, int] = {}
        self.calls: deque[Call] = deque(maxlen=size - 1)
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether with the next call as many are seen as ever can be."""
        return len(self.calls) == self._size - 1

    def holds(self, key: int) -> bool:
        """Whether a call with this key is among the last ones."""
        return self._last.get(key, -self._size) > self.count - self._size

    def holds_outcome(self, outcome: int) -> bool:
        """Whether one of the last calls had this outcome."""
        return any(call.outcome == outcome for call in self.calls)

    def add(self, call: Call) -> None:
        """Take the newest call in."""
        self.calls.append(call)
        self._last[call.key] = self.count
        self.count += 1
        if len(self._last) > 8 * self._size:
            oldest = self.count - self._size
            self._last = {key: place for key, place in self._last.items() if place > oldest}
