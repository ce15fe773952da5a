"""A call as the detectors compare it: fingerprints of what was asked and of what came, text only for who must read."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from instrument.attributes import AGENT_ID
from instrument.detectors.error_text import error_text, may_be_error
from instrument.detectors.similarity import (
    PROSE_SPACES,
    Question,
    is_wordy,
    json_text,
    likeness,
    question,
)
from instrument.detectors.words import Vocabulary, distinct_words, folded, letters, some_words
from instrument.kinds import TOOL_KINDS
from instrument.model import Failure, Span

UNKNOWN = 0
"""Fingerprint where nothing was recorded: such calls cannot be told apart and are never taken for equal."""

SILENT = frozenset((b"", b"null", b'""'))
"""Results, encoded, that say nothing."""

_READABLE = 8_192
_CANONICAL = 1_024
_SHORT = 256
_MANY = 64
_NUMBERS_AND_SUCH = frozenset({int, float, bool, type(None)})
_BLANK, _BACKSLASH = b" \\"
_PLAIN = re.compile(rb'\{"[\w.-]+":(?:-?\d+|true|false|null|"[\w./:@-]*")\}').fullmatch
_NUMBERS = re.compile(r"\w*\d\w*")
_PASSING = re.compile(
    r"time[d-]? ?out|temporar|rate.?limit|too many requests|unavailable|overloaded|connection"
    r"|internal ?server ?error|bad gateway|\b(?:429|50[0234])\b",
    re.IGNORECASE,
).search
"""Faults that pass of themselves, as services and networks have them."""
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
    return _asked(value, _READABLE)[0]


def outcome(output: Any, failure: Failure | None = None) -> int:
    """A hash that is equal for equal results, and for failures that differ in numbers only: times, ids, addresses."""
    if failure is None:
        return _told(output, _READABLE)[0]
    return hash((failure.type, _NUMBERS.sub("#", failure.message[:500])))


def key_of(span: Span) -> int | None:
    """The key of the span's call; None where its arguments are not known, or may hold prose."""
    mark, _, wordy = _asked(span.input, _READABLE)
    return None if wordy or mark == UNKNOWN else hash((span.name, mark))


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
    return _encode(_tidy(value) if _is_untidy(raw) else value)


def _is_untidy(raw: bytes) -> bool:
    """Whether JSON may hold strings with white space to collapse, or with JSON in them."""
    return _BACKSLASH in raw or (_BLANK in raw and (b"  " in raw or b'" ' in raw or b' "' in raw))


def _tidy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tidy(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_tidy(part) for part in value]
    if isinstance(value, str):
        nested = json_text(value)
        return " ".join(value.split()) if nested is None else _tidy(nested)
    return value


class Done(Struct, eq=False, gc=False):
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


class Call(Done, eq=False, gc=False):
    """A call with the text that detectors may have to read; `wordy` says that its arguments may hold prose.

    Where a glance was enough `unread` says so instead, until the call is read to be compared with a later one.
    `by_word` says that it failed by what it gave back, `may_pass` by what passes of itself, `answers` how many model
    calls of the run came before, `agent` who made it.
    `given_plain` and `told_plain` are arguments and result as they came; None where that would be much to keep, and for
    the result of what failed.
    """

    end_ns: int
    trace_id: str
    parent_id: str | None
    given: Any
    told: Any
    wordy: bool
    given_plain: Any = None
    told_plain: Any = None
    unread: bool = False
    by_word: bool = False
    may_pass: bool = False
    answers: int = 0
    agent: str = ""
    vocabulary: Vocabulary | None = None
    _letters: str | None = None
    _question: Question | None = None
    _asked_text: str | None = None
    _answer_text: str | None = None
    _asked: frozenset[str] | None = None
    _answer: frozenset[str] | None = None
    _likeness: dict[str, float] | None = None

    @property
    def input(self) -> bytes:
        """The arguments as JSON, as much of them as is kept."""
        if type(self.given) is not bytes:
            self.given = _encode(self.given)
        return self.given

    @property
    def output(self) -> bytes:
        """The result as JSON, as much of it as is kept."""
        if type(self.told) is not bytes:
            self.told = _encode(self.told)
        return self.told

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
            self._question = question(self.given, self.vocabulary)
        return self._question

    @property
    def is_silent(self) -> bool:
        """Whether the result says nothing; one that is kept as it came is long."""
        return type(self.told) is bytes and self.told in SILENT

    @property
    def asked_text(self) -> str:
        """The arguments, as words are looked for in them."""
        if self._asked_text is None:
            self._asked_text = folded(self.input)
        return self._asked_text

    @property
    def answer_text(self) -> str:
        """The result, as words are looked for in it."""
        if self._answer_text is None:
            self._answer_text = folded(self.output)
        return self._answer_text

    @property
    def asked(self) -> frozenset[str]:
        """The distinct words of the arguments, found on first use."""
        if self._asked is None:
            self._asked = distinct_words(self.asked_text)
        return self._asked

    @property
    def answer(self) -> frozenset[str]:
        """The distinct words of the result, found on first use."""
        if self._answer is None:
            self._answer = distinct_words(self.answer_text)
        return self._answer

    def tells_no_more(self, before: Call) -> bool:
        """Whether it was told nothing but what an earlier one was, and words of its question: `0 results for …`.

        Mostly one of the first words is in neither text, so that the answers need not be taken apart.
        """
        asked, known = self.asked_text, before.answer_text
        if any(word not in known and word not in asked for word in some_words(self.answer_text)):
            return False
        return self.answer.issubset(self.asked | before.answer)

    def likeness(self, before: Call) -> float:
        """How much this call and an earlier one ask the same, from 0 to 1; compared once, for all who want to know."""
        known = self._likeness
        if known is None:
            known = self._likeness = {}
        found = known.get(before.span_id)
        if found is None:
            found = known[before.span_id] = likeness(before.question, self.question)
        return found


