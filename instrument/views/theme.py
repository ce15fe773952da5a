"""What text views share: width, colours and characters; text from records made harmless."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
KINDS = {
    "agent": "magenta",
    "step": "blue",
    "llm": "cyan",
    "embedding": "cyan",
    "tool": "yellow",
    "retrieval": "yellow",
}
STATUSES = {
    "ok": "green",
    "error": "red",
    "cancelled": "yellow",
    "refused": "yellow",
    "open": "yellow",
    "unfinished": "yellow",
}
LEVELS = {
    **dict.fromkeys(("TRACE", "DEBUG"), "dim"),
    "SUCCESS": "green",
    **dict.fromkeys(("WARNING", "WARN"), "yellow"),
    **dict.fromkeys(("ERROR", "CRITICAL", "FATAL"), "red"),
}
"""Levels of logs that have a style."""
RANKS = {
    "TRACE": 5, "DEBUG": 10, "INFO": 20, "SUCCESS": 25, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50,
    "FATAL": 50,
}  # fmt: skip
"""Levels of logs in order; those of the standard library and of loguru, and other words for them."""
SEVERITIES = {"info": "INFO", "warning": "WARNING", "error": "ERROR"}
"""Severities of findings, the least first, as levels of logs."""

_MARKS = {
    "ok": "✔",
    "error": "✘",
    "cancelled": "⊘",
    "refused": "⊝",
    "open": "…",
    "unfinished": "⊘",
    "finding": "▲",
    "begin": "▸",
    "fold": "…",
}
_PLAIN_MARKS = {
    "ok": "+",
    "error": "x",
    "cancelled": "-",
    "refused": "=",
    "open": "~",
    "unfinished": "-",
    "finding": "!",
    "begin": ">",
    "fold": ":",
}
_JOINERS = "\u200c\u200d"
"""Invisible, but part of emoji and of several scripts, and harmless."""


class Theme(Struct, frozen=True):
    """How text is laid out: `width` in cells (None: as wide as it gets), with colours or not, in Unicode or ASCII."""

    width: int | None = 100
    color: bool = False
    unicode: bool = True

    def paint(self, text: str, *styles: str | None) -> str:
        """The text in the given styles, where there are colours."""
        if not self.color:
            return text
        codes = ";".join(STYLES[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text

    def mark(self, status: str) -> str:
        """The sign of a status, of a `finding`, of a span that `begin`s, or of several in a `fold`."""
        return (_MARKS if self.unicode else _PLAIN_MARKS).get(status, "·" if self.unicode else "?")

    @property
    def unknown(self) -> str:
        """Stands for what is not known."""
        return "–" if self.unicode else "-"

    @property
    def ellipsis(self) -> str:
        """Stands for what was cut."""
        return "…" if self.unicode else "..."

    @property
    def times(self) -> str:
        """Between a name and how often it is there."""
        return "×" if self.unicode else "x"

    @property
    def dot(self) -> str:
        """Between things on one line."""
        return "·" if self.unicode else "-"


PLAIN = Theme()
UNBOUNDED = Theme(width=None)


def theme_for(stream: Any, color: str = "auto", environ: Mapping[str, str] = os.environ) -> Theme:
    """The theme that suits a stream: a terminal's width and colours, plain text anywhere else.

    `color` is auto, always or never; auto honours NO_COLOR, FORCE_COLOR and TERM=dumb. COLUMNS overrides the width.
    """
    terminal = _is_terminal(stream)
    wanted = terminal and environ.get("TERM", "") != "dumb"
    allowed = not environ.get("NO_COLOR") and (wanted or bool(environ.get("FORCE_COLOR")))
    colored = color == "always" or (color == "auto" and allowed)
    return Theme(_width(stream, terminal, environ), colored, _takes_unicode(stream))


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False


def _width(stream: Any, terminal: bool, environ: Mapping[str, str]) -> int | None:
    columns = environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns):
        return max(20, int(columns))
    try:
        return max(20, os.get_terminal_size(stream.fileno()).columns or 80) if terminal else None
    except (AttributeError, ValueError, OSError):
        return 80


def _takes_unicode(stream: Any) -> bool:
    try:
        "✔│…".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError, TypeError):
        return False
    return True


def clean(text: object, limit: int = 2000) -> str:
    """Text from a record, fit for one line of any terminal: what controls or reorders text is shown as an escape."""
    raw = text if isinstance(text, str) else str(text)
    cut = raw[:limit]
    if not cut.isprintable():
        cut = "".join(letter if _is_harmless(letter) else _escape(letter) for letter in cut)
    return cut if len(raw) <= limit else f"{cut}… ({len(raw):,} characters)"


def _is_harmless(letter: str) -> bool:
    return letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) in ("Zs", "Cn", "Co")


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def encodable(text: str, stream: Any) -> str:
    """The text with escapes for what the stream's encoding cannot show."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "backslashreplace").decode("ascii")


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(letter: str) -> int:
    if unicodedata.combining(letter) or letter in _JOINERS or letter == "\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """The text, or as much of it as fits into `width` columns with an ellipsis behind."""
    if cells(text) <= width:
        return text
    room = width - cells(ellipsis)
    kept = 0
    for place, letter in enumerate(text):
        kept += _cells_of(letter)
        if kept > room:
            return text[:place] + ellipsis if room > 0 else ellipsis[: max(0, width)]
    return text


def pad(text: str, width: int, right: bool = False) -> str:
    """The text filled up with spaces to `width` columns, on the left for numbers."""
    if text.isascii():
        return text.rjust(width) if right else text.ljust(width)
    gap = " " * (width - cells(text))
    return gap + text if right else text + gap


def wrapped(text: str, width: int | None) -> list[str]:
    """The text in lines of at most `width` columns, broken at spaces; a word that is longer keeps its own line."""
    lines: list[str] = []
    # two spaces are a column gap of ours and break like one
    for word in text.split(" "):
        if lines and (width is None or cells(lines[-1]) + 1 + cells(word) <= width):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [line.rstrip() for line in lines]


_ANSI = re.compile(r"(\x1b\[[0-9;]*m)")


def cut_painted(text: str, width: int, ellipsis: str = "…") -> str:
    """As `cut`, for our own text with colours in it."""
    letters = bare(text)
    if cells(letters) <= width:
        return text
    left = width - cells(ellipsis)
    parts: list[str] = []
    for place, part in enumerate(_ANSI.split(text)):
        if place % 2:
            parts.append(part)
            continue
        kept = cut(part, left, "") if left > 0 else ""
        left -= cells(kept)
        parts.append(kept)
        if kept != part:
            break
    return "".join(parts) + ellipsis + ("\x1b[0m" if len(letters) < len(text) else "")


def bare(text: str) -> str:
    """Our own text without its colours."""
    return _ANSI.sub("", text)


def broken(text: str, width: int) -> list[str]:
    """Our own text, with colours in it, in lines of at most `width` columns; broken at spaces where there are some."""
    lines, line, used, style = [], "", 0, ""
    for place, part in enumerate(_ANSI.split(text)):
        if place % 2:
            line, style = line + part, "" if part == "\x1b[0m" else part
            continue
        for word in re.findall(r"\s+|\S+", part):
            for piece in [word] if cells(word) <= width else _pieces(word, width):
                if used + cells(piece) > width:
                    lines.append(line.rstrip() + ("\x1b[0m" if style else ""))
                    line, used, piece = style, 0, piece.lstrip() if piece.isspace() else piece
                line, used = line + piece, used + cells(piece)
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    pieces, piece, used = [], "", 0
    for letter in word:
        if used + _cells_of(letter) > width:
            pieces.append(piece)
            piece, used = "", 0
        piece, used = piece + letter, used + _cells_of(letter)
    return [*pieces, piece]
