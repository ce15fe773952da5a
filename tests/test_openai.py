"""`patch_openai`: one llm span a call with the right tokens, and a caller that notices nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest

import instrument
from instrument.errors import BudgetExceeded
from instrument.model import Update, Usage
from instrument.testing import Recording, record
from tests import openai_styles
from tests.openai_endpoint import Endpoint, as_events, as_json, chat, chunk, endpoint, respond

MESSAGES: Any = [{"role": "user", "content": "What is two and two?"}]
MODEL = "gpt-4.1-mini"
CHAT = Usage(input=11, cached=4, output=7)
RESPONSE = Usage(input=20, cached=0, output=5, reasoning=2)


class Sum(pydantic.BaseModel):
    answer: int


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint() as server:
        yield server
        while _clients:
            _clients.pop().close()


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record() as recording, instrument.patch_openai():
        yield recording


_clients: list[openai.OpenAI] = []


def client_of(server: Endpoint, **more: Any) -> openai.OpenAI:
    client: openai.OpenAI = openai_styles.client_of(server.base_url, **more)
    _clients.append(client)
    return client


def drain(stream: Any) -> list[Any]:
    return [*stream]


def helper(client: openai.OpenAI) -> Any:
    with client.responses.stream(model=MODEL, input="x") as stream:
        drain(stream)
        return stream.get_final_response()


def chat_helper(client: openai.OpenAI) -> Any:
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        drain(stream)
        return stream.get_final_completion()


def streaming_response(client: openai.OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(model=MODEL, messages=MESSAGES) as response:
        return response.parse()


STYLES: dict[str, tuple[Callable[[openai.OpenAI], Any], Usage]] = {
    "chat create": (lambda c: c.chat.completions.create(model=MODEL, messages=MESSAGES), CHAT),
    "chat stream": (lambda c: drain(c.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)), CHAT),
    "chat stream helper": (chat_helper, CHAT),
    "chat raw": (lambda c: c.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES).parse(), CHAT),
    "chat streaming response": (streaming_response, CHAT),
    "with_options": (lambda c: c.with_options(timeout=9).chat.completions.create(model=MODEL, messages=MESSAGES), CHAT),
    "responses create": (lambda c: c.responses.create(model=MODEL, input="x"), RESPONSE),
    "responses stream": (lambda c: drain(c.responses.create(model=MODEL, input="x", stream=True)), RESPONSE),
    "responses stream helper": (helper, RESPONSE),
    "responses parse": (lambda c: c.responses.parse(model=MODEL, input="x", text_format=Sum), RESPONSE),
    "embeddings": (
        lambda c: c.embeddings.create(model="text-embedding-3-small", input="x", encoding_format="float"),
        Usage(input=3, output=0),
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_each_style_gives_one_span_with_its_usage(style: str, server: Endpoint, recording: Recording) -> None:
    """However the client is called, there is one span and it has the tokens that the endpoint reported."""
    call, usage = STYLES[style]
    call(client_of(server))
    assert [usage] == [span.usage for span in recording.spans]


@pytest.mark.parametrize("style", STYLES)
def test_caller_sees_the_same(style: str, server: Endpoint) -> None:
    """What the caller gets is equal to what the plain client gives."""
    call, _ = STYLES[style]
    plain = call(client_of(server))
    with record(), instrument.patch_openai():
        patched = call(client_of(server))
    assert repr(plain) == repr(patched)


async def _async_styles(server: Endpoint) -> None:
    async with openai_styles.client_of(server.base_url, asynchronous=True) as client:
        await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        async for _ in await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
            pass
        async with client.chat.completions.with_streaming_response.create(model=MODEL, messages=MESSAGES) as raw:
            await raw.parse()


def test_async_client(server: Endpoint, recording: Recording) -> None:
    """The async client is recorded as the sync one."""
    asyncio.run(_async_styles(server))
    assert [CHAT] * 3 == [span.usage for span in recording.spans]


def test_stream_asks_for_usage_only_where_nobody_did(server: Endpoint, recording: Recording) -> None:
    """A caller that says `include_usage: false` is not overruled, and the count is estimated."""
    create = client_of(server).chat.completions.create
    drain(create(model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": False}))
    assert "estimated" == recording.spans[0].usage.source  # type: ignore[union-attr]  # there is usage


def test_stream_usage_never(server: Endpoint) -> None:
    """`openai.stream_usage = "never"` sends the request as it is."""
    with record(openai={"stream_usage": "never"}), instrument.patch_openai():
        drain(client_of(server).chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert "stream_options" not in server.requests[0][1]


def test_endpoint_that_rejects_the_option_is_asked_again(server: Endpoint, recording: Recording) -> None:
    """Where `stream_options` is refused the caller's own request is sent, and the endpoint is remembered."""

    def strict(path: str, body: dict[str, Any]) -> Any:
        if "stream_options" in body:
            return as_json({"error": {"message": "Unknown parameter: stream_options"}}, 400)
        return respond(path, body)

    server.answer = strict
    for _ in range(2):
        assert 3 == len(drain(client_of(server).chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)))
    assert [True, False, False] == ["stream_options" in body for _, body in server.requests]


