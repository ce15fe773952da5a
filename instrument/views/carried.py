"""What a span took and gave by the GenAI conventions, told from its JSON: long texts are carried over as they are.

Decoded they would be read and written four times on their way from a line of JSON to a request. All that is not of our
own form is decoded and told as by `genai.plain_content`, and what comes out says the same.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from instrument.attributes import INPUT_MESSAGES, INSTRUCTIONS, OUTPUT_MESSAGES, SETTINGS, TOOL_DEFINITIONS
from instrument.kinds import MODEL_KINDS
from instrument.model import Span, encode
from instrument.views.genai import Attributes, plain_content, plain_sides


class CarriedSpan(Span, frozen=True, kw_only=True, omit_defaults=True, tag="span"):
    """A span whose input and output are still JSON."""

    input: Raw = None  # type: ignore[assignment]
    output: Raw = None  # type: ignore[assignment]


class _Conversation(Struct, gc=False):
    messages: Raw
    tools: Raw = Raw()
    settings: Raw = Raw()


class _Message(Struct, gc=False):
    parts: list[Raw]
    role: Any = None


class _Instructions(Struct, gc=False):
    parts: Raw


_NOTHING = frozenset({b"", b"null", b"[]", b"{}", b'""', b"0", b"0.0", b"false"})
_SAME = frozenset({str, int, bool, dict, type(None)})
"""Types of attributes that are told the same before they are encoded and after they were decoded again."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_conversation = msgspec.json.Decoder(_Conversation).decode
_messages = msgspec.json.Decoder(list[_Message]).decode
_items = msgspec.json.Decoder(list[Raw]).decode
_instructions = msgspec.json.Decoder(_Instructions).decode
decode_span = msgspec.json.Decoder(CarriedSpan).decode
"""A span from its line."""


def carried_span(span: Span) -> Span:
    """The span for `content`: itself, where nothing of it would be told in another way when read from its line."""
    if span.events or span.links:
        return decode_span(encode(span))
    for value in span.attributes.values():
        if value.__class__ not in _SAME and not _is_same(value):
            return decode_span(encode(span))
    return span


def _is_same(value: Any) -> bool:
    if value.__class__ is float:
        return isfinite(value)
    return value.__class__ is list and all(item.__class__ is str for item in value)


def content(span: Span) -> Attributes:
    """The content of a span from `carried_span`; what is `Raw` in it is the JSON that is the text."""
    if span.kind not in MODEL_KINDS:
        return plain_sides(span.kind, _text(span.input), _text(span.output))
    asked, answered = _json(span.input), _json(span.output)
    try:
        told = _asked(asked) if asked is not None else {}
        if answered is not None:
            said = _conversation(answered).messages
            _messages(said)
            told[OUTPUT_MESSAGES] = said
        return told
    except msgspec.ValidationError:
        return plain_content(replace(span, input=_decoded(asked), output=_decoded(answered)))


def _json(side: Any) -> Any:
    return side if side is None or side.__class__ is Raw else Raw(_encode(side))


def _asked(side: Raw) -> Attributes:
    """Instructions are apart from the other messages where they come first. Raises for what is not of our form."""
    whole = _conversation(side)
    messages = _messages(whole.messages)
    told: Attributes = {}
    if messages and messages[0].role == "system":
        first, *rest = _items(whole.messages)
        told[INSTRUCTIONS] = _instructions(first).parts
        told[INPUT_MESSAGES] = Raw(b"[" + b",".join(rest) + b"]")
    else:
        told[INPUT_MESSAGES] = whole.messages
    if bytes(whole.tools) not in _NOTHING:
        told[TOOL_DEFINITIONS] = whole.tools
    if bytes(whole.settings) not in _NOTHING:
        told[SETTINGS] = whole.settings
    return told


def _text(side: Any) -> Any:
    """A text is told as it is, all else as the JSON that it is."""
    if side is None or side.__class__ is str:
        return side
    told = _json(side)
    return _decode(told) if memoryview(told)[0] in b'"n' else told


def _decoded(side: Raw | None) -> Any:
    return _decode(side) if side is not None else None
