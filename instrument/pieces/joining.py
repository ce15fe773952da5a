"""Texts that come in pieces: kept as lists, joined at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instrument.foreign import Fields, known, listed, one_of, text


def append(kept: Fields, name: str, piece: Any) -> None:
    """Put the piece, a text or blocks of content, behind what is there."""
    found = text(piece)
    if found:
        kept.setdefault(name, []).append(found)
    for block in listed(piece):
        inner = known(block)
        kind = "reasoning" if inner.get("type") == "thinking" else name
        for part in (inner, *map(known, listed(inner.get("thinking")))):
            append(kept, kind, part.get("text"))


def joined(pieces: Fields) -> Fields:
    """The same fields with every list of pieces as one text."""
    return {name: "".join(value) if type(value) is list else value for name, value in pieces.items()}


def in_order(kept: Mapping[Any, Fields]) -> list[Fields]:
    """What is kept by number, as it is counted; what has none is the first."""
    return [kept[at] for at in sorted(kept, key=lambda at: at if type(at) is int else -1)]


def error_of(value: Any) -> tuple[str, str]:
    """Kind and message of an error as endpoints write it."""
    fields = known(value)
    code = one_of(fields, "code", "type", "status")
    kind = text(code) or (str(code) if type(code) is int else None)
    return kind or "error", text(fields.get("message")) or text(value) or ""
