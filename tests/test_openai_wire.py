"""What goes wrong, or slowly, on the wire: the caller sees what the plain client gives, and the span says what happened."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest

import instrument
from instrument.model import Span, Update
from instrument.testing import Recording, record
from tests.openai_endpoint import (
    CHAT_USAGE,
    Endpoint,
    as_events,
    as_json,
    chat,
    chunk,
    respond,
    response,
    response_stream,
)
from tests.openai_styles import MESSAGES, MODEL, Style, chat_with, client_of, every, first, got, inside, only, run, said

BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record() as recording, instrument.patch_openai():
        yield recording


def both_ways(server: Endpoint, style: Style, asynchronous: bool, **options: Any) -> tuple[Any, Any, list[Span]]:
    """What the caller sees of the plain client and of the patched one, and the spans."""
    plain = run(style, server.base_url, asynchronous, **options)
    with record() as recording, instrument.patch_openai():
        patched = run(style, server.base_url, asynchronous, **options)
    return plain, patched, recording.spans


def sse(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


def cut(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise EOFError


# Errors


def refusals(status: int, **headers: str) -> Callable[[Endpoint], None]:
    def prepare(server: Endpoint) -> None:
        server.answer = lambda path, body: as_json({"error": {"message": "refused", "code": "x"}}, status)
        server.extra = headers

    return prepare


def cut_in_an_event(server: Endpoint) -> None:
    server.answer = lambda path, body: (
        200,
        "text/event-stream",
        cut(sse(chunk({"content": "hel"})), b'data: {"id": "chatc'),
    )


def ends_in_an_event(server: Endpoint) -> None:
    pieces = sse(chunk({"content": "hel"})) + b'data: {"id": "chatc\n\n'
    server.answer = lambda path, body: (200, "text/event-stream", pieces)


def error_event(server: Endpoint) -> None:
    server.answer = lambda path, body: as_events(chunk({"content": "hel"}), {"error": {"message": "overloaded"}})


def hangs(server: Endpoint) -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        server.over.wait(20)
        return respond(path, body)

    server.answer = answer


def goes_away(server: Endpoint) -> None:
    server.answer = lambda path, body: (200, "application/json", cut(b'{"id": '))


def no_json(server: Endpoint) -> None:
    server.answer = lambda path, body: (200, "application/json", b"<html>")


NO_ANSWER = openai.Timeout(5, read=0.05)
TROUBLES: dict[str, tuple[Callable[[Endpoint], None], Style, dict[str, Any], str]] = {
    "401": (refusals(401), chat_with(), {}, "AuthenticationError"),
    "400 of a stream": (refusals(400), chat_with(stream=True), {}, "BadRequestError"),
    "404": (refusals(404), chat_with(stream=True), {}, "NotFoundError"),
    "429": (refusals(429, **{"retry-after": "0.01"}), chat_with(), {"max_retries": 2}, "RateLimitError"),
    "500": (
        refusals(500, **{"retry-after": "0.01"}),
        chat_with(stream=True),
        {"max_retries": 1},
        "InternalServerError",
    ),
    "timeout": (hangs, chat_with(), {"timeout": NO_ANSWER}, "APITimeoutError"),
    "timeout of a stream": (hangs, chat_with(stream=True), {"timeout": NO_ANSWER}, "APITimeoutError"),
    "cut in an event": (cut_in_an_event, chat_with(stream=True), {}, "APIConnectionError"),
    "no JSON in an event": (ends_in_an_event, chat_with(stream=True), {}, "JSONDecodeError"),
    "error event": (error_event, chat_with(stream=True), {}, "APIError"),
    "connection lost": (goes_away, chat_with(), {}, "APIConnectionError"),
}


@BOTH
@pytest.mark.parametrize("trouble", TROUBLES)
def test_error_is_the_clients_own(trouble: str, asynchronous: bool, server: Endpoint) -> None:
    """Exceptions with their causes, contexts and fields are those of the plain client; the span has failed with it."""
    prepare, style, options, kind = TROUBLES[trouble]
    prepare(server)
    plain, patched, [span] = both_ways(server, style, asynchronous, **options)
    assert (plain, "error", kind) == (patched, span.status, span.error.type.rpartition(".")[2])  # type: ignore[union-attr]  # it failed


@BOTH
def test_retries_are_those_of_the_client(asynchronous: bool, server: Endpoint) -> None:
    """A 429 is retried as often as without us, and all attempts are one span."""
    refusals(429, **{"retry-after": "0.01"})(server)
    _, _, spans = both_ways(server, chat_with(), asynchronous, max_retries=2)
    assert (1, 6) == (len(spans), len(server.requests))


@BOTH
@pytest.mark.parametrize("status", [429, 500])
def test_retries_are_counted(status: int, asynchronous: bool, server: Endpoint) -> None:
    """The span says how often the client sent the request again, when, and why."""
    refusals(status, **{"retry-after": "0.01"})(server)
    _, _, [span] = both_ways(server, chat_with(), asynchronous, max_retries=2)
    events = [(event.name, event.attributes) for event in span.events]
    assert (2, [("retry", {"http.response.status_code": status})] * 2) == (
        span.attributes["instrument.retries"],
        events,
    )


@BOTH
def test_the_time_until_a_request_was_sent_last_is_told(asynchronous: bool, server: Endpoint) -> None:
    """Failed tries and the client's sleep between them are in the call's time, and no model worked in them."""
    refusals(429, **{"retry-after": "0.05"})(server)
    _, _, [span] = both_ways(server, chat_with(), asynchronous, max_retries=2)
    assert 0.1 <= span.attributes["instrument.retries.seconds"] <= span.duration_ns / 1e9


def test_a_call_that_is_not_sent_again_says_nothing_of_it(server: Endpoint) -> None:
    """As most are."""
    _, _, [span] = both_ways(server, chat_with(), asynchronous=False)
    assert ("instrument.retries" in span.attributes, span.events) == (False, [])


def test_answer_that_is_no_json_reaches_the_caller(server: Endpoint) -> None:
    """What the plain client makes of a wrong answer is what the caller gets."""
    no_json(server)
    plain, patched, spans = both_ways(server, chat_with(), asynchronous=False)
    assert (plain, 1) == (patched, len(spans))


def test_cut_stream_keeps_what_was_said(server: Endpoint, recording: Recording) -> None:
    """What came before the break is the span's output, and its tokens are an estimate."""
    cut_in_an_event(server)
    run(chat_with(stream=True), server.base_url, asynchronous=False)
    span = only(recording)
    assert ("hel", "estimated") == (said(span), span.usage.source)  # type: ignore[union-attr]  # there is usage


