"""Messages of every dialect in the parts of the GenAI conventions."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.messages import message_of, messages_of, parts_of

PIXELS = b"not really a picture"
BASE64 = base64.b64encode(PIXELS).decode()
BLOB = {"type": "blob", "mime_type": "image/png", "sha256": hashlib.sha256(PIXELS).hexdigest(), "bytes": len(PIXELS)}
CALL = {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": "here"}}
RESULT = {"type": "tool_call_response", "id": "c1", "response": "nothing"}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


@pytest.mark.parametrize(
    "content",
    [
        "Hi",
        [{"type": "text", "text": "Hi"}],
        [{"type": "input_text", "text": "Hi"}],
        {"type": "text", "text": "Hi"},
        [{"text": "Hi"}],
        ["Hi"],
    ],
)
def test_text_in_every_dialect(content: object) -> None:
    """Text is one part whether it is plain, in blocks of any API, or without a type."""
    assert [text("Hi")] == parts_of(content)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}}, {**BLOB, "modality": "image"}),
        ({"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"}, {**BLOB, "modality": "image"}),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
         {**BLOB, "modality": "image"}),
        ({"inlineData": {"mimeType": "image/png", "data": BASE64}}, {**BLOB, "modality": "image"}),
        ({"inline_data": {"mime_type": "image/png", "data": PIXELS}}, {**BLOB, "modality": "image"}),
        ({"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
         {**BLOB, "mime_type": "audio/wav", "modality": "audio"}),
        ({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{BASE64}"}},
         {**BLOB, "mime_type": "application/pdf", "modality": "file"}),
        ({"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "uri", "modality": "image", "uri": "a.png"}),
        ({"type": "image", "source": {"url": "a.png"}}, {"type": "uri", "modality": "image", "uri": "a.png"}),
        ({"type": "input_file", "file_id": "f1"}, {"type": "file", "modality": "file", "file_id": "f1"}),
    ],
)  # fmt: skip
def test_media_go_by_hash_and_size_or_by_address(block: dict[str, Any], expected: dict[str, Any]) -> None:
    """Bytes inside a message are replaced by their hash and size; addresses and ids stay."""
    assert [expected] == parts_of([block])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "here"}'}}]},
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "look", "arguments": '{"at": "here"}'},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "here"}}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "look", "args": {"at": "here"}}}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": "here"}}}]},
    ],
    ids=["chat", "responses", "anthropic", "gemini", "bedrock"],
)  # fmt: skip
def test_a_tool_call_in_every_dialect(message: dict[str, Any]) -> None:
    """A tool call has its id, name and decoded arguments, and is the assistant's."""
    assert {"role": "assistant", "parts": [CALL]} == message_of(message)


@pytest.mark.parametrize(
    ("message", "role", "response"),
    [
        ({"role": "tool", "tool_call_id": "c1", "content": "nothing"}, "tool", "nothing"),
        ({"type": "function_call_output", "call_id": "c1", "output": "nothing"}, "tool", "nothing"),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "no"}]}, "user", "no"),
        ({"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "no"}]}, "tool", [text("no")]),
        ({"role": "user", "parts": [{"functionResponse": {"id": "c1", "response": {"n": 0}}}]}, "user", {"n": 0}),
    ],
    ids=["chat", "responses", "anthropic", "chat with parts", "gemini"],
)
def test_a_tool_result_in_every_dialect(message: dict[str, Any], role: str, response: object) -> None:
    """A tool's result has the id of its call and what the tool said."""
    assert {"role": role, "parts": [{**RESULT, "response": response}]} == message_of(message)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "reasoning_content": "Hm.", "content": "Hi"},
        {"role": "assistant", "reasoning": "Hm.", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "x"},
                                          {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, "Hi"]},
        {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": "Hi"}]},
    ],
    ids=["deepseek", "openrouter", "anthropic", "mistral", "gemini"],
)  # fmt: skip
def test_reasoning_in_every_dialect(message: dict[str, Any]) -> None:
    """Thoughts are a part of their own, before what was said; encrypted ones are left out."""
    assert {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}, text("Hi")]} == message_of(message)


def test_refusals_are_parts() -> None:
    """A refusal is no text."""
    assert [{"type": "refusal", "content": "No."}] == message_of({"role": "assistant", "refusal": "No."})["parts"]


def test_arguments_that_are_no_json_stay_text() -> None:
    """What a model wrote instead of JSON is kept as it is."""
    [part] = parts_of([{"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": '}])
    assert '{"at": ' == part["arguments"]


def test_tools_of_the_provider_are_its_own_calls() -> None:
    """A search that the provider ran itself is a server_tool_call with what is known of it."""
    expected = {"type": "server_tool_call", "id": "ws1", "name": "web_search", "arguments": {"status": "completed"}}
    assert [expected] == parts_of([{"type": "web_search_call", "id": "ws1", "status": "completed", "action": None}])


def test_unknown_parts_are_kept() -> None:
    """A kind of part that nobody has heard of is handed on."""
    assert [{"type": "hologram", "size": 3}] == parts_of([{"type": "hologram", "size": 3}])


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        ("Hi", [user(text("Hi"))]),
        ({"role": "user", "content": "Hi"}, [user(text("Hi"))]),
        ([{"role": "user", "content": "Hi", "name": "one"}], [{**user(text("Hi")), "name": "one"}]),
        ([{"role": "developer", "content": "Hi"}], [{"role": "system", "parts": [text("Hi")]}]),
        (["Hi", "Ho"], [user(text("Hi")), user(text("Ho"))]),
        ([1, 2, None], []),
        (None, []),
    ],
)
def test_conversations(conversation: object, expected: list[dict[str, Any]]) -> None:
    """A text is one user message; a list is its messages; numbers (token ids) are none."""
    assert expected == messages_of(conversation)


@given(st.sampled_from(["user", "assistant", "system", "developer", "model", "tool", "", "x"]), st.text())
def test_a_plain_message_is_read_as_any_other(role: str, content: str) -> None:
    """For all texts: what else a message could hold and does not changes nothing."""
    assert message_of({"role": role, "content": content, "refusal": None}) == message_of(
        {"role": role, "content": content}
    )