def test_stream_closed_early_is_marked_and_estimated(server: Endpoint, recording: Recording) -> None:
    """Closing a stream ends its span at once, with an estimate."""
    stream = client_of(server).chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    [span] = recording.spans
    assert (True, "estimated") == (span.attributes["instrument.closed_early"], span.usage.source)  # type: ignore[union-attr]


def test_dropped_stream_ends_its_span(server: Endpoint, recording: Recording) -> None:
    """A stream that nobody reads on ends its span when it is dropped."""
    with client_of(server) as client:
        stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        next(stream)
        del stream
        gc.collect()  # the client's own stream is a cycle
    assert ["ok"] == [span.status for span in recording.spans]


def test_broken_stream_is_an_error(server: Endpoint, recording: Recording) -> None:
    """An error event in a stream reaches the caller as it is and ends the span as failed."""
    broken = b'data: {"error": {"message": "overloaded"}}\n\n'
    server.answer = lambda path, body: (200, "text/event-stream", broken)
    with pytest.raises(openai.APIError, match="overloaded"):
        drain(client_of(server).chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert ["error"] == [span.status for span in recording.spans]


def test_retries_are_one_span(server: Endpoint, recording: Recording) -> None:
    """Two 429s before the answer are part of one call."""
    server.extra = {"retry-after-ms": "1"}
    answers = [as_json({"error": {"message": "slow down"}}, 429)] * 2 + [as_json(chat())]
    server.answer = lambda path, body: answers.pop(0)
    client_of(server, max_retries=2).chat.completions.create(model=MODEL, messages=MESSAGES)
    assert (1, 3) == (len(recording.spans), len(server.requests))


def test_error_keeps_its_identity(server: Endpoint, recording: Recording) -> None:
    """A refusal of the endpoint is the client's own exception; the span has its status code."""
    server.answer = lambda path, body: as_json({"error": {"message": "no key"}}, 401)
    with pytest.raises(openai.AuthenticationError):
        client_of(server).responses.create(model=MODEL, input="x")
    assert 401 == recording.spans[0].attributes["http.response.status_code"]


def test_llm_call_around_the_client_becomes_a_step(server: Endpoint, recording: Recording) -> None:
    """One model call is one llm span: the function around it is a step without usage."""

    @instrument.llm_call
    def think(prompt: str) -> Any:
        return client_of(server).responses.create(model=MODEL, input=prompt)

    think("x")
    assert [("llm", RESPONSE), ("step", None)] == [(span.kind, span.usage) for span in recording.spans]


def test_ledger_operation_is_the_decorated_name(server: Endpoint, recording: Recording) -> None:
    """The patched call knows the decorated function that made it."""

    @instrument.llm_call(name="think")
    def think(prompt: str) -> Any:
        return client_of(server).responses.create(model=MODEL, input=prompt)

    think("x")
    assert "think" == recording.spans[0].attributes["instrument.operation"]


@pytest.mark.parametrize("around", [instrument.tool, instrument.traced, instrument.agent, instrument.llm_call])
def test_operation_is_the_nearest_decorated_name(around: Any, server: Endpoint, recording: Recording) -> None:
    """Whatever kind of decorated function makes the call, and whatever blocks are between, it names the operation."""

    @around(name="work")
    def work() -> Any:
        with instrument.span("step"):
            return client_of(server).responses.create(model=MODEL, input="x")

    work()
    [found] = [one for one in recording.spans if one.kind == "llm"]
    assert "work" == found.attributes["instrument.operation"]


def test_a_prompt_far_above_its_count_shuts_the_scope(server: Endpoint, recording: Recording) -> None:
    """A request that is known and yet not counted right, such as one with pictures, shuts a budget of tokens."""
    server.answer = lambda path, body: as_json(
        chat(usage={"prompt_tokens": 900, "completion_tokens": 5, "total_tokens": 905})
    )
    client = client_of(server)
    with instrument.budget(tokens=9000):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=9)
        with pytest.raises(BudgetExceeded, match=r"prompt was 900 tokens and had been counted as \d+"):
            client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=9)