def test_stream_that_merely_stops_is_marked(server: Endpoint, recording: Recording, client: Any) -> None:
    """The client takes it for the end: that the service did not say so is an attribute of the span, and a finding."""
    begun = sse(chunk({"content": "hel"}))
    for rest in (sse(chunk({}, "stop")), sse(chunk({}, usage=CHAT_USAGE)), b'data: {"id"'):
        server.answer = lambda path, body, rest=rest: (200, "text/event-stream", begun + rest)  # type: ignore[misc]  # a default that binds `rest`
        list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert ([None, None, True], ["cut_answer"]) == (
        [span.attributes.get("instrument.stream.broken_off") for span in recording.spans],
        [found.detector for found in recording.findings],
    )


def test_error_event_of_responses_fails_the_span(server: Endpoint, recording: Recording, client: Any) -> None:
    """The Responses API tells of an error in an event that raises nothing: the span has failed, the caller reads on."""
    events = [{"type": "error", "code": "server_error", "message": "sorry", "param": None, "sequence_number": 1}]
    server.answer = lambda path, body: as_events(*events)
    assert 1 == len([*client.responses.create(model=MODEL, input="x", stream=True)])
    assert ("error", "server_error", "sorry") == (only(recording).status, *error_of(only(recording)))


def test_failed_response_fails_the_span(server: Endpoint, recording: Recording, client: Any) -> None:
    """A response whose status is failed is a failed call, though the client raises nothing."""
    failed = {**response("failed"), "error": {"code": "server_error", "message": "sorry"}}
    server.answer = lambda path, body: as_json(failed)
    client.responses.create(model=MODEL, input="x")
    assert ("server_error", "sorry", 20) == (*error_of(only(recording)), only(recording).usage.input)  # type: ignore[union-attr]


