"""Cutting text that is searched for secrets only afterwards: not within a word, which would leave half a secret."""

from __future__ import annotations

import re
from typing import Any, TypeVar

T = TypeVar("T", str, bytes)

_LONGEST_END = 100
_WORD = r"[A-Za-z0-9_./+=~-]+\Z"
_WORDS: dict[type, re.Pattern[Any]] = {str: re.compile(_WORD), bytes: re.compile(_WORD.encode())}


def beginning(whole: T, length: int) -> T:
    """The first so many characters or bytes without the word that the cut goes through: half a secret looks like none.

    Of a longer word only the end goes: what is left of a secret is then enough to know it by.
    """
    ends_in = _WORDS[type(whole)].search(whole, length - _LONGEST_END, length + 1)
    return whole[:length] if ends_in is None or len(whole) <= length else whole[: min(ends_in.start(), length)]
