"""A stream of plain texts, as functions yield them that unpack a client's chunks themselves."""

from __future__ import annotations

from typing import Any

from instrument.foreign import text

MOST = 4_000_000
"""Characters that are kept to be counted."""


class WordsSaid:
    """Texts, one behind the other."""

    error: tuple[str, str] | None = None
    thinks_aloud = False

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._length = 0

    @property
    def has_spoken(self) -> bool:
        """Whether anything has come."""
        return self._length > 0

    def take(self, piece: Any) -> None:
        """Note one text; what is none is left out."""
        found = text(piece)
        if found and self._length < MOST:
            self._texts.append(found)
            self._length += len(found)

    def answer(self) -> str | None:
        """The whole text."""
        return "".join(self._texts) or None
