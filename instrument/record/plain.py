"""Plain values: strings, numbers, truth values, None, and lists, tuples and dicts of nothing else."""

from __future__ import annotations

import re
from itertools import chain
from math import isfinite
from sys import get_int_max_str_digits
from typing import Any

MAX_DEPTH = 64

MAX_LEAVES = 8_000
"""Numbers and strings that are taken over together with the list or dict they lie in."""

MAX_DIGIT_BITS = 14_000
"""An integer with more bits has more digits than Python writes by default."""

MAX_DIGITS = 4_300
"""A longer number is not read back from JSON; Python writes it only where the program has lifted its limit."""

NARROW = 64
"""Elements up to which a container is looked through in Python: below, C is no faster."""

NOT_PLAIN = 1 << 62

ATOMS = frozenset({str, int, bool, type(None)})
LEAVES = ATOMS | {float}
_CONTAINERS = frozenset({dict, list, tuple})
PLAIN = LEAVES | _CONTAINERS
STRINGS = frozenset({str})


def plain_size(value: Any, max_size: int = NOT_PLAIN, depth: int = MAX_DEPTH) -> int:
    """Roughly the bytes of a value's JSON; `NOT_PLAIN` unless all of it is of exact plain types, or above the limit."""
    kind = type(value)
    if kind is str:
        return len(value)
    if value is None or kind is int or kind is bool:
        return 8
    if kind is float:
        return 8 if isfinite(value) else NOT_PLAIN
    if not depth or (kind is not dict and kind is not list and kind is not tuple):
        return NOT_PLAIN
    if len(value) > NARROW:
        return _wide_size(value, max_size)
    size = 64
    if kind is dict:
        size += len("".join(value))
        value = value.values()
    for one in value:
        kind = type(one)
        if kind is str:
            size += len(one)
        elif kind is int or kind is bool or one is None:
            size += 8
        else:
            size += plain_size(one, max_size, depth - 1)
            if size > max_size:
                return NOT_PLAIN
    return size


def _wide_size(value: object, max_size: int) -> int:
    """`plain_size` of long containers: level by level, the work of each level done by C."""
    level: list[Any] = [value]
    size = leaves = 0
    while level:
        leaves += len(level)
        kinds = set(map(type, level))
        if leaves > MAX_LEAVES or not kinds <= PLAIN:
            return NOT_PLAIN
        if str in kinds:
            size += sum(map(len, level if kinds == STRINGS else [one for one in level if type(one) is str]))
        if float in kinds and not isfinite(sum([one for one in level if type(one) is float])):
            return NOT_PLAIN
        size += 8 * len(level)
        containers = [one for one in level if type(one) in _CONTAINERS] if not kinds <= LEAVES else []
        if size > max_size or leaves + sum(map(len, containers)) > MAX_LEAVES:
            return NOT_PLAIN
        dicts = [one for one in containers if type(one) is dict]
        size += len("".join(chain.from_iterable(dicts)))
        level = list(chain.from_iterable([one.values() if type(one) is dict else one for one in containers]))
    return size


def size_of_leaves(values: list[Any]) -> int:
    """The size of strings, truth values and numbers that need no mark; `NOT_PLAIN` if there is anything else."""
    kinds = set(map(type, values))
    if not kinds <= LEAVES:
        return NOT_PLAIN
    if int in kinds and max(map(int.bit_length, [one for one in values if type(one) is int])) > MAX_DIGIT_BITS:
        return NOT_PLAIN
    if float in kinds and not isfinite(sum([one for one in values if type(one) is float])):
        return NOT_PLAIN
    return 8 * len(values) + sum(map(len, [one for one in values if type(one) is str]))


def holds_endless_integer(data: bytes) -> bool:
    """Whether this JSON may hold an integer that cannot be read back."""
    limit = get_int_max_str_digits()
    return (not limit or limit > MAX_DIGITS) and _endless(data) is not None


_endless = re.compile(rb"(?:^|[:,\[])-?\d{%d}" % MAX_DIGITS).search


def integer(value: int) -> Any:
    if value.bit_length() <= MAX_DIGIT_BITS:
        return value
    bits = value.bit_length()
    return {"$int": f"{'-' if value < 0 else ''}{hex(abs(value) >> 4 * ((bits + 3) // 4 - 64))}…", "bits": bits}


def float_or_mark(value: float) -> Any:
    return value if isfinite(value) else {"$float": {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]}
