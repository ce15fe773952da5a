"""Sessions of Claude Code become traces."""

from __future__ import annotations

from typing import Any

from instrument.model import Failure, Span, Usage
from instrument.store.foreign import claude_code, detect

USED = {"input_tokens": 2, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 5}


def line(uuid: str, second: int, kind: str, content: Any, **fields: Any) -> dict[str, Any]:
    """One line of a session; `message` fields are given as `message_…`."""
    inner = {key.removeprefix("message_"): fields.pop(key) for key in [*fields] if key.startswith("message_")}
    return {
        "type": kind,
        "uuid": uuid,
        "sessionId": "s1",
        "cwd": "/work",
        "isSidechain": False,
        "timestamp": f"2026-01-02T03:04:{second:02}.000Z",
        "message": {"role": kind, "content": content, **inner},
        **fields,
    }


def answer(uuid: str, second: int, block: dict[str, Any], message_id: str, **fields: Any) -> dict[str, Any]:
    """One line of an answer: one block of its content."""
    return line(
        uuid,
        second,
        "assistant",
        [block],
        message_id=message_id,
        message_model="claude-x",
        message_usage=USED,
        **fields,
    )


def result(uuid: str, second: int, call: str, text: str, **fields: Any) -> dict[str, Any]:
    """The line with the result of a tool."""
    failed = {"is_error": True} if fields.pop("failed", False) else {}
    return line(
        uuid, second, "user", [{"type": "tool_result", "tool_use_id": call, "content": text, **failed}], **fields
    )


def use(call: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A block that calls a tool."""
    return {"type": "tool_use", "id": call, "name": name, "input": arguments}


SESSION = [
    {"type": "summary", "summary": "Lists files", "leafUuid": "x"},
    line("u1", 0, "user", "list the files"),
    answer("a1", 2, {"type": "text", "text": "I look."}, "m1"),
    answer("a2", 3, use("t1", "Bash", {"command": "ls"}), "m1"),
    result("u2", 4, "t1", "no such folder", failed=True),
    answer("a3", 6, {"type": "text", "text": "There is none."}, "m2"),
    {"type": "system", "sessionId": "s1", "uuid": "y", "timestamp": "2026-01-02T03:04:07.000Z", "subtype": "note"},
]


def spans(rows: list[dict[str, Any]]) -> list[Span]:
    """The spans of a session."""
    return [one for one in claude_code.records(rows, "s1.jsonl") if isinstance(one, Span)]


def test_told_by_its_shape() -> None:
    """A session is known, also where its first lines say little."""
    assert "claude-code" == detect([{"type": "file-history-snapshot", "messageId": "x"}, *SESSION])


def test_lines_of_one_answer_are_one_call() -> None:
    """Blocks with one message id are one model call, and its tokens count once."""
    assert ["agent", "llm", "tool", "llm"] == [one.kind for one in spans(SESSION)]


def test_tokens_are_inclusive() -> None:
    """What was read from the cache and written to it is part of the input."""
    assert Usage(input=112, cached=100, cache_write=10, output=5) == spans(SESSION)[1].usage


def test_tokens_of_an_answer_are_those_that_were_told_last() -> None:
    """They grow while it streams in; a line that no model wrote has none."""
    first, last = (answer(f"b{n}", n, {"type": "text", "text": "x"}, "m9") for n in (8, 9))
    first["message"]["usage"] = {**USED, "output_tokens": 1}
    ours = answer("b0", 10, {"type": "text", "text": "limit reached"}, "m10")
    ours["message"]["usage"] = dict.fromkeys(USED, 0)
    assert [5, None] == [one.usage and one.usage.output for one in spans([*SESSION, first, last, ours])[-2:]]


def test_times() -> None:
    """The model worked from the prompt to the last line of its answer, the tool until its result came."""
    assert [7 - 1, 3, 1, 2] == [one.duration_ns // 10**9 for one in spans(SESSION)]


def test_a_failed_tool() -> None:
    """A result that is marked as an error is one."""
    assert ("Bash", "error", Failure("ToolError", "no such folder")) == (
        spans(SESSION)[2].name, spans(SESSION)[2].status, spans(SESSION)[2].error,
    )  # fmt: skip


def test_a_result_that_only_sounds_like_an_error() -> None:
    """A result that is not marked is none, whatever its text."""
    rows = [*SESSION[:4], result("u2", 4, "t1", "Error handling is in errors.py")]
    assert "ok" == spans(rows)[2].status


def test_the_summary_is_the_label() -> None:
    """What the session is called is the label of its agent."""
    assert "Lists files" == spans(SESSION)[0].attributes["instrument.label"]


def test_other_lines_are_events() -> None:
    """Lines that are no messages are kept as events of the agent."""
    assert [("system", "note")] == [(one.name, one.attributes["subtype"]) for one in spans(SESSION)[0].events]


def test_ids_do_not_change() -> None:
    """A session that went on has the same ids for what was there before."""
    assert [one.span_id for one in spans(SESSION[:5])] == [one.span_id for one in spans(SESSION)][:3]


TASK = [
    line("u1", 0, "user", "ask another"),
    answer("a1", 1, use("t1", "Task", {"prompt": "count to three"}), "m1"),
    line("k1", 2, "user", "count to three", isSidechain=True, parentUuid=None),
    answer("k2", 3, {"type": "text", "text": "1 2 3"}, "m2", isSidechain=True, parentUuid="k1"),
    result("u2", 4, "t1", "1 2 3"),
]


def test_an_agent_hangs_at_the_call_that_started_it() -> None:
    """The lines of a side chain are an agent below the call with its task."""
    found = {(one.kind, one.parent_id is None): one for one in spans(TASK) if one.kind in ("agent", "tool")}
    assert found["tool", False].span_id == found["agent", False].parent_id


def test_an_agent_in_a_file_of_its_own() -> None:
    """The agent's file and the session's file tell the same id of the call that started it."""
    main = [*TASK[:2], result("u2", 4, "t1", "1 2 3", toolUseResult={"agentId": "k"})]
    own = [{**row, "agentId": "k"} for row in TASK[2:4]]
    tool = next(one for one in spans(main) if one.kind == "tool")
    assert (tool.trace_id, tool.span_id) == (spans(own)[0].trace_id, spans(own)[0].parent_id)
