"""A span by the GenAI conventions of OpenTelemetry: its name and attributes.

Our attributes have these names already; what is added is what our records hold outside of the attributes: kind,
messages, arguments and results, tokens. Content is a JSON text, as the conventions allow on spans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from instrument.attributes import (
    AGENT_NAME,
    INPUT_MESSAGES,
    INSTRUCTIONS,
    KINDS,
    OPERATION,
    OUTPUT_MESSAGES,
    REQUEST,
    REQUEST_MODEL,
    SESSION,
    SETTINGS,
    TOKENS,
    TOOL_DEFINITIONS,
    TOOL_NAME,
)
from instrument.kinds import MODEL_KINDS
from instrument.messages import messages_of
from instrument.model import Span, Usage

Attributes = dict[str, Any]

OPERATIONS = {kind: names.genai for kind, names in KINDS.items() if names.genai is not None}
"""Our kinds as `gen_ai.operation.name`; the others have none."""

NAMED = {"agent": AGENT_NAME, "tool": TOOL_NAME, "workflow": "gen_ai.workflow.name"}
"""Kinds that have an attribute for the name of the span."""

_TARGETS = {**NAMED, "llm": REQUEST_MODEL, "embedding": REQUEST_MODEL, "retrieval": "gen_ai.data_source.id"}


def name(span: Span) -> str:
    """`{operation} {target}`, such as `execute_tool read_file`; our own name where there is no operation."""
    operation = operation_of(span)
    if operation is None:
        return span.name
    target = span.attributes.get(_TARGETS.get(span.kind, "")) or (span.name if span.kind in NAMED else None)
    return f"{operation} {target}" if target else operation


def operation_of(span: Span) -> str | None:
    """The operation that the span is, if the conventions know it."""
    told = span.attributes.get(OPERATION)
    return told if isinstance(told, str) and told else OPERATIONS.get(span.kind)


def attributes(span: Span, dialect: str, content: Callable[[Span], Attributes]) -> Attributes:
    """All attributes of the span; `content` tells what it took and gave."""
    known = span.attributes
    told: Attributes = {OPERATION: operation_of(span)}
    if span.kind in NAMED:
        told[NAMED[span.kind]] = span.name
    told.update(known)
    if SESSION in known:
        told.setdefault(REQUEST["conversation"], known[SESSION])
    told.update(content(span))
    told.update(tokens(span.usage, dialect))
    return told


def tokens(usage: Usage | None, dialect: str) -> Attributes:
    """The counts that are known; input includes what was cached, output what was thought."""
    if usage is None:
        return {}
    found: Attributes = {}
    for attribute, field in _COUNTS if dialect != "latest" else _NEWEST_COUNTS:
        count = getattr(usage, field)
        if count is not None:
            found[attribute] = count
    return found


_NEWEST_COUNTS = [(names.genai, field) for field, names in TOKENS.items() if names.genai is not None]
_COUNTS = [*_NEWEST_COUNTS, *((names.before, field) for field, names in TOKENS.items() if names.before is not None)]


def plain_content(span: Span) -> Attributes:
    """What the span took and gave, as texts."""
    asked, answered = span.input, span.output
    if span.kind not in MODEL_KINDS:
        return plain_sides(span.kind, asked, answered)
    request = conversation(asked)
    reply = conversation(answered)
    told = _asked(request) if request is not None else {**_plain("input", asked), **_recognised(span)}
    said = {OUTPUT_MESSAGES: reply["messages"]} if reply is not None else _plain("output", answered)
    return _texts({**told, **said})


def plain_sides(kind: str, asked: Any, answered: Any) -> Attributes:
    """What a call of another kind than a model's took and gave, as texts."""
    if kind == "tool":
        told = {"gen_ai.tool.call.arguments": asked, "gen_ai.tool.call.result": answered}
        for side, value in (("input", asked), ("output", answered)):
            if _is_bare(value):
                told[f"{side}.mime_type"] = JSON
        return _texts(told)
    return both_sides(asked, answered)


def both_sides(asked: Any, answered: Any) -> Attributes:
    """Input and output by the names that OpenInference has for them, as texts."""
    return _texts({**_plain("input", asked), **_plain("output", answered)})


def conversation(value: object) -> Attributes | None:
    """The input or output of a model call in our form; None for what a function of the user took or gave."""
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        return None
    for one in value["messages"]:
        if not isinstance(one, dict) or not isinstance(one.get("parts"), list):
            return None
    return value


def request_in(span: Span) -> Attributes | None:
    """The request to the model among the arguments of a function of the user, in our form; None where there is none."""
    given = span.input
    if span.kind != "llm" or not isinstance(given, dict) or not isinstance(given.get("messages"), list):
        return None
    if not all(
        isinstance(one, dict) and isinstance(one.get("role", one.get("type")), str) for one in given["messages"]
    ):
        return None
    return {"messages": messages_of(given["messages"]), "tools": given.get("tools")}


def _recognised(span: Span) -> Attributes:
    request = request_in(span)
    return _asked(request) if request is not None else {}


def _asked(request: Attributes) -> Attributes:
    """Instructions are apart from the other messages where they come first."""
    messages = request["messages"]
    first = messages[0] if messages and messages[0].get("role") == "system" else None
    return {
        INSTRUCTIONS: first["parts"] if first is not None else None,
        INPUT_MESSAGES: messages[1:] if first is not None else messages,
        TOOL_DEFINITIONS: request.get("tools") or None,
        SETTINGS: request.get("settings") or None,
    }


def _is_bare(value: Any) -> bool:
    """Whether it is a number or a truth value, whose JSON could be a text of the same letters."""
    kind = value.__class__
    return memoryview(value)[0] not in b'{["n' if kind is Raw else kind is int or kind is float or kind is bool


JSON = "application/json"


def _plain(side: str, value: Any) -> Attributes:
    kind = "text/plain" if isinstance(value, str) else JSON
    return {f"{side}.value": value, f"{side}.mime_type": kind} if value is not None else {}


def _texts(content: Attributes) -> Attributes:
    return {key: text(value) for key, value in content.items() if value is not None}


def text(value: Any) -> Any:
    """A text as it is, all else as JSON."""
    return value if isinstance(value, str | Raw) else _encode(value).decode()


_encode = msgspec.json.Encoder().encode
