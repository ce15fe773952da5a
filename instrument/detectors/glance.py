"""A first glance at calls of one tool: whether it shows at once that none of them is like another.

Where it says so it is true; where it does not, it may be true all the same. It takes a tenth of the time of the
fingerprints (`calls`), because a row of calls is looked at together: what was given for one parameter, for all of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import islice
from math import isfinite
from typing import Any

from instrument.detectors.similarity import PROSE_SPACES

_LONG = 1_024
"""Of longer texts only the length and the ends are looked at; their fingerprints take them as they are, too."""

_END = 48
_MOST_FIELDS = 4
"""So many fields of results are looked at."""

_PLAIN = frozenset({int, float, bool, type(None)})
_RESULTS = frozenset({int, float, str, dict, list})
_COMPARED = ({int}, {float}, {str})


def ask_anew(row: list[Any], known: Iterable[Any]) -> bool:
    """Whether all these arguments differ from each other and from those that are known.

    Said only of numbers and of texts that have but one form (no blanks that could be others, no JSON that could be
    ordered) and too few words to be reworded, and of long ones.
    """
    first, many = row[0], len(row)
    if {*map(type, row)} != {dict} or {*map(len, row)} != {len(first)}:
        return False
    calls = list(row)
    for given in known:
        if type(given) is not dict:
            return False
        if given.keys() == first.keys():
            calls.append(given)
    try:
        columns = [[given[key] for given in calls] for key in first]
    except KeyError:
        return False
    if sum(map(_blanks_in, columns)) >= PROSE_SPACES:
        return False
    return any(_are_new(column, many) for column in columns) or _are_new_together(columns, many)


def answer_anew(row: list[Any], known: Iterable[Any]) -> bool:
    """Whether all these results, numbers, texts or what holds some, differ from each other and from those known."""
    kind, others, many = type(row[0]), list(known), len(row)
    if {*map(type, row)} != {kind} or not {kind, *map(type, others)} <= _RESULTS:
        return False
    results = row + [told for told in others if type(told) is kind]
    if kind is int or kind is float or kind is str:
        return _are_finite({kind}, results) and (_are_new(results, many) or _are_new_together([results], many))
    if kind is list:
        results = [{"first": told[0], "last": told[-1]} if told else {} for told in results]
    columns = []
    for field in islice(results[0], _MOST_FIELDS):
        column = [told.get(field) for told in results]
        kinds = {*map(type, column)}
        if kinds in _COMPARED and _are_finite(kinds, column):
            if _are_new(column, many):
                return True
            columns.append(column)
    return _are_new_together(columns, many)


def _blanks_in(column: list[Any]) -> int:
    """The most blanks in one of the values; as many as in prose where values may be one though they differ."""
    kinds = {*map(type, column)}
    if kinds <= _PLAIN:
        return 0 if _are_finite(kinds, column) else PROSE_SPACES
    if kinds != {str}:
        return PROSE_SPACES
    if min(map(len, column)) > _LONG:
        return 0
    text = " ".join(column)
    if not text.isascii() or '"' in text or "\\" in text:
        return PROSE_SPACES
    words = text.split()
    if words == column:
        return 0
    return max(value.count(" ") for value in column) if " ".join(words) == text else PROSE_SPACES


def _are_finite(kinds: set[type], column: list[Any]) -> bool:
    """Whether no number is one that JSON does not have: what is written for these is the same for all."""
    return float not in kinds or all(isfinite(value) for value in column if type(value) is float)


def _are_new(column: list[Any], many: int) -> bool:
    """Whether the first `many` values differ, by their beginnings, from each other and from the rest."""
    return _differ([text[:_END] for text in column] if type(column[0]) is str else column, many)


def _are_new_together(columns: list[list[Any]], many: int) -> bool:
    """Whether the first `many` rows of values differ from each other and from the rest."""
    return _differ(list(zip(*map(_ends, columns), strict=True)), many)


def _ends(column: list[Any]) -> list[Hashable]:
    return [
        (len(value), value[:_END], value[-_END:]) if type(value) is str and len(value) > _LONG else value
        for value in column
    ]


def _differ(marks: list[Hashable], many: int) -> bool:
    new = {*marks[:many]}
    return len(new) == many and new.isdisjoint(marks[many:])
