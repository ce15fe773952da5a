"""Lists of messages in OpenAI's format become traces: runs of benchmarks, logs, fine-tuning files."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from instrument.model import Failure, Score, Span, Usage
from instrument.store.foreign import detect, messages


def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool call as a model writes it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


TALK = [
    {"role": "system", "content": "You sell shoes."},
    {"role": "user", "content": "Do you have size 42?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("c1", "stock", '{"size": 42}'), call("c2", "price", "{}")],
    },
    {"role": "tool", "tool_call_id": "c2", "content": "Error: unknown shoe"},
    {"role": "tool", "tool_call_id": "c1", "content": "3 pairs"},
    {"role": "assistant", "content": "Yes, three."},
]


def spans(row: Any) -> list[Span]:
    """The spans of a row."""
    return [one for one in messages.records(row, "x.jsonl", 10**18) if isinstance(one, Span)]


def tools(row: Any) -> dict[str, Span]:
    """The tool spans of a row by their names."""
    return {one.name: one for one in spans(row) if one.kind == "tool"}


def test_told_by_its_shape() -> None:
    """A list of messages is known, bare or in an object, under each of its names."""
    assert ["openai"] * 3 == [detect([row]) for row in (TALK, {"messages": TALK}, {"traj": TALK, "reward": 1.0})]


def test_spans_of_a_conversation() -> None:
    """There is one span for the agent, each answer and each tool call."""
    assert ["agent", "llm", "tool", "tool", "llm"] == [one.kind for one in spans(TALK)]


def test_all_hang_at_the_agent() -> None:
    """The agent is the root, all others are its children."""
    root, *others = spans(TALK)
    assert (None, {root.span_id}) == (root.parent_id, {one.parent_id for one in others})


def test_results_find_their_calls() -> None:
    """A result belongs to the call with its id, whatever the order."""
    assert ({"size": 42}, "3 pairs") == (tools(TALK)["stock"].input, tools(TALK)["stock"].output)


def test_a_result_that_tells_an_error() -> None:
    """A result that begins with an error is a failed call."""
    assert ("error", Failure("ToolError", "Error: unknown shoe")) == (
        tools(TALK)["price"].status,
        tools(TALK)["price"].error,
    )


def test_no_half_of_a_secret_stays_where_text_is_cut() -> None:
    """Labels and failures are cut before they are redacted: a token that the cut goes through is left out."""
    token = "sk-proj-" + "a1B2" * 12
    asked, failed = f"{'x' * 110} {token}", f"Error: {'y' * 1_985} {token}"
    root, _, called = spans([
        {"role": "user", "content": asked},
        {"role": "assistant", "content": None, "tool_calls": [call("c", "stock", "{}")]},
        {"role": "tool", "tool_call_id": "c", "content": failed},
    ])  # fmt: skip
    assert (asked[:111], failed[:1_993]) == (root.attributes["instrument.label"], called.error and called.error.message)


def test_a_call_without_a_result_is_open() -> None:
    """What was never answered did not end."""
    assert {"stock": "open", "price": "open"} == {name: one.status for name, one in tools(TALK[:3]).items()}


def test_results_without_ids_in_order() -> None:
    """Without ids the results belong to the calls in their order."""
    talk = [*TALK[:3], {"role": "tool", "content": "first"}, {"role": "tool", "content": "second"}]
    assert {"stock": "first", "price": "second"} == {name: one.output for name, one in tools(talk).items()}


def test_what_is_new_is_the_input() -> None:
    """An answer's input is what was said since the answer before."""
    assert [["system", "user"], ["tool", "tool"]] == [
        [message["role"] for message in one.input["messages"]] for one in spans(TALK) if one.kind == "llm"
    ]


def test_tools_on_offer() -> None:
    """The tools of a fine-tuning row are what the model was offered."""
    offered = [{"type": "function", "function": {"name": "stock"}}]
    assert offered == spans({"messages": TALK, "tools": offered})[1].input["tools"]


def test_tokens_that_a_message_tells() -> None:
    """Usage in a message is that of its answer."""
    talk = [*TALK[:-1], {**TALK[-1], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}]
    assert Usage(input=9, output=2) == spans(talk)[-1].usage


def test_a_reward_is_a_score() -> None:
    """Numbers beside the messages that judge them are scores of the trace."""
    row = {"messages": TALK, "reward": 0.5, "score": 2}
    found = [one for one in messages.records(row, "x", 1) if isinstance(one, Score)]
    assert [("reward", 0.5), ("score", 2)] == [(one.name, one.value) for one in found]


def test_a_result_of_the_old_kind_is_one_of_a_tool() -> None:
    """It is told by a `function`."""
    called = {"role": "assistant", "content": None, "function_call": {"name": "stock", "arguments": "{}"}}
    found = spans([{"role": "user", "content": "a"}, called, {"role": "function", "name": "stock", "content": "7"}])
    assert [("agent", None), ("llm", None), ("tool", "7")] == [
        (one.kind, one.output if one.kind == "tool" else None) for one in found
    ]


def test_what_else_a_row_holds_is_kept() -> None:
    """Other keys of a row are attributes of the agent."""
    assert "7" == spans({"messages": TALK, "task": "7"})[0].attributes["imported.task"]


def test_roles_of_other_agents_are_steps() -> None:
    """Who is neither user, tool nor assistant has spans of its own."""
    found = spans([*TALK, {"role": "Planner", "content": "next"}])[-1]
    assert ("step", "Planner") == (found.kind, found.name)


def test_model_calls_say_that_their_input_is_what_was_new() -> None:
    """The rest of the prompt is stored once, as inputs and outputs of the calls before."""
    found = [span.attributes.get("instrument.messages") for span in spans(TALK) if span.kind == "llm"]
    assert {"new only"} == set(found)


def test_without_times_the_order_is_kept() -> None:
    """Messages without a time are a microsecond apart, and the trace says that this is no time."""
    assert {"order only"} == {span.attributes["instrument.times"] for span in spans(TALK)}


def test_times_of_messages() -> None:
    """A model call lasts from what was said before to the answer."""
    talk = [
        {"role": "user", "content": "a", "timestamp": 1_700_000_000},
        {"role": "assistant", "content": "b", "timestamp": 1_700_000_002},
    ]
    assert 2 * 10**9 == spans(talk)[1].duration_ns


_said = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "other"]), "content": st.none() | st.text(max_size=5)},
    optional={
        "tool_call_id": st.sampled_from(["c1", "c2"]),
        "tool_calls": st.lists(
            st.builds(call, st.sampled_from(["c1", "c2"]), st.just("f"), st.text(max_size=3)), max_size=3
        ),
    },
)


@given(st.lists(_said, min_size=1))
def test_every_call_is_one_span(talk: list[dict[str, Any]]) -> None:
    """Whatever the order and the ids, each call of an assistant's message is one tool span with an id of its own."""
    calls = sum(len(message.get("tool_calls", [])) for message in talk if message["role"] == "assistant")
    assert calls == len({one.span_id for one in spans(talk) if one.kind == "tool"})


def test_no_two_messages_at_one_moment() -> None:
    """Without times each answer begins where the turn before it ended, in the order of the messages."""
    calls = [one.start_ns for one in spans(TALK) if one.kind == "llm"]
    assert sorted(set(calls)) == calls
