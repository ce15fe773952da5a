"""Messages of every dialect in one form, the parts of the OpenTelemetry GenAI conventions.

A message is `{role, parts}`. A part is `{type: text, content}`, `{type: reasoning, content}`, `{type: refusal,
content}`, `{type: tool_call, id, name, arguments}`, `{type: tool_call_response, id, response}`, `{type:
server_tool_call, id, name, arguments}`, or `{type: uri | file | blob, modality, …}`, bytes by hash and size.
Understood are OpenAI's chat and Responses dialects and those that follow them, Anthropic's, Gemini's and Bedrock's.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from instrument.foreign import Fields, at, fields_of, is_text, known, listed, one_of, plain, text

Message = dict[str, Any]
Part = dict[str, Any]


def messages_of(value: Any) -> list[Message]:
    """The messages of a conversation, given as a text, one message or a list of them."""
    if is_text(value):
        return [said("user", [_text_part(value)])]
    items = listed(value) if fields_of(value) is None else [value]
    return [message_of(item) for item in items if is_text(item) or fields_of(item) is not None]


def in_parts(recorded: Message, role: str = "user") -> Message:
    """A recorded message: in parts already, or as a function of the program's own was given it."""
    return recorded if isinstance(recorded.get("parts"), list) else message_of(recorded, role)


def message_of(item: Any, role: str = "user") -> Message:
    """One message, or one item of a Responses conversation; `role` is whose it is where it does not say so."""
    fields = fields_of(item)
    if fields is None:
        return said(role, parts_of(item))
    if _is_but_text(fields):
        own_role: str = fields["role"]
        return said(_ROLES.get(own_role, own_role), parts_of(fields["content"]))
    kind = text(fields.get("type")) or ""
    if kind in _ITEM_ROLES or kind.endswith("_call"):
        return said(_ITEM_ROLES.get(kind, "assistant"), parts_of(item))
    own_role = text(fields.get("role")) or role
    if own_role == "tool":
        return said("tool", [_tool_result(fields)])
    message = said(_ROLES.get(own_role, own_role), _spoken(fields))
    return {**message, "name": text(fields["name"])} if is_text(fields.get("name")) else message


def _is_but_text(fields: Fields) -> bool:
    """Whether a message is nothing but a text and whose it is, as most are; one of a tool says no more than that."""
    if len(fields) != 2 or type(fields.get("content")) is not str:
        return False
    role = fields.get("role")
    return type(role) is str and role != "" and role != "tool"


def parts_of(content: Any) -> list[Part]:
    """The parts of a message's content: a text, one block, or a list of blocks."""
    if is_text(content):
        return [_text_part(content)] if text(content) else []
    if fields_of(content) is not None:
        return _block(content)
    return [part for item in listed(content) for part in _block(item)]


def said(role: str, parts: list[Part], finish_reason: str | None = None) -> Message:
    """A message of these parts."""
    message: Message = {"role": role, "parts": parts}
    return {**message, "finish_reason": finish_reason} if finish_reason else message


_ROLES = {"model": "assistant", "developer": "system"}
_ITEM_ROLES = {"function_call_output": "tool", "custom_tool_call_output": "tool", "reasoning": "assistant"}


def _spoken(fields: Fields) -> list[Part]:
    """Reasoning, content, refusal, sound and tool calls of one message."""
    calls = listed(fields.get("tool_calls"))
    if text(at(fields, "function_call", "name")):
        calls.append(fields["function_call"])
    sound = text(at(fields, "audio", "data"))
    return [
        *_if_any("reasoning", one_of(fields, "reasoning_content", "reasoning")),
        *parts_of(one_of(fields, "content", "parts")),
        *_if_any("refusal", fields.get("refusal")),
        *([_blob(sound, "audio", None)] if sound else []),
        *(_tool_call(known(call)) for call in calls),
    ]


def _if_any(kind: str, content: Any) -> list[Part]:
    found = text(content)
    return [{"type": kind, "content": found}] if found else []


def _text_part(content: Any) -> Part:
    return {"type": "text", "content": text(content)}


def _block(item: Any) -> list[Part]:
    """The parts that one block of content, or one item of a Responses conversation, stands for."""
    fields = fields_of(item)
    if fields is None:
        return [_text_part(item)] if is_text(item) else []
    kind = text(fields.get("type")) or next((key for key in _UNTYPED if fields.get(key) is not None), "")
    return _READERS.get(kind, _other)(fields)


def _content(fields: Fields) -> list[Part]:
    return parts_of(fields.get("content"))


def _text(fields: Fields) -> list[Part]:
    kind = "reasoning" if fields.get("thought") is True else "text"
    return [{"type": kind, "content": text(fields.get("text")) or ""}]


def _refusal(fields: Fields) -> list[Part]:
    return _if_any("refusal", fields.get("refusal"))


def _reasoning(fields: Fields) -> list[Part]:
    """Thoughts that can be read; encrypted ones are left out."""
    blocks = [block for name in ("summary", "content", "thinking") for block in listed(fields.get(name))]
    lines = [text(fields.get("thinking")), *(text(at(block, "text")) for block in blocks)]
    return _if_any("reasoning", "\n".join(line for line in lines if line))


