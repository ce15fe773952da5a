"""OpenInference trees and flat lists become our records."""

from __future__ import annotations

import time
from typing import Any

import pytest

from instrument.analysis.metrics import measure
from instrument.model import Failure, Run, Span, Usage
from instrument.store.foreign import detect, openinference
from instrument.store.foreign.shape import moment

TRACE, ROOT, STEP, CALL = "a" * 32, "1" * 16, "2" * 16, "3" * 16


def span(span_id: str, attributes: dict[str, Any], *children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A span as trace stores hand it out."""
    return {
        "trace_id": TRACE,
        "span_id": span_id,
        "parent_span_id": None,
        "span_name": "work",
        "timestamp": "2026-01-02T03:04:05.123456Z",
        "duration": "PT1M2.5S",
        "status_code": "Ok",
        "span_attributes": attributes,
        "child_spans": [*children],
        **fields,
    }


TREE = {
    "id": "row 7",
    "trace": {
        "trace_id": TRACE,
        "spans": [
            span(
                ROOT,
                {"openinference.span.kind": "AGENT", "llm.token_count.prompt": "5"},
                span(STEP, {"openinference.span.kind": "CHAIN", "own": "x"},
                     span(CALL, {"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": "5",
                                 "llm.token_count.completion": "2"})),
            )
        ],
    },
}  # fmt: skip


def spans(row: Any) -> list[Span]:
    """The spans of a row."""
    return [one for one in openinference.records(row, "x.jsonl") if isinstance(one, Span)]


def test_told_by_its_shape() -> None:
    """A row with a tree is known."""
    assert "openinference" == detect([TREE])


def test_nesting() -> None:
    """Children hang at the span that holds them, without saying so themselves."""
    assert [(ROOT, None), (STEP, ROOT), (CALL, STEP)] == [(one.span_id, one.parent_id) for one in spans(TREE)]


def test_kinds() -> None:
    """Its kinds are ours by the table; a chain is no iteration."""
    assert (["agent", "step", "llm"], 0) == ([one.kind for one in spans(TREE)], measure(spans(TREE)).iterations)


def test_steps_with_a_number_are_iterations() -> None:
    """As some frameworks name the turns of their agents."""
    row = {"trace_id": TRACE, "spans": [span(STEP, {"openinference.span.kind": "CHAIN"}, span_name="Step 12")]}
    (step,) = spans(row)
    assert (1, 12) == (measure([step]).iterations, step.attributes["instrument.iteration"])


def test_times() -> None:
    """ISO texts become nanoseconds."""
    assert (1_767_323_045_123_456_000, 62_500_000_000) == (spans(TREE)[0].start_ns, spans(TREE)[0].duration_ns)


def test_times_are_utc_unless_they_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they are imported."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert moment("2026-01-02T03:04:05Z") == moment("2026-01-02T03:04:05")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_tokens_are_those_of_model_calls() -> None:
    """Counts written as texts count, those of agents do not count again."""
    assert [None, None, Usage(input=5, output=2)] == [one.usage for one in spans(TREE)]


def test_what_is_beside_the_spans_is_kept() -> None:
    """Other keys of a row go to the root."""
    assert "row 7" == spans(TREE)[0].attributes["imported.id"]


def test_one_head_for_a_trace() -> None:
    """There is one run record."""
    assert 1 == sum(isinstance(one, Run) for one in openinference.records(TREE, "x.jsonl"))


def test_an_exception_with_capital_names() -> None:
    """Stores that write `Attributes` and `Name` mean an exception too."""
    event = {"Name": "exception", "Timestamp": "2026-01-02T03:04:06", "Attributes": {"exception.type": "E"}}
    found = spans([span(ROOT, {}, status_code="Error", events=[event])])[0]
    assert ("error", Failure("E")) == (found.status, found.error)


def test_a_call_that_only_a_log_tells() -> None:
    """Arguments and result of a function in the span's log are its input and output."""
    body = {"function.name": "f", "function.arguments": {"a": 1}, "function.output": [2]}
    found = spans([span(ROOT, {}, logs=[{"body": body}])])[0]
    assert ({"a": 1}, [2]) == (found.input, found.output)


def test_json_of_the_sdk() -> None:
    """Spans as the OpenTelemetry SDK prints them, one a line, are read as well."""
    line = {
        "name": "add",
        "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{CALL}"},
        "parent_id": f"0x{ROOT}",
        "start_time": "2026-01-02T03:04:05.000000Z",
        "end_time": "2026-01-02T03:04:06.000000Z",
        "status": {"status_code": "ERROR", "description": "broken"},
        "attributes": {"openinference.span.kind": "TOOL", "tool.name": "add", "input.value": '{"a": 1}'},
    }
    found = spans(line)[0]
    assert (TRACE, CALL, ROOT, 10**9, {"a": 1}, "broken") == (
        found.trace_id, found.span_id, found.parent_id, found.duration_ns, found.input,
        found.error.message if found.error else None,
    )  # fmt: skip
