"""Values that nobody can change: a reference to them is enough, and the worker encodes them with the rest of the span.

Strings, numbers, truth values and None are held as they are; a dict or list of nothing else is copied, which takes a
tenth of the time of encoding it. Most arguments and results do not come here: `arguments_of` and `LiveSpan.succeed`
ask the same of strings and numbers by themselves.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from instrument.record.plain import NARROW

SMALL = 8
"""What a number counts, in characters."""


def held(value: Any, most: int) -> Any:
    """The value, or a copy of it, where that is all that is needed: at most `most` characters; else None."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= most else None
    if kind is int or kind is bool:
        return value if most > 0 else None
    if kind is dict:
        return _copied_dict(value, most)
    if kind is list:
        return _copied_list(value, most)
    return value if kind is float and isfinite(value) and most > 0 else None


def _copied_dict(value: dict[Any, Any], most: int) -> dict[Any, Any] | None:
    if len(value) > NARROW:
        return None
    copy = value.copy()
    try:
        names = "".join(copy)
    except TypeError:
        return None
    size = _size_of_leaves(copy.values())
    return copy if "$" not in names and size + len(names) <= most else None


def _copied_list(value: list[Any], most: int) -> list[Any] | None:
    if len(value) > NARROW:
        return None
    copy = value.copy()
    return copy if _size_of_leaves(copy) <= most else None


def size_of(copy: Any) -> int:
    """Roughly the characters of a value that is held."""
    kind = type(copy)
    if kind is str:
        return len(copy)
    if kind is dict or kind is list:
        return _size_of_leaves(copy.values() if kind is dict else copy)
    return SMALL


def _size_of_leaves(values: Any) -> int:
    size = 0
    for one in values:
        kind = type(one)
        if kind is str:
            size += len(one)
        elif kind is int or kind is bool or one is None:
            size += SMALL
        else:
            return _TOO_LONG
    return size


_TOO_LONG = 1 << 62
