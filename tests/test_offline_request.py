"""What the offline model refuses: as strict as the real API, checked without HTTP in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.offline import chat, request
from agent.offline.refusal import RefusalError
from agent.offline.service import Service

STRICT = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
CALL = {"type": "function_call", "call_id": "call_1", "name": "read_file", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "text"}


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "offline-reviewer", "input": "hello", **changes}


def tool(**changes: Any) -> dict[str, Any]:
    return {"type": "function", "name": "read_file", "description": "", "strict": True, "parameters": STRICT, **changes}


def form(schema: Any, **changes: Any) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "answer", "strict": True, "schema": schema, **changes}}


def without(schema: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != key}


REFUSED: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "unknown model": (body(model="gpt-0"), "model", "model_not_found"),
    "no model": (body(model=None), "model", "missing_required_parameter"),
    "no input": (body(input=None), "input", "missing_required_parameter"),
    "empty text": (body(input=""), "input", "empty_string"),
    "empty list": (body(input=[]), "input", "empty_array"),
    "input of the wrong type": (body(input=7), "input", "invalid_type"),
    "unknown parameter": (body(colour="red"), "colour", "unknown_parameter"),
    "a parameter of chat": (body(messages=[]), "messages", "unknown_parameter"),
    "text for a number": (body(temperature="hot"), "temperature", "invalid_type"),
    "number too high": (body(temperature=3), "temperature", "decimal_above_max_value"),
    "too few tokens": (body(max_output_tokens=1), "max_output_tokens", "integer_below_min_value"),
    "true for a number": (body(max_output_tokens=True), "max_output_tokens", "invalid_type"),
    "text for a switch": (body(stream="yes"), "stream", "invalid_type"),
    "labels that are no text": (body(metadata={"a": 1}), "metadata.a", "invalid_type"),
    "reasoning": (body(reasoning={"effort": "low"}), "reasoning.effort", "unsupported_parameter"),
    "unknown inclusion": (body(include=["everything"]), "include[0]", "invalid_value"),
    "orphan output": (body(input=[OUTPUT]), "input", None),
    "output before its call": (body(input=[OUTPUT, CALL]), "input", None),
    "unanswered call": (body(input=[{"role": "user", "content": "x"}, CALL]), "input", None),
    "unknown role": (body(input=[{"role": "robot", "content": "x"}]), "input[0].role", "invalid_value"),
    "message without content": (body(input=[{"role": "user"}]), "input[0].content", "missing_required_parameter"),
    "unknown item": (body(input=[{"type": "dream"}]), "input[0].type", "invalid_value"),
    "item with an unknown key": (body(input=[{**CALL, "colour": 1}, OUTPUT]), "input[0].colour", "unknown_parameter"),
    "picture": (
        body(input=[{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]),
        "input[0].content[0].type",
        "invalid_value",
    ),
    "hosted tool": (body(tools=[{"type": "web_search"}]), "tools[0].type", "invalid_value"),
    "tool without a name": (body(tools=[without(tool(), "name")]), "tools[0].name", "missing_required_parameter"),
    "tool with a bad name": (body(tools=[tool(name="read file")]), "tools[0].name", "invalid_value"),
    "two tools of one name": (body(tools=[tool(), tool()]), "tools[1].name", "invalid_value"),
    "schema open to more": (
        body(tools=[tool(parameters=without(STRICT, "additionalProperties"))]),
        "tools[0].parameters",
        "invalid_function_parameters",
    ),
    "schema with optional properties": (
        body(tools=[tool(parameters=without(STRICT, "required"))]),
        "tools[0].parameters",
        "invalid_function_parameters",
    ),
    "schema of no object": (
        body(tools=[tool(parameters={"type": "string"})]),
        "tools[0].parameters",
        "invalid_function_parameters",
    ),
    "chosen tool that is not there": (
        body(tools=[tool()], tool_choice={"type": "function", "name": "x"}),
        "tool_choice",
        None,
    ),
    "required tool without tools": (body(tool_choice="required"), "tool_choice", None),
    "unknown choice": (body(tool_choice="maybe"), "tool_choice", "invalid_value"),
    "form without a name": (body(text=form(STRICT, name=None)), "text.format.name", "missing_required_parameter"),
    "form with an open schema": (
        body(text=form(without(STRICT, "additionalProperties"))),
        "text.format.schema",
        "invalid_json_schema",
    ),
    "form of an unknown kind": (body(text={"format": {"type": "xml"}}), "text.format.type", "invalid_value"),
    "form with an unknown key": (body(text={"colour": 1}), "text.colour", "unknown_parameter"),
    "background without store": (body(background=True, store=False), "store", "invalid_value"),
    "too long": (body(input="word " * 450_000), "input", "context_length_exceeded"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Each of these is a 400 that names the parameter and has the real API's code."""
    given_body, param, code = REFUSED[name]
    with pytest.raises(RefusalError) as caught:
        request.read(given_body)
    assert (400, param, code) == (caught.value.status, caught.value.param, caught.value.code)


@pytest.mark.parametrize(
    "accepted",
    [
        body(),
        body(input=[{"role": "user", "content": "x"}, CALL, OUTPUT]),
        body(input=[{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}]),
        body(input=[{"type": "reasoning", "summary": [], "encrypted_content": "x"}, {"role": "user", "content": "x"}]),
        body(tools=[tool()], tool_choice="auto", parallel_tool_calls=False),
        body(tools=[tool(strict=False, parameters={"type": "object", "properties": {"path": {"type": "string"}}})]),
        body(text=form(STRICT)),
        body(temperature=None, metadata={"a": "b"}, user="me", truncation="auto"),
    ],
)
def test_accepted(accepted: dict[str, Any]) -> None:
    """What the real API takes is taken."""
    assert "offline-reviewer" == request.read(accepted).model


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_body_that_is_no_object_is_refused(text: bytes) -> None:
    """A body has to be a JSON object."""
    with pytest.raises(RefusalError, match=r"JSON"):
        request.body_of(text)


def test_previous_response_that_is_not_there() -> None:
    """A 400 that names the id."""
    with pytest.raises(RefusalError) as caught:
        Service().create(body(previous_response_id="resp_gone"))
    assert (400, "previous_response_not_found") == (caught.value.status, caught.value.code)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "tool", "content": "x", "tool_call_id": "call_1"}], "input"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
    ],
)
def test_chat_messages_are_checked(messages: list[Any], param: str) -> None:
    """The chat API is as strict about its messages."""
    with pytest.raises(RefusalError) as caught:
        chat.read({"model": "offline-reviewer", "messages": messages})
    assert (400, param) == (caught.value.status, caught.value.param)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
known = st.sampled_from(
    ["model", "input", "tools", "tool_choice", "text", "stream", "metadata", "include", "reasoning"]
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(known, json_values))
def test_nothing_but_refusals(changes: dict[str, Any]) -> None:
    """Whatever JSON is sent, it is either read or refused, never an error of ours."""
    try:
        request.read(body(**changes))
    except RefusalError as refusal:
        told = json.dumps(refusal.body())
    else:
        told = "read"
    assert told
