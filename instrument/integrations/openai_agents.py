"""Runs of the OpenAI Agents SDK as our spans.

    agents.add_trace_processor(AgentsProcessor())

`agents.set_trace_processors([AgentsProcessor()])` records here alone and sends nothing to OpenAI. Where `patch_openai`
sees the same model calls, they are counted there, once.
"""

from __future__ import annotations

import json
from typing import Any

from agents.tracing import Span, Trace, TracingProcessor

from instrument.attributes import ITERATION, SESSION
from instrument.integrations.told import ToldSpans
from instrument.record.safely import safely

KINDS = {
    "agent": "agent",
    "function": "tool",
    "generation": "llm",
    "response": "llm",
    "handoff": "step",
    "guardrail": "step",
    "mcp_tools": "step",
    "task": "step",
    "turn": "step",
}


class AgentsProcessor(TracingProcessor):
    """A trace is a workflow; agents, model calls, tools, handoffs, guardrails and turns are spans in it."""

    def __init__(self) -> None:
        self._told = ToldSpans()

    def on_trace_start(self, trace: Trace) -> None:
        """The workflow begins; its group is the session."""
        group = getattr(trace, "group_id", None)
        attributes = {SESSION: group} if group else None
        self._told.begin(trace.trace_id, trace.name, "workflow", attributes=attributes)

    def on_trace_end(self, trace: Trace) -> None:
        """The workflow ends."""
        self._told.end(trace.trace_id)

    def on_span_start(self, span: Span[Any]) -> None:
        """One of its spans begins. Most of what it is about is known when it ends."""
        data = span.span_data
        above = span.parent_id if span.parent_id is not None else span.trace_id
        turn = {ITERATION: data.turn} if data.type == "turn" else None
        self._told.begin(span.span_id, _name(data), KINDS.get(data.type, "span"), above=above, attributes=turn)

    def on_span_end(self, span: Span[Any]) -> None:
        """One of its spans ends, whatever can be read of it."""
        data, key = span.span_data, span.span_id
        is_call = KINDS.get(data.type) == "llm"
        if is_call:
            asked = safely(_asked, data) or {}
            self._told.ask(key, f"chat {asked.get('model') or ''}".strip(), asked)
        elif data.type == "function":
            self._told.give(key, _arguments(data.input))
        if span.error:
            self._told.fail(key, ("AgentsError", _message(span.error)))
        elif is_call:
            self._told.end_call(key, safely(_answer, data))
        else:
            self._told.end(key, getattr(data, "output", None), safely(_attributes, data))

    def force_flush(self) -> None:
        """Records are written behind the program, in any case."""

    def shutdown(self) -> None:
        """The recording goes on without the SDK."""


def _name(data: Any) -> str:
    if data.type == "handoff":
        return f"handoff {data.from_agent or '?'} → {data.to_agent or '?'}"
    if data.type == "turn":
        return f"turn {data.turn}"
    return str(getattr(data, "name", None) or data.type)


def _asked(data: Any) -> dict[str, Any]:
    if data.type == "generation":
        return {**(data.model_config or {}), "model": data.model, "messages": data.input}
    response = data.response
    known = {} if response is None else {name: getattr(response, name, None) for name in _OF_REQUEST}
    return {**{name: value for name, value in known.items() if value is not None}, "input": data.input}


_OF_REQUEST = (
    "model",
    "instructions",
    "tools",
    "temperature",
    "top_p",
    "max_output_tokens",
    "previous_response_id",
    "service_tier",
)


def _answer(data: Any) -> Any:
    if data.type == "response":
        return data.response
    choices = [{"index": at, "message": message} for at, message in enumerate(data.output or ())]
    return {"model": data.model, "choices": choices, "usage": data.usage}


def _arguments(spoken: Any) -> dict[str, Any]:
    """A tool's arguments, which the SDK keeps as JSON text."""
    try:
        found = json.loads(spoken)
    except (TypeError, ValueError):
        found = spoken
    return found if isinstance(found, dict) else {} if found is None else {"input": found}


_SAID_ELSEWHERE = frozenset({"type", "name", "input", "output", "data", "usage"})


def _attributes(data: Any) -> dict[str, Any]:
    """What the span says besides its output. Summed usage of turns and tasks stays out: it is that of their calls."""
    told = {name: value for name, value in data.export().items() if name not in _SAID_ELSEWHERE}
    return {f"agents.{name}": value for name, value in told.items() if value is not None}


def _message(error: Any) -> str:
    told = error.get("data")
    return f"{error.get('message')}: {told}" if told else str(error.get("message"))
