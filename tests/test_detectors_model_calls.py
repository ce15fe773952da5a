"""Rules of what watches model calls: context growth, cut answers, hallucinated tools."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from msgspec import Raw

from instrument.detectors import default
from instrument.model import Usage
from tests.detector_runs import Tape, alarms, feed, names, said, wish

OPENAI_CHAT = {"choices": [{"message": {"tool_calls": [{"function": {"name": "fly", "arguments": "{}"}}]}}]}
OPENAI_RESPONSES = {"output": [{"type": "function_call", "name": "fly", "arguments": "{}"}]}
ANTHROPIC = {"content": [{"type": "tool_use", "name": "fly", "input": {}}]}


@pytest.mark.parametrize("output", [wish("fly"), OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC])
def test_a_tool_that_was_not_offered_is_found(output: Any) -> None:
    """In each shape in which models wish for tools."""
    tape = Tape()
    tape.model(output, tools=["walk", "swim"])
    assert {"hallucinated_tool"} == alarms(feed(tape.spans))


@pytest.mark.parametrize("tools", [["fly"], [{"name": "fly"}], [{"type": "function", "function": {"name": "fly"}}]])
def test_a_tool_that_was_offered_is_fine(tools: list[Any]) -> None:
    """In each shape in which tools are offered."""
    tape = Tape()
    tape.span("chat", "llm", input={"messages": [], "tools": tools}, output=wish("fly"))
    assert [] == feed(tape.spans)


def test_unknown_offers_prove_nothing() -> None:
    """Where the tools on offer were not recorded no call is called invented."""
    tape = Tape()
    tape.span("chat", "llm", input={"messages": []}, output=wish("fly"))
    assert [] == feed(tape.spans)


@pytest.mark.parametrize("odd", [7, {}, {"function": [7]}, {"function": "fly"}, {"name": ["fly"]}])
def test_offers_of_an_unknown_form_prove_nothing(odd: Any) -> None:
    """Whatever others recorded there."""
    tape = Tape()
    tape.span("chat", "llm", input={"messages": [], "tools": [odd, "walk"]}, output=wish("fly"))
    assert [] == feed(tape.spans)


def test_tools_in_the_conventions_attribute_count() -> None:
    """Imported spans carry the definitions as an attribute."""
    tape = Tape()
    attributes = {"gen_ai.tool.definitions": Raw(b'[{"type":"function","name":"walk"}]')}
    tape.span("chat", "llm", input={"messages": []}, output=wish("fly"), attributes=attributes)
    assert {"hallucinated_tool"} == names(feed(tape.spans))


def test_a_failing_tool_under_a_name_never_offered_is_found() -> None:
    """The wish was not recorded, but the call of the invented tool was."""
    tape = Tape()
    tape.model(wish("walk"), tools=["walk"])
    tape.tool("walk", "walked", to="shed")
    tape.tool("fly", failed="no such tool", to="shed")
    assert {"hallucinated_tool"} == names(feed(tape.spans))


def test_programs_that_name_their_tools_otherwise_are_left_alone() -> None:
    """Where a tool that was not offered works, names on offer are not the names of tools."""
    tape = Tape()
    tape.model(wish("walk"), tools=["walk"])
    tape.tool("walk_impl", "walked", to="shed")
    tape.tool("fly_impl", failed="no wind", to="shed")
    assert [] == feed(tape.spans)


@pytest.mark.parametrize(
    "reason", ["length", "max_tokens", "MAX_TOKENS", "incomplete", "content_filter", "SAFETY", "refusal"]
)
def test_an_answer_that_was_cut_is_found(reason: str) -> None:
    """Length limits, content filters and refusals, by the finish reason."""
    tape = Tape()
    tape.model(said("and so"), attributes={"gen_ai.response.finish_reasons": [reason]})
    assert {"cut_answer"} == alarms(feed(tape.spans))


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "end_turn", "completed"])
def test_an_answer_that_ended_is_fine(reason: str) -> None:
    """Ordinary finish reasons say nothing."""
    tape = Tape()
    tape.model(said("and so it was"), attributes={"gen_ai.response.finish_reasons": [reason]})
    assert [] == feed(tape.spans)


@pytest.mark.parametrize("output", [said(""), {"messages": []}, {"messages": [{"role": "assistant", "parts": []}]}])
def test_an_empty_answer_is_found(output: Any) -> None:
    """No text, no tool call, nothing."""
    tape = Tape()
    tape.model(output)
    assert ["is empty"] == [finding.data["fault"] for finding in feed(tape.spans)]


REFUSED = {
    "messages": [{"role": "assistant", "parts": [{"type": "refusal", "content": "no"}], "finish_reason": "stop"}]
}
REFUSED_CHAT = {
    "choices": [{"message": {"role": "assistant", "content": None, "refusal": "no"}, "finish_reason": "stop"}]
}


@pytest.mark.parametrize("output", [REFUSED, REFUSED_CHAT])
def test_a_refusal_is_found(output: Any) -> None:
    """It ends as an answer does, and a program that reads its text finds an empty one."""
    tape = Tape()
    tape.model(output)
    assert ["is a refusal"] == [finding.data["fault"] for finding in feed(tape.spans)]


@pytest.mark.parametrize(
    "output",
    [wish("grade", {"refusal": "none"}), {"role": "assistant", "content": "so", "refusal": None}, {"refusal": "x"}],
)
def test_what_only_names_refusals_is_none(output: Any) -> None:
    """An argument or a field of the program's own, and the empty field of every answer."""
    tape = Tape()
    tape.model(output, tools=["grade"])
    assert [] == feed(tape.spans)


