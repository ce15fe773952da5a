"""`patch_anthropic()`: the real client against an endpoint on loopback; one span a call, whatever its style."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest

import instrument
from instrument import tokens
from instrument.errors import BudgetExceeded
from instrument.integrations.anthropic import patch_anthropic
from instrument.testing import Recording, record
from tests.openai_endpoint import Answer, Endpoint, as_json, endpoint

MODEL = "claude-haiku-4-5"
USAGE = {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 7}
ASKED: dict[str, Any] = {
    "model": MODEL, "max_tokens": 64, "system": "Be brief.", "messages": [{"role": "user", "content": "hi"}],
}  # fmt: skip


def message(**more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "hello"}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": f"{MODEL}-20251001", "content": content,
            "stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE, **more}  # fmt: skip


def events() -> Answer:
    told = [
        {
            "type": "message_start",
            "message": message(content=[], stop_reason=None, usage={**USAGE, "output_tokens": 1}),
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in told)
    return 200, "text/event-stream", text.encode()


def respond(path: str, body: dict[str, Any]) -> Answer:
    return events() if body.get("stream") else as_json(message())


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint() as server:
        server.answer = respond
        yield server


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record() as recording, patch_anthropic():
        yield recording


@pytest.fixture
def client(server: Endpoint) -> Iterator[anthropic.Anthropic]:
    with (
        anthropic.DefaultHttpxClient(verify=False) as http,  # certificates take long to load
        anthropic.Anthropic(
            api_key="none", base_url=server.base_url.removesuffix("/v1"), max_retries=0, http_client=http
        ) as client,
    ):
        yield client


def create(client: Any) -> Any:
    return client.messages.create(**ASKED).content[0].text


def create_stream(client: Any) -> Any:
    told = [*client.messages.create(**ASKED, stream=True)]
    return "".join(event.delta.text for event in told if event.type == "content_block_delta")


def stream(client: Any) -> Any:
    with client.messages.stream(**ASKED) as stream:
        return "".join(stream.text_stream)


def raw(client: Any) -> Any:
    return client.messages.with_raw_response.create(**ASKED).parse().content[0].text


def streaming_response(client: Any) -> Any:
    with client.messages.with_streaming_response.create(**ASKED) as response:
        return response.parse().content[0].text


STYLES = [create, create_stream, stream, raw, streaming_response]


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_one_call(style: Callable[[Any], Any], client: Any, recording: Recording) -> None:
    """Usage with what was read from and written to the cache, model, messages and reason; the caller sees the same."""
    assert "hello" == style(client)
    [found] = recording.spans
    assert ("llm", 16, 4, 2, 7) == (
        found.kind, found.usage.input, found.usage.cached, found.usage.cache_write, found.usage.output,
    )  # fmt: skip
    assert ("Be brief.", "hi", "hello") == (
        found.input["messages"][0]["parts"][0]["content"], found.input["messages"][1]["parts"][0]["content"],
        found.output["messages"][0]["parts"][0]["content"],
    )  # fmt: skip
    assert (MODEL, f"{MODEL}-20251001", "anthropic") == (
        found.attributes["gen_ai.request.model"], found.attributes["gen_ai.response.model"],
        found.attributes["gen_ai.provider.name"],
    )  # fmt: skip


def test_asynchronous_calls(server: Endpoint, recording: Recording) -> None:
    """The asynchronous client is seen in the same way, streams included."""

    async def later() -> str:
        async with anthropic.AsyncAnthropic(api_key="none", base_url=server.base_url.removesuffix("/v1")) as client:
            await client.messages.create(**ASKED)
            async with client.messages.stream(**ASKED) as stream:
                return "".join([text async for text in stream.text_stream])

    assert "hello" == asyncio.run(later())
    assert [(16, 7), (16, 7)] == [(found.usage.input, found.usage.output) for found in recording.spans]


def test_a_stream_that_is_closed_early(client: Any, recording: Recording) -> None:
    """Its span ends at once, marked; what had been reported counts, but the answer's tokens are those that had come."""
    with client.messages.create(**ASKED, stream=True) as events:
        for _ in range(4):
            next(events)
    [found] = recording.spans
    assert (True, 16, 4, tokens.count("hello", MODEL), "estimated") == (
        found.attributes["instrument.closed_early"], found.usage.input, found.usage.cached, found.usage.output,
        found.usage.source,
    )  # fmt: skip


def test_an_error_is_the_callers(server: Endpoint, client: Any, recording: Recording) -> None:
    """The client's exception is raised as ever, and the span says what happened."""
    server.answer = lambda path, body: as_json(
        {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, 429
    )
    with pytest.raises(anthropic.RateLimitError):
        create(client)
    [found] = recording.spans
    assert ("error", 429) == (found.status, found.attributes["http.response.status_code"])


def test_a_budget_refuses_before_anything_is_sent(server: Endpoint, client: Any, recording: Recording) -> None:
    """A call that does not fit is never made."""
    with pytest.raises(BudgetExceeded), instrument.budget(tokens=10):
        create(client)
    assert [] == server.requests


def test_undone_it_is_as_before(client: Any) -> None:
    """After undo the plain method stands where it stood; OpenAI's client has not been touched."""
    from anthropic._base_client import SyncAPIClient
    from openai._base_client import SyncAPIClient as Other

    before = vars(SyncAPIClient)["request"], vars(Other)["request"]
    with record() as recording, patch_anthropic(), patch_anthropic():
        assert before[1] is vars(Other)["request"]
    assert before == (vars(SyncAPIClient)["request"], vars(Other)["request"])
    assert "hello" == create(client)
    assert [] == recording.spans


def test_one_client_alone(server: Endpoint, client: Any) -> None:
    """Only the given client is watched, and its copies."""
    with record() as recording, patch_anthropic(client):
        create(client)
        create(client.with_options(timeout=9))
        with anthropic.Anthropic(api_key="none", base_url=server.base_url.removesuffix("/v1")) as other:
            create(other)
    assert 2 == len(recording.spans)


def test_counting_tokens_is_no_call(server: Endpoint, client: Any, recording: Recording) -> None:
    """What asks no model is no span."""
    server.answer = lambda path, body: as_json({"input_tokens": 3})
    client.messages.count_tokens(model=MODEL, messages=ASKED["messages"])
    assert [] == recording.spans


def test_what_is_no_client_is_refused() -> None:
    """The message says what it takes."""
    with pytest.raises(TypeError, match="takes a client such as Anthropic"):
        patch_anthropic(object())
