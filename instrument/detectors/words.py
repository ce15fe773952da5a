"""The words of a text, taken out as cheaply as may be: in order, as a set, and as bits that are quick to compare."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import count, product
from string import ascii_lowercase, digits

_ANSWER_BYTES = 8_192
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""Words; where a script sets no blanks between them, its characters."""

_BLANKED = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
_LONGER_WORD = re.compile(r"\w{3,}|\d+")
_NUMBER = re.compile(r"\d+")
_LETTERS = (*ascii_lowercase, *digits, "_")
_SHORT = frozenset(_LETTERS).union("".join(pair) for pair in product(_LETTERS, repeat=2))
"""All words of fewer than three letters that a text in ASCII can hold."""

_SHORT_WITH_NUMBER = frozenset(word for word in _SHORT if _NUMBER.search(word))
_NO_LETTER = re.compile(r"\W+")
_ESCAPE = re.compile(rb"\\+[nrt\"]")
_BEGINNING = 256
_SOME = 16
_MOST_WORDS = 4_096
_ONE = ord("1")


def words_of(text: str) -> list[str]:
    """All words of a text without capitals, in order."""
    return text.translate(_BLANKED).split() if text.isascii() else _WORD.findall(text)


def letters(raw: bytes) -> str:
    """An encoded input without case, blanks and punctuation."""
    return _NO_LETTER.sub("", raw.decode("utf-8", "replace").casefold())


def folded(raw: bytes) -> str:
    """The first 8 KiB of an encoded text, without capitals and escaped line ends; `distinct_words` takes it."""
    start = raw[:_ANSWER_BYTES]
    return (_ESCAPE.sub(b" ", start) if b"\\" in start else start).decode("utf-8", "replace").casefold()


def distinct_words(text: str) -> frozenset[str]:
    """The distinct numbers of a folded text, and its words of three letters and more; each is a part of the text."""
    if not text.isascii():
        return frozenset(_LONGER_WORD.findall(text))
    words = frozenset(text.translate(_BLANKED).split())  # a quarter of the time
    longer, short = words - _SHORT, words & _SHORT_WITH_NUMBER
    return longer.union(*map(_NUMBER.findall, short)) if short else longer


def some_words(text: str) -> list[str]:
    """Some of the distinct words of a folded text, from its beginning; perhaps none."""
    end = text.rfind(" ", 0, _BEGINNING)
    return list(distinct_words(text[: max(end, 0)]))[:_SOME]


class Vocabulary:
    """Numbers the words that it meets, so that a set of words becomes one whole number with a bit for each of them."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)

    @property
    def is_full(self) -> bool:
        """Whether it holds so much that it is time for a new one."""
        return len(self._numbers) > _MOST_WORDS

    def bits(self, words: Sequence[str]) -> int:
        """The distinct words as bits."""
        bits = bytearray(b"0") * (len(self._numbers) + len(words) + 1)
        for number in map(self._numbers.__getitem__, words):
            bits[number] = _ONE
        return int(bits[::-1], 2)