def _picture(fields: Fields) -> list[Part]:
    nested = fields.get("image_url")
    url = text(nested) or text(at(nested, "url")) or text(at(fields, "source", "url"))
    return [_media(url, "image", fields)]


def _sound(fields: Fields) -> list[Part]:
    form = text(at(fields, "input_audio", "format"))
    return [_blob(at(fields, "input_audio", "data"), "audio", form and f"audio/{form}")]


def _document(fields: Fields) -> list[Part]:
    file = known(fields.get("file")) or fields
    url = text(one_of(file, "file_url", "file_data")) or text(at(file, "source", "url"))
    return [_media(url, "file", file)]


def _inline(fields: Fields) -> list[Part]:
    inline = known(one_of(fields, "inline_data", "inlineData"))
    mime = text(one_of(inline, "mime_type", "mimeType"))
    return [_blob(inline.get("data"), (mime or "file").partition("/")[0], mime)]


def _media(url: str | None, modality: str, fields: Fields) -> Part:
    """A picture or a file: by address or id, or by hash and size where its bytes are in the message."""
    data = at(fields, "source", "data")
    if data is not None:
        return _blob(data, modality, text(at(fields, "source", "media_type")))
    if is_text(fields.get("file_id")):
        return {"type": "file", "modality": modality, "file_id": text(fields["file_id"])}
    address = url or ""
    if not address.startswith("data:"):
        return {"type": "uri", "modality": modality, "uri": address}
    head, _, body = address.partition(",")
    return _blob(body, modality, head.removeprefix("data:").partition(";")[0] or None)


def _blob(data: Any, modality: str, mime: str | None) -> Part:
    content = data if type(data) is bytes else _decoded(text(data) or "")
    digest = sha256(content).hexdigest()
    return {"type": "blob", "modality": modality, "mime_type": mime, "sha256": digest, "bytes": len(content)}


def _decoded(base64: str) -> bytes:
    raw = base64.encode("utf-8", "surrogatepass")
    try:
        return b64decode(raw)
    except ValueError:
        return raw


def _called(fields: Fields) -> list[Part]:
    return [_tool_call(known(one_of(fields, "function_call", "functionCall", "toolUse")) or fields)]


def _answered(fields: Fields) -> list[Part]:
    return [_tool_result(known(one_of(fields, "function_response", "functionResponse", "toolResult")) or fields)]


def _tool_call(call: Fields) -> Part:
    function = known(one_of(call, "function", "custom")) or call
    return {
        "type": "tool_call",
        "id": text(one_of(call, "call_id", "id", "toolUseId")),
        "name": text(function.get("name")),
        "arguments": _parsed(one_of(function, "arguments", "input", "args")),
    }


def _tool_result(fields: Fields) -> Part:
    content = one_of(fields, "output", "content", "response")
    return {
        "type": "tool_call_response",
        "id": text(one_of(fields, "call_id", "tool_call_id", "tool_use_id", "toolUseId", "id")),
        "response": parts_of(content) if listed(content) else plain(content),
    }


def _parsed(arguments: Any) -> Any:
    """Arguments of a tool call, decoded where they are JSON."""
    encoded = text(arguments)
    if encoded is None:
        return plain(arguments)
    try:
        return msgspec.json.decode(encoded)
    except ValueError:
        return encoded


def _nothing(fields: Fields) -> list[Part]:
    return []


def _other(fields: Fields) -> list[Part]:
    """A tool that the provider ran itself, or a kind of part that is not known: what it holds, as it is."""
    kind, held = text(fields.get("type")) or "unknown", plain(fields)
    if not kind.endswith("_call"):
        return [{**held, "type": kind}]
    arguments = {key: value for key, value in held.items() if key not in ("id", "type")}
    name = kind.removesuffix("_call")
    return [{"type": "server_tool_call", "id": text(fields.get("id")), "name": name, "arguments": arguments}]


# Keys that tell what a block without a type is (Gemini, Bedrock).
_UNTYPED = ("text", "inline_data", "inlineData", "function_call", "functionCall", "toolUse", "function_response",
            "functionResponse", "toolResult")  # fmt: skip

_READERS: dict[str, Callable[[Fields], list[Part]]] = {
    "message": _content,
    **dict.fromkeys(("text", "input_text", "output_text"), _text),
    "refusal": _refusal,
    **dict.fromkeys(("thinking", "reasoning"), _reasoning),
    "redacted_thinking": _nothing,
    **dict.fromkeys(("image_url", "input_image", "image"), _picture),
    "input_audio": _sound,
    **dict.fromkeys(("file", "input_file", "document"), _document),
    **dict.fromkeys(("inline_data", "inlineData"), _inline),
    **dict.fromkeys(("tool_use", "function_call", "custom_tool_call", "functionCall", "toolUse"), _called),
    **dict.fromkeys(("tool_result", "function_call_output", "custom_tool_call_output"), _answered),
    **dict.fromkeys(("function_response", "functionResponse", "toolResult"), _answered),
}