def error_of(span: Span) -> tuple[str, str]:
    assert span.error is not None
    return span.error.type, span.error.message


# Cancellation


def endless() -> Iterator[bytes]:
    for _ in range(200):
        yield sse(chunk({"content": "x"}))
        time.sleep(0.02)


def test_cancelled_task(server: Endpoint, recording: Recording) -> None:
    """A task that is cancelled while it waits for the answer gives a cancelled span, and the connection is given up."""
    hangs(server)

    async def main() -> None:
        async with client_of(server.base_url, asynchronous=True) as client:
            task = asyncio.create_task(got(chat_with()(client)))
            while not server.requests:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert ("cancelled", None) == (only(recording).status, only(recording).usage)


def test_cancelled_while_reading(server: Endpoint, recording: Recording) -> None:
    """A stream whose reader is cancelled is cancelled with an estimate, and its connection is closed as it is plain."""
    server.answer = lambda path, body: (200, "text/event-stream", endless())

    async def read(client: Any, has_begun: asyncio.Event) -> None:
        async for _ in await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
            has_begun.set()

    async def main() -> None:
        async with client_of(server.base_url, asynchronous=True) as client:
            has_begun = asyncio.Event()
            task = asyncio.create_task(read(client, has_begun))
            await has_begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert server.broken.wait(20)

    asyncio.run(main())
    span = only(recording)
    assert ("cancelled", "estimated") == (span.status, span.usage.source)  # type: ignore[union-attr]  # there is usage


@BOTH
def test_closing_early_frees_the_connection(asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """Closing a stream ends its span there and then, and the server sees that nobody listens."""
    server.answer = lambda path, body: (200, "text/event-stream", endless())
    ended: list[int] = []

    async def style(client: Any) -> None:
        stream = await got(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        await first(stream)
        await got(stream.close())
        ended.append(len(recording.spans))

    run(style, server.base_url, asynchronous)
    assert (True, [1]) == (server.broken.wait(20), ended)


def test_early_estimate_counts_the_prompt(server: Endpoint, recording: Recording, client: Any) -> None:
    """A stream closed early has an estimate of what it was asked and of what it said."""
    server.answer = lambda path, body: (200, "text/event-stream", endless())
    question: Any = [{"role": "user", "content": "word " * 500}]
    with client.chat.completions.create(model=MODEL, messages=question, stream=True) as stream:
        next(stream)
    question[0]["content"] = ""
    usage = only(recording).usage
    assert usage is not None
    assert (True, 1, "estimated") == (500 <= (usage.input or 0) <= 510, usage.output, usage.source)


def test_without_contents_the_model_is_told(server: Endpoint) -> None:
    """Where contents are not recorded a call still says which model answered and why it ended, and no word of either side."""
    with (
        record(capture={"content": False}) as recording,
        instrument.patch_openai(),
        client_of(server.base_url) as client,
    ):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, stop=["geheim"])
    span = only(recording)
    told = span.attributes["gen_ai.request.model"], span.attributes["gen_ai.response.finish_reasons"]
    words = str(span).lower()
    assert ((MODEL, ["stop"]), False) == (
        told,
        any(word in words for word in ("geheim", MESSAGES[0]["content"].lower())),
    )


def test_stream_that_is_dropped_is_there_when_the_process_ends(server: Endpoint) -> None:
    """A client's dropped stream lives on until the garbage collector comes: the end of the recording does not wait."""
    server.answer = lambda path, body: as_events(*(chunk({"content": word}) for word in "abc"))
    gc.disable()
    try:
        with record() as recording, instrument.patch_openai(), client_of(server.base_url) as client:
            next(iter(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)))
    finally:
        gc.enable()
    span = only(recording)
    assert (True, "estimated") == (span.attributes["instrument.closed_early"], span.usage and span.usage.source)


def test_stream_that_is_never_read_ends_with_the_client(server: Endpoint, recording: Recording, client: Any) -> None:
    """A stream that was dropped before its first chunk ends its span."""
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    del stream
    gc.collect()
    assert True is only(recording).attributes["instrument.closed_early"]


# Arrival


def in_step(arrived: threading.Semaphore) -> Iterator[bytes]:
    """Chunks of which each is sent only when the one before has arrived."""
    for n in range(5):
        yield sse(chunk({"content": str(n)}))
        if not arrived.acquire(timeout=20):
            raise EOFError
    yield b"data: [DONE]\n\n"


