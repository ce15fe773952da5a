"""Two texts as one, with what changed word by word: `the [-old-]{+new+} text`, in colours where there are any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from instrument.detectors.similarity import common_start
from instrument.views.theme import Theme, clean

_PARTS = re.compile(r"\s+|\w+|[^\w\s]")
MOST_PARTS = 4_000
"""Of longer texts only so many words around the first change are compared."""


def changed_words(before: str, after: str, theme: Theme, around: int = 12) -> str:
    """What changed, with `around` words before and behind each change; all else is an ellipsis."""
    return "".join(
        text if kind == "same" else _painted(kind, text, theme)
        for kind, text in changed_parts(before, after, theme, around)
    )


def changed_parts(before: str, after: str, theme: Theme, around: int = 12) -> Iterator[tuple[str, str]]:
    """The same in parts, each `same`, `gone` or `new`, made harmless."""
    one, two = _cut(_PARTS.findall(before), _PARTS.findall(after))
    matcher = SequenceMatcher(None, one, two, autojunk=False)
    for number, (kind, i, k, j, m) in enumerate(_smoothed(matcher.get_opcodes(), one)):
        gone, new = "".join(one[i:k]), "".join(two[j:m])
        if kind == "equal":
            yield "same", _context(gone, number == 0, k == len(one), theme, around)
        elif gone:
            yield "gone", clean(gone, 400)
        if kind != "equal" and new:
            yield "new", clean(new, 400)


Opcode = tuple[str, int, int, int, int]


def _smoothed(opcodes: Iterable[Opcode], one: list[str]) -> Iterator[Opcode]:
    """Changes with nothing but a blank or one sign between them are one: whole phrases read better than confetti."""
    held: Opcode | None = None
    for code in opcodes:
        kind, i, k, _, m = code
        between = "".join(one[i:k])
        if kind == "equal" and held is not None and k < len(one) and len(between) < 3 and not between.strip(" .,;:"):
            held = (held[0], held[1], k, held[3], m)
        elif kind == "equal":
            if held is not None:
                yield held
            held = None
            yield code
        else:
            held = code if held is None else ("replace", held[1], k, held[3], m)
    if held is not None:
        yield held


def _cut(one: list[str], two: list[str]) -> tuple[list[str], list[str]]:
    if len(one) <= MOST_PARTS and len(two) <= MOST_PARTS:
        return one, two
    start = max(0, common_start(one, two) - 40)
    return one[start : start + MOST_PARTS], two[start : start + MOST_PARTS]


def _painted(kind: str, text: str, theme: Theme) -> str:
    if theme.color:
        return theme.paint(text, "red" if kind == "gone" else "green")
    return f"[-{text}-]" if kind == "gone" else f"{{+{text}+}}"


def _context(text: str, is_first: bool, is_last: bool, theme: Theme, around: int) -> str:
    words = _PARTS.findall(text)
    if is_first and is_last:
        return clean(text, 400)
    if is_first:
        return clean(_tail(words, 2 * around, theme))
    if is_last:
        return clean(_head(words, 2 * around, theme))
    return clean(
        text if len(words) <= 4 * around else f"{_head(words, 2 * around, theme)} {_tail(words, 2 * around, theme)}"
    )


def _head(words: list[str], most: int, theme: Theme) -> str:
    return "".join(words) if len(words) <= most else "".join(words[:most]).rstrip() + f" {theme.ellipsis}"


def _tail(words: list[str], most: int, theme: Theme) -> str:
    return "".join(words) if len(words) <= most else f"{theme.ellipsis} " + "".join(words[-most:]).lstrip()
