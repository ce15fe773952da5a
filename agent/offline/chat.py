"""The Chat Completions API over the same mind: requests translated in, replies translated out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from . import parameters as checks
from . import request, words
from .refusal import empty_array, missing, no_such_model, wrong_type
from .reply import Reply, new_id
from .request import Asked, Call, Format, Item, Message, Output, Tool

parameters: Mapping[str, checks.Check] = {
    "model": checks.text, "messages": checks.array, "tools": checks.array, "tool_choice": checks.anything,
    "response_format": checks.mapping, "stream": checks.switch, "stream_options": checks.mapping,
    "store": checks.switch, "metadata": checks.labels, "temperature": checks.number(0, 2),
    "top_p": checks.number(0, 1), "n": checks.integer(1, 1),
    "max_tokens": checks.integer(1), "max_completion_tokens": checks.integer(1), "parallel_tool_calls": checks.switch,
    "user": checks.text, "safety_identifier": checks.text, "prompt_cache_key": checks.text,
    "seed": checks.integer(-(2**63), 2**63 - 1),
    "stop": checks.anything, "presence_penalty": checks.number(-2, 2), "frequency_penalty": checks.number(-2, 2),
    "logprobs": checks.switch, "service_tier": checks.one_of("auto", "default", "flex", "scale", "priority"),
    "verbosity": checks.one_of("low", "medium", "high"),
}  # fmt: skip


def read(body: Mapping[str, Any]) -> Asked:
    """The request in a body. Raises RefusalError."""
    checks.check_parameters(body, parameters)
    model = request.known_model(body.get("model"), no_such_model(body.get("model")))
    if body.get("messages") is None:
        raise missing("messages")
    if not body["messages"]:
        raise empty_array("messages")
    items = tuple(
        item for index, message in enumerate(body["messages"]) for item in read_message(f"messages[{index}]", message)
    )
    request.check_pairs(items)
    tools = tuple(read_tool(f"tools[{index}]", given) for index, given in enumerate(body.get("tools") or []))
    request.check_names(tools)
    asked = Asked(
        model=model,
        items=items,
        tools=tools,
        choice=request.choice(flat_choice(body.get("tool_choice")), tools),
        format=read_form(body.get("response_format")),
        parallel=body.get("parallel_tool_calls") is not False,
        most_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        body=body,
    )
    request.check_length(asked, "messages")
    return asked


def read_message(param: str, message: Any) -> Iterator[Item]:
    checks.mapping(param, message)
    role = message.get("role")
    if role is None:
        raise missing(f"{param}.role")
    checks.one_of("system", "developer", "user", "assistant", "tool")(f"{param}.role", role)
    if role == "tool":
        yield Output(
            request.needed(param, message, "tool_call_id"), request.content(f"{param}.content", message.get("content"))
        )
        return
    calls = message.get("tool_calls") or []
    if message.get("content") is not None or not calls:
        yield Message(role, request.content(f"{param}.content", message.get("content")))
    for index, call in enumerate(calls):
        yield read_call(f"{param}.tool_calls[{index}]", call)


def read_call(param: str, call: Any) -> Call:
    checks.mapping(param, call)
    called = call.get("function")
    if not isinstance(called, dict):
        raise wrong_type(f"{param}.function", "an object", called)
    return Call(
        request.needed(param, call, "id"),
        request.needed(param, called, "name"),
        request.needed(param, called, "arguments"),
    )


def read_tool(param: str, given: Any) -> Tool:
    checks.mapping(param, given)
    if given.get("type") != "function" or not isinstance(given.get("function"), dict):
        raise missing(f"{param}.function")
    return request.function(f"{param}.function", given["function"])


def flat_choice(given: Any) -> Any:
    if isinstance(given, dict) and isinstance(given.get("function"), dict):
        return {"type": given.get("type"), **given["function"]}
    return given


def read_form(given: Any) -> Format | None:
    if given is None:
        return None
    checks.one_of("text", "json_object", "json_schema")("response_format.type", given.get("type"))
    if given["type"] == "json_object":
        return Format("json_object", {"type": "object", "properties": {}})
    if given["type"] == "text":
        return None
    if not isinstance(given.get("json_schema"), dict):
        raise missing("response_format.json_schema")
    return request.json_form("response_format.json_schema", given["json_schema"])


def message_of(reply: Reply) -> dict[str, Any]:
    calls = [
        {"id": new_id("call"), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.calls
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls else reply.text,
        "refusal": None,
        "annotations": [],
    }
    return {**message, "tool_calls": calls} if calls else message


def reason(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop" if reply.complete else "length"


def completion(asked: Asked, reply: Reply) -> dict[str, Any]:
    """The whole answer as one object."""
    choice = {"index": 0, "message": message_of(reply), "logprobs": None, "finish_reason": reason(reply)}
    return {**head(asked, "chat.completion"), "choices": [choice], "usage": usage(asked, reply)}


def head(asked: Asked, kind: str) -> dict[str, Any]:
    return {
        "id": new_id("chatcmpl"),
        "object": kind,
        "created": int(time.time()),
        "model": asked.model,
        "service_tier": "default",
        "system_fingerprint": "fp_offline",
    }


def usage(asked: Asked, reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": asked.input_tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": asked.input_tokens + reply.tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chunks(asked: Asked, reply: Reply) -> Iterator[bytes]:
    """The answer as a stream of chunks, with the usage last where it was asked for."""
    base = head(asked, "chat.completion.chunk")
    with_usage = bool((asked.body.get("stream_options") or {}).get("include_usage"))
    extra = {"usage": None} if with_usage else {}
    for delta in deltas(reply):
        yield sent(
            {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}], **extra}
        )
    yield sent(
        {**base, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason(reply)}], **extra}
    )
    if with_usage:
        yield sent({**base, "choices": [], "usage": usage(asked, reply)})
    yield b"data: [DONE]\n\n"


def deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    message = message_of(reply)
    if not reply.calls:
        yield {"role": "assistant", "content": "", "refusal": None}
        yield from ({"content": piece} for piece in words.pieces(reply.text))
        return
    yield {"role": "assistant", "content": None}
    for index, call in enumerate(message["tool_calls"]):
        yield {
            "tool_calls": [{"index": index, **call, "function": {"name": call["function"]["name"], "arguments": ""}}]
        }
        for piece in words.pieces(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def sent(chunk: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()
