"""Rollout files of Codex become traces."""

from __future__ import annotations

from typing import Any

from instrument.model import Failure, Span, Usage
from instrument.store.foreign import codex, detect


def line(second: int, kind: str, **payload: Any) -> dict[str, Any]:
    """One line of a rollout."""
    return {"timestamp": f"2026-01-02T03:04:{second:02}.000Z", "type": kind, "payload": payload}


def item(second: int, kind: str, **payload: Any) -> dict[str, Any]:
    """A line with an item of the conversation."""
    return line(second, "response_item", **{"type": kind, **payload})


def counted(second: int, last: dict[str, int] | None, total: dict[str, int]) -> dict[str, Any]:
    """A line with tokens."""
    info = {"total_token_usage": total, **({"last_token_usage": last} if last else {})}
    return line(second, "event_msg", type="token_count", info=info)


FIRST = {"input_tokens": 100, "cached_input_tokens": 40, "output_tokens": 20, "reasoning_output_tokens": 5}
BOTH = {"input_tokens": 250, "cached_input_tokens": 140, "output_tokens": 30, "reasoning_output_tokens": 5}
SESSION = [
    line(0, "session_meta", id="s1", cwd="/work", cli_version="1.0"),
    line(0, "turn_context", model="gpt-x", effort="high"),
    item(1, "message", role="user", content=[{"type": "input_text", "text": "list the files"}]),
    line(1, "event_msg", type="user_message", message="list the files"),
    item(2, "reasoning", summary=[{"type": "summary_text", "text": "I look."}], encrypted_content="zzz"),
    item(3, "function_call", name="shell", arguments='{"command": ["ls"]}', call_id="c1"),
    counted(3, FIRST, FIRST),
    item(5, "function_call_output", call_id="c1", output='{"output": "gone", "metadata": {"exit_code": 2}}'),
    counted(5, FIRST, FIRST),
    item(7, "message", role="assistant", content=[{"type": "output_text", "text": "There is none."}]),
    counted(7, None, BOTH),
    line(8, "event_msg", type="turn_aborted", reason="interrupted"),
]


def spans(rows: list[dict[str, Any]]) -> list[Span]:
    """The spans of a rollout."""
    return [one for one in codex.records(rows, "rollout.jsonl") if isinstance(one, Span)]


def test_told_by_its_shape() -> None:
    """A rollout is known by its first line."""
    assert "codex" == detect(SESSION)


def test_items_of_one_answer_are_one_call() -> None:
    """Reasoning and a tool call that follow each other are one answer of the model."""
    assert ["agent", "llm", "tool", "llm"] == [one.kind for one in spans(SESSION)]


def test_parts_of_an_answer() -> None:
    """What the model thought and called is in its answer, what is encrypted is not."""
    assert ["reasoning", "tool_call"] == [part["type"] for part in spans(SESSION)[1].output["messages"][0]["parts"]]


def test_tokens_of_the_last_call() -> None:
    """Tokens belong to the answer before them."""
    assert Usage(input=100, cached=40, output=20, reasoning=5) == spans(SESSION)[1].usage


def test_tokens_that_only_the_total_tells() -> None:
    """Without counts of the last call they are what the total has grown by, and counts said again are not counted."""
    assert Usage(input=150, cached=100, output=10, reasoning=0) == spans(SESSION)[3].usage


def test_model() -> None:
    """The model is that of the turn."""
    assert ("chat gpt-x", "gpt-x") == (spans(SESSION)[1].name, spans(SESSION)[1].attributes["gen_ai.request.model"])


def test_times() -> None:
    """The model worked until its last item, the tool until its result came."""
    assert [6, 2, 2, 2] == [one.duration_ns // 10**9 for one in spans(SESSION)]


def test_a_call_that_ended_with_a_code() -> None:
    """An exit code other than 0 is an error, the text is the result."""
    found = spans(SESSION)[2]
    assert ("shell", "gone", Failure("ExitCode", "exit code 2: gone")) == (found.name, found.output, found.error)


def test_a_code_told_in_words() -> None:
    """Newer versions write the code into the text."""
    rows = [*SESSION[:7], item(5, "function_call_output", call_id="c1", output="Exit code: 1\nOutput:\nno")]
    assert "error" == spans(rows)[2].status


def test_a_code_that_only_an_event_tells() -> None:
    """Where the output is the bare text of the command."""
    ended = line(4, "event_msg", type="exec_command_end", call_id="c1", exit_code=1, aggregated_output="FAIL")
    rows = [*SESSION[:6], ended, item(5, "function_call_output", call_id="c1", output="FAIL")]
    assert Failure("ExitCode", "exit code 1: FAIL") == spans(rows)[-1].error


def test_success_told_in_words() -> None:
    """Code 0 is a success, whatever else the text says."""
    rows = [*SESSION[:7], item(5, "function_call_output", call_id="c1", output="Exit code: 0\nOutput:\nError")]
    assert "ok" == spans(rows)[2].status


def test_other_events_are_kept() -> None:
    """Events that say nothing again are events of the agent."""
    assert [("turn_aborted", "interrupted")] == [
        (one.name, one.attributes["reason"]) for one in spans(SESSION)[0].events if one.name == "turn_aborted"
    ]


def test_old_files() -> None:
    """Lines without an envelope are items."""
    rows = [{"id": "s0", "timestamp": "2025-01-02T03:04:05Z", "instructions": None},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ho"}]}]  # fmt: skip
    assert ("codex", ["agent", "llm"], "ho") == (detect(rows), [one.kind for one in spans(rows)], spans(rows)[0].output)


def test_counts_said_again_belong_to_no_answer() -> None:
    """Counts that are repeated after the next answer are not its own."""
    rows = [*SESSION[:10], counted(7, FIRST, FIRST), SESSION[10]]
    assert Usage(input=150, cached=100, output=10, reasoning=0) == spans(rows)[3].usage
