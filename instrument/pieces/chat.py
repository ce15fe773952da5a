"""The chunks of a chat completion, or of an old completion, from OpenAI and from services that speak its language."""

from __future__ import annotations

from typing import Any

from instrument.foreign import Fields, at, known, listed, one_of, text
from instrument.pieces.joining import append, error_of, in_order, joined
from instrument.usage import usage_of

HEAD = ("id", "model", "service_tier", "system_fingerprint", "x_groq", "prompt_filter_results")
THOUGHTS = ("reasoning_content", "reasoning")
SPOKEN = ("content", "refusal", *THOUGHTS)


class ChatSaid:
    """The chunks of a chat completion, or of an old completion."""

    def __init__(self) -> None:
        self.error: tuple[str, str] | None = None
        self._head: Fields = {}
        self._choices: dict[int, Fields] = {}

    @property
    def has_spoken(self) -> bool:
        """Whether any choice has more than its role."""
        return any(len(choice["message"]) > 1 or "calls" in choice for choice in self._choices.values())

    @property
    def thinks_aloud(self) -> bool:
        """Whether thoughts came in pieces."""
        return any(set(THOUGHTS) & set(choice["message"]) for choice in self._choices.values())

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
        return {"choices": [_assembled(choice) for choice in in_order(self._choices)], **self._head}

    def _take_choice(self, choice: Fields) -> None:
        index = choice.get("index")
        kept = self._choices.setdefault(index if type(index) is int else 0, {"message": {"role": "assistant"}})
        message = kept["message"]
        delta = known(choice.get("delta")) or {"content": choice.get("text")}
        for name in SPOKEN:
            append(message, name, delta.get(name))
        if text(at(delta, "audio", "data")):
            append(message.setdefault("audio", {}), "data", at(delta, "audio", "data"))
        for call in map(known, listed(delta.get("tool_calls"))):
            _take_tool_call(kept.setdefault("calls", []), call)
        if known(delta.get("function_call")):
            _take_tool_call(kept.setdefault("calls", []), {"function": delta["function_call"]})
        if choice.get("finish_reason"):
            kept["finish_reason"] = choice["finish_reason"]


def _take_tool_call(calls: list[Fields], call: Fields) -> None:
    kept = _call_of(calls, call.get("index"), text(call.get("id")))
    function = known(one_of(call, "function", "custom"))
    name = text(function.get("name"))
    if name and kept["function"].get("name") != [name]:  # some services repeat it in every piece
        append(kept["function"], "name", name)
    append(kept["function"], "arguments", one_of(function, "arguments", "input"))


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
        {"id": call.get("id"), "type": "function", "function": joined(call["function"])}
        for call in choice.get("calls", ())
    ]
    message = joined({name: value for name, value in choice["message"].items() if name != "audio"})
    sound = joined(choice["message"].get("audio", {}))
    whole = {**message, **({"audio": sound} if sound else {}), **({"tool_calls": calls} if calls else {})}
    return {"message": whole, "finish_reason": choice.get("finish_reason")}
