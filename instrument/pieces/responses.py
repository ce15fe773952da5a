"""The events of the Responses API."""

from __future__ import annotations

from typing import Any

from instrument.foreign import Fields, known, text
from instrument.pieces.joining import append, error_of, in_order, joined

FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")

_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
}


class ResponseSaid:
    """The events of the Responses API. The last one brings the whole response; until then it is put together."""

    def __init__(self) -> None:
        self.error: tuple[str, str] | None = None
        self._final: Any = None
        self._head: Fields = {}
        self._items: dict[Any, Fields] = {}
        self._thinks_aloud = False

    @property
    def response_id(self) -> str | None:
        """The response's id, once it is known."""
        return text(self._head.get("id"))

    @property
    def has_spoken(self) -> bool:
        """Whether any item has begun to fill."""
        return any(set(item) - {"response.output_item.added"} for item in self._items.values())

    @property
    def thinks_aloud(self) -> bool:
        """Whether thoughts came in pieces, not only their summary."""
        return self._thinks_aloud

    @property
    def is_final(self) -> bool:
        """Whether the response has come to its end."""
        return self._final is not None

    def take(self, piece: Any) -> None:
        """Note one event."""
        event = known(piece)
        kind = text(event.get("type")) or ""
        self._thinks_aloud = self._thinks_aloud or kind == "response.reasoning_text.delta"
        if kind in _DELTAS:
            append(self._item(event), _DELTAS[kind], event.get("delta"))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item(event)[kind] = known(event.get("item"))
        elif kind == "error":
            self.error = error_of(event.get("error") or event)
        elif event.get("response") is not None:
            self._take_response(kind, event["response"])
        elif event.get("error"):
            self.error = error_of(event["error"])

    def answer(self) -> Fields | None:
        """The whole response, or as much of it as there is."""
        if self.is_final:
            return known(self._final)
        if not self._head and not self._items:
            return None
        output = [part for item in in_order(self._items) for part in _output(item)]
        return {"object": "response", **self._head, "output": output}

    def _take_response(self, kind: str, response: Any) -> None:
        fields = known(response)
        self._head.update({name: fields[name] for name in ("id", "model", "service_tier") if fields.get(name)})
        if kind in FINAL_EVENTS:
            self._final = response
        if kind == "response.failed":
            self.error = error_of(fields.get("error"))

    def _item(self, event: Fields) -> Fields:
        return self._items.setdefault(event.get("output_index"), {})


def _output(item: Fields) -> list[Fields]:
    """One item of the output: as it was when it was done, else made of its pieces."""
    if "response.output_item.done" in item:
        return [item["response.output_item.done"]]
    begun = item.get("response.output_item.added", {})
    said = joined({name: item[name] for name in ("text", "refusal", "reasoning", "arguments") if name in item})
    kind = text(begun.get("type")) or ("function_call" if "arguments" in said else "message")
    if kind.endswith("_call"):
        return [{**begun, "type": kind, "arguments": said.get("arguments", ""), "input": said.get("arguments", "")}]
    if kind == "reasoning" or "reasoning" in said:
        return [{"type": "reasoning", "summary": [{"text": said.get("reasoning", "")}]}]
    parts = [{"type": "output_text", "text": said["text"]}] if "text" in said else []
    refusals = [{"type": "refusal", "refusal": said["refusal"]}] if "refusal" in said else []
    return [{"type": "message", "role": "assistant", "content": parts + refusals}] if parts or refusals else []
