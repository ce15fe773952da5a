"""Odd answers and odd readers: the caller sees what the plain client gives, and what was spent is not lost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import instrument
from instrument.integrations import openai_bodies
from instrument.model import Span
from instrument.testing import Recording, record
from tests.openai_endpoint import CHAT_USAGE, Endpoint, as_events, as_json, chat, chunk, endpoint, response
from tests.openai_styles import (
    MESSAGES,
    MODEL,
    Style,
    Sum,
    chat_parse,
    chat_with,
    client_of,
    every,
    got,
    inside,
    only,
    run,
)

BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record() as recording, instrument.patch_openai():
        yield recording


def both_ways(server: Endpoint, style: Style, asynchronous: bool = False) -> tuple[Any, Any, Span, dict[str, int]]:
    """What the caller sees plain and patched, the span, and what the recording lost."""
    plain = run(style, server.base_url, asynchronous)
    with record() as recording, instrument.patch_openai():
        patched = run(style, server.base_url, asynchronous)
        lost = recording.flush().lost
    return plain, patched, only(recording), lost


# Answers that say that they failed


FAILED = {
    "instead of an answer": {"error": {"message": "overloaded", "code": 502}},
    "in a choice": chat(choices=[{"index": 0, "finish_reason": "error", "error": {"message": "overloaded", "code": 502}}]),
}  # fmt: skip


@pytest.mark.parametrize("where", FAILED)
def test_error_with_status_200(where: str, server: Endpoint) -> None:
    """Some services answer 200 and put an error into the body: the call has failed, and the caller reads it as ever."""
    server.answer = lambda path, body: as_json(FAILED[where])
    plain, patched, span, _ = both_ways(server, chat_with())
    assert span.error is not None
    assert (plain, "error", "502", "overloaded") == (patched, span.status, span.error.type, span.error.message)


# Answers whose content cannot be parsed


async def responses_parse(client: Any) -> Any:
    return await got(client.responses.parse(model=MODEL, input="x", text_format=Sum))


def cut_off(path: str, body: Any) -> Any:
    """The content is no JSON, because the output limit was reached."""
    if path.endswith("/responses"):
        whole = response()
        whole["output"][0]["content"][0]["text"] = '{"answer'
        return as_json(whole)
    message = {"role": "assistant", "content": '{"answer'}
    return as_json(chat(choices=[{"index": 0, "finish_reason": "length", "message": message}]))


@BOTH
@pytest.mark.parametrize(("style", "tokens"), [(chat_parse, 11), (responses_parse, 20)], ids=["chat", "responses"])
def test_tokens_of_what_cannot_be_parsed(style: Style, tokens: int, asynchronous: bool, server: Endpoint) -> None:
    """Where the client raises because of the content, the answer was paid for: its tokens and text are kept."""
    server.answer = cut_off
    plain, patched, span, _ = both_ways(server, style, asynchronous)
    assert span.usage is not None
    assert (plain, "error", tokens, True) == (patched, span.status, span.usage.input, '{"answer' in str(span.output))


# Times


def test_first_token_is_not_the_first_event(server: Endpoint, recording: Recording) -> None:
    """The Responses API sends events before it has said anything: the first token has a time of its own."""
    spoken = threading.Event()

    def pieces() -> Iterator[bytes]:
        created = {"type": "response.created", "response": response("in_progress", usage=False), "sequence_number": 0}
        yield f"data: {json.dumps(created)}\n\n".encode()
        spoken.wait(20)
        delta = {
            "type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "x",
            "logprobs": [], "sequence_number": 1,
        }  # fmt: skip
        done = {"type": "response.completed", "response": response(), "sequence_number": 2}
        yield f"data: {json.dumps(delta)}\n\ndata: {json.dumps(done)}\n\n".encode()

    server.answer = lambda path, body: (200, "text/event-stream", pieces())
    with client_of(server.base_url) as client:
        stream = client.responses.create(model=MODEL, input="x", stream=True)
        next(stream)
        spoken.set()
        list(stream)
    said = only(recording).attributes
    assert said["gen_ai.response.time_to_first_chunk"] < said["instrument.stream.time_to_first_token"]


def test_hidden_thoughts_do_not_count_as_speed(server: Endpoint, recording: Recording) -> None:
    """Tokens of thoughts that were not streamed came before the first token and are not tokens a second after it."""
    usage = {**CHAT_USAGE, "completion_tokens": 1_000_000, "completion_tokens_details": {"reasoning_tokens": 1_000_000}}
    last = {**chunk({}), "choices": [], "usage": usage}
    server.answer = lambda path, body: as_events(chunk({"content": "a"}), last)
    run(chat_with(stream=True), server.base_url, asynchronous=False)
    assert "instrument.stream.tokens_per_second" not in only(recording).attributes


# Bytes


def test_body_that_is_too_long_to_be_kept(
    server: Endpoint, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets all of it, and the span says that it was not read."""
    monkeypatch.setattr(openai_bodies, "BODY_LIMIT", 100)
    whole = json.dumps(chat()).encode()
    server.answer = lambda path, body: (200, "application/json", whole)
    with client_of(server.base_url) as client:
        call = client.chat.completions.with_streaming_response
        with call.create(model=MODEL, messages=MESSAGES) as raw:
            assert whole == raw.read()
    assert len(whole) == only(recording).attributes["instrument.unread_body_bytes"]


