"""A span by the OpenInference conventions: its attributes, lists flattened with their indexes.

What these conventions have a name for is told by it, and not by ours as well; other attributes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instrument.analysis.totals import dollars_in_float
from instrument.attributes import (
    AGENT_NAME,
    KINDS,
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE,
    RESPONSE_MODEL,
    TAGS,
    TOKENS,
    TOOL_CALL_ID,
    TOOL_NAME,
)
from instrument.model import Cost, Span, Usage
from instrument.views.genai import both_sides, conversation, request_in, text

Attributes = dict[str, Any]

RENAMED = {
    REQUEST_MODEL: ("llm.request.model_name",),
    RESPONSE_MODEL: ("llm.response.model_name",),
    PROVIDER: ("llm.provider", "llm.system"),
    AGENT_NAME: ("agent.name",),
    TOOL_NAME: ("tool.name",),
    "gen_ai.tool.description": ("tool.description",),
    TOOL_CALL_ID: ("tool.id",),
    TAGS: ("tag.tags",),
}
"""Our attributes and their names here."""

_MEDIA = {"image": "image", "audio": "audio", "video": "video", "file": "document"}


def attributes(span: Span) -> Attributes:
    """All attributes of the span."""
    known = {key: value for key, value in span.attributes.items() if key not in RENAMED}
    renamed = {new: span.attributes[old] for old, names in RENAMED.items() for new in names if old in span.attributes}
    told = {
        "openinference.span.kind": KINDS.get(span.kind, KINDS["span"]).openinference,
        **known,
        **renamed,
        **_named(span),
        **both_sides(_shown(span, span.input), _shown(span, span.output)),
        **_tokens(span.usage),
        **_cost(span.cost),
    }
    if span.kind == "llm":
        told |= _model_call(span)
    return {key: value for key, value in told.items() if value is not None}


def _named(span: Span) -> Attributes:
    told = span.attributes
    model = told.get(RESPONSE_MODEL) or told.get(REQUEST_MODEL)
    match span.kind:
        case "llm":
            reasons = told.get(RESPONSE["finish_reasons"])
            first = reasons[0] if isinstance(reasons, list) and reasons else reasons
            return {"llm.model_name": model, "llm.finish_reason": first}
        case "embedding":
            return {"embedding.model_name": model}
        case "tool":
            return {"tool.name": told.get(TOOL_NAME, span.name)}
        case "agent":
            return {"agent.name": told.get(AGENT_NAME, span.name)}
    return {}


def _shown(span: Span, value: Any) -> Any:
    """Of a conversation with a model the last text: the whole of it is in the messages. Without a text the messages."""
    told = conversation(value) if span.kind == "llm" else None
    if told is None:
        return value
    texts = [part.get("content") for one in told["messages"] for part in one["parts"] if _kind(part) == "text"]
    return texts[-1] if texts else told["messages"] or None


def _tokens(usage: Usage | None) -> Attributes:
    if usage is None:
        return {}
    known = usage.input is not None and usage.output is not None
    return {
        "llm.token_count.total": (usage.input or 0) + (usage.output or 0) if known else None,
        **{name: getattr(usage, field) for name, field in _COUNTS},
    }


_COUNTS = [(names.openinference, field) for field, names in TOKENS.items() if names.openinference is not None]


def _cost(cost: Cost | None) -> Attributes:
    if cost is None:
        return {}
    paid = [usd for part in (cost.input, cost.cached, cost.cache_write) if (usd := dollars_in_float(part)) is not None]
    return {
        "llm.cost.total": dollars_in_float(cost.usd),
        "llm.cost.prompt": sum(paid) if paid else None,
        "llm.cost.completion": dollars_in_float(cost.output),
        "llm.cost.prompt_details.input": dollars_in_float(cost.input),
        "llm.cost.prompt_details.cache_read": dollars_in_float(cost.cached),
        "llm.cost.prompt_details.cache_write": dollars_in_float(cost.cache_write),
    }


def _model_call(span: Span) -> Attributes:
    request, reply = conversation(span.input) or request_in(span), conversation(span.output)
    told: Attributes = {}
    if request is not None:
        told |= _messages("llm.input_messages", request["messages"])
        settings, tools = request.get("settings"), request.get("tools")
        told["llm.invocation_parameters"] = text(settings) if settings else None
        for place, tool in enumerate(tools if isinstance(tools, list) else []):
            told[f"llm.tools.{place}.tool.json_schema"] = text(tool)
    if reply is not None:
        told |= _messages("llm.output_messages", reply["messages"])
    return told


def _messages(prefix: str, messages: list[Attributes]) -> Attributes:
    flat: Attributes = {}
    for place, message in enumerate(one for told in messages for one in _split(told)):
        flat |= {f"{prefix}.{place}.message.{key}": value for key, value in _message(message)}
    return flat


def _split(message: Attributes) -> Iterator[Attributes]:
    """A message for each result of a tool, as these conventions want it, and one for all the rest."""
    results = [part for part in message["parts"] if _kind(part) == "tool_call_response"]
    rest = [part for part in message["parts"] if _kind(part) != "tool_call_response"]
    yield from ({**message, "role": "tool", "parts": [part]} for part in results)
    if rest or not results:
        yield {**message, "parts": rest}


def _message(message: Attributes) -> Iterator[tuple[str, Any]]:
    yield "role", message.get("role")
    yield "name", message.get("name")
    parts = message["parts"]
    calls = [part for part in parts if _kind(part) == "tool_call"]
    shown = [part for part in parts if _kind(part) != "tool_call"]
    if len(shown) == 1 and _kind(shown[0]) == "tool_call_response":
        yield "tool_call_id", shown[0].get("id")
        yield "content", text(shown[0].get("response"))
    elif len(shown) == 1 and _kind(shown[0]) == "text":
        yield "content", text(shown[0].get("content"))
    else:
        for place, part in enumerate(shown):
            yield from ((f"contents.{place}.message_content.{key}", value) for key, value in _part(part))
    for place, call in enumerate(calls):
        path = f"tool_calls.{place}.tool_call"
        yield f"{path}.id", call.get("id")
        yield f"{path}.function.name", call.get("name")
        yield f"{path}.function.arguments", text(call.get("arguments"))


def _part(part: Any) -> Iterator[tuple[str, Any]]:
    kind = _kind(part)
    if kind in ("text", "reasoning"):
        yield "type", kind
        yield "text", text(part.get("content"))
    elif kind in ("uri", "blob", "file"):
        medium = _MEDIA.get(str(part.get("modality")), "document")
        yield "type", medium
        yield f"{medium}.{medium}.url", part.get("uri") or part.get("file_id") or f"sha256:{part.get('sha256')}"
    else:
        yield "type", "text"
        yield "text", text(part)


def _kind(part: Any) -> str:
    return str(part.get("type")) if isinstance(part, dict) else ""
