"""Recordings as hypothesis makes them: spans, heads, late facts, logs and findings of two traces and two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from instrument.model import Cost, Failure, Finding, Log, Record, Score, Usage
from tests.recorded import MS, NOON, TRACE, finding, head, log, run, span, update, write

TRACES = (TRACE, "b0b" + "0" * 29)
WRONG = (None, Failure("ValueError", "no"), Failure("ValueError"), Failure("KeyError", "x", "stack"))
KINDS = ("agent", "step", "llm", "embedding", "tool", "retrieval")
NAMES = ("read_file", "it's", 'say "x"', "größe")
MODELS = (None, "", "gpt-4.1", "my-model")
MONEY = (None, "0", "0.000", "0.25", "0.0000017", "12", "-0.5")
BASES = ("priced", "estimated", "unpriced", "free", "rumoured")
tokens = st.none() | st.integers(0, 10**6)
usages = st.none() | st.builds(Usage, input=tokens, cached=tokens, output=tokens, reasoning=tokens, audio=tokens)
costs = st.none() | st.builds(Cost, usd=st.sampled_from(MONEY), basis=st.sampled_from(BASES))
keys = ("gen_ai.request.model", "gen_ai.response.model", "gen_ai.agent.id", "gen_ai.agent.name", "instrument.operation")
asked = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, st.sampled_from(MODELS)))
numbered = st.sampled_from(
    [
        {},
        {"instrument.iteration": 3},
        {"instrument.label": "a task", "session.id": "s", "other": [1, {"a": None}]},
        {"session.id": "t", "user.id": "u"},
        {"instrument.times": "order only"},
        {"instrument.no_iteration": True},
    ]
)


@st.composite
def recordings(draw: st.DrawFn) -> list[Record]:
    """Some spans, heads, late facts, logs and findings of two traces and two processes."""
    records: list[Record] = [run()]
    for number in range(1, draw(st.integers(1, 24))):
        where: Any = {"trace_id": draw(st.sampled_from(TRACES)), "run": draw(st.sampled_from(["r1", "r2"]))}
        parent = draw(st.none() | st.integers(1, 24))
        more = {"kind": draw(st.sampled_from(KINDS)), "name": draw(st.sampled_from(NAMES)), **where}
        about = {**draw(asked), **draw(numbered)}
        if draw(st.booleans()) and draw(st.booleans()):
            records.append(head(number, parent, attributes=about, **more))
            continue
        status = draw(st.sampled_from(["ok", "error", "refused", "cancelled"]))
        is_wrong = status in ("error", "refused")
        failed = {"status": status, "error": draw(st.sampled_from(WRONG)) if is_wrong else None}
        spent = {"usage": draw(usages), "cost": draw(costs)}
        took = draw(st.integers(0, 10**12))
        records.append(span(number, parent, duration_ns=took, attributes=about, **more, **failed, **spent))
        if draw(st.booleans()):
            records.append(head(number, parent, **more))
        if draw(st.integers(0, 5)) == 0:
            answered = draw(st.sampled_from(MODELS))
            late = {} if answered is None else {"gen_ai.response.model": answered}
            records.append(update(number, usage=draw(usages), cost=draw(costs), attributes=late, **where))
    records += draw(st.lists(st.sampled_from(OTHERS), max_size=9, unique_by=id))
    return list(draw(st.permutations(records)))


OTHERS: list[Record] = [
    log(1),
    log(2000, 1, level="warning"),
    log(3, 1, level="CRITICAL"),
    Log(run="r2", time_ns=NOON + 7 * MS, trace_id="c" * 32),
    finding(1),
    finding(1, severity="info", trace_id=TRACES[1]),
    finding(2, data={"again_of": "1"}),
    Finding(detector="d", message="m"),
    *(Score(time_ns=NOON + n, name=f"s{n % 2}", value=n / 3, trace_id=TRACES[n % 2]) for n in range(4)),
    Score(time_ns=NOON, name="s1", label="good", trace_id=TRACE),
    Score(time_ns=NOON, name="s1", label="good", trace_id="d" * 32),
    Score(time_ns=NOON, name="none"),
]


def written(folder: Path, records: list[Record]) -> Path:
    return write(folder / "a.jsonl", *records)
