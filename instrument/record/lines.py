"""From finished records to JSON lines without secrets. Runs on the worker."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from instrument.model import Record, decode_known, encode, split
from instrument.record.capture import encode_valid
from instrument.record.plain import holds_endless_integer
from instrument.record.snapshot import snapshot
from instrument.record.texts import valid_text_of


def together(records: list[Record]) -> bytes | None:
    """The JSON lines of the records in one go, or None where they must be written one by one.

    Nearly every batch holds no secret, and one look at all of it takes a sixth of the time of one at each line. None of
    the lines holds a newline: what is encoded in a record already is so by capture, as here.
    """
    if any(map(_extra_of, records)):
        return None
    try:
        lines = _encode_lines(records)
    except Exception:  # noqa: BLE001 - one odd record; the others are told from it one by one
        return None
    return None if holds_endless_integer(lines) else lines


def apart(data: bytes, stretches: list[tuple[int, int]]) -> list[tuple[bytes | None, bool]]:
    """The lines that `together` made, and of each whether it lies in one of the stretches."""
    lines: list[tuple[bytes | None, bool]] = []
    at = 0
    for line in split(data):
        lines.append((line, any(start <= at < end for start, end in stretches)))
        at += len(line) + 1
    return lines


_extra_of = attrgetter("extra")
_encode_lines = msgspec.json.Encoder().encode_lines


def line_of(record: Record, redact: Callable[[bytes, int], bytes], line: bytes | None = None) -> tuple[Record, bytes]:
    """The record and its JSON line, both without secrets. The head of type and ids is ours and is not looked at.

    `line` is what `together` made of the record.
    """
    if line is None:
        line = _encoded(record)
        if line is None:
            record = _mended(record)
            line = encode(record)
    behind_head = _BEHIND_HEAD.search(line)
    clean = redact(line, behind_head.start() if behind_head is not None else 0)
    return (record, line) if clean is line else (decode_known(clean), clean)


_BEHIND_HEAD = re.compile(rb'"(?:start_ns|time_ns|detector|usage|cost|attributes)":')
"""The first field behind the ids, of any type of record: none of these is a name that a head could hold."""


def _encoded(record: Record) -> bytes | None:
    """The JSON of the record, None where there is none or it could not be read back."""
    try:
        line = encode(record)
    except (ValueError, TypeError):
        return None
    return None if holds_endless_integer(line) else line


S = TypeVar("S", bound=Struct)


def _mended(record: S) -> S:
    """The record as JSON can hold it: text as it is in plain strings of valid Unicode, values as capture shows them."""
    mended: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name in ("input", "output") and isinstance(record, Record):
            mended[name] = None if value is None else _shown(value)
        elif name in ("attributes", "metadata"):
            mended[name] = {valid_text_of(key): _shown(one) for key, one in value.items()}
        else:
            mended[name] = _with_valid_text(value)
    return replace(record, **mended)


def _with_valid_text(value: Any) -> Any:
    if isinstance(value, str):
        return valid_text_of(value)
    if isinstance(value, list):
        return [_with_valid_text(one) for one in value]
    if isinstance(value, dict):
        return {valid_text_of(key): _with_valid_text(one) for key, one in value.items()}
    return _mended(value) if isinstance(value, Struct) else value


def _shown(value: Any) -> Any:
    if value.__class__ is list:
        return [_shown(one) for one in value]
    return value if value.__class__ is Raw else Raw(encode_valid(snapshot(value).tree))
