"""A trace as requests to OpenAI's chat, one line a model call, the answer as the last message.

Fine-tuning and evaluations take lines of messages and tools. Without its answer a line is what
`client.chat.completions.create(**line)` takes: the same is asked again, of this model or of another. Of a conversation
that was imported message by message there is one line, the whole. Left out is what the chat has no place for: thoughts,
and tools that the provider runs itself. Of pictures and files that were sent as bytes a text says what there was, for
records keep none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import msgspec

from instrument.analysis.facts import attribute
from instrument.analysis.tree import Trace
from instrument.attributes import MESSAGES, REQUEST, RESPONSE
from instrument.detectors.calls import plain
from instrument.foreign import fields_of, listed, text
from instrument.messages import Message, Part, in_parts, said
from instrument.model import Span
from instrument.store import blobs
from instrument.views.text import as_text

Fields = dict[str, Any]

SETTINGS = (
    *("temperature", "top_p", "frequency_penalty", "presence_penalty", "stop", "seed", "n"),
    *("reasoning_effort", "service_tier", "parallel_tool_calls"),
)
"""Settings that have the same name in the chat."""
ROLES = {**{role: role for role in ("system", "assistant", "tool")}, "tool-call": "assistant"}
"""Whose a message is in the chat; what others say, as results that a framework tells as texts, is the user's."""


def pieces(trace: Trace, blob_folder: Path | None = None, _judge: object = None) -> Iterator[bytes]:
    """The lines; long values come from `blob_folder`."""
    known: dict[object, Sequence[Message]] = {}
    conversations: dict[str | None, bytes] = {}
    for span in trace.spans:
        if span.kind != "llm":
            continue
        asked, told = (_whole(value, blob_folder) for value in (span.input, span.output))
        messages = [*_before(span, known), *_messages(_question(asked), "user"), *_messages(told, "assistant")[:1]]
        known.update((key, messages) for key in _names(span))
        line = msgspec.json.encode(_line(span, asked, messages)) + b"\n"
        if MESSAGES in span.attributes:
            conversations[span.parent_id] = line
        else:
            yield line
    yield from conversations.values()


def _before(span: Span, known: dict[object, Sequence[Message]]) -> Sequence[Message]:
    """What was said before, where a call holds only what is new: the rest is with the service, or in earlier calls."""
    previous = attribute(span, REQUEST["previous_response_id"])
    return next((known[key] for key in (previous, *_names(span)[1:]) if key is not None and key in known), ())


def _names(span: Span) -> tuple[object, ...]:
    """What later calls may go on with: the answer, the conversation at the service, that of an imported agent."""
    answer, conversation = attribute(span, RESPONSE["response_id"]), attribute(span, REQUEST["conversation"])
    return answer, conversation, (span.parent_id, MESSAGES) if MESSAGES in span.attributes else None


def _whole(value: Any, blob_folder: Path | None) -> Any:
    value = plain(value)
    return value if blob_folder is None else blobs.whole(value, blob_folder)


def _messages(value: Any, role: str) -> list[Message]:
    """The messages of what a call was given or gave back; where these were none, all of it as one message."""
    held = value.get("messages") if isinstance(value, dict) else None
    if isinstance(held, list):
        found = [message for message in held if isinstance(message, dict)]
        return [in_parts(one, role) for one in found]
    return [] if value in (None, {}) else [said(role, [{"type": "text", "content": as_text(value)}])]


def _question(asked: Any) -> Any:
    """Of a function of the program's own that has one argument the argument alone."""
    is_one = isinstance(asked, dict) and len(asked) == 1 and "messages" not in asked
    return next(iter(asked.values())) if is_one else asked


def _line(span: Span, asked: Any, messages: Sequence[Message]) -> Fields:
    given = asked if isinstance(asked, dict) and "messages" in asked else {}
    tools = [tool for one in listed(given.get("tools")) if (tool := _tool(one)) is not None]
    model = attribute(span, REQUEST["model"], RESPONSE["model"])
    line = {"model": model, "messages": _chat(messages), "tools": tools or None, **_settings(span, given, bool(tools))}
    return {key: value for key, value in line.items() if value is not None}


