"""A function that is decorated as a model call and gives a stream: model, tokens and text are found by themselves."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest

import instrument
from instrument.model import Usage
from instrument.pieces import AnySaid
from instrument.record.plan import Plan
from instrument.record.spans import LiveSpan, begin
from instrument.record.streams import Chunks
from instrument.record.switch import installed as recorder_in_force
from instrument.testing import Recording
from tests.openai_endpoint import Endpoint, as_events, chunk
from tests.openai_styles import MESSAGES, MODEL, client_of, every, got, inside, only, said
from tests.test_pieces import MESSAGE

ASKING: Any = {"stream": True, "stream_options": {"include_usage": True}}
CHAT = Usage(input=11, cached=4, output=7)


def test_stream_that_is_returned(client: Any, recording: Recording) -> None:
    """The client's own stream is handed on and ends the span when it has been read."""

    @instrument.llm_call
    def ask(prompt: str) -> Any:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES, **ASKING)

    stream = ask("x")
    before = len(recording.spans)
    assert (0, 4) == (before, len([*stream]))
    assert (CHAT, "hello") == (only(recording).usage, said(only(recording)))


def test_async_stream_that_is_returned(server: Endpoint, recording: Recording) -> None:
    """As above, from a coroutine."""

    async def main() -> int:
        async with client_of(server.base_url, asynchronous=True) as client:

            @instrument.llm_call
            async def ask(prompt: str) -> Any:
                return await client.responses.create(model=MODEL, input=prompt, stream=True)

            return len(await every(await ask("x")))

    assert 10 == asyncio.run(main())
    assert Usage(input=20, cached=0, output=5, reasoning=2) == only(recording).usage


def test_returned_stream_closed_early(client: Any, recording: Recording) -> None:
    """Closing it ends the span at once, marked, with an estimate."""

    @instrument.llm_call
    def ask(prompt: str) -> Any:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)

    stream = ask("x")
    next(stream)
    stream.close()
    span = only(recording)
    assert (True, "estimated") == (span.attributes["instrument.closed_early"], span.usage.source)  # type: ignore[union-attr]  # there is usage


def test_returned_stream_that_is_dropped(client: Any, recording: Recording) -> None:
    """Nobody reads it: the span ends with it."""

    @instrument.llm_call
    def ask(prompt: str) -> Any:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)

    ask("x")
    gc.collect()
    assert True is only(recording).attributes["instrument.closed_early"]


def test_error_of_a_returned_stream(server: Endpoint, client: Any, recording: Recording) -> None:
    """What breaks the stream is the caller's to see and fails the span."""
    server.answer = lambda path, body: as_events(chunk({"content": "a"}), {"error": {"message": "overloaded"}})

    @instrument.llm_call
    def ask(prompt: str) -> Any:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)

    with pytest.raises(Exception, match="overloaded"):
        [*ask("x")]
    assert "error" == only(recording).status


def test_patched_client_below(client: Any, recording: Recording) -> None:
    """With the client patched, the function is a step and the client's span the only model call."""

    @instrument.llm_call
    def ask(prompt: str) -> Any:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)

    with instrument.patch_openai():
        [*ask("x")]
    assert [("llm", CHAT), ("step", None)] == sorted((span.kind, span.usage) for span in recording.spans)


def test_a_stream_of_which_nothing_can_be_told_ends_its_span(recording: Recording) -> None:
    """A fault of ours costs what it would have told, and no more."""

    def fails(span: LiveSpan, said: AnySaid) -> None:
        raise ValueError

    live = begin(recorder_in_force(), Plan("ask", "llm"), None)  # type: ignore[arg-type]  # it is recorded
    Chunks(live, AnySaid(), fails).end()  # type: ignore[arg-type]  # it has begun
    assert "ok" == recording.span("ask").status


def test_generator_of_chunks(client: Any, recording: Recording) -> None:
    """A function that yields the client's chunks is put together as the stream would be."""

    @instrument.llm_call
    def ask(prompt: str) -> Iterator[Any]:
        yield from client.chat.completions.create(model=MODEL, messages=MESSAGES, **ASKING)

    [*ask("x")]
    assert (CHAT, "hello") == (only(recording).usage, said(only(recording)))


