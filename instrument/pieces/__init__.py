"""What the pieces of a stream come to: the answer that the service would have given in one piece.

One file a dialect. Each has `take(piece)` and `answer()`, in the form of a response that came whole; nothing is taken
from a piece but what its stored fields hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from instrument.foreign import Fields, is_text, known, text
from instrument.pieces.anthropic import MessageSaid
from instrument.pieces.chat import ChatSaid
from instrument.pieces.gemini import ContentSaid
from instrument.pieces.responses import ResponseSaid
from instrument.pieces.words import WordsSaid

__all__ = ["AnySaid", "ChatSaid", "ContentSaid", "MessageSaid", "ResponseSaid", "Said", "WordsSaid", "said_by"]


class Said(Protocol):
    """What a stream has said so far.

    `error` is what the service said went wrong in the middle of it. `has_spoken`: something of the answer itself, a
    text, a thought or a call, has come. `thinks_aloud`: its thoughts come in pieces as well.
    """

    @property
    def error(self) -> tuple[str, str] | None: ...

    @property
    def has_spoken(self) -> bool: ...

    @property
    def thinks_aloud(self) -> bool: ...

    def take(self, piece: Any) -> None:
        """Note one piece."""

    def answer(self) -> Fields | str | None:
        """What has been said, in the form of a whole response; None while it is nothing."""


def said_by(operation: str) -> Said:
    """An empty one for the dialect of an endpoint."""
    if operation == "messages":
        return MessageSaid()
    return ResponseSaid() if operation == "responses" else ChatSaid()


class AnySaid:
    """Pieces of a dialect that the first of them tells. What is no piece of an answer says nothing."""

    def __init__(self) -> None:
        self._said: Said | None = None

    @property
    def error(self) -> tuple[str, str] | None:
        return None if self._said is None else self._said.error

    @property
    def has_spoken(self) -> bool:
        return self._said is not None and self._said.has_spoken

    @property
    def thinks_aloud(self) -> bool:
        return self._said is not None and self._said.thinks_aloud

    def take(self, piece: Any) -> None:
        """Note one piece; the first that is of a known dialect decides."""
        if self._said is None:
            dialect = _dialect_of(piece)
            self._said = None if dialect is None else dialect()
        if self._said is not None:
            self._said.take(piece)

    def answer(self) -> Fields | str | None:
        """What has been said; None where no piece was of a known dialect."""
        return None if self._said is None else self._said.answer()


def _dialect_of(piece: Any) -> Callable[[], Said] | None:
    if is_text(piece):
        return WordsSaid
    fields = known(piece)
    kind = text(fields.get("type")) or ""
    if kind.startswith("response."):
        return ResponseSaid
    if kind.startswith(("message_", "content_block_")):
        return MessageSaid
    if "choices" in fields:
        return ChatSaid
    return ContentSaid if "candidates" in fields else None