def test_an_answer_that_was_not_recorded_is_not_empty() -> None:
    """Where content is not captured nothing is said about it."""
    tape = Tape()
    tape.model(None)
    assert [] == feed(tape.spans)


def test_arguments_that_are_no_json_are_found() -> None:
    """The call cannot be made as it is."""
    tape = Tape()
    tape.model(wish("walk", '{"to": "she'), tools=["walk"])
    assert "calls walk with arguments that are no JSON" in feed(tape.spans)[0].message


def test_a_prompt_near_the_window_is_found() -> None:
    """At four fifths of the model's window; the message gives share and window."""
    tape = Tape()
    tape.model(said("so"), prompt=104_000)
    assert "fills 81% of the model's window of 128,000 tokens" in feed(tape.spans)[0].message


def test_the_window_of_a_model_is_a_setting() -> None:
    """By the beginning of its name, the longest that fits."""
    tape = Tape()
    tape.model(said("so"), prompt=104_000, attributes={"gen_ai.response.model": "big-2-dated"})
    assert [] == feed(tape.spans, context_windows={"big": 110_000, "big-2": 1_000_000})


def test_the_model_asked_for_counts_where_none_answered() -> None:
    """Without a response's model the request's names the window."""
    tape = Tape()
    tape.model(said("so"), prompt=104_000, attributes={"gen_ai.request.model": "big"})
    assert [] == feed(tape.spans, context_windows={"big": 1_000_000})


def test_growth_over_the_turns_is_a_hint() -> None:
    """A prompt that has grown fourfold is worth knowing, no alarm."""
    tape = Tape()
    for n in range(8):
        tape.model(said(f"{n}"), prompt=1000 + 700 * n)
    assert ["info"] == [finding.severity for finding in feed(tape.spans)]


def test_growth_of_a_short_prompt_is_no_hint() -> None:
    """From five tokens to twenty: nothing is to be saved."""
    tape = Tape()
    for n in range(8):
        tape.model(said(f"{n}"), prompt=5 + 400 * n)
    assert [] == feed(tape.spans)


def test_what_is_sent_again_is_counted_and_priced() -> None:
    """Ten turns of thirty thousand tokens and more, never cached: nine of them were sent before."""
    tape = Tape()
    for n in range(10):
        tape.model(said(f"{n}"), prompt=30_000 + n)
    last = feed(tape.spans)[-1]
    assert (240_028, 270_036, 216_025) == (last.data["resent"], last.data["sent"], last.data["saved"])


@pytest.mark.parametrize("prompts", [[1000 + 7919 * n % 9000 for n in range(60)], [4000] * 60])
def test_questions_of_a_batch_are_no_conversation(prompts: list[int]) -> None:
    """Prompts of all sizes in no order, or all of one: nothing has grown, and nothing of one was sent before."""
    tape = Tape()
    for prompt in prompts:
        tape.model(said("yes"), prompt=prompt)
    assert [] == feed(tape.spans)


