"""What the pieces of a stream come to: the answer that the endpoint would have given in one piece.

Each of the two has `take(piece)` and `answer()`, in the form of a response that came whole; `error` is what the
endpoint said went wrong in the middle of it.
"""

from __future__ import annotations

from typing import Any, Protocol

from instrument.foreign import Fields, at, known, listed, one_of, text
from instrument.usage import usage_of

FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")
HEAD = ("id", "model", "service_tier", "x_groq", "prompt_filter_results")
SPOKEN = ("content", "refusal", "reasoning_content", "reasoning")

_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
}


class Said(Protocol):
    """What a stream has said so far."""

    error: tuple[str, str] | None

    def take(self, piece: Any) -> None:
        """Note one piece."""

    def answer(self) -> Fields | None:
        """What has been said, in the form of a whole response; None while it is nothing."""


def said_by(operation: str) -> Said:
    """An empty one for the endpoint's dialect."""
    return ResponseSaid() if operation == "responses" else ChatSaid()


class ChatSaid:
    """The chunks of a chat completion, or of an old completion."""

    def __init__(self) -> None:
        self.error: tuple[str, str] | None = None
        self._head: Fields = {}
        self._choices: dict[int, Fields] = {}

    def take(self, piece: Any) -> None:
        """Note one chunk. Usage may come in several of them: the last one counts."""
        chunk = known(piece)
        self._head.update({name: chunk[name] for name in HEAD if chunk.get(name)})
        if chunk.get("error"):
            self.error = error_of(chunk["error"])
        usage = one_of(chunk, "usage") or at(chunk, "x_groq", "usage")
        if usage_of(usage) is not None:
            self._head["usage"] = usage
        for choice in map(known, listed(chunk.get("choices"))):
            self._take_choice(choice)

    def answer(self) -> Fields | None:
        """The completion; what was said last of its head counts."""
        if not self._head and not self._choices:
            return None
        return {"choices": [_assembled(choice) for _, choice in sorted(self._choices.items())], **self._head}

    def _take_choice(self, choice: Fields) -> None:
        index = choice.get("index")
        kept = self._choices.setdefault(index if type(index) is int else 0, {"message": {"role": "assistant"}})
        message = kept["message"]
        delta = known(choice.get("delta")) or {"content": choice.get("text")}
        for name in SPOKEN:
            _append(message, name, delta.get(name))
        _append(message.setdefault("audio", {}), "data", at(delta, "audio", "data"))
        for call in map(known, listed(delta.get("tool_calls"))):
            _take_tool_call(kept.setdefault("calls", []), call)
        if known(delta.get("function_call")):
            _take_tool_call(kept.setdefault("calls", []), {"function": delta["function_call"]})
        if choice.get("finish_reason"):
            kept["finish_reason"] = choice["finish_reason"]


def _append(kept: Fields, name: str, piece: Any) -> None:
    """Put the piece, a text or blocks of content, behind what is there; pieces are joined at the end."""
    found = text(piece)
    if found:
        kept.setdefault(name, []).append(found)
    for block in listed(piece):
        inner = known(block)
        kind = "reasoning" if inner.get("type") == "thinking" else name
        for part in (inner, *map(known, listed(inner.get("thinking")))):
            _append(kept, kind, part.get("text"))


def _take_tool_call(calls: list[Fields], call: Fields) -> None:
    kept = _call_of(calls, call.get("index"), text(call.get("id")))
    function = known(one_of(call, "function", "custom"))
    name = text(function.get("name"))
    if name and kept["function"].get("name") != [name]:  # some services repeat it in every piece
        _append(kept["function"], "name", name)
    _append(kept["function"], "arguments", one_of(function, "arguments", "input"))


def _call_of(calls: list[Fields], index: Any, call_id: str | None) -> Fields:
    """The call that a piece belongs to. Some services number all calls alike, and only the id tells them apart."""
    for call in reversed(calls):
        if call["index"] == index and (not call_id or call["id"] in (None, call_id)):
            call["id"] = call["id"] or call_id
            return call
    calls.append({"index": index, "id": call_id, "function": {}})
    return calls[-1]


def _assembled(choice: Fields) -> Fields:
    calls = [
        {"id": call.get("id"), "type": "function", "function": _joined(call["function"])}
        for call in choice.get("calls", ())
    ]
    message = _joined({name: value for name, value in choice["message"].items() if name != "audio"})
    sound = _joined(choice["message"].get("audio", {}))
    whole = {**message, **({"audio": sound} if sound else {}), **({"tool_calls": calls} if calls else {})}
    return {"message": whole, "finish_reason": choice.get("finish_reason")}


def _joined(pieces: Fields) -> Fields:
    return {name: "".join(value) if type(value) is list else value for name, value in pieces.items()}


class ResponseSaid:
    """The events of the Responses API. The last one brings the whole response; until then it is put together."""

    def __init__(self) -> None:
        self.error: tuple[str, str] | None = None
        self._final: Any = None
        self._head: Fields = {}
        self._items: dict[Any, Fields] = {}

    @property
    def response_id(self) -> str | None:
        """The response's id, once it is known."""
        return text(self._head.get("id"))

    @property
    def is_final(self) -> bool:
        """Whether the response has come to its end."""
        return self._final is not None

    def take(self, piece: Any) -> None:
        """Note one event."""
        event = known(piece)
        kind = text(event.get("type")) or ""
        if kind in _DELTAS:
            _append(self._item(event), _DELTAS[kind], event.get("delta"))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item(event)[kind] = known(event.get("item"))
        elif kind == "error":
            self.error = error_of(event)
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
        output = [part for item in self._items.values() for part in _output(item)]
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
    said = _joined({name: item[name] for name in ("text", "refusal", "reasoning", "arguments") if name in item})
    kind = text(begun.get("type")) or ("function_call" if "arguments" in said else "message")
    if kind.endswith("_call"):
        return [{**begun, "type": kind, "arguments": said.get("arguments", ""), "input": said.get("arguments", "")}]
    if kind == "reasoning" or "reasoning" in said:
        return [{"type": "reasoning", "summary": [{"text": said.get("reasoning", "")}]}]
    parts = [{"type": "output_text", "text": said["text"]}] if "text" in said else []
    refusals = [{"type": "refusal", "refusal": said["refusal"]}] if "refusal" in said else []
    return [{"type": "message", "role": "assistant", "content": parts + refusals}] if parts or refusals else []


def error_of(value: Any) -> tuple[str, str]:
    """Kind and message of an error as endpoints write it."""
    fields = known(value)
    code = text(one_of(fields, "code", "type"))
    return code or "error", text(fields.get("message")) or text(value) or ""
