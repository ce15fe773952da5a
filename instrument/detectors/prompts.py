"""What model calls were sent: whether a prompt goes on with an earlier one, and how much of it was sent before.

Prompts that go on with the last one begin with all of it, which a look tells. Others are taken apart into messages, and
long ones into blocks counted from their beginning, so that a text that something is added to keeps all but its last.
"""

from __future__ import annotations

from collections.abc import Sequence

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
ONLY_WHAT_IS_NEW = (REQUEST["previous_response_id"], REQUEST["conversation"], MESSAGES)
"""Attributes of calls whose input holds what is new, while the service, or the record, has the rest."""

Pieces = dict[int, int]
"""The bytes of each piece by its mark, in order."""


class Prompt(Struct, eq=False, gc=False):
    """A prompt: its messages as JSON without the last bracket, until it is taken apart, and its size in bytes.

    `tools` is the mark of those on offer, which come first, `of_tools` their bytes. Of a prompt that is not whole only
    the beginning is known, `head`.
    """

    size: int
    tools: int = 0
    of_tools: int = 0
    text: bytes | None = None
    is_whole: bool = True
    head: bytes = b""
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

    def parts_early_from(self, before: Prompt) -> bool:
        """Whether it differs from an earlier one in what is known of both beginnings: hardly anything leads both."""
        here, there = self._beginning, before._beginning
        both = min(len(here), len(there))
        return here[:both] != there[:both]

    @property
    def _beginning(self) -> bytes:
        return self.head if self.text is None else self.text[:_BLOCK]

    def pieces_beyond(self, before: Prompt) -> Pieces:
        """The pieces that an earlier prompt does not hold."""
        known = before.pieces
        return {mark: size for mark, size in self.pieces.items() if mark not in known}

    def holds_most_of(self, pieces: Pieces, share: float = _MOSTLY) -> bool:
        """Whether at least this share of the bytes of pieces is in it."""
        held = self.pieces.keys() & pieces.keys()
        return bool(held) and sum(map(pieces.__getitem__, held)) >= share * sum(pieces.values())

    def shared_with(self, before: Prompt) -> tuple[float, float]:
        """The share of it that an earlier prompt held as well, and the share with which both begin."""
        if self.begins_with(before):
            return before.size / self.size, before.size / self.size
        of_tools = self.of_tools if self.tools == before.tools else 0
        common, led = sum(map(self.pieces.__getitem__, self.pieces.keys() & before.pieces.keys())), 0
        for mark, other in zip(self.pieces, before.pieces, strict=False):
            if mark != other or self.tools != before.tools:
                break
            led += self.pieces[mark]
        return (of_tools + common) / self.size, (of_tools + led) / self.size


def prompt_of(span: Span, tokens: int) -> Prompt | None:
    """What was sent; None where that is not recorded, or plainly more than what is: of pictures, or by an id."""
    if not span.attributes.keys().isdisjoint(ONLY_WHAT_IS_NEW):
        return None
    raw = encoded(span.input)
    if len(raw) < tokens and b'{"$blob"' not in raw:
        return None
    try:
        sent = _decode_messages(raw)
        messages, tools = bytes(sent.messages), bytes(sent.tools)
    except msgspec.DecodeError:
        messages = tools = b""
    if messages[:1] != b"[":
        found = _by_parameters(raw)
        return found if found is None or found.size >= tokens else None
    return Prompt(len(messages) + len(tools), hash(tools), len(tools), messages[:-1])


def may_go_on(prompt: Prompt, before: Prompt) -> bool:
    """Whether a prompt of which the contents do not prove it may go on with an earlier one all the same."""
    if prompt.is_whole and before.is_whole:
        return prompt.holds_most_of(before.pieces, _NEARLY)
    return True


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
        head = max(apart, key=_size).head.encode()
        return Prompt(len(raw) + sum(beginnings.values()), is_whole=False, head=head, _pieces=beginnings)
    pieces = _pieces_of([part.strip(_SIGNS) for value in given for part in value.split(_ROLE)])
    return Prompt(len(raw), _pieces=pieces) if pieces else None


def _size(one: _Apart) -> int:
    return one.size


def _messages(text: bytes, at: int) -> Sequence[bytes]:
    """Each message from this place on."""
    try:
        return [*map(bytes, _decode_list(b"[%b]" % text[at:]))]
    except msgspec.DecodeError:
        return [text[at:]]


def _pieces_of(parts: Sequence[bytes]) -> Pieces:
    """The pieces of a prompt's parts, of very many the first."""
    sizes = [*map(len, parts)]
    if max(sizes, default=0) > _BLOCK:
        parts = [part[at : at + _BLOCK] for part in parts for at in range(0, len(part), _BLOCK)]
        sizes = [*map(len, parts)]
    return dict(zip(map(hash, parts[:_MOST_PIECES]), sizes, strict=False))


_decode_messages = msgspec.json.Decoder(_Messages).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_named = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_apart = msgspec.json.Decoder(_Apart).decode