def test_async_generator_of_chunks(server: Endpoint, recording: Recording) -> None:
    """As above, for an async generator."""

    async def main() -> None:
        async with client_of(server.base_url, asynchronous=True) as client:

            @instrument.llm_call
            async def ask(prompt: str) -> AsyncIterator[Any]:
                async for one in await client.chat.completions.create(model=MODEL, messages=MESSAGES, **ASKING):
                    yield one

            await every(ask("x"))

    asyncio.run(main())
    assert CHAT == only(recording).usage


def test_generator_of_texts(recording: Recording) -> None:
    """Texts are one text, however many they are, and are counted as one."""

    @instrument.llm_call(model=MODEL)
    def ask(prompt: str) -> Iterator[str]:
        for _ in range(400):
            yield "wo"
            yield "rd "

    [*ask("x")]
    span = only(recording)
    assert span.usage is not None
    assert ("word " * 400, True, "estimated") == (
        span.output,
        400 <= (span.usage.output or 0) <= 402,
        span.usage.source,
    )


def test_generator_that_returns_its_usage(recording: Recording) -> None:
    """A pair of text and usage may also be what a generator returns."""

    @instrument.llm_call(model=MODEL)
    def ask(prompt: str) -> Any:
        yield "hello"
        return "hello", {"input_tokens": 3, "output_tokens": 1}

    [*ask("x")]
    assert Usage(input=3, output=1) == only(recording).usage


def test_generator_of_other_things(recording: Recording) -> None:
    """What is no piece of an answer is kept as it was yielded."""

    @instrument.llm_call(model=MODEL)
    def ask(prompt: str) -> Any:
        yield {"progress": 1}
        yield {"progress": 2}

    [*ask("x")]
    assert [{"progress": 1}, {"progress": 2}] == only(recording).output


def test_object_that_is_no_answer_has_no_output_tokens(recording: Recording) -> None:
    """An object without any text is unknown output, not the tokens of its description."""

    @instrument.llm_call(model=MODEL)
    def ask(prompt: str) -> Any:
        return iter([])

    ask("x")
    assert None is only(recording).usage.output  # type: ignore[union-attr]  # there is usage


def anthropic_events(path: str, body: Any) -> Any:
    lines = "".join(f"event: {event['type']}\ndata: {json.dumps(whole(event))}\n\n" for event in MESSAGE)
    return 200, "text/event-stream", lines.encode()


def whole(event: dict[str, Any]) -> dict[str, Any]:
    if event["type"] != "message_start":
        return event
    head = {"type": "message", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None}
    return {**event, "message": {**head, **event["message"]}}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_real_anthropic_stream(asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """The stream of Anthropic's own client, returned by a decorated function, is understood as well."""
    server.answer = anthropic_events
    kind: Any = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
    messages: Any = [{"role": "user", "content": "x"}]

    @instrument.llm_call
    def ask(client: Any) -> Any:
        return client.messages.create(model="claude-next", max_tokens=9, messages=messages, stream=True)

    @instrument.llm_call
    async def aask(client: Any) -> Any:
        return await client.messages.create(model="claude-next", max_tokens=9, messages=messages, stream=True)

    async def main() -> int:
        async with inside(kind(api_key="none", base_url=server.base_url, max_retries=0)) as client:
            return len(await every(await got(aask(client) if asynchronous else ask(client))))

    assert len(MESSAGE) == asyncio.run(main())
    span = only(recording)
    assert ("claude-next", Usage(input=13, cached=3, output=7)) == (
        span.attributes["gen_ai.response.model"], span.usage,
    )  # fmt: skip


def test_real_anthropic_message(server: Endpoint, recording: Recording) -> None:
    """A message of Anthropic's own client out of a decorated function has inclusive tokens."""
    server.answer = lambda path, body: (
        200, "application/json", json.dumps({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-next", "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": "hello"}],
            "usage": {"input_tokens": 10, "output_tokens": 7, "cache_read_input_tokens": 3,
                      "cache_creation_input_tokens": 2},
        }).encode(),
    )  # fmt: skip

    @instrument.llm_call
    def ask() -> Any:
        client = anthropic.Anthropic(api_key="none", base_url=server.base_url, max_retries=0)
        return client.messages.create(model="claude-next", max_tokens=9, messages=[{"role": "user", "content": "x"}])

    ask()
    span = only(recording)
    assert (Usage(input=15, cached=3, cache_write=2, output=7), "hello") == (span.usage, said(span))
