"""A first glance at a call: numbers that are equal wherever what was asked, or what came, is equal.

The reverse does not hold, and what cannot be told at a glance is `UNCLEAR`. It takes a tenth of the time of the
fingerprints (`calls`), and is enough for a call that resembles none of the last ones.
"""

from __future__ import annotations

from typing import Any

UNCLEAR = 0

_LONG = 1_024
"""Of longer texts only the length and the ends are looked at; their fingerprints take them as they are, too."""

_END = 48


def of_arguments(given: Any) -> int:
    """Of numbers and of texts that have but one form: no blanks that could be others, no JSON that could be ordered."""
    if type(given) is not dict:
        return UNCLEAR
    seen = 0
    for part in given.values():  # summed up, because their order does not matter
        kind = type(part)
        if kind is int or kind is bool:
            seen += hash((part,))
        elif kind is str and len(part) > _LONG:
            seen += hash((len(part), part[:_END], part[-_END:]))
        elif kind is str and _has_one_form(part):
            seen += hash(part)
        else:
            return UNCLEAR
    return seen


def of_result(told: Any) -> int:
    """Of numbers, texts, and what holds texts first and last."""
    kind = type(told)
    if kind is int:
        return hash((told,))
    if kind is str:
        return _seen_of(told)
    if (kind is dict or kind is list) and told:
        parts = told.values() if kind is dict else told
        first, last = next(iter(parts)), next(reversed(parts))
        if type(first) is str and type(last) is str:
            return hash((kind, len(told), _seen_of(first), _seen_of(last)))
    return UNCLEAR


def _has_one_form(text: str) -> bool:
    return text.isascii() and '"' not in text and "\\" not in text and text.split(None, 1) == [text]


def _seen_of(text: str) -> int:
    return hash(text) if len(text) <= _LONG else hash((len(text), text[:_END], text[-_END:]))
