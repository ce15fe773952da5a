"""`instrument export --chat`: model calls as OpenAI's chat has them, whatever dialect they were made in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import instrument
from instrument.analysis.tree import traces
from instrument.attributes import MESSAGES, NEW_ONLY, REQUEST, RESPONSE
from instrument.cli.main import main
from instrument.messages import messages_of
from instrument.model import Span
from instrument.request import request
from instrument.views.chat import pieces
from tests.openai_endpoint import endpoint
from tests.recorded import call, span

Fields = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": SCHEMA}}
ASKED = {"role": "user", "content": "Weather in Paris?"}
WISH = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
ANSWER = {"role": "assistant", "content": "It rains."}


MODEL = {REQUEST["model"]: "gpt-4.1-mini"}


def lines(*spans: Span) -> list[Fields]:
    """What is exported of a trace."""
    (trace,) = traces(spans)
    return [json.loads(line) for line in pieces(trace)]


def asked(number: int, messages: Any, answer: Any = ANSWER, **more: Any) -> Span:
    """A model call as it is recorded: messages in parts."""
    told = {"messages": messages_of(messages)}
    return call(number, 1, input=told, output={"messages": messages_of([answer])}, **more)


def messages(*spans: Span) -> list[list[Fields]]:
    return [line["messages"] for line in lines(*spans)]


texts = st.text(max_size=30)
filled = st.text(min_size=1, max_size=30)
calls = st.builds(
    lambda number, name, arguments: {
        "id": f"c{number}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)},
    },
    st.integers(0, 9),
    filled,
    st.dictionaries(texts, st.integers(-9, 9) | texts | st.booleans() | st.none(), max_size=3),
)
turns = st.one_of(
    st.builds(lambda text: [{"role": "user", "content": text}], filled),
    st.builds(lambda text: [{"role": "system", "content": text}], filled),
    st.builds(lambda text: [{"role": "tool", "tool_call_id": "c1", "content": text}], texts),
    st.builds(
        lambda text, wished: [
            {"role": "assistant", "content": text, **({"tool_calls": wished} if wished else {})},
            {"role": "user", "content": "go on"},
        ],
        filled,
        st.lists(calls, max_size=2),
    ),
)


@given(st.lists(turns, max_size=6))
def test_a_chat_comes_back_as_it_was(said: list[list[Fields]]) -> None:
    """For all conversations of the chat: recorded in parts and exported they are the same to the last letter."""
    conversation = [message for turn in said for message in turn]
    assert [[*conversation, ANSWER]] == messages(span(1), asked(2, conversation))


def test_a_line_asks_the_same_again(alone: Path) -> None:
    """The real client sends what it sent the first time: messages, tools, settings, a picture by its address."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    body: Fields = {
        "model": "gpt-4.1-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]},
            WISH,
            RESULT,
        ],
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "stop": ["\n"],
    }
    instrument.configure(dir=alone, sinks=["jsonl"])
    with endpoint() as served, instrument.patch_openai():
        client = openai.OpenAI(base_url=served.base_url, api_key="none")
        client.chat.completions.create(**body)
        instrument.flush()
        main(["export", "last", str(alone), "--chat", "calls.jsonl"])
        line = json.loads((alone / "calls.jsonl").read_text())
        told = line["messages"].pop()
        client.chat.completions.create(**line)
        first, again = (sent for _, sent in served.requests)
    assert ({"role": "assistant", "content": "hello"}, first) == (told, again)


