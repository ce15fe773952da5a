"""Traces of random agents, for rules that hold of all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from instrument.model import Cost, Event, Failure, Link, Span, Usage
from tests.recorded import MS, TRACE, span

NAMES = ("think", "act", "read_file", "search", "answer")
KINDS = ("agent", "step", "llm", "tool", "embedding", "retrieval", "workflow", "span")
KINDS_BELOW_CALLS = tuple(kind for kind in KINDS if kind != "llm")
ATTRIBUTES: list[dict[str, Any]] = [
    {},
    {"gen_ai.request.model": "gpt-4.1", "gen_ai.provider.name": "openai"},
    {"session.id": "s", "instrument.tags": ["a", "b"]},
    {"deep": {"a": [1, {"b": None}]}, "n": 1, "f": 0.5, "t": True},
]
MESSAGES = {"messages": [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]}
VALUES = st.sampled_from([None, {"path": "a.py"}, MESSAGES, "=1+1", [1, 2.5, None], {"x": {"y": ["z"]}}, 7, ""])


@st.composite
def spans(draw: st.DrawFn, most: int = 12, inside: bool = False) -> list[Span]:
    """Spans of one trace: any tree, any overlap, two processes; `inside`: children within the time of their parent."""
    found: list[Span] = []
    below_calls: set[str] = set()
    for number in range(1, draw(st.integers(1, most)) + 1):
        parent = None if number == 1 else draw(st.integers(1, number - 1))
        above = found[parent - 1] if parent else None
        start, length = draw(st.integers(0, 40)), draw(st.integers(0, 40))
        if inside and above is not None:
            room = above.duration_ns // MS
            start = draw(st.integers(0, room))
            length = draw(st.integers(0, room - start))
        begin = (above.start_ns if inside and above else span(0).start_ns) + start * MS
        # one model call is one llm span: none lies below another
        calling = above is not None and (above.kind == "llm" or above.span_id in below_calls)
        one = _span(draw, number, parent, begin, length * MS, KINDS_BELOW_CALLS if calling else KINDS)
        below_calls |= {one.span_id} if calling else set()
        found.append(one)
    return found


def _span(
    draw: st.DrawFn, number: int, parent: int | None, start_ns: int, duration_ns: int, kinds: tuple[str, ...]
) -> Span:
    status = draw(st.sampled_from(("ok", "ok", "error", "cancelled", "open")))
    kind = draw(st.sampled_from(kinds))
    usage = Usage(input=draw(st.integers(0, 900)), output=draw(st.integers(0, 900))) if kind == "llm" else None
    return span(
        number,
        parent,
        run=draw(st.sampled_from(("r1", "r1", "r2"))),
        start_ns=start_ns,
        duration_ns=duration_ns,
        name=draw(st.sampled_from(NAMES)),
        kind=kind,
        status=status,
        error=Failure("ValueError", "wrong", "stack") if status == "error" else None,
        input=draw(VALUES),
        output=draw(VALUES),
        attributes=draw(st.sampled_from(ATTRIBUTES)),
        usage=usage,
        cost=Cost(usd="0.001", basis="priced") if usage and draw(st.booleans()) else None,
        events=[Event("retry", start_ns, {"n": 1})] if draw(st.booleans()) else [],
        links=[Link(TRACE, f"{1:016x}")] if number > 1 and draw(st.booleans()) else [],
    )
