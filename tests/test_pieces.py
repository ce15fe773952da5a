"""Pieces of a stream become the answer that would have come whole, in each dialect."""

from __future__ import annotations

from typing import Any

import pytest

from instrument.answer import Answer, answer
from instrument.pieces import AnySaid, ChatSaid, ContentSaid, MessageSaid, ResponseSaid, Said, WordsSaid


def read(said: Said, *pieces: Any) -> Answer:
    """What is read from the answer that the pieces come to."""
    for piece in pieces:
        said.take(piece)
    found = answer(said.answer())
    assert found is not None
    return found


MESSAGE = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude-next",
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "hel"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "lo"}},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "t1", "name": "add", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]


def test_anthropic_events_become_a_message() -> None:
    """Thoughts, text and tool calls are parts; the last usage counts on top of the first."""
    found = read(MessageSaid(), *MESSAGE)
    parts = [
        {"type": "reasoning", "content": "hm"},
        {"type": "text", "content": "hello"},
        {"type": "tool_call", "id": "t1", "name": "add", "arguments": {"a": 1}},
    ]
    assert parts == found.output_messages[0]["parts"]
    assert found.usage is not None
    assert ("claude-next", "msg_1", ["tool_use"], 13, 3, 7) == (
        found.model, found.response_id, found.finish_reasons, found.usage.input, found.usage.cached, found.usage.output,
    )  # fmt: skip


def test_more_than_ten_blocks_keep_their_order() -> None:
    """A message of a long search has them: the tenth stands behind the ninth."""
    said = MessageSaid()
    for at in range(12):
        said.take({"type": "content_block_start", "index": at, "content_block": {"type": "text", "text": str(at)}})
    assert [str(at) for at in range(12)] == [block["text"] for block in (said.answer() or {})["content"]]


def test_gemini_pieces_become_an_answer() -> None:
    """Texts that follow each other are one part, thoughts another; the last usage is that of all."""
    pieces = [
        {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}], "model_version": "gemini-2.5-pro"},
        {"candidates": [{"content": {"parts": [{"text": "hel"}]}}]},
        {
            "candidates": [{"content": {"parts": [{"text": "lo"}]}, "finish_reason": "STOP"}],
            "usage_metadata": {"prompt_token_count": 4, "candidates_token_count": 2, "thoughts_token_count": 3},
        },
    ]
    found = read(ContentSaid(), *pieces)
    assert found.usage is not None
    assert ([("reasoning", "hm"), ("text", "hello")], ["STOP"], 4, 5, 3) == (
        [(part["type"], part["content"]) for part in found.output_messages[0]["parts"]],
        found.finish_reasons, found.usage.input, found.usage.output, found.usage.reasoning,
    )  # fmt: skip


CHUNK = {"choices": [{"index": 0, "delta": {"content": "hello"}}]}
EVENT = {"type": "response.output_text.delta", "output_index": 0, "delta": "hello"}
CANDIDATE = {"candidates": [{"content": {"parts": [{"text": "hello"}]}}]}
DIALECTS = {"chat": CHUNK, "responses": EVENT, "gemini": CANDIDATE, "texts": "hello"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_first_piece_tells_the_dialect(dialect: str) -> None:
    """Whoever yields pieces need not say whose they are."""
    found = read(AnySaid(), DIALECTS[dialect])
    assert [{"type": "text", "content": "hello"}] == found.output_messages[0]["parts"]


def test_what_is_no_piece_says_nothing() -> None:
    """Values of the caller's own are no answer, and may come before the first piece."""
    said = AnySaid()
    for value in (None, 1, {"progress": 0.5}, object()):
        said.take(value)
    assert None is said.answer()
    said.take("hello")
    assert "hello" == said.answer()


HEADS: dict[str, tuple[Any, Any, Any]] = {
    "chat": (ChatSaid, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}, CHUNK),
    "responses": (ResponseSaid, {"type": "response.created", "response": {"id": "r", "model": "m"}}, EVENT),
    "anthropic": (MessageSaid, MESSAGE[0], MESSAGE[2]),
    "gemini": (ContentSaid, {"candidates": [], "model_version": "m"}, CANDIDATE),
    "texts": (WordsSaid, "", "hello"),
}


@pytest.mark.parametrize("dialect", HEADS)
def test_head_is_not_yet_speech(dialect: str) -> None:
    """What comes before the first token has not spoken."""
    kind, head, first = HEADS[dialect]
    said = kind()
    said.take(head)
    silent = said.has_spoken
    said.take(first)
    assert (False, True) == (silent, said.has_spoken)


def test_error_of_anthropic_is_kept() -> None:
    """An error event in the middle says what went wrong."""
    said = MessageSaid()
    said.take({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert ("overloaded_error", "Overloaded") == said.error