IN_THE_CHAT = [ASKED, WISH, RESULT, ANSWER]
DIALECTS: dict[str, list[Fields]] = {
    "Responses": [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in Paris?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    ],
    "Anthropic": [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "rain"}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_other_dialects_become_the_chat(dialect: str) -> None:
    """Without thoughts, for which it has no place."""
    assert [IN_THE_CHAT] == messages(span(1), asked(2, DIALECTS[dialect]))


def test_what_a_model_says_in_a_row_is_one_message() -> None:
    """As Responses have it: a text and two calls are three items there, and the chat wants both results behind them."""
    wishes = [{"type": "function_call", "call_id": f"c{n}", "name": "weather", "arguments": "{}"} for n in (1, 2)]
    results = [{"type": "function_call_output", "call_id": f"c{n}", "output": "rain"} for n in (1, 2)]
    (found,) = messages(span(1), asked(2, [ASKED, {"role": "assistant", "content": "I look."}, *wishes, *results]))
    _, said, *_ = found
    assert ("I look.", ["c1", "c2"]) == (said["content"], [one["id"] for one in said["tool_calls"]])


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (WEATHER, [WEATHER]),
        ({"type": "function", **WEATHER["function"]}, [WEATHER]),  # type: ignore[dict-item]  # a dict it is
        ({"name": "weather", "description": "of a city", "input_schema": SCHEMA}, [WEATHER]),
        ({"type": "web_search"}, None),
    ],
    ids=["chat", "Responses", "Anthropic", "the provider's own"],
)
def test_tools_become_those_of_the_chat(tool: Fields, expected: Any) -> None:
    """What the provider runs itself is none of the program's functions."""
    told = {"messages": messages_of([ASKED]), "tools": [tool]}
    (line,) = lines(span(1), call(2, 1, input=told))
    assert expected == line.get("tools")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", "required"),
        ({"type": "function", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
    ],
)
def test_choices_become_those_of_the_chat(choice: Any, expected: Any) -> None:
    """Of Responses and of Anthropic."""
    known = request({"messages": [ASKED], "tools": [WEATHER], "tool_choice": choice})
    (line,) = lines(span(1), call(2, 1, input=known.said()))
    assert expected == line["tool_choice"]


def test_a_call_that_goes_on_with_an_answer_has_all_that_was_said() -> None:
    """With Responses the service holds what came before, and a call only what is new."""
    first = asked(2, [ASKED], attributes={RESPONSE["response_id"]: "r1"})
    then = asked(3, [{"role": "user", "content": "And Rome?"}], attributes={REQUEST["previous_response_id"]: "r1"})
    assert [ASKED, ANSWER, {"role": "user", "content": "And Rome?"}, ANSWER] == messages(span(1), first, then)[1]


def test_a_conversation_that_was_imported_is_one_line() -> None:
    """Each of its calls holds only what is new; the last one has it all."""
    turns = [asked(n, [{"role": "user", "content": f"{n}?"}], attributes={MESSAGES: NEW_ONLY}) for n in (2, 3)]
    (found,) = messages(span(1), *turns)
    assert ["2?", "It rains.", "3?", "It rains."] == [one["content"] for one in found]


def test_what_is_no_conversation_is_a_question_and_an_answer() -> None:
    """Of a function of the program's own the arguments: one text as it is, else JSON."""
    own = [
        call(2, 1, input={"question": "why?"}, output="so"),
        call(3, 1, input={"q": "why?", "n": 2}, output={"a": 1}),
    ]
    assert [["why?", "so"], ['{"q":"why?","n":2}', '{"a":1}']] == [
        [one["content"] for one in found] for found in messages(span(1), *own)
    ]


def test_roles_that_the_chat_has_not_become_its_own() -> None:
    """As smolagents names calls and results that are texts."""
    said = [{"role": role, "content": role} for role in ("tool-call", "tool-response", "critic")]
    (found,) = messages(span(1), asked(2, said))
    assert ["assistant", "user", "user", "assistant"] == [one["role"] for one in found]


def test_of_bytes_it_is_said_what_there_was() -> None:
    """A record has their hash and size alone."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    (found,) = messages(span(1), asked(2, [{"role": "user", "content": [picture]}]))
    assert {"role": "user", "content": "[image/png, 5 bytes]"} == found[0]


@pytest.mark.parametrize("odd", [None, 7, [7], {"messages": 7}, {"messages": [7, {"parts": [7, {"type": 7}], "role": [1]}], "tools": 7, "settings": 7}, {"messages": [], "tools": [7, {"name": [1]}]}])  # fmt: skip
def test_odd_contents_make_lines(odd: Any) -> None:
    """What others recorded may be anything."""
    strange = {RESPONSE["response_id"]: [1], REQUEST["previous_response_id"]: {"a": 1}, REQUEST["max_tokens"]: "x"}
    assert (
        "gpt-4.1-mini" == lines(span(1), call(2, 1, input=odd, output=odd, attributes={**MODEL, **strange}))[0]["model"]
    )
