"""Trajectories: rows whose `trajectory` is a list of steps of thought, action and observation, as of SWE-agent.

Each step is an answer of the model and the command that it asked for; the command is named by its first word. There are
no times but how long a command ran, where a step says it: the order is all that is known, a microsecond is a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instrument.attributes import ORDER_ONLY, TIMES
from instrument.messages import message_of, said
from instrument.model import Record
from instrument.store.foreign.conversation import Conversation, Turn, spans
from instrument.store.foreign.shape import Fields, digest, failure_told, fields, items, run_of, words

_STEP_NS = 1_000
_KNOWN = frozenset({"action", "observation", "response", "thought"})


def fits(row: object) -> bool:
    """Whether a parsed value holds such steps."""
    steps = items(fields(row).get("trajectory"))
    return bool(steps) and all("action" in fields(step) and "observation" in fields(step) for step in steps)


def records(row: Any, source: str, written_ns: int = 0) -> Iterator[Record]:
    """One trace for the row; `written_ns` is when the file was written, which stands for its time."""
    steps: list[Fields] = row["trajectory"]
    beside = {key: value for key, value in row.items() if key not in ("trajectory", "history")}
    trace_id = digest("trajectory", steps, beside, digits=32)
    yield run_of(trace_id, written_ns, source)
    yield from spans(
        Conversation(
            trace_id=trace_id,
            span_id=digest(trace_id, "agent"),
            start_ns=written_ns,
            name=words(row.get("environment")) or "trajectory",
            turns=[turn for place, step in enumerate(steps) for turn in _turns(step, place, written_ns)],
            attributes={
                **{f"imported.{key}": value for key, value in beside.items()},
                TIMES: ORDER_ONLY,
            },
        )
    )


def _turns(step: Fields, place: int, base: int) -> Iterator[Turn]:
    """What the model said and asked for, and what came of it; a step may also be an answer without an action."""
    rest = {f"imported.{key}": value for key, value in step.items() if key not in _KNOWN and value is not None}
    at = base + (2 * place + 1) * _STEP_NS
    call_id, action = f"step-{place}", words(step.get("action"))
    thought = words(step.get("response")) or words(step.get("thought")) or ""
    parts = message_of({"role": "assistant", "content": thought}, "assistant")["parts"]
    if action is None or not action.strip():
        yield Turn(key=str(place), at_ns=at, message=said("assistant", parts), attributes=rest)
        return
    asked = {
        "type": "tool_call",
        "id": call_id,
        "name": action.split(maxsplit=1)[0],
        "arguments": {"command": action.strip()},
    }
    yield Turn(key=str(place), at_ns=at, message=said("assistant", [*parts, asked]), attributes=rest)
    result = step.get("observation")
    yield Turn(
        key=f"{place} observed",
        at_ns=at + _STEP_NS,
        message=said("tool", [{"type": "tool_call_response", "id": call_id, "response": result}]),
        failures={call_id: failure_told(result)},
    )
