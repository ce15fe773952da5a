"""A conversation of an agent as spans: one for each answer of the model and one for each call of a tool.

The agent's own span holds them all. What the model was told since its last answer is the input of the next one: the
whole history is the inputs and outputs before it, stored once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from instrument.attributes import (
    LABEL,
    MESSAGES,
    NEW_ONLY,
    NO_ITERATION,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    SESSION,
    TIMES,
    TOOL_CALL_ID,
    USER,
)
from instrument.cutting import beginning
from instrument.messages import Message
from instrument.model import Event, Failure, Span, Usage
from instrument.store.foreign.shape import Fields, digest, failure_told, fields, items, run_id, words

INSTRUCTED = frozenset({"system", "user", "tool"})
"""Roles that speak to the model; what any other but the assistant says is a step of its own."""
_LABEL = 120


class Turn(NamedTuple):
    """One message. `key` is stable within the conversation, `at_ns` is when it was complete.

    `failures` maps the ids of tool calls to what went wrong, or to None where the call is known to have succeeded.
    `agents` maps them to the ids of the agents that they started.
    """

    key: str
    at_ns: int
    message: Message
    usage: Usage | None = None
    attributes: Fields = {}
    failures: Mapping[str, Failure | None] = {}
    agents: Mapping[str, str] = {}


class Conversation(NamedTuple):
    """The turns of one agent in their order; `span_id` is that of the agent's span.

    `start_ns` is when it began where that was before its first turn was complete.
    """

    trace_id: str
    span_id: str
    name: str
    turns: Sequence[Turn]
    parent_id: str | None = None
    attributes: Fields = {}
    events: Sequence[Event] = ()
    tools: Sequence[Any] = ()
    start_ns: int | None = None


class _Call(NamedTuple):
    span_id: str
    at_ns: int
    part: Fields
    attributes: Fields


def spans(conversation: Conversation) -> Iterator[Span]:
    """The agent's span, then its model calls, tool calls and steps in the order in which they ended."""
    yield _agent(conversation)
    heard: list[Message] = []
    waiting: list[_Call] = []
    before = _start(conversation)
    for turn in conversation.turns:
        yield from _answers(conversation, turn, waiting)
        role = turn.message["role"]
        if role == "assistant":
            yield _model_call(conversation, turn, heard, before)
            heard = []
            yield from _called(conversation, turn, waiting)
        elif role in INSTRUCTED:
            heard.append(turn.message)
        else:
            yield _step(conversation, turn, before)
        before = turn.at_ns
    for call in waiting:
        yield _tool_span(conversation, call, None, call.at_ns, "open")


def call_span_id(trace_id: str, agent: str) -> str:
    """The id of the tool call that started an agent, which the agent's own file can tell as well."""
    return digest(trace_id, "started", agent)


def tool_span_id(conversation: Conversation, turn: str, place: int) -> str:
    """The id of the tool call that is this part of the turn."""
    return digest(conversation.trace_id, conversation.span_id, "tool", turn, place)


