"""What a model call offered and what came back: tools, the calls it wishes, why it ended; in all dialects we record.

Only what is needed is decoded: the messages of a prompt, its largest part, are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from instrument.attributes import FINISH_REASONS, REQUEST_MODEL, RESPONSE_MODEL, TOOL_DEFINITIONS
from instrument.detectors.calls import encoded, plain
from instrument.model import Span

_LONGEST_EMPTY = 256


class Wish(NamedTuple):
    """A tool call that a model asked for; `arguments` as it gave them, text or decoded; `id` where it has one."""

    name: str
    arguments: Any
    id: str = ""

    @property
    def given(self) -> Any:
        """The arguments decoded; None for a text that is no JSON."""
        is_text = isinstance(self.arguments, str)
        return plain(Raw(self.arguments.encode("utf-8", "replace"))) if is_text else self.arguments


class _Offer(Struct):
    tools: Raw = Raw(b"null")


_offer = msgspec.json.Decoder(_Offer)


def wishes(span: Span) -> list[Wish]:
    """The tool calls in the output of a model call."""
    raw = encoded(span.output)
    if b'"arguments"' not in raw and b'"tool_use"' not in raw:
        return []
    return list(_wishes(plain(Raw(raw))))


def _wishes(value: Any) -> Iterator[Wish]:
    if isinstance(value, list):
        for part in value:
            yield from _wishes(part)
    elif isinstance(value, dict):
        name, key = value.get("name"), "input" if value.get("type") == "tool_use" else "arguments"
        if isinstance(name, str) and key in value:
            given = value.get("id")
            yield Wish(name, value[key], given if isinstance(given, str) else "")
        else:
            for part in value.values():
                yield from _wishes(part)


def offered_tools(span: Span) -> Raw | None:
    """The definitions of the tools that a model call was given, still encoded; None where they are not known."""
    raw = encoded(span.input)
    try:
        tools = _offer.decode(raw).tools if raw[:1] == b"{" else Raw(b"null")
    except msgspec.DecodeError:
        return None
    found = bytes(tools) if bytes(tools) != b"null" else encoded(span.attributes.get(TOOL_DEFINITIONS))
    return Raw(found) if found not in (b"", b"null", b"[]") else None


def tool_names(tools: Raw) -> frozenset[str]:
    """The names in tool definitions: strings, `{"name": …}`, `{"function": {"name": …}}`; empty for other forms."""
    defined = plain(tools)
    if isinstance(defined, str):
        defined = plain(Raw(defined.encode()))
    names = [_tool_name(tool) for tool in defined] if isinstance(defined, list) else []
    return frozenset(name for name in names if name is not None) if None not in names else frozenset()


def _tool_name(tool: Any) -> str | None:
    if isinstance(tool, str):
        return tool
    if not isinstance(tool, dict):
        return None
    function = tool.get("function")
    name = tool.get("name") or (function.get("name") if isinstance(function, dict) else None) or tool.get("type")
    return name if isinstance(name, str) else None


def model_of(span: Span) -> str | None:
    """The model that answered, else the one that was asked."""
    attributes = span.attributes
    model = plain(attributes.get(RESPONSE_MODEL)) or plain(attributes.get(REQUEST_MODEL))
    return str(model) if model else None


def functions(tools: Any) -> Iterator[tuple[str, Any]]:
    """The functions of the program's own among tools on offer, each with the schema of what it takes.

    What providers run themselves has none, and its calls have other names.
    """
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            for key in ("parameters", "input_schema"):
                if key in function:
                    yield function["name"], function[key]
                    break


def finish_reasons(span: Span) -> list[str]:
    """Why the model stopped, one reason for each choice."""
    reasons = plain(span.attributes.get(FINISH_REASONS))
    if isinstance(reasons, str):
        return [reasons]
    return [str(reason) for reason in reasons] if isinstance(reasons, list | tuple) else []


def is_refusal(raw: bytes) -> bool:
    """Whether an answer in JSON refuses, which ends as any does: a part of its own says so, or a field."""
    return b'"refusal"' in raw and any(_refusals(plain(Raw(raw))))


def _refusals(value: Any) -> Iterator[bool]:
    if isinstance(value, list):
        for part in value:
            yield from _refusals(part)
    elif isinstance(value, dict):
        said = value.get("refusal") if "role" in value else None
        yield value.get("type") == "refusal" or (isinstance(said, str) and said != "")
        for key, part in value.items():
            if key != "arguments":
                yield from _refusals(part)


def is_empty(raw: bytes) -> bool:
    """Whether an answer in JSON gives nothing at all: no text, no tool call, no other part."""
    if not raw or len(raw) >= _LONGEST_EMPTY:
        return False
    said = plain(Raw(raw))
    return said is not None and not any(_content(said))


def _content(value: Any) -> Iterator[bool]:
    if isinstance(value, list):
        for part in value:
            yield from _content(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("role", "type", "finish_reason", "id", "status", "index", "object"):
                yield from _content(part)
    else:
        yield value not in (None, "")
