"""Spans as bytes of the protocol, several times faster than by way of the SDK's objects and the official encoder.

The tests hold it to that encoder: for all spans its message is the same. Tags are `field number << 3 | wire type`, as
`opentelemetry/proto/trace/v1/trace.proto` numbers them. Attributes that come again, such as models and names, are
encoded once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

from msgspec import Raw

from instrument.model import Event, Link, Span, decode_known, encode
from instrument.version import __version__
from instrument.views.carried import carried_span, content
from instrument.views.otel import SCOPE, plain_value, told_with

_REMOTE_IS_KNOWN = 0x100
"""Flag of spans and links: whether the parent is remote is known (it is not)."""
_SPAN_FLAGS = b"\x85\x01" + struct.pack("<I", _REMOTE_IS_KNOWN)
_LINK_FLAGS = b"\x35" + struct.pack("<I", _REMOTE_IS_KNOWN)
_SHORT = 80
"""Longer texts seldom come twice."""
_MOST_KNOWN = 4096
_LARGE = 1 << 63
_TOLD = frozenset({bool, tuple})
"""Types of values that the protocol has; whole numbers are told as texts where they are too large for it."""
_fixed64 = struct.Struct("<Q").pack
_times = struct.Struct("<BQBQ").pack
_double = struct.Struct("<d").pack


def request(spans: Iterable[bytes], about: Mapping[str, Any]) -> bytes:
    """An `ExportTraceServiceRequest` with the encoded spans of one process; `about` are attributes of its resource."""
    scope = _part(b"\x0a", _part(b"\x0a", SCOPE.encode()) + _part(b"\x12", __version__.encode()))
    scoped = [scope]
    for one in spans:
        scoped += (b"\x12", _varint(len(one)), one)
    resource = _part(b"\x0a", b"".join(_pairs(b"\x0a", about)))
    size = sum(map(len, scoped))
    head = resource + b"\x12" + _varint(size)
    return b"".join((b"\x0a", _varint(len(head) + size), head, *scoped))


def readable(record: Span, dialect: str) -> Span:
    """The record for `span`: by the GenAI conventions what it took and gave stays JSON."""
    return cast(Span, decode_known(encode(record))) if dialect == "openinference" else carried_span(record)


def span(record: Span, dialect: str) -> bytes:
    """One span that is `readable`. What is appended to it of other fields belongs to it as well: see `event`."""
    there = told_with(record, dialect, content, _as_they_are)
    above = f"2208{record.parent_id}" if record.parent_id else ""
    start = record.start_ns
    return b"".join(
        [
            bytes.fromhex(f"0a10{record.trace_id}1208{record.span_id}{above}"),
            _known_text(b"\x2a", there.name),
            _KINDS[there.kind],
            _times(0x39, start, 0x41, start + record.duration_ns),
            *_pairs(b"\x4a", there.attributes),
            *map(event, there.events),
            *[_part(b"\x6a", _link(link)) for link in there.links],
            _part(b"\x7a", _status(there.status, there.message)) if there.status else b"\x7a\x00",
            _SPAN_FLAGS,
        ]
    )


def event(told: Event) -> bytes:
    """An event as a field of its span."""
    head = b"\x09" + _fixed64(told.time_ns) + _part(b"\x12", told.name.encode())
    return _part(b"\x5a", head + b"".join(_pairs(b"\x1a", told.attributes)))


def _as_they_are(attributes: dict[str, Any]) -> dict[str, Any]:
    """They become plain while they are encoded."""
    return attributes


@lru_cache(maxsize=1024)
def _known_text(tag: bytes, text: str) -> bytes:
    return _part(tag, text.encode())


def _link(link: Link) -> bytes:
    head = b"\x0a\x10" + bytes.fromhex(link.trace_id) + b"\x12\x08" + bytes.fromhex(link.span_id)
    return head + b"".join(_pairs(b"\x22", link.attributes)) + _LINK_FLAGS


def _status(code: int, message: str) -> bytes:
    return (_part(b"\x12", message.encode()) if message else b"") + b"\x18" + _varint(code)


def _pairs(tag: bytes, attributes: Mapping[str, Any]) -> list[bytes]:
    parts: list[bytes] = []
    known = _known
    for key, value in attributes.items():
        kind = value.__class__
        if kind is str and len(value) <= _SHORT:
            parts += (tag, known.get((key, value)) or _remembered(known, key, value))
        elif kind is str or kind is Raw:
            text = value.encode() if kind is str else bytes(value)
            name, long = _name(key), len(text)
            size = _SIZES[long] if long < _MOST_SIZES else _varint(long)
            long += 1 + len(size)
            length = _SIZES[long] if long < _MOST_SIZES else _varint(long)
            long += len(name) + len(length)
            parts += (tag, _SIZES[long] if long < _MOST_SIZES else _varint(long), name, length, b"\x0a", size, text)
        elif kind is float:
            parts += (tag, _float_head(key), _double(value))
        elif kind is int and 0 <= value < _LARGE:
            name, number = _name(key), _SIZES[value] if value < _MOST_SIZES else _varint(value)
            long = len(name) + len(number) + 2
            size = _SIZES[long] if long < _MOST_SIZES else _varint(long)
            parts += (tag, size, name, _SMALL[len(number) + 1], b"\x18", number)
        elif value is not None:
            parts += (tag, _part(b"", _pair(key, value if kind in _TOLD else plain_value(value))))
    return parts


def _pair(key: str, value: Any) -> bytes:
    return _name(key) + _part(b"", _value(value))


def _remembered(known: dict[tuple[str, str], bytes], key: str, text: str) -> bytes:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    made = known[key, text] = _part(b"", _pair(key, text))
    return made


_known: dict[tuple[str, str], bytes] = {}
"""Pairs of short texts, each with its size."""


@lru_cache(_MOST_KNOWN)
def _name(key: str) -> bytes:
    """The key of a pair, and the tag of its value."""
    return _part(b"\x0a", key.encode()) + b"\x12"


@lru_cache(_MOST_KNOWN)
def _float_head(key: str) -> bytes:
    """All of a pair but its eight bytes, and without the tag of its field."""
    name = _name(key)
    return _varint(len(name) + 10) + name + b"\x09\x21"


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return _part(b"\x0a", value.encode())
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, float):
        return b"\x21" + _double(value)
    return _part(b"\x2a", b"".join([_part(b"\x0a", _value(item)) for item in value]))


def _part(tag: bytes, content: bytes) -> bytes:
    """A field of its own length."""
    size = len(content)
    return tag + (_SMALL[size] if size < 0x80 else _varint(size)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SMALL[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


_SMALL = [bytes([number]) for number in range(0x80)]
_MOST_SIZES = 2048
_SIZES = [_varint(number) for number in range(_MOST_SIZES)]
_KINDS = [bytes([0x30, kind]) for kind in range(6)]