def said_text(message: Message) -> str:
    """The text of a message."""
    texts = (part.get("content") for part in message["parts"] if part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _agent(conversation: Conversation) -> Span:
    turns = conversation.turns
    start = _start(conversation)
    asked, told = _first_text(turns, "user"), _first_text(turns[::-1], "assistant")
    label = {LABEL: beginning(" ".join(asked.split()), _LABEL)} if asked else {}
    return _span(
        conversation,
        span_id=conversation.span_id,
        parent_id=conversation.parent_id,
        start_ns=start,
        duration_ns=max((turn.at_ns for turn in turns), default=0) - start,
        kind="agent",
        name=conversation.name,
        input={"task": asked} if asked else None,
        output=told or None,
        attributes={**label, **conversation.attributes},
        events=[*conversation.events],
    )


def _start(conversation: Conversation) -> int:
    known = [] if conversation.start_ns is None else [conversation.start_ns]
    return min([*known, *(turn.at_ns for turn in conversation.turns)], default=0)


def _first_text(turns: Sequence[Turn], role: str) -> str:
    texts = (said_text(turn.message) for turn in turns if turn.message["role"] == role)
    return next(filter(None, texts), "")


def _model_call(conversation: Conversation, turn: Turn, heard: list[Message], before: int) -> Span:
    told = {"messages": heard, "tools": [*conversation.tools]}
    return _span(
        conversation,
        span_id=digest(conversation.trace_id, conversation.span_id, "llm", turn.key),
        parent_id=conversation.span_id,
        start_ns=min(before, turn.at_ns),
        duration_ns=max(0, turn.at_ns - before),
        kind="llm",
        name=_model_name(turn.attributes),
        input={key: value for key, value in told.items() if value} or None,
        output={"messages": [turn.message]},
        attributes={**turn.attributes, MESSAGES: NEW_ONLY},
        usage=turn.usage,
    )


def _model_name(attributes: Fields) -> str:
    model = words(attributes.get(RESPONSE_MODEL)) or words(attributes.get(REQUEST_MODEL))
    return f"chat {model}" if model else "chat"


def _step(conversation: Conversation, turn: Turn, before: int) -> Span:
    return _span(
        conversation,
        span_id=digest(conversation.trace_id, conversation.span_id, "step", turn.key),
        parent_id=conversation.span_id,
        start_ns=min(before, turn.at_ns),
        duration_ns=max(0, turn.at_ns - before),
        kind="step",
        name=turn.message["role"],
        output={"messages": [turn.message]},
        attributes={**turn.attributes, NO_ITERATION: True},
    )


def _called(conversation: Conversation, turn: Turn, waiting: list[_Call]) -> Iterator[Span]:
    """The calls of an answer: those of our tools wait for their results, those of the provider's are over."""
    shared: Fields = {key: turn.attributes[key] for key in (SESSION, USER) if key in turn.attributes}
    for place, part in enumerate(turn.message["parts"]):
        call = _Call(tool_span_id(conversation, turn.key, place), turn.at_ns, part, shared)
        if part.get("type") == "tool_call":
            waiting.append(call)
        elif part.get("type") == "server_tool_call":
            yield _tool_span(conversation, call, None, turn.at_ns, "ok")


def _answers(conversation: Conversation, turn: Turn, waiting: list[_Call]) -> Iterator[Span]:
    """The tool calls that the results in a message belong to: by their ids, in order where these do not tell."""
    for part in turn.message["parts"]:
        if part.get("type") != "tool_call_response" or not waiting:
            continue
        own = next((call for call in waiting if call.part.get("id") == part.get("id")), waiting[0])
        waiting.remove(own)
        call_id = str(part.get("id"))
        result = _result(part.get("response"))
        failure = turn.failures[call_id] if call_id in turn.failures else failure_told(result)
        status = "error" if failure is not None else "ok"
        yield _tool_span(
            conversation, own, result, turn.at_ns, status, failure, turn.agents.get(call_id), turn.attributes
        )


def _tool_span(
    conversation: Conversation,
    call: _Call,
    result: Any,
    end_ns: int,
    status: str,
    failure: Failure | None = None,
    agent: str | None = None,
    about: Fields | None = None,
) -> Span:
    call_id, arguments = words(call.part.get("id")), call.part.get("arguments")
    named = {**(about or {}), **({TOOL_CALL_ID: call_id} if call_id else {})}
    return _span(
        conversation,
        span_id=call_span_id(conversation.trace_id, agent) if agent else call.span_id,
        parent_id=conversation.span_id,
        start_ns=min(call.at_ns, end_ns),
        duration_ns=max(0, end_ns - call.at_ns),
        kind="tool",
        name=words(call.part.get("name")) or "(no name)",
        status=status,
        error=failure,
        input=arguments if isinstance(arguments, dict) else {"arguments": arguments},
        output=result,
        attributes={**named, **call.attributes},
    )


def _result(response: Any) -> Any:
    """A result that consists of texts only as one text."""
    parts = [fields(part) for part in items(response)]
    if parts and all(part.get("type") == "text" for part in parts):
        return "\n".join(str(part.get("content")) for part in parts)
    return response


def _span(conversation: Conversation, *, status: str = "ok", attributes: Fields, **told: Any) -> Span:
    """A span; where the conversation has no times each says so, its own are steps that keep the order."""
    known = {TIMES: conversation.attributes[TIMES]} if TIMES in conversation.attributes else {}
    return Span(
        run=run_id(conversation.trace_id),
        trace_id=conversation.trace_id,
        status=status,
        attributes={**attributes, **known},
        **told,
    )
