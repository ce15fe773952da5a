"""Records made by hand, for tests of what reads them: short builders, and one review as an agent leaves it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from instrument.analysis.tree import Trace, traces
from instrument.model import Cost, Event, Failure, Finding, Log, Open, Record, Run, Span, Update, Usage, encode
from instrument.store.jsonl import records

NOON = 1_795_435_200_000_000_000
"""2026-11-23 12:00:00 UTC."""
MS = 1_000_000
TRACE = "3f2a" * 8


def span(number: int, parent: int | None = None, **fields: Any) -> Span:
    """Span `number`, which begins that many milliseconds after noon and takes 5 ms."""
    known: dict[str, Any] = {
        "run": "r1",
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "start_ns": NOON + number * MS,
        "duration_ns": 5 * MS,
        "kind": "span",
        "name": f"span{number}",
        "status": "ok",
    }
    return Span(**{**known, **fields})


def head(number: int, parent: int | None = None, **fields: Any) -> Open:
    """The head of a span that has not ended."""
    whole = span(number, parent)
    known = {name: getattr(whole, name) for name in Open.__struct_fields__ if name not in ("input", "attributes")}
    return Open(**{**known, **fields})


def call(
    number: int,
    parent: int | None = None,
    *,
    tokens: tuple[int, int] = (100, 10),
    usd: str | None = "0.001",
    **fields: Any,
) -> Span:
    """A model call with its tokens and money; without `usd` no price is known."""
    known: dict[str, Any] = {
        "kind": "llm",
        "name": "responses gpt-4.1-mini",
        "usage": Usage(input=tokens[0], output=tokens[1]),
        "cost": Cost(usd=usd, basis="unpriced" if usd is None else "priced"),
        "attributes": {"gen_ai.request.model": "gpt-4.1-mini", "instrument.operation": "think"},
    }
    return span(number, parent, **{**known, **fields})


def log(number: int, span_number: int | None = None, **fields: Any) -> Log:
    """A log that many milliseconds after noon, in a span or outside of any trace."""
    inside = {} if span_number is None else {"trace_id": TRACE, "span_id": f"{span_number:016x}"}
    return Log(**{"run": "r1", "time_ns": NOON + number * MS, "event": f"EVENT{number}", **inside, **fields})


def finding(*span_numbers: int, **fields: Any) -> Finding:
    """A finding about the spans."""
    known = {"detector": "same_call", "message": "read_file was called 3 times with the same arguments"}
    ids = [f"{number:016x}" for number in span_numbers]
    return Finding(**{"run": "r1", "trace_id": TRACE, "span_ids": ids, "time_ns": NOON, **known, **fields})


def update(number: int, **fields: Any) -> Update:
    """Late facts about a span."""
    return Update(**{"run": "r1", "trace_id": TRACE, "span_id": f"{number:016x}", **fields})


def run(**fields: Any) -> Run:
    """The head of the recording `r1`."""
    return Run(**{"run": "r1", "start_ns": NOON, "pid": 42, "argv": ["python", "-m", "agent"], **fields})


def review() -> list[Record]:
    """A review by an agent: a plan, three iterations, a tool call that failed, a finding, logs inside and outside."""
    label = {"instrument.label": "Review examples/ for faults", "instrument.agent.outcome": "answered"}
    records: list[Record] = [
        run(),
        log(0, level="WARNING", message="outside of any span", event="SETUP"),
        log(1, 1, event="AGENT_INIT", message="reviewer ready", metadata={"model": "x", "tools": ["read_file"]}),
        span(1, name="review", kind="agent", duration_ns=9000 * MS, attributes=label),
        span(2, 1, name="create_plan", kind="step", duration_ns=1200 * MS),
        call(3, 2, tokens=(812, 45), usd="0.000397", duration_ns=1190 * MS, attributes=_model("create_plan")),
    ]
    for turn in (1, 2, 3):
        records += _iteration(turn)
    return [
        *records,
        log(950, 20, level="ERROR", event="ACT_ERROR", message="no such file", metadata={"tool": "read_file"}),
        finding(33, time_ns=NOON + 8000 * MS),
    ]


def _iteration(turn: int) -> list[Record]:
    first, model = 10 * turn, "my-local-model" if turn == 3 else "gpt-4.1-mini"
    missing = Failure("FileNotFoundError", "[Errno 2] No such file or directory: 'exampels/median.py'", "  File …")
    failed = {"status": "error", "error": missing} if turn == 2 else {}
    numbered = {"instrument.iteration": turn}
    return [
        span(first, 1, name="iteration", kind="step", duration_ns=2500 * MS, attributes=numbered),
        span(first + 1, first, name="think", kind="step", duration_ns=1500 * MS),
        call(
            first + 2,
            first + 1,
            tokens=(2000 + turn, 120),
            usd=None if turn == 3 else "0.001",
            name=f"responses {model}",
            duration_ns=1490 * MS,
            attributes=_model("think", model),
        ),
        span(first + 3, first, name="read_file", kind="tool", duration_ns=34_500_000, input={"path": "m.py"}, **failed),
    ]


def _model(operation: str, model: str = "gpt-4.1-mini") -> dict[str, Any]:
    return {"gen_ai.request.model": model, "instrument.operation": operation, "gen_ai.agent.id": "reviewer-1"}


def talk() -> Span:
    """A model call with a conversation, code in it, a tool call and its answer, an event."""
    system = {"role": "system", "parts": [{"type": "text", "content": "You review code. Be brief."}]}
    asked = "Is this right?\n```python\ndef median(values):\n    # the middle\n    return sorted(values)[1] + 1.5\n```\nThanks."
    arguments = {"path": "m.py", "lines": [1, 20], "why": "to see how it is called " * 5}
    messages = [
        system,
        {"role": "user", "parts": [{"type": "text", "content": asked}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "call_1", "name": "read_file", "arguments": arguments}],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_1", "response": "def median(values): ..."}],
        },
    ]
    answer = "No:\n```diff\n-    return sorted(values)[1]\n+    return statistics.median(values)\n```"
    return call(
        70,
        1,
        name="chat gpt-4.1-mini",
        input={"messages": messages, "settings": {"temperature": 0.2}, "tools": [{"name": "read_file"}]},
        output={"messages": [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]},
        events=[Event("first_chunk", NOON + 71 * MS, {"bytes": 3})],
    )


def broken() -> Span:
    """A tool call that failed for a reason, with a long value that is stored apart."""
    cause = Failure("KeyError", "'x'", '  File "agent.py", line 3, in get\n    return self.held["x"]\n')
    stack = (
        'Traceback (most recent call last):\n  File "agent.py", line 12, in think\n    raise RuntimeError("it broke")\n'
    )
    blob = {"$blob": "sha256:" + "a" * 64, "bytes": 123_456, "head": "the beginning"}
    given = {"path": "a.py", "text": "one\ntwo", "deep": {"a": {"b": [1, None]}}, "page": blob}
    failed = {"status": "error", "error": Failure("RuntimeError", "it broke", stack, [cause])}
    return span(71, 1, kind="tool", name="broke", input=given, **failed)


def fold(*records: Record) -> Trace:
    """The one trace that the records are of."""
    (trace,) = traces(records)
    return trace


def parents_of(spans: Iterable[Span]) -> dict[str, str | None]:
    """The name of each span's parent."""
    known = list(spans)
    names = {one.span_id: one.name for one in known}
    return {one.name: names.get(one.parent_id or "") for one in known}


def as_lines(*records: Record) -> bytes:
    """The records as they stand in a file."""
    return b"".join(encode(record) + b"\n" for record in records)


def write(path: Path, *records: Record) -> Path:
    """A file with the records."""
    path.write_bytes(as_lines(*records))
    return path


def read(path: Path) -> tuple[list[Record], list[str]]:
    """The records below a path, and the notices about what could not be read."""
    notices: list[str] = []
    return list(records(path, notices)), notices