@BOTH
def test_bytes_arrive_as_they_are_sent(asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """Who reads the bytes has each of them before the next is sent."""
    arrived = threading.Semaphore(0)

    def pieces() -> Iterator[bytes]:
        for n in range(4):
            yield f"data: {json.dumps(chunk({'content': str(n)}))}\n\n".encode()
            if not arrived.acquire(timeout=20):
                raise EOFError

    server.answer = lambda path, body: (200, "text/event-stream", pieces())

    async def style(client: Any) -> int:
        call = client.chat.completions.with_streaming_response
        count = 0
        async with inside(call.create(model=MODEL, messages=MESSAGES, stream=True)) as raw:
            if asynchronous:
                async for _ in raw.iter_bytes():
                    count += 1
                    arrived.release()
            else:
                for _ in raw.iter_bytes():
                    count += 1
                    arrived.release()
        return count

    assert (int, "4") == run(style, server.base_url, asynchronous)


# Anything at all

NULLS: list[Any] = [
    chat(usage=None),
    chat(model=None, id=None, choices=None),
    chat(choices=[{"index": None, "finish_reason": None, "message": None}]),
    chat(choices=[{"index": 0, "message": {"role": None, "content": None, "tool_calls": None}}]),
    chat(choices=[{"index": 0, "message": {"content": "a", "tool_calls": [{"function": None}, None]}}]),
    chat(usage={"prompt_tokens": None, "completion_tokens": 3, "prompt_tokens_details": None}),
    chat(usage={"prompt_tokens": -1, "completion_tokens": "many", "total_tokens": 1.5}),
    [],
    {},
]


@pytest.mark.parametrize("answer", NULLS, ids=lambda value: json.dumps(value)[-40:])
def test_null_fields(answer: Any, server: Endpoint) -> None:
    """Fields that are null, missing or of another type are the caller's to see; the recording takes what is there."""
    server.answer = lambda path, body: as_json(answer)
    plain, patched, _, lost = both_ways(server, chat_with())
    assert (plain, {}) == (patched, lost)


KEYS = ["id", "model", "choices", "delta", "message", "content", "usage", "index", "tool_calls", "function", "error",
        "type", "response", "output", "prompt_tokens", "finish_reason", "x_groq", "item", "output_index"]  # fmt: skip
TYPES = ["response.created", "response.output_text.delta", "response.completed", "response.output_item.done", "error"]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.sampled_from([*TYPES, "a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
bodies = st.dictionaries(st.sampled_from(KEYS), values, max_size=8)


@pytest.fixture(scope="module")
def odd() -> Iterator[Endpoint]:
    with endpoint() as server:
        yield server


@settings(max_examples=25, deadline=None)
@given(body=bodies, of_responses=st.booleans())
def test_any_answer(body: dict[str, Any], of_responses: bool, odd: Endpoint) -> None:
    """Whatever JSON an endpoint answers, patched and plain callers see the same, in one span, without a fault."""
    odd.answer = lambda path, asked: as_json(body)
    plain, patched, _, lost = both_ways(odd, asking(of_responses, streamed=False))
    assert (plain, {}) == (patched, lost)


@settings(max_examples=25, deadline=None)
@given(events=st.lists(bodies, max_size=4), of_responses=st.booleans())
def test_any_events(events: list[dict[str, Any]], of_responses: bool, odd: Endpoint) -> None:
    """The same for streams. Left out is what only comes when usage is asked for: alone in a chunk, or null in others."""
    kept = [event for event in events if "usage" not in event or (event["usage"] is not None and event.get("choices"))]
    odd.answer = lambda path, asked: as_events(*kept)
    plain, patched, _, lost = both_ways(odd, asking(of_responses, streamed=True))
    assert (plain, {}) == (patched, lost)


def asking(of_responses: bool, streamed: bool) -> Style:
    async def style(client: Any) -> Any:
        if not of_responses:
            return await chat_with(stream=streamed)(client)
        answer = await got(client.responses.create(model=MODEL, input="x", stream=streamed))
        return await every(answer) if streamed else answer

    return style


# Patching


def test_handles_undo_their_own(server: Endpoint) -> None:
    """Patched twice is patched once; each handle takes back its own, and a second undo does nothing."""
    with record() as recording, client_of(server.base_url) as client:
        first, second = instrument.patch_openai(), instrument.patch_openai()
        counts = []
        for step in (lambda: None, first.undo, first.undo, second.undo):
            step()
            client.responses.create(model=MODEL, input="x")
            counts.append(len(recording.spans))
    assert [1, 2, 3, 3] == counts


def test_patched_client_in_tasks(server: Endpoint, recording: Recording) -> None:
    """Calls of several tasks hang below the span of their own task."""

    async def one(client: Any, name: str) -> None:
        with instrument.span(name):
            await client.responses.create(model=MODEL, input=name)

    async def both() -> None:
        async with client_of(server.base_url, asynchronous=True) as client:
            await asyncio.gather(*(one(client, name) for name in ("a", "b", "c")))

    asyncio.run(both())
    names = {span.span_id: span.name for span in recording.spans}
    asked = {
        names[str(span.parent_id)]: span.input["messages"][0]["parts"][0]["content"]
        for span in recording.spans
        if span.kind == "llm"
    }
    assert {"a": "a", "b": "b", "c": "c"} == asked
