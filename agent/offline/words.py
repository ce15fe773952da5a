"""Token counts of the offline model, which has a vocabulary of its own.

A token is a run of up to ten letters, up to three digits, up to two other visible characters, or the spaces in front of
a line. For code and English that is what byte-pair vocabularies count, within about a sixth; it is no real tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

tokens_of = re.compile(r"[^\W\d_]{1,10}|\d{1,3}|[^\w\s]{1,2}|\n[ \t]*")


def count(text: str) -> int:
    """Tokens of a text."""
    return sum(1 for _ in tokens_of.finditer(text))


def count_json(value: object) -> int:
    """Tokens of a JSON value as it is sent."""
    return count(json.dumps(value, ensure_ascii=False))


def cut(text: str, most: int) -> str:
    """The text up to its first `most` tokens."""
    for number, match in enumerate(tokens_of.finditer(text), start=1):
        if number > most:
            return text[: match.start()]
    return text


def pieces(text: str, size: int = 8) -> Iterator[str]:
    """The text in pieces of `size` tokens, as a stream gives it; together they are the text."""
    start = 0
    for number, match in enumerate(tokens_of.finditer(text), start=1):
        if number % size == 0:
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]