def _settings(span: Span, given: Fields, has_tools: bool) -> Fields:
    told = span.attributes
    known = {name: plain(told[attribute]) for name, attribute in REQUEST.items() if attribute in told}
    known |= fields_of(given.get("settings")) or {}
    found = {name: known[name] for name in SETTINGS if name in known}
    if "max_tokens" in known:
        found["max_completion_tokens"] = known["max_tokens"]
    if has_tools and known.get("tool_choice") is not None:
        found["tool_choice"] = _choice(known["tool_choice"])
    return found


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict) or "function" in choice:
        return choice
    if "name" in choice:
        return {"type": "function", "function": {"name": choice["name"]}}
    return "required" if choice.get("type") == "any" else choice.get("type")


def _tool(tool: Any) -> Fields | None:
    """A function on offer, in whatever dialect; None for a tool that the provider runs."""
    if not isinstance(tool, dict) or isinstance(tool.get("function"), dict):
        return tool if isinstance(tool, dict) else None
    schema = next((tool[name] for name in ("parameters", "input_schema") if isinstance(tool.get(name), dict)), None)
    if schema is None or not isinstance(tool.get("name"), str):
        return None
    about = {name: tool[name] for name in ("name", "description", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": {**about, "parameters": schema}}


# Messages


def _chat(messages: Sequence[Message]) -> list[Fields]:
    """The messages in the chat's form, results of tools each as one of its own."""
    found: list[Fields] = []
    for role, parts, name in _joined(messages):
        found += [_result(part) for part in parts if part.get("type") == "tool_call_response"]
        said = _by_model(parts) if role == "assistant" else _to_model(parts)
        if said:
            found.append({"role": role, **said, **({"name": name} if name else {})})
    return found


def _joined(messages: Sequence[Message]) -> Iterator[tuple[str, list[Part], str | None]]:
    """Whose each message is, its parts and its name. What a model says in a row, as Responses have it, is one."""
    for (role, name), group in groupby(messages, lambda message: (_role(message), message.get("name"))):
        held = [[part for part in message["parts"] if isinstance(part, dict)] for message in group]
        for parts in [[*chain(*held)]] if role == "assistant" else held:
            yield role, parts, name


def _role(message: Message) -> str:
    return ROLES.get(text(message.get("role")) or "", "user")


def _result(part: Part) -> Fields:
    return {"role": "tool", "tool_call_id": part.get("id"), "content": as_text(part.get("response"))}


def _by_model(parts: Sequence[Part]) -> Fields:
    """What a model said: text, refusal, calls of tools."""
    texts = [str(part.get("content")) for part in parts if part.get("type") == "text"]
    refusals = [part.get("content") for part in parts if part.get("type") == "refusal"]
    calls = [_call(part) for part in parts if part.get("type") == "tool_call"]
    if not (texts or refusals or calls):
        return {}
    more = {"refusal": refusals[0] if refusals else None, "tool_calls": calls or None}
    return {"content": "\n".join(texts) if texts else None, **{name: one for name, one in more.items() if one}}


def _call(part: Part) -> Fields:
    function = {"name": part.get("name"), "arguments": as_text(part.get("arguments"))}
    return {"id": part.get("id"), "type": "function", "function": function}


def _to_model(parts: Sequence[Part]) -> Fields:
    """What a model was told: a text, or blocks where there are several or others."""
    blocks = [block for part in parts if (block := _block(part)) is not None]
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return {"content": blocks[0]["text"]}
    return {"content": blocks} if blocks else {}


def _block(part: Part) -> Fields | None:
    match part:
        case {"type": "text", "content": content}:
            return {"type": "text", "text": str(content)}
        case {"type": "uri", "modality": "image", "uri": uri}:
            return {"type": "image_url", "image_url": {"url": uri}}
        case {"type": "file", "file_id": file_id}:
            return {"type": "file", "file": {"file_id": file_id}}
        case {"type": "uri", "uri": uri}:
            return {"type": "text", "text": f"[{uri}]"}
        case {"type": "blob", "bytes": size}:
            return {"type": "text", "text": f"[{part.get('mime_type') or part.get('modality')}, {size} bytes]"}
    return None