@BOTH
def test_chunks_arrive_as_they_are_sent(asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """No chunk waits for the next one: the endpoint may wait until its reader has it."""
    arrived = threading.Semaphore(0)
    server.answer = lambda path, body: (200, "text/event-stream", in_step(arrived))
    seen: list[str] = []

    async def style(client: Any) -> None:
        stream = await got(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        for _ in range(5):
            chunk = await first(stream)
            seen.append(chunk.choices[0].delta.content)
            arrived.release()

    run(style, server.base_url, asynchronous)
    assert ["0", "1", "2", "3", "4"] == seen


def test_time_to_first_chunk(server: Endpoint, recording: Recording) -> None:
    """The span says when the first chunk came, how many there were and how fast the tokens flowed."""
    server.answer = lambda path, body: (200, "text/event-stream", slow_start())
    run(chat_with(stream=True), server.base_url, asynchronous=False)
    said = only(recording).attributes
    assert (True, 3) == (said["gen_ai.response.time_to_first_chunk"] >= 0.1, said["instrument.stream.chunks"])
    assert 0 < said["instrument.stream.tokens_per_second"]


def slow_start() -> Iterator[bytes]:
    time.sleep(0.1)
    yield sse(chunk({"content": "a"}))
    time.sleep(0.06)
    yield sse(chunk({"content": "b"})) + sse(
        {**chunk({}), "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 7}}
    )


def test_stream_read_by_another_thread(server: Endpoint, recording: Recording, client: Any) -> None:
    """A stream may be made in one thread and read in another."""
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.extend(stream))
    thread.start()
    thread.join()
    assert (3, 7) == (len(seen), only(recording).usage.output)  # type: ignore[union-attr]  # there is usage


def test_stream_read_by_another_task(server: Endpoint, recording: Recording) -> None:
    """A stream may be made in one task and read in another; neither sees another current span than its own."""

    async def main() -> int:
        async with client_of(server.base_url, asynchronous=True) as client:
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            assert instrument.current_span() is None
            return len(await asyncio.create_task(every(stream)))

    assert 3 == asyncio.run(main())
    assert 7 == only(recording).usage.output  # type: ignore[union-attr]  # there is usage


# Raw bytes


@BOTH
@pytest.mark.parametrize("method", ["iter_bytes", "iter_text", "iter_lines", "read", "text"])
def test_raw_stream_is_understood(method: str, asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """However the bytes of a stream are read, the span has its text; nothing was added, so tokens are an estimate."""

    async def style(client: Any) -> None:
        call = client.chat.completions.with_streaming_response
        async with inside(call.create(model=MODEL, messages=MESSAGES, stream=True)) as raw:
            taken = getattr(raw, method)()
            await (every(taken) if method.startswith("iter") else got(taken))

    run(style, server.base_url, asynchronous)
    span = only(recording)
    assert ("hello", "estimated") == (said(span), span.usage.source)  # type: ignore[union-attr]  # there is usage
    assert [False] == ["stream_options" in body for _, body in server.requests]


@BOTH
def test_compressed_answer_is_understood(asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """Bytes that come compressed are read as the caller reads them."""
    server.answer = lambda path, body: (200, "application/json", gzip.compress(json.dumps(chat()).encode()))
    server.extra = {"content-encoding": "gzip"}

    async def style(client: Any) -> Any:
        call = client.chat.completions.with_streaming_response
        async with inside(call.create(model=MODEL, messages=MESSAGES)) as raw:
            return await got(raw.json())

    run(style, server.base_url, asynchronous)
    assert 11 == only(recording).usage.input  # type: ignore[union-attr]  # there is usage


def test_compressed_stream_left_early(server: Endpoint, recording: Recording, client: Any) -> None:
    """Of a compressed stream that is left in the middle the span has what was read."""
    pieces = gzip.compress(b"".join(endless_once()), compresslevel=0)
    server.answer = lambda path, body: (200, "text/event-stream", iter([pieces[:4000], pieces[4000:]]))
    server.extra = {"content-encoding": "gzip"}
    call = client.chat.completions.with_streaming_response
    with call.create(model=MODEL, messages=MESSAGES, stream=True) as raw:
        next(raw.iter_lines())
    assert (True, "x") == (only(recording).attributes["instrument.closed_early"], said(only(recording))[0])


def endless_once() -> Iterator[bytes]:
    return (sse(chunk({"content": "x"})) for _ in range(60))


def test_raw_stream_that_is_still_read_at_the_end(client: Any) -> None:
    """What had come of it counts, and nothing is said of when its tokens came: nobody has read them one by one."""
    with record() as recording, instrument.patch_openai(client):
        stream = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True).parse()
        next(stream)
    [found] = recording.spans
    assert (3, True, None) == (
        found.attributes["instrument.stream.chunks"], found.attributes["instrument.closed_early"],
        found.attributes.get("instrument.stream.time_to_first_token"),
    )  # fmt: skip


def test_response_can_still_be_pickled(server: Endpoint, recording: Recording, client: Any) -> None:
    """The HTTP response keeps its own methods and its pickled form."""
    import pickle

    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    copy = pickle.loads(pickle.dumps(raw.http_response))
    assert (raw.text, []) == (copy.text, [name for name in vars(raw.http_response) if name in ("close", "iter_bytes")])


# Dialects


def stream_of(server: Endpoint, *events: dict[str, Any], **more: Any) -> list[Any]:
    server.answer = lambda path, body: as_events(*events)
    with client_of(server.base_url) as client:
        return [*client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **more)]


def usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": 3, "completion_tokens": output, "total_tokens": 3 + output}


def test_last_usage_counts(server: Endpoint, recording: Recording) -> None:
    """Where several chunks have usage the last one is the whole; one that says nothing changes nothing."""
    stream_of(server, chunk({"content": "a"}, usage=usage(1)), chunk({}, usage=usage(5)), chunk({}, "stop", usage={}))
    assert 5 == only(recording).usage.output  # type: ignore[union-attr]  # there is usage


def test_usage_of_groq(server: Endpoint, recording: Recording) -> None:
    """Groq puts the usage of a stream below `x_groq`."""
    stream_of(server, chunk({"content": "a"}), chunk({}, "stop", x_groq={"id": "g", "usage": usage(4)}))
    assert (4, "groq") == (only(recording).usage.output, only(recording).attributes["gen_ai.provider.name"])  # type: ignore[union-attr]


def test_chunks_without_id(server: Endpoint, recording: Recording) -> None:
    """Chunks that lack id, model and choices are read for what they have."""
    seen = stream_of(server, {"choices": [{"delta": {"content": "a"}}]}, {"choices": None}, {"usage": usage(2)})
    assert (2, "a", 2) == (len(seen), said(only(recording)), only(recording).usage.output)  # type: ignore[union-attr]


def test_tool_calls_that_share_an_index(server: Endpoint, recording: Recording) -> None:
    """Some services number all tool calls alike: their ids keep them apart."""
    calls = [
        {"index": 0, "id": f"c{n}", "type": "function", "function": {"name": f"f{n}", "arguments": "{}"}}
        for n in (1, 2)
    ]
    stream_of(server, *(chunk({"tool_calls": [call]}) for call in calls), chunk({}, "tool_calls"))
    parts = only(recording).output["messages"][0]["parts"]
    assert [("c1", "f1", {}), ("c2", "f2", {})] == [(part["id"], part["name"], part["arguments"]) for part in parts]


def test_choices_of_a_stream_are_kept_apart(server: Endpoint, recording: Recording) -> None:
    """With n=2 there are two messages, reasoning and refusal parts of their own."""
    pieces = [
        {**chunk({}), "choices": [{"index": n, "delta": delta, "finish_reason": None}]}
        for n, delta in [
            (1, {"refusal": "no"}),
            (0, {"reasoning_content": "hm"}),
            (0, {"content": "yes"}),
            (1, {"refusal": "!"}),
        ]
    ]
    stream_of(server, *pieces, n=2)
    messages = only(recording).output["messages"]
    assert [[("reasoning", "hm"), ("text", "yes")], [("refusal", "no!")]] == [
        [(part["type"], part["content"]) for part in message["parts"]] for message in messages
    ]


def test_blocks_of_content_in_a_stream(server: Endpoint, recording: Recording) -> None:
    """Mistral streams blocks of thinking and text."""
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    stream_of(server, chunk({"content": thinking}), chunk({"content": "yes"}), chunk({}, "stop"))
    parts = only(recording).output["messages"][0]["parts"]
    assert [("reasoning", "hm"), ("text", "yes")] == [(part["type"], part["content"]) for part in parts]


def test_endpoint_that_refuses_the_option_in_its_own_words(server: Endpoint, recording: Recording) -> None:
    """A refusal that does not name the option is answered with the caller's own request, once for each endpoint."""

    def strict(path: str, body: dict[str, Any]) -> Any:
        return as_json({"detail": "bad request"}, 422) if "stream_options" in body else respond(path, body)

    server.answer = strict
    for _ in range(2):
        run(chat_with(stream=True), server.base_url, asynchronous=False)
    assert (["ok"] * 2, [True, False, False]) == (
        [span.status for span in recording.spans],
        ["stream_options" in body for _, body in server.requests],
    )


def test_endpoint_that_knows_the_option_is_asked_once(server: Endpoint, recording: Recording) -> None:
    """Once an endpoint has accepted the option, its refusals are about something else and are not asked again."""
    run(chat_with(stream=True, model="known"), server.base_url, asynchronous=False)
    refusals(400)(server)
    run(chat_with(stream=True, model="known"), server.base_url, asynchronous=False)
    assert 2 == len(server.requests)


def test_other_stream_options_are_kept(server: Endpoint, recording: Recording) -> None:
    """The wish for usage joins the options that the caller gave."""
    run(chat_with(stream=True, stream_options={"include_obfuscation": False}), server.base_url, asynchronous=False)
    assert {"include_obfuscation": False, "include_usage": True} == server.requests[0][1]["stream_options"]


def test_early_responses_stream_is_put_together(server: Endpoint, recording: Recording, client: Any) -> None:
    """A stream of the Responses API that is left early has the text that came, and the model."""
    stream = client.responses.create(model=MODEL, input="x", stream=True)
    for event in stream:
        if event.type == "response.output_text.delta":
            stream.close()
            break
    span = only(recording)
    assert ('{"answer": ', "gpt-4.1-mini-2025-04-14") == (said(span), span.attributes["gen_ai.response.model"])


# Later usage


def background(server: Endpoint) -> None:
    server.answer = lambda path, body: (
        response_stream() if path.endswith("resp_1") and "stream" in str(server.requests[-1]) else respond(path, body)
    )


async def fetched(client: Any) -> None:
    await got(client.responses.create(model=MODEL, input="x", background=True))
    await got(client.responses.retrieve("resp_1"))


async def fetched_raw(client: Any) -> None:
    await got(client.responses.create(model=MODEL, input="x", background=True))
    (await got(client.responses.with_raw_response.retrieve("resp_1"))).parse()


async def cancelled(client: Any) -> None:
    await got(client.responses.create(model=MODEL, input="x", background=True))
    await got(client.responses.cancel("resp_1"))


async def left_and_fetched(client: Any) -> None:
    stream = await got(client.responses.create(model=MODEL, input="x", background=True, stream=True))
    await first(stream)
    await got(stream.close())
    await got(client.responses.retrieve("resp_1"))


LATER = {"fetched": fetched, "fetched raw": fetched_raw, "cancelled": cancelled, "left and fetched": left_and_fetched}


@BOTH
@pytest.mark.parametrize("way", LATER)
def test_usage_that_comes_later(way: str, asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """A background response has no usage until it is fetched; then that is an update of its span."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        return respond(path, {k: v for k, v in body.items() if k != "background" or not body.get("stream")})

    server.answer = answer
    run(LATER[way], server.base_url, asynchronous)
    updates = [one for one in recording.records if isinstance(one, Update)]
    span = only(recording)
    assert (None, [(span.span_id, 20, 5)]) == (
        span.usage,
        [(one.span_id, one.usage.input, one.usage.output) for one in updates if one.usage is not None],
    )


def test_later_usage_of_a_resumed_stream(server: Endpoint, recording: Recording, client: Any) -> None:
    """A background response may be fetched as a stream, too."""
    client.responses.create(model=MODEL, input="x", background=True)
    server.answer = lambda path, body: response_stream()
    assert 10 == len([*client.responses.retrieve("resp_1", stream=True)])
    assert [20] == [one.usage.input for one in recording.records if isinstance(one, Update) and one.usage is not None]


def test_chat_without_usage_is_not_waited_for(server: Endpoint, recording: Recording, client: Any) -> None:
    """An answer that is complete but has no usage is estimated at once."""
    whole = chat()
    del whole["usage"]
    server.answer = lambda path, body: as_json(whole)
    client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert "estimated" == only(recording).usage.source  # type: ignore[union-attr]  # there is usage


# The caller's own transport


@BOTH
def test_hooks_and_transport_of_the_caller(asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """A caller's HTTP client with hooks is used as it is; hooks run inside the span of the call."""
    seen: list[str | None] = []

    def note(request: Any) -> None:
        span = instrument.current_span()
        seen.append(span.name if span is not None else None)

    async def anote(request: Any) -> None:
        note(request)

    kind: Any = httpx2.AsyncClient if asynchronous else httpx2.Client
    http = kind(event_hooks={"request": [anote if asynchronous else note]}, verify=False)
    run(chat_with(), server.base_url, asynchronous, http_client=http)
    assert ([f"chat {MODEL}"], 1) == (seen, len(recording.spans))


@BOTH
def test_transport_that_answers_from_memory(asynchronous: bool, recording: Recording) -> None:
    """Test doubles whose bytes are there from the start are followed, and left early, like others."""
    events = as_events(chunk({"content": "hel"}), chunk({"content": "lo"}), chunk({}, "stop"))[2]
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=events)
    )
    kind: Any = httpx2.AsyncClient if asynchronous else httpx2.Client
    ended: list[bool] = []

    async def style(client: Any) -> Any:
        stream = await got(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        await first(stream)
        await got(stream.close())
        ended.extend("instrument.closed_early" in span.attributes for span in recording.spans)
        return await chat_with(stream=True)(client)

    run(style, "http://nowhere.invalid/v1", asynchronous, http_client=kind(transport=transport))
    assert ([True], ["hel", "hello"]) == (ended, [said(span) for span in recording.spans])


# Several at once


def test_many_streams_at_once(server: Endpoint, recording: Recording) -> None:
    """Streams that are read in turns do not get into each other's spans."""
    server.answer = lambda path, body: as_events(
        *(chunk({"content": body["messages"][0]["content"]}) for _ in range(5)), chunk({}, "stop")
    )

    async def one(client: Any, n: int) -> int:
        messages: Any = [{"role": "user", "content": f"<{n}>"}]
        stream: AsyncIterator[Any] = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        count = 0
        async for _ in stream:
            count += 1
            await asyncio.sleep(0)
        return count

    async def main() -> list[int]:
        async with client_of(server.base_url, asynchronous=True) as client:
            return await asyncio.gather(*(one(client, n) for n in range(8)))

    assert [6] * 8 == asyncio.run(main())
    assert sorted(f"<{n}>" * 5 for n in range(8)) == sorted(said(span) for span in recording.spans)


def test_module_level_client(server: Endpoint, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openai.chat.completions.create` is a call like others."""
    monkeypatch.setattr(openai, "api_key", "none")
    monkeypatch.setattr(openai, "base_url", f"{server.base_url}/")
    monkeypatch.setattr(openai, "_client", None)
    openai.chat.completions.create(model=MODEL, messages=MESSAGES)
    openai._client.close()  # type: ignore[union-attr]  # made by the call
    assert 11 == only(recording).usage.input  # type: ignore[union-attr]  # there is usage


@BOTH
def test_azure(asynchronous: bool, server: Endpoint, recording: Recording) -> None:
    """The Azure clients are recorded with their provider, `with_options` included."""
    kind: Any = openai.AsyncAzureOpenAI if asynchronous else openai.AzureOpenAI
    address = server.base_url.removesuffix("/v1")

    async def main() -> None:
        async with inside(kind(api_key="x", api_version="2024-10-21", azure_endpoint=address)) as client:
            await chat_with()(client.with_options(timeout=5))

    asyncio.run(main())
    assert "azure.ai.openai" == only(recording).attributes["gen_ai.provider.name"]
    assert "/deployments/" in server.requests[0][0]
