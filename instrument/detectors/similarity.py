"""When two questions are one question in other words.

A question's parts are either *atoms* (identifiers, numbers, flags, short names), which name what is asked about, or
*prose* (four words or more), which says how. Different atoms make a different question; prose is compared by its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from instrument.detectors.words import Vocabulary, words_of

PROSE_SPACES = 3
"""Blanks in a text from which on it may hold four words; in scripts without blanks any text may."""

_MOST_WORDS = 2_000
_MOST = 0.5
_NO_SIGNS = dict.fromkeys(map(ord, "(){}[]=<>|&;$/\\*#@+%"))
_DASHES = re.compile(r"(?<!\w)-+")
_CODE_SYMBOLS = 0.3
"""Signs to a word from which on a text is a program or a command: prose has fewer than one to ten words."""

_ASSIGNED = re.compile(r"^[ \t]*[a-z_]\w*[ \t]*=[ \t]*\S", re.MULTILINE)
"""A name that is given a value: whatever prose may follow within the value, the text is a program."""

_decode = msgspec.json.Decoder().decode


class Question(Struct, eq=False, gc=False):
    """What a call asks: its atoms by place, its prose as words in order; `code` for programs and commands.

    With a vocabulary it is compared faster with questions that share it, by one thread.
    """

    atoms: dict[str, str]
    words: tuple[str, ...]
    code: bool
    vocabulary: Vocabulary | None = None
    _prose: frozenset[str] | None = None
    _bits: int | None = None

    @property
    def prose(self) -> frozenset[str]:
        """The distinct words, found on first use."""
        if self._prose is None:
            self._prose = frozenset(self.words)
        return self._prose

    def bits(self, vocabulary: Vocabulary) -> int:
        """The distinct words as bits of its vocabulary, set on first use."""
        if self._bits is None:
            self._bits = vocabulary.bits(self.words)
        return self._bits


def question(given: bytes | dict[str, Any], vocabulary: Vocabulary | None = None) -> Question:
    """The question that arguments hold, encoded or plain; what is no JSON counts as prose."""
    atoms: dict[str, str] = {}
    words: list[str] = []
    code = False
    for place, leaf in _leaves(given if isinstance(given, dict) else _decoded(given), ""):
        text = str(leaf).casefold()
        found = words_of(text) if isinstance(leaf, str) and is_wordy(text) else []
        if _has_words(found):
            words.extend(found)
            code = code or _symbols(text) > _CODE_SYMBOLS * len(found) or _assigns(text)
        elif text and not text.isspace():
            atoms[place] = " ".join(text.split())
    return Question(atoms, tuple(words[:_MOST_WORDS]), code, vocabulary)


def is_wordy(text: str) -> bool:
    """Whether a text may be prose."""
    return not text.isascii() or (" " in text and len(text.split(" ", PROSE_SPACES)) > PROSE_SPACES)


def _assigns(text: str) -> bool:
    return "=" in text and _ASSIGNED.search(text) is not None


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


def in_common(one: Question, other: Question) -> float:
    """Words in common: twice their number over all words of both (Dice's coefficient); 0 where there are none."""
    if one.vocabulary is None or one.vocabulary is not other.vocabulary:
        return _overlap(one.prose, other.prose)
    here, there = one.bits(one.vocabulary), other.bits(one.vocabulary)
    total = here.bit_count() + there.bit_count()
    return 2 * (here & there).bit_count() / total if total else 0.0


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 0.0


def likeness(one: Question, other: Question) -> float:
    """How much two questions are one, from 0 to 1; 0 where they are about different things.

    Without prose the atoms alone decide: they differ at most in case and blanks.
    """
    if one.atoms and any(other.atoms.get(place, atom) != atom for place, atom in one.atoms.items()):
        return 0.0
    if not one.words and not other.words:
        return float(bool(one.atoms) and one.atoms.keys() == other.atoms.keys())
    return in_common(one, other)


def same_object(one: Question, other: Question) -> bool:
    """Whether both name at least one thing and name no different ones."""
    common = one.atoms.keys() & other.atoms.keys()
    return bool(common) and all(one.atoms[place] == other.atoms[place] for place in common)


def extends(one: Question, other: Question) -> bool:
    """Whether one is the other with something added: a parameter, or words that leave most of a value as it was."""
    fewer, more = (one, other) if len(one.atoms) <= len(other.atoms) else (other, one)
    if not fewer.atoms or one.words != other.words:
        return False
    for place, value in fewer.atoms.items():
        found = more.atoms.get(place)
        if found != value and (found is None or not _mostly(value, found)):
            return False
    return True


def _mostly(one: str, other: str) -> bool:
    """Whether values that differ have most of their words in common, and not one name where the other has another."""
    if " " not in one and " " not in other:
        return False
    here, there = frozenset(one.split()), frozenset(other.split())
    return not (here - there and there - here) and _overlap(here, there) > _MOST


def fills_blanks(one: Question, other: Question) -> bool:
    """Whether the second is the first with other names put in: `from Rome by train`, `from Oslo by boat`.

    That is going through a list, which is work, where rewording moves, adds or drops words.
    """
    first, second = one.words, other.words
    if len(first) == len(second):
        changed = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
        return bool(changed) and all(a not in other.prose and b not in one.prose for a, b in changed)
    start = common_start(first, second)
    end = common_start(first[start:][::-1], second[start:][::-1])
    here, there = set(first[start : len(first) - end]), set(second[start : len(second) - end])
    return bool(here) and bool(there) and not here & there


def common_start(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the first letters of two texts, or of two rows of words, are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low
