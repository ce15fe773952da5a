"""Conversations as lists of messages in OpenAI's format: logs of runs, results of benchmarks, fine-tuning files.

A row is a list of messages or an object with one (`messages`, or `traj` as benchmarks call it); what is beside it
(tools, a reward, ids) is kept. Such files have no times unless a message says one: the order is all that is known
then, a microsecond stands for each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instrument.attributes import ORDER_ONLY, REQUEST_MODEL, TIMES
from instrument.messages import message_of
from instrument.model import Record, Score
from instrument.store.foreign.conversation import Conversation, Turn, spans
from instrument.store.foreign.shape import Fields, digest, fields, items, moment, run_id, run_of, words
from instrument.usage import usage_of

LISTS = ("messages", "traj", "conversation")
SCORES = ("reward", "score")
_MOMENTS = ("timestamp", "created_at", "created", "time")
_STEP_NS = 1_000
_MESSAGE_KEYS = frozenset({
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio", "reasoning",
    "reasoning_content", "usage", "model", *_MOMENTS,
})  # fmt: skip


def fits(row: object) -> bool:
    """Whether a parsed value is a list of messages or an object that holds one."""
    messages = _messages(row)
    return bool(messages) and all("role" in fields(message) for message in messages)


def records(row: Any, source: str, written_ns: int = 0) -> Iterator[Record]:
    """One trace for the row; `written_ns` is when the file was written, the time of messages that have none.

    Raises `ValueError` where a message is no object.
    """
    told = fields(row)
    messages = _messages(row)
    if not all(isinstance(message, dict) for message in messages):
        raise ValueError("a message is no object")
    beside = {key: value for key, value in told.items() if key not in (*LISTS, "tools", "functions")}
    trace_id = digest("messages", messages, beside, digits=32)
    base = _time(told) or written_ns
    turns = [_turn(message, place, base, told) for place, message in enumerate(messages)]
    yield run_of(trace_id, turns[0].at_ns if turns else base, source)
    yield from spans(
        Conversation(
            trace_id=trace_id,
            span_id=digest(trace_id, "agent"),
            name=words(told.get("name")) or words(told.get("agent")) or "conversation",
            turns=turns,
            attributes=_about(beside, timed=any(_time(message) for message in messages)),
            tools=items(told.get("tools")) or items(told.get("functions")),
        )
    )
    yield from _scores(told, trace_id, base)


def _messages(row: object) -> list[Any]:
    if isinstance(row, list):
        return row
    return next((found for name in LISTS if (found := items(fields(row).get(name)))), [])


def _turn(message: Fields, place: int, base: int, row: Fields) -> Turn:
    model = words(message.get("model")) or words(row.get("model"))
    known = {REQUEST_MODEL: model} if model else {}
    rest = {f"imported.{key}": value for key, value in message.items() if key not in _MESSAGE_KEYS and _says(value)}
    read = message_of(_with_role(message), "user")
    return Turn(
        key=str(place),
        at_ns=_time(message) or base + place * _STEP_NS,
        message={**read, "name": words(message.get("name"))} if words(message.get("name")) else read,
        usage=usage_of(message.get("usage")),
        attributes={**known, **rest},
    )


def _says(value: object) -> bool:
    return value is not None and value != [] and value != {}


def _with_role(message: Fields) -> Fields:
    """`human` says what `user` says; a result of the old kind, by a `function`, is one of a tool."""
    role = {"human": "user", "function": "tool"}.get(str(message.get("role")), message.get("role"))
    return {**message, "role": role if words(role) else "user"}


def _time(told: Fields) -> int | None:
    return next((at for name in _MOMENTS if (at := moment(told.get(name))) is not None), None)


def _about(beside: Fields, *, timed: bool) -> Fields:
    named = {REQUEST_MODEL: beside["model"]} if words(beside.get("model")) else {}
    rest = {f"imported.{key}": value for key, value in beside.items() if key not in ("model", *SCORES)}
    return {**named, **rest} if timed else {**named, **rest, TIMES: ORDER_ONLY}


def _scores(told: Fields, trace_id: str, at_ns: int) -> Iterator[Score]:
    for name in SCORES:
        value = told.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield Score(run=run_id(trace_id), trace_id=trace_id, time_ns=at_ns, name=name, value=value, source="import")
