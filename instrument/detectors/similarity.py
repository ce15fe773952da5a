"""When two questions are one question in other words, and when an answer brings nothing new.

A question's parts are either *atoms* (identifiers, numbers, flags, short names), which name what is asked about, or
*prose* (four words or more), which says how. Different atoms make a different question; prose is compared by its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

PROSE_SPACES = 3
"""Blanks in a text from which on it may hold four words; in scripts without blanks any text may."""

_MOST_WORDS = 2_000
_MOST = 0.5
_ANSWER_BYTES = 8_192
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""Words; where a script sets no blanks between them, its characters."""

_BLANKED = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
_LETTERS = 3
_LONGER_WORD = re.compile(r"\w{3,}|\d+")
_NUMBER = re.compile(r"\d+")
_NO_SIGNS = dict.fromkeys(map(ord, "(){}[]=<>|&;$/\\*#@+%"))
_DASHES = re.compile(r"(?<!\w)-+")
_CODE_SYMBOLS = 0.3
"""Signs to a word from which on a text is a program or a command: prose has fewer than one to ten words."""

_ASSIGNED = re.compile(r"^[ \t]*[a-z_]\w*[ \t]*=[ \t]*\S", re.MULTILINE)
"""A name that is given a value: whatever prose may follow within the value, the text is a program."""

_NO_LETTER = re.compile(r"\W+")
_ESCAPE = re.compile(rb"\\+[nrt\"]")
_decode = msgspec.json.Decoder().decode


class Question(NamedTuple):
    """What a call asks: its atoms by place, its prose as words in order and as a set; `code` for programs, commands."""

    atoms: dict[str, str]
    words: list[str]
    prose: frozenset[str]
    code: bool


def question(raw: bytes) -> Question:
    """The question that encoded arguments hold; what is no JSON counts as prose."""
    atoms: dict[str, str] = {}
    words: list[str] = []
    code = False
    for place, leaf in _leaves(_decoded(raw), ""):
        text = str(leaf).casefold()
        long = isinstance(leaf, str) and (text.count(" ") >= PROSE_SPACES or not text.isascii())
        found = _words(text) if long else []
        if _has_words(found):
            words.extend(found)
            code = code or _symbols(text) > _CODE_SYMBOLS * len(found) or _ASSIGNED.search(text) is not None
        elif text and not text.isspace():
            atoms[place] = " ".join(text.split())
    return Question(atoms, words[:_MOST_WORDS], frozenset(words[:_MOST_WORDS]), code)


def _words(text: str) -> list[str]:
    return text.translate(_BLANKED).split() if text.isascii() else _WORD.findall(text)


def _symbols(text: str) -> int:
    """How many signs of programs and commands a text holds; a row of dashes that begins a word counts once."""
    signs = len(text) - len(text.translate(_NO_SIGNS))
    return signs + len(_DASHES.findall(text)) if "-" in text else signs


def _has_words(found: list[str]) -> bool:
    """Whether more than `PROSE_SPACES` of them are no numbers."""
    words = (word for word in found if not word.isdigit())
    return len(list(islice(words, PROSE_SPACES + 1))) > PROSE_SPACES


def _decoded(raw: bytes) -> Any:
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        return raw.decode("utf-8", "replace")


def json_text(text: str) -> Any:
    """The object or list that a string holds as JSON, else None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return None


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    nested = json_text(value) if isinstance(value, str) else None
    if nested is not None:
        value = nested
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{place}/{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _leaves(part, f"{place}/{number}")
    elif value is not None:
        yield place, value


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Words in common: twice their number over all words of both (Dice's coefficient); 0 where there are none."""
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 0.0


def likeness(one: Question, other: Question) -> float:
    """How much two questions are one, from 0 to 1; 0 where they are about different things.

    Without prose the atoms alone decide: they differ at most in case and blanks.
    """
    if any(other.atoms.get(place, atom) != atom for place, atom in one.atoms.items()):
        return 0.0
    if not one.prose and not other.prose:
        return float(bool(one.atoms) and one.atoms.keys() == other.atoms.keys())
    return overlap(one.prose, other.prose)


def same_object(one: Question, other: Question) -> bool:
    """Whether both name at least one thing and name no different ones."""
    common = one.atoms.keys() & other.atoms.keys()
    return bool(common) and all(one.atoms[place] == other.atoms[place] for place in common)


def letters(raw: bytes) -> str:
    """An encoded input without case, blanks and punctuation."""
    return _NO_LETTER.sub("", raw.decode("utf-8", "replace").casefold())


def extends(one: Question, other: Question) -> bool:
    """Whether one is the other with something added: a parameter, or words that leave most of a value as it was."""
    fewer, more = (one, other) if len(one.atoms) <= len(other.atoms) else (other, one)
    if not fewer.atoms or one.words != other.words:
        return False
    return all(place in more.atoms and _mostly(value, more.atoms[place]) for place, value in fewer.atoms.items())


def _mostly(one: str, other: str) -> bool:
    if one == other or (" " not in one and " " not in other):
        return one == other
    return overlap(frozenset(one.split()), frozenset(other.split())) > _MOST


def fills_blanks(one: Question, other: Question) -> bool:
    """Whether the second is the first with other names put in: `from Rome by train`, `from Oslo by boat`.

    That is going through a list, which is work, where rewording moves, adds or drops words.
    """
    first, second = one.words, other.words
    if len(first) == len(second):
        changed = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
        return bool(changed) and all(a not in other.prose and b not in one.prose for a, b in changed)
    start = _common_start(first, second)
    end = _common_start(first[start:][::-1], second[start:][::-1])
    here, there = set(first[start : len(first) - end]), set(second[start : len(second) - end])
    return bool(here) and bool(there) and not here & there


def _common_start(first: list[str], second: list[str]) -> int:
    shorter = min(len(first), len(second))
    return next((n for n in range(shorter) if first[n] != second[n]), shorter)


def distinct_words(raw: bytes) -> frozenset[str]:
    """The distinct numbers, and words of three letters and more, in the first 8 KiB of an encoded text."""
    text = _ESCAPE.sub(b" ", raw[:_ANSWER_BYTES]).decode("utf-8", "replace").casefold()
    if not text.isascii():
        return frozenset(_LONGER_WORD.findall(text))
    words = set(text.translate(_BLANKED).split())  # a quarter of the time
    short = {word for word in words if len(word) < _LETTERS}
    return frozenset(words - short).union(number for word in short for number in _NUMBER.findall(word))


def news(answer: frozenset[str], known: Iterable[frozenset[str]]) -> int:
    """How many words of an answer are in none of the texts that were known before it."""
    return len(answer.difference(*known))
