"""Whose a model call or tool call was: what other tools tell by nesting alone is told by each span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from instrument.attributes import AGENT_ID, AGENT_NAME
from instrument.model import Span
from instrument.store.foreign.shape import words

NAMES = (AGENT_ID, AGENT_NAME)

Ids = tuple[str, str | None]


def named_by_agents(spans: Sequence[Span]) -> list[Span]:
    """The spans, those below an agent with its id and name where they tell none of their own."""
    by_id: dict[Ids, Span] = {(span.trace_id, span.span_id): span for span in spans}
    agents: dict[Ids, Mapping[str, str]] = {}
    return [replace(span, attributes={**_above(span, by_id, agents), **span.attributes}) for span in spans]


def _above(span: Span, by_id: Mapping[Ids, Span], agents: dict[Ids, Mapping[str, str]]) -> Mapping[str, str]:
    """What the nearest agent at or above a span is called; nothing where there is none."""
    path: list[Ids] = []
    one: Span | None = span
    while one is not None and (one.trace_id, one.span_id) not in agents:
        at = (one.trace_id, one.span_id)
        agents[at] = _called(one)  # known from here on, which also ends a circle of parents
        path.append(at)
        one = None if agents[at] else by_id.get((one.trace_id, one.parent_id))
    found = next((told for at in reversed(path) if (told := agents[at])), None)
    if found is None:
        found = agents[one.trace_id, one.span_id] if one is not None else {}
    agents.update(dict.fromkeys(path, found))
    return found


def _called(span: Span) -> Mapping[str, str]:
    told = {name: text for name in NAMES if (text := words(span.attributes.get(name)))}
    return told or ({AGENT_NAME: span.name} if span.kind == "agent" else {})