def test_background_usage_is_an_update_once(server: Endpoint, recording: Recording) -> None:
    """Usage that a later `retrieve` brings is counted once, however often it is fetched."""
    client = client_of(server)
    client.responses.create(model=MODEL, input="x", background=True)
    for _ in range(3):
        client.responses.retrieve("resp_1")
    updates = [found for found in recording.records if isinstance(found, Update)]
    assert [RESPONSE] == [update.usage for update in updates]


def test_tool_calls_of_a_stream_are_put_together(server: Endpoint, recording: Recording) -> None:
    """Pieces of a tool call become one part of the output message."""
    pieces = [
        chunk(
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}, "tool_calls"),
    ]
    server.answer = lambda path, body: as_events(*pieces)
    drain(client_of(server).chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    [message] = recording.spans[0].output["messages"]
    assert {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}} == message["parts"][0]


def test_input_is_kept_as_messages(server: Endpoint, recording: Recording) -> None:
    """The span has what was sent, in the parts of the conventions."""
    client_of(server).chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0.5)
    span = recording.spans[0]
    assert [{"role": "user", "parts": [{"type": "text", "content": "What is two and two?"}]}] == span.input["messages"]


def test_budget_refusal_sends_nothing(server: Endpoint, recording: Recording) -> None:
    """A call that a budget refuses never reaches the endpoint."""
    with pytest.raises(BudgetExceeded), instrument.budget(usd="0.000001"):
        client_of(server).chat.completions.create(model=MODEL, messages=MESSAGES)
    assert [] == server.requests


@pytest.mark.parametrize(
    ("limit", "asked"),
    [
        ({"tokens": 60}, {"n": 3, "max_tokens": 20}),
        ({"usd": "0.0015"}, {"service_tier": "priority", "max_tokens": 900}),
    ],
    ids=["choices", "tier"],
)
def test_a_budget_reserves_for_all_that_is_asked_for(
    limit: dict[str, Any], asked: dict[str, Any], server: Endpoint, recording: Recording
) -> None:
    """Each choice may be as long as the limit of its output, and a dearer tier is reserved at its own price."""
    ask = client_of(server).chat.completions.create
    with instrument.budget(**limit):
        ask(model=MODEL, messages=MESSAGES, max_tokens=asked["max_tokens"])
    with pytest.raises(BudgetExceeded), instrument.budget(**limit):
        ask(model=MODEL, messages=MESSAGES, **asked)


def test_a_call_in_the_background_is_charged_when_it_is_fetched(server: Endpoint, recording: Recording) -> None:
    """Until its usage is known its reservation stands."""
    client = client_of(server)
    with instrument.budget(tokens=9000) as scope:
        client.responses.create(model=MODEL, input="x", background=True)
        before = (scope.tokens, scope.spent.reserved_tokens > 0)
        client.responses.retrieve("resp_1")
        assert ((0, True), (25, 0)) == (before, (scope.tokens, scope.spent.reserved_tokens))


def test_undo_restores_the_class(server: Endpoint) -> None:
    """After `undo` the client's class is what it was; patching twice needs undoing twice."""
    from openai._base_client import SyncAPIClient

    plain = SyncAPIClient.__dict__["request"]
    first, second = instrument.patch_openai(), instrument.patch_openai()
    first.undo()
    first.undo()
    still_patched = SyncAPIClient.__dict__["request"] is not plain
    second.undo()
    assert (True, plain) == (still_patched, SyncAPIClient.__dict__["request"])


def test_one_client_only(server: Endpoint) -> None:
    """`patch_openai(client)` records that client and what its `with_options` gives, and no other."""
    mine, other = client_of(server), client_of(server)
    with record() as recording, instrument.patch_openai(mine):
        mine.responses.create(model=MODEL, input="x")
        mine.with_options(timeout=3).responses.create(model=MODEL, input="x")
        other.responses.create(model=MODEL, input="x")
    assert 2 == len(recording.spans)


def test_patched_twice_is_one_span(server: Endpoint) -> None:
    """A client patched by itself and by its class gives one span a call."""
    mine = client_of(server)
    with record() as recording, instrument.patch_openai(), instrument.patch_openai(mine):
        mine.responses.create(model=MODEL, input="x")
    assert 1 == len(recording.spans)