class Marks(NamedTuple):
    """What tells a call from others: fingerprint and outcome; what is kept of its text, whether it may be prose."""

    fingerprint: int
    outcome: int
    asked: Any
    told: Any
    wordy: bool


def marks_of(span: Span, readable: int) -> Marks:
    """The marks of a span; at most `readable` bytes of its text are kept for the detectors that must read."""
    given, result = span.input, span.output
    if type(result) is int and type(given) is dict and given:
        for part in given.values():
            if type(part) is not int:
                break
        else:  # whole numbers alone, as in most calls that are made by the million
            asked, told = _encode(given), b"%d" % result
            return Marks(hash(asked), hash(told), asked, told, False)
    mark, asked, wordy = _asked(given, readable)
    outcome, told = _told(result, readable)
    if asked == b"{}" and told in SILENT and span.status != "error":
        mark = UNKNOWN
    return Marks(mark, outcome, asked, told, wordy)


def call_of(span: Span, readable: int = _READABLE) -> Call:
    """The span as a call, with at most `readable` bytes of its text."""
    marks = marks_of(span, readable)
    name, start, mark = span.name, span.start_ns, marks.fingerprint
    by_word = _says_error(span, marks.told)
    failed = by_word or span.status == "error"
    call = Call(
        name,
        mark,
        hash((name, mark or span.span_id)),
        _failure(span) if failed else marks.outcome,
        failed,
        span.span_id,
        start,
        start + span.duration_ns,
        span.trace_id,
        span.parent_id,
        marks.asked,
        marks.told,
        marks.wordy,
        _plain(span.input, marks.asked) if readable else None,
        _plain(span.output, marks.told) if readable and not failed else None,
    )
    call.by_word = by_word
    call.may_pass = failed and _may_pass(span)
    call.agent = agent_of(span)
    return call


def without_text(call: Call) -> Call:
    """The same call for who compares marks alone."""
    ends = call.end_ns, call.trace_id, call.parent_id
    marks = call.name, call.fingerprint, call.key, call.outcome, call.failed, call.span_id, call.start_ns
    return Call(*marks, *ends, b"", b"", False)


def agent_of(span: Span) -> str:
    """The id of the agent that made a call; empty where none has one."""
    found = span.attributes.get(AGENT_ID)
    return "" if found is None else str(plain(found))


def _plain(value: Any, kept: Any) -> Any:
    """A value as it came, where what is kept of it is no less."""
    return value if value is kept or len(kept) <= _CANONICAL else None


def _asked(value: Any, readable: int) -> tuple[int, Any, bool]:
    """The fingerprint of an input, what is kept of it, and whether it may hold prose."""
    if type(value) is not dict:
        raw = encoded(value)
        return _mark(raw), *_read(raw, readable)
    longest = texts = 0
    for part in value.values():
        kind = type(part)
        if kind is str:
            texts += 1
            if len(part) > longest:
                longest = len(part)
        elif kind is not int and kind not in _NUMBERS_AND_SUCH:
            texts = -1
            break
    if longest > _CANONICAL and texts == len(value) and longest * texts <= readable:
        return hash(tuple(value.items())), value, any(map(is_wordy, value.values()))
    raw = _encode(value)
    if not texts:
        return hash(raw), raw, False
    return hash(canonical(raw) if len(raw) <= _CANONICAL and _is_untidy(raw) else raw), *_read(raw, readable)


def _read(raw: bytes, readable: int) -> tuple[bytes, bool]:
    """What is kept of an encoded input, and whether it may hold prose."""
    wordy = not raw.isascii() or (_BLANK in raw and len(raw.split(b" ", PROSE_SPACES)) > PROSE_SPACES)
    return raw if len(raw) <= readable else raw[:readable], wordy


def _told(value: Any, readable: int) -> tuple[int, Any]:
    """The outcome that a result is, and what is kept of it."""
    kind = type(value)
    if kind is int:
        raw = b"%d" % value
        return hash(raw), raw
    if kind is str and _SHORT < len(value) <= readable:
        return hash(value), value
    if kind is dict and _SHORT < _length_of_texts(value) <= readable:
        return hash((*value, *value.values())), value
    raw = bytes(value) if kind is Raw else encoded(value)
    return hash(raw), raw if len(raw) <= readable else raw[:readable]


def _length_of_texts(value: dict[str, Any]) -> int:
    """The length of all values together where they are strings, else 0."""
    if len(value) > _MANY or type(next(iter(value.values()), None)) is not str:
        return 0
    try:
        return len("".join(value.values()))
    except TypeError:
        return 0


def _says_error(span: Span, told: Any) -> bool:
    """Whether a tool that succeeded gave an error as its result."""
    is_of_tool = span.status == "ok" and span.kind in TOOL_KINDS
    return is_of_tool and may_be_error(told) and error_text(plain(span.output)) != ""


def _may_pass(span: Span) -> bool:
    if span.error is None:
        return bool(_PASSING(encoded(span.output)[:500].decode("utf-8", "replace")))
    return bool(_PASSING(f"{span.error.type}: {span.error.message[:500]}"))


def _failure(span: Span) -> int:
    if span.error is not None:
        return outcome(None, span.error)
    return outcome(None, Failure("", encoded(span.output)[:500].decode("utf-8", "replace")))