def test_what_was_cached_is_not_paid_again() -> None:
    """With a cache that works nothing is said."""
    tape = Tape()
    for n in range(10):
        tape.model(said(f"{n}"), prompt=30_000, cached=29_000 if n else 0)
    assert [] == feed(tape.spans)


def words(n: int, tokens: int) -> str:
    """A text of about so many tokens that shares nothing with those of other numbers."""
    return "".join(f"{n:03d}.{at:04d}" for at in range(tokens // 2))


def turns(head: str = "", tail: str = "", times: int = 8, tokens: int = 1000) -> list[list[str]]:
    """The prompts of one conversation, each with all that was said before, between texts that change in each turn."""
    talk = [words(n, tokens) for n in range(times)]
    return [
        [text for text in (head and f"{head} {n}", *talk[:n], tail and f"{tail} {n}") if text] for n in range(times)
    ]


def sent(prompts: list[list[str]], **attributes: Any) -> Tape:
    tape = Tape()
    for n, texts in enumerate(prompts):
        tape.model(said(f"{n}"), texts=texts, prompt=sum(len(text) // 4 for text in texts), attributes=attributes)
    return tape


GROWING = {
    "a conversation": turns(),
    "after the time": turns(head="now it is"),
    "before a reminder": turns(tail="remember"),
    "one text": [["\n".join(texts)] for texts in turns()],
    "only the last turns": [texts[-6:] for texts in turns(times=12)],
}


@pytest.mark.parametrize("prompts", GROWING.values(), ids=GROWING)
def test_prompts_that_send_again_what_came_before_are_a_growing_conversation(prompts: list[list[str]]) -> None:
    """Whatever changes at their ends."""
    assert ["growth"] == [finding.data["measure"] for finding in feed(sent(prompts).spans)]


@pytest.mark.parametrize("shared", [0, 100, 900])
def test_prompts_that_only_get_larger_are_no_conversation(shared: int) -> None:
    """Questions of a batch, the shortest first, with nothing or a beginning in common."""
    prompts = [[words(999, shared), words(n, 300 + 400 * n)] for n in range(20)]
    assert [] == feed(sent(prompts).spans)


def test_conversations_that_take_turns_are_told_apart() -> None:
    """Two agents ask the same model in turn: each has grown by its own prompts."""
    pairs = [prompt for texts in turns(tokens=2000) if texts for prompt in (texts, [text[::-1] for text in texts])]
    found = feed(sent(pairs).spans)
    assert [("growth", 4), ("growth", 4)] == [(finding.data["measure"], finding.data["turns"]) for finding in found]


def test_long_prompts_are_not_kept() -> None:
    """Of ten of 50 kB each but one, of the others what tells them apart."""
    watch = default()
    tracemalloc.start()
    try:
        for n in range(10):
            watch.feed(Tape().model(said(f"{n}"), texts=[f"{n}" + "x" * 50_000], prompt=12_500))
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 150_000


def test_what_the_service_keeps_is_told_by_sizes() -> None:
    """Where a call names the response that it goes on with, its input is not what the model was given."""
    prompts = [[words(n, 1000 + 500 * n)] for n in range(9)]
    found = feed(sent(prompts, **{"gen_ai.request.previous_response.id": "r"}).spans)
    assert ["growth"] == [finding.data["measure"] for finding in found]


@pytest.mark.parametrize("leads", [True, False])
def test_what_a_cache_would_have_found_is_what_prompts_begin_with(leads: bool) -> None:
    """A long text that all have in common was sent again; behind one that changes a cache does not find it."""
    common = words(999, 9000)
    prompts = [[common, words(n, 100)] if leads else [words(n, 100), common] for n in range(20)]
    last = feed(sent(prompts).spans)[-1]
    assert leads == (last.data["saved"] > 90_000) == ("hardly anything, because what changes" not in last.message)


@pytest.mark.parametrize("leads", [True, False])
def test_prompts_stored_apart_are_told_by_their_beginning(leads: bool) -> None:
    """A clock in the instructions has all behind it paid again, however long the prompts."""
    tape = Tape()
    for n in range(8):
        head = f'[{{"role":"system","content":"{"" if leads else f"12:00:0{n} "}You search."}}'
        asked = {"messages": {"$blob": "sha256:0", "bytes": 70_000 + 20_000 * n, "head": head, "tail": ""}, "tools": []}
        tape.span("chat", "llm", input=asked, output=said(f"{n}"), usage=Usage(input=17_000 + 5_000 * n, output=1))
    last = feed(tape.spans)[-1]
    assert leads == (last.data["saved"] > 90_000) == ("hardly anything, because what changes" not in last.message)


def test_long_documents_stored_apart_are_no_conversation() -> None:
    """Each asks of another document: nothing of it was sent before."""
    tape = Tape()
    for n in range(10):
        head = f'[{{"role":"user","content":"Document {n}'
        asked = {"messages": {"$blob": "sha256:0", "bytes": 88_000, "head": head, "tail": ""}}
        tape.span("chat", "llm", input=asked, output=said(f"{n}"), usage=Usage(input=22_000 - n % 2, output=1))
    assert [] == feed(tape.spans)


def takes(**schema: Any) -> dict[str, Any]:
    return {"messages": [], "tools": [{"type": "function", "function": {"name": "walk", "parameters": schema}}]}


TO = {"to": {"type": "string"}}
STEPS = {"steps": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "given", "sentence", "severity"),
    [
        (
            {"properties": TO, "required": ["to"]},
            '{"at": 1}',
            "walk was called without to, which it requires",
            "warning",
        ),
        ({"properties": TO, "required": ["to"]}, "", "walk was called without to, which it requires", "warning"),
        (
            {"properties": TO},
            {"at": 1},
            "walk was called with at, which it does not take, once so far; it takes to",
            "info",
        ),
        ({"properties": TO, "additionalProperties": False}, {"at": 1}, "walk was called with at", "warning"),
        (
            {"properties": STEPS, "required": ["steps"]},
            '{"steps": "three"}',
            "walk was called with steps as a string, which is to be of type integer, once so far",
            "info",
        ),
        (
            {"properties": TO},
            {"to": 12},
            "walk was called with to as an integer, which is to be of type string",
            "info",
        ),
        ({"properties": TO}, {"to": ["a"]}, "walk was called with to as an array, which is to be of type", "info"),
        ({"properties": STEPS}, {"steps": True}, "walk was called with steps as a boolean", "info"),
        ({"properties": STEPS}, {"steps": 1.5}, "walk was called with steps as a number", "info"),
    ],
)
def test_arguments_that_do_not_fit_the_schema_are_found(schema: Any, given: Any, sentence: str, severity: str) -> None:
    """What is left out, and what is not taken: a tool that ignores it takes its defaults."""
    tape = Tape()
    tape.span("chat", "llm", input=takes(**schema), output=wish("walk", given))
    (found,) = feed(tape.spans)
    assert (True, severity) == (found.message.startswith(sentence), found.severity)


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        ({"properties": TO, "required": ["to"]}, {"to": "shed"}),
        ({"properties": TO}, {}),
        ({"properties": {}}, {"at": 1}),
        ({"type": "object"}, {"at": 1}),
        ({"anyOf": [{"properties": TO}], "required": ["to"]}, {"at": 1}),
        ({"properties": TO, "required": ["to"]}, {"$blob": "sha256:0", "bytes": 1, "head": "", "tail": ""}),
        ({"properties": TO, "required": ["to"]}, "[1]"),
        *(({"properties": STEPS}, {"steps": steps}) for steps in (3, 3.0, "3", None, "[redacted:secret]")),
        ({"properties": {"steps": {"type": ["integer", "string"]}}}, {"steps": "three"}),
        ({"properties": {"fast": {"type": "boolean"}}}, {"fast": "True"}),
        ({"properties": TO}, {"to": {"$blob": "sha256:0", "bytes": 1, "head": "", "tail": ""}}),
    ],
)
def test_arguments_that_may_fit_are_fine(schema: Any, given: Any) -> None:
    """Schemas that leave open or choose, and arguments that are not known."""
    tape = Tape()
    tape.span("chat", "llm", input=takes(**schema), output=wish("walk", given))
    assert [] == feed(tape.spans)
