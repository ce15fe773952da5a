"""What model calls were sent: whether a prompt goes on with an earlier one, and how much of it was sent before.

Prompts that go on with the last one begin with all of it, which a look tells. Others are taken apart into messages, and
long ones into blocks counted from their beginning, so that a text that something is added to keeps all but its last.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from instrument.attributes import MESSAGES, REQUEST
from instrument.detectors.calls import encoded
from instrument.model import Span

_MOST_PIECES = 1_024
_BLOCK = 1_024
_ROLE = b'"role":'
_SIGNS = b"{}[], "
_MOSTLY = 0.5
_NEARLY = 0.75
_ONLY_WHAT_IS_NEW = (REQUEST["previous_response_id"], REQUEST["conversation"], MESSAGES)
"""Attributes of calls whose input holds what is new, while the service, or the record, has the rest."""

Pieces = dict[int, int]
"""The bytes of each piece by its mark, in order."""


class Prompt(Struct, eq=False, gc=False):
    """A prompt: its messages as JSON without the last bracket, until it is taken apart, and its size in bytes.

    `tools` is the mark of those on offer, which come first, `of_tools` their bytes. Of a prompt that is not whole only
    the beginning is known.
    """

    size: int
    tools: int = 0
    of_tools: int = 0
    text: bytes | None = None
    is_whole: bool = True
    _pieces: Pieces | None = None

    @property
    def pieces(self) -> Pieces:
        """All of it in pieces."""
        if self._pieces is None:
            self._pieces = self.pieces_from(0)
        return self._pieces

    def pieces_from(self, place: int) -> Pieces:
        """The pieces of the messages behind a place in the text."""
        if place == 0 and self._pieces is not None:
            return self._pieces
        return {} if self.text is None else _pieces_of(_messages(self.text, place + 1))

    def begins_with(self, before: Prompt) -> bool:
        """Whether all of an earlier prompt comes first."""
        if self.tools != before.tools:
            return False
        if self.text is not None and before.text is not None:
            return self.text.startswith(before.text)
        known, own = before.pieces, self.pieces
        return len(known) <= len(own) and all(map(int.__eq__, known, own))

    def pieces_beyond(self, before: Prompt) -> Pieces:
        """The pieces that an earlier prompt does not hold."""
        known = before.pieces
        return {mark: size for mark, size in self.pieces.items() if mark not in known}

    def holds_most_of(self, pieces: Pieces, share: float = _MOSTLY) -> bool:
        """Whether at least this share of the bytes of pieces is in it."""
        own = self.pieces
        return sum([size for mark, size in pieces.items() if mark in own]) >= share * sum(pieces.values())

    def shared_with(self, before: Prompt) -> tuple[float, float]:
        """The share of it that an earlier prompt held as well, and the share with which both begin."""
        if self.begins_with(before):
            return before.size / self.size, before.size / self.size
        leads = self.tools == before.tools
        common = led = self.of_tools if leads else 0
        known = before.pieces
        order = iter(known)
        for mark, size in self.pieces.items():
            leads = leads and mark == next(order, None)
            led += size if leads else 0
            common += size if mark in known else 0
        return common / self.size, led / self.size


def prompt_of(span: Span, tokens: int) -> Prompt | None:
    """What was sent; None where that is not recorded, or plainly more than what is: of pictures, or by an id."""
    if not span.attributes.keys().isdisjoint(_ONLY_WHAT_IS_NEW):
        return None
    raw = encoded(span.input)
    if len(raw) < tokens:
        return None
    try:
        sent = _decode_messages(raw)
        messages, tools = bytes(sent.messages), bytes(sent.tools)
    except msgspec.DecodeError:
        messages = tools = b""
    if messages[:1] != b"[":
        return _by_parameters(raw)
    return Prompt(len(messages) + len(tools), hash(tools), len(tools), messages[:-1])


def goes_on(prompt: Prompt, before: Prompt, news: Pieces) -> bool | None:
    """Whether a prompt goes on with an earlier one, of which `news` was new; None where that cannot be told.

    Who goes on sends again what was new the last time. What questions of a batch have in common never was.
    """
    if not (prompt.is_whole and before.is_whole):
        return None if prompt.is_whole or before.is_whole or prompt.pieces == before.pieces else False
    if news and prompt.holds_most_of(news):
        return True
    return None if prompt.holds_most_of(before.pieces, _NEARLY) else False


class _Messages(Struct):
    messages: Raw
    tools: Raw = Raw(b"")


class _Apart(Struct):
    head: str
    size: int = msgspec.field(name="bytes")


def _by_parameters(raw: bytes) -> Prompt | None:
    """The prompt that a function was given: what it makes of that is taken to keep the order of its parameters."""
    try:
        given = [bytes(value) for value in _decode_named(raw).values()] if raw[:1] == b"{" else [raw]
        if any(value.startswith(b'{"$hash"') for value in given):
            return None
        apart = [_decode_apart(value) for value in given if value.startswith(b'{"$blob"')]
    except msgspec.DecodeError:
        return None
    if apart:
        beginnings = {hash(one.head): one.size for one in apart}
        return Prompt(len(raw) + sum(beginnings.values()), is_whole=False, _pieces=beginnings)
    pieces = _pieces_of(part.strip(_SIGNS) for value in given for part in value.split(_ROLE))
    return Prompt(len(raw), _pieces=pieces) if pieces else None


def _messages(text: bytes, at: int) -> Iterable[bytes]:
    """Each message from this place on."""
    try:
        return map(bytes, _decode_list(b"[%b]" % text[at:]))
    except msgspec.DecodeError:
        return [text[at:]]


def _pieces_of(parts: Iterable[bytes]) -> Pieces:
    """The pieces of a prompt's parts, of a very long one the first."""
    pieces: Pieces = {}
    for part in parts:
        size = len(part)
        if size <= _BLOCK:
            pieces[hash(part)] = size
        else:
            pieces.update((hash(part[at : at + _BLOCK]), min(_BLOCK, size - at)) for at in range(0, size, _BLOCK))
        if len(pieces) > _MOST_PIECES:
            break
    return pieces


_decode_messages = msgspec.json.Decoder(_Messages).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_named = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_apart = msgspec.json.Decoder(_Apart).decode
