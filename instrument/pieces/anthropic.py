"""The events of Anthropic's messages, raw or as its helper gives them."""

from __future__ import annotations

from typing import Any

from instrument.foreign import Fields, at, known, plain, text
from instrument.pieces.joining import append, error_of, in_order, joined

_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class MessageSaid:
    """A message that is put together. Its usage is what the last event says on top of what the first one said.

    What the first one says of the output is no count: where no other came it is left out.
    """

    def __init__(self) -> None:
        self.error: tuple[str, str] | None = None
        self._head: Fields = {}
        self._usage: Fields = {}
        self._is_counted = False
        self._blocks: dict[Any, Fields] = {}

    @property
    def has_spoken(self) -> bool:
        """Whether any block has begun to fill."""
        return any(len(block) > 1 for block in self._blocks.values())

    @property
    def thinks_aloud(self) -> bool:
        """Whether thoughts came in pieces."""
        return any("thinking" in block for block in self._blocks.values())

    def take(self, piece: Any) -> None:
        """Note one event."""
        event = known(piece)
        kind = text(event.get("type"))
        if kind == "message_start":
            message = known(event.get("message"))
            self._head.update({name: message[name] for name in ("id", "model") if message.get(name)})
            self._note_usage(message.get("usage"))
        elif kind == "content_block_start":
            self._blocks[event.get("index")] = {"begun": plain(event.get("content_block")) or {}}
        elif kind == "content_block_delta":
            self._take_delta(event)
        elif kind == "message_delta":
            self._head["stop_reason"] = at(event, "delta", "stop_reason")
            self._note_usage(event.get("usage"))
            self._is_counted = True
        elif kind == "error":
            self.error = error_of(event.get("error"))

    def answer(self) -> Fields | None:
        """The message; None while nothing has come."""
        if not self._head and not self._blocks:
            return None
        content = [_whole(block) for block in in_order(self._blocks)]
        counts = {name: count for name, count in self._usage.items() if self._is_counted or name != "output_tokens"}
        usage = {"usage": counts} if counts else {}
        return {"type": "message", "stop_reason": None, **self._head, "content": content, **usage}

    def _note_usage(self, usage: Any) -> None:
        self._usage.update({name: count for name, count in plain(known(usage)).items() if count is not None})

    def _take_delta(self, event: Fields) -> None:
        name = _DELTAS.get(text(at(event, "delta", "type")) or "")
        if name is not None:
            block = self._blocks.setdefault(event.get("index"), {"begun": {"type": name}})
            append(block, name, at(event, "delta", name))


def _whole(block: Fields) -> Fields:
    said = joined({name: value for name, value in block.items() if name != "begun"})
    arguments = {"input": said.pop("partial_json")} if "partial_json" in said else {}
    return {**block["begun"], **said, **arguments}
