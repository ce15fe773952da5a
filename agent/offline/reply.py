"""What the model says, and the response object that carries it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import words
from .request import Asked, Call, Item, Message


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants called, with its arguments as JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """Either calls or text; `complete` is false when the text was cut at the limit of output tokens."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    complete: bool = True

    @property
    def tokens(self) -> int:
        """Tokens of what is said."""
        return words.count(self.text) + sum(words.count(call.name) + words.count(call.arguments) for call in self.calls)


def within(reply: Reply, most: int | None) -> Reply:
    """The reply cut to `most` output tokens; calls that do not fit are left out whole."""
    if most is None or reply.tokens <= most:
        return reply
    return replace(reply, text=words.cut(reply.text, most), calls=(), complete=False)


def new_id(kind: str) -> str:
    """An identifier as the API makes them: `resp_…`, `msg_…`, `fc_…`, `call_…`, `req_…`."""
    return f"{kind}_{secrets.token_hex(24)}"


echoed: Mapping[str, Any] = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None, "prompt_cache_key": None, "safety_identifier": None, "service_tier": "default",
    "store": True,
    "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
    "user": None, "background": False,
}  # fmt: skip


def begun(asked: Asked, status: str = "in_progress") -> dict[str, Any]:
    """The response object before anything was said."""
    body = asked.body
    settings = {key: default if body.get(key) is None else body[key] for key, default in echoed.items()}
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": asked.model,
        "output": [],
        "reasoning": {"effort": None, "summary": None},
        "text": {"format": form, "verbosity": (body.get("text") or {}).get("verbosity") or "medium"},
        "usage": None,
        **settings,
        "service_tier": "default",
    }


def output_items(reply: Reply) -> list[dict[str, Any]]:
    """The reply as output items: one message, or the calls, each with an id of its own."""
    if reply.calls:
        return [
            {
                "id": new_id("fc"),
                "type": "function_call",
                "status": "completed",
                "arguments": call.arguments,
                "call_id": new_id("call"),
                "name": call.name,
            }
            for call in reply.calls
        ]
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text}
    status = "completed" if reply.complete else "incomplete"
    return [{"id": new_id("msg"), "type": "message", "status": status, "role": "assistant", "content": [part]}]


def finished(
    response: Mapping[str, Any], reply: Reply, output: list[dict[str, Any]], input_tokens: int
) -> dict[str, Any]:
    """The response object when all is said, with its usage."""
    return {
        **response,
        "status": "completed" if reply.complete else "incomplete",
        "completed_at": int(time.time()) if reply.complete else None,
        "incomplete_details": None if reply.complete else {"reason": "max_output_tokens"},
        "output": output,
        "usage": usage(input_tokens, reply.tokens),
    }


def failed(response: Mapping[str, Any], message: str) -> dict[str, Any]:
    """The response object when something broke on our side."""
    return {**response, "status": "failed", "error": {"code": "server_error", "message": message}}


def usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """Token counts; nothing is ever cached or reasoned about in secret."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def as_items(output: list[dict[str, Any]]) -> tuple[Item, ...]:
    """Output items as the input of a response that continues this one."""
    items: list[Item] = []
    for item in output:
        if item["type"] == "function_call":
            items.append(Call(item["call_id"], item["name"], item["arguments"]))
        else:
            items.append(Message("assistant", "".join(part["text"] for part in item["content"])))
    return tuple(items)
