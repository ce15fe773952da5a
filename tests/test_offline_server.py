"""The offline model's server, as the real openai client sees it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI

from agent.offline import Served, serve

MODEL = "offline-reviewer"
CODE = "PATH: mean.py\n\n    1| def mean(values):\n    2|     return sum(values) / len(values)\n"


class Fault(pydantic.BaseModel):
    line: int
    rule: str


class Analysis(pydantic.BaseModel):
    findings: list[Fault]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=served.base_url, api_key="any", max_retries=0) as made:
        yield made


def analysis_format() -> Any:
    fault = {"line": {"type": "integer"}, "rule": {"type": "string"}}
    item = {"type": "object", "properties": fault, "required": ["line", "rule"], "additionalProperties": False}
    schema = {"type": "object", "properties": {"findings": {"type": "array", "items": item}}}
    strict = {**schema, "required": ["findings"], "additionalProperties": False}
    return {"format": {"type": "json_schema", "name": "analysis", "strict": True, "schema": strict}}


def tool(name: str = "read_file") -> Any:
    parameters = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    return {
        "type": "function",
        "name": name,
        "description": "Read a file.",
        "strict": True,
        "parameters": {**parameters, "additionalProperties": False},
    }


def test_plain_text_says_what_the_model_can_do(client: OpenAI) -> None:
    """Without a form and tools the answer is a short honest text."""
    response = client.responses.create(model=MODEL, input="What is the capital of France?")
    assert "cannot hold a conversation" in response.output_text


def test_usage_adds_up(client: OpenAI) -> None:
    """Total tokens are input plus output, and both are counted."""
    usage = client.responses.create(model=MODEL, input="hello there").usage
    assert usage is not None
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert min(usage.input_tokens, usage.output_tokens) > 0


def test_more_input_counts_more(client: OpenAI) -> None:
    """Tokens are those of what was sent, tools and instructions included."""
    short = client.responses.create(model=MODEL, input="hello")
    long = client.responses.create(model=MODEL, input="hello", instructions="Be brief. " * 20)
    assert long.usage.input_tokens >= short.usage.input_tokens + 40  # type: ignore[union-attr]


def test_analysis_is_about_the_code_sent(client: OpenAI) -> None:
    """A form that asks for less than the whole gets the fault of the very source in the request."""
    response = client.responses.create(model="offline-analyst", input=CODE, text=analysis_format())
    assert [Fault(line=2, rule="division-by-zero")] == Analysis.model_validate_json(response.output_text).findings


def test_parse_by_a_pydantic_model(client: OpenAI) -> None:
    """A form of the client's own name is filled so that it fits the schema."""

    class Opinion(pydantic.BaseModel):
        title: str
        marks: list[int]
        sure: bool

    parsed = client.responses.parse(model=MODEL, input="hello", text_format=Opinion).output_parsed
    assert isinstance(parsed, Opinion)


def test_stream_order_is_that_of_the_real_api(client: OpenAI) -> None:
    """Text comes as created, in_progress, item added, part added, deltas, done, part done, item done, completed."""
    with client.responses.create(model=MODEL, input="hello", stream=True) as stream:
        kinds = [event.type.removeprefix("response.") for event in stream]
    assert [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ] == list(dict.fromkeys(kinds))  # fmt: skip


def test_stream_is_numbered_from_zero(client: OpenAI) -> None:
    """Every event carries the next sequence number."""
    with client.responses.create(model=MODEL, input="hello", stream=True) as stream:
        numbers = [event.sequence_number for event in stream]
    assert list(range(len(numbers))) == numbers


def test_stream_of_a_call_gives_its_arguments_in_pieces(client: OpenAI) -> None:
    """Function calls add arguments.delta and arguments.done, and the pieces are the whole."""
    given = "FILES:\n- mean.py\nFIX: no"
    with client.responses.create(model=MODEL, input=given, tools=[tool()], stream=True) as stream:
        events = list(stream)
    pieces = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert {"path": "mean.py"} == json.loads(pieces) == json.loads(done.arguments)


def test_stream_helper_gives_the_final_response(client: OpenAI) -> None:
    """The client's own helper can follow the stream to its end."""
    with client.responses.stream(model=MODEL, input="hello") as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert deltas == stream.get_final_response().output_text


def test_async_client(served: Served) -> None:
    """The async client works alike, several requests at once."""

    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=served.base_url, api_key="any") as client:
            asked = [client.responses.create(model=MODEL, input=f"hello {n}") for n in range(5)]
            return [response.status or "" for response in await asyncio.gather(*asked)]

    assert ["completed"] * 5 == asyncio.run(ask())


def test_raw_response_has_a_request_id(client: OpenAI) -> None:
    """Every answer names its request in `x-request-id`."""
    raw = client.responses.with_raw_response.create(model=MODEL, input="hello")
    assert raw.headers["x-request-id"] == raw.parse()._request_id
    assert raw.headers["x-request-id"].startswith("req_")


def test_streaming_response_can_be_read_in_lines(client: OpenAI) -> None:
    """`with_streaming_response` sees the body as it is sent."""
    with client.responses.with_streaming_response.create(model=MODEL, input="hello") as raw:
        body = json.loads("".join(raw.iter_lines()))
    assert "response" == body["object"]


def test_background_is_queued_and_then_completed(client: OpenAI) -> None:
    """`background=True` answers at once, and the result is there on a later retrieve."""
    response = client.responses.create(model="offline-analyst", input=CODE, text=analysis_format(), background=True)
    assert "queued" == response.status
    for _ in range(200):
        response = client.responses.retrieve(response.id)
        if response.status not in ("queued", "in_progress"):
            break
        time.sleep(0.05)
    assert ("completed", 2) == (response.status, json.loads(response.output_text)["findings"][0]["line"])


def test_retrieve_gives_what_was_stored(client: OpenAI) -> None:
    """A response is kept unless `store` is false."""
    made = client.responses.create(model=MODEL, input="hello")
    assert made.output_text == client.responses.retrieve(made.id).output_text


def test_nothing_is_kept_without_store(client: OpenAI) -> None:
    """`store=False` leaves nothing behind."""
    made = client.responses.create(model=MODEL, input="hello", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_deleted_response_is_gone(client: OpenAI) -> None:
    """Delete removes a stored response."""
    made = client.responses.create(model=MODEL, input="hello")
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError, match=made.id):
        client.responses.retrieve(made.id)


def test_previous_response_id_continues_the_conversation(client: OpenAI) -> None:
    """The output of a call can be sent with nothing but the id of the response that made it."""
    first = client.responses.create(model=MODEL, input="FILES:\n- mean.py\nFIX: no", tools=[tool()])
    [call] = [item for item in first.output if item.type == "function_call"]
    refused = '{"ok": false, "error": "no"}'
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": refused}]
    second = client.responses.create(model=MODEL, input=output, previous_response_id=first.id, tools=[tool()])
    assert "function_call" == second.output[0].type
    assert second.usage.input_tokens > first.usage.input_tokens  # type: ignore[union-attr]


def test_call_without_its_output_is_refused_when_continuing(client: OpenAI) -> None:
    """A conversation cannot go on past an unanswered call."""
    first = client.responses.create(model=MODEL, input="FILES:\n- mean.py\nFIX: no", tools=[tool()])
    with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_"):
        client.responses.create(model=MODEL, input="go on", previous_response_id=first.id)


def test_answer_is_cut_at_max_output_tokens(client: OpenAI) -> None:
    """An answer longer than allowed is incomplete and says why."""
    response = client.responses.create(model=MODEL, input="hello", max_output_tokens=16)
    assert ("incomplete", "max_output_tokens") == (response.status, response.incomplete_details.reason)  # type: ignore[union-attr]
    assert 16 == response.usage.output_tokens  # type: ignore[union-attr]


def test_models_are_listed(served: Served, client: OpenAI) -> None:
    """What can be asked for is what the list shows."""
    assert set(served.models) <= {model.id for model in client.models.list()}


def test_unknown_response_is_not_found(client: OpenAI) -> None:
    """404 in the shape that the client knows, with the request's id."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.retrieve("resp_missing")
    assert caught.value.request_id


def test_unknown_route_is_not_found(client: OpenAI) -> None:
    """What this server does not do is a 404 that names the route."""
    with pytest.raises(openai.NotFoundError, match="GET /v1/files"):
        client.files.list()


def test_no_key_is_unauthorised(served: Served) -> None:
    """Without an Authorization header nothing is answered."""
    without: Any = {"Authorization": openai.Omit()}
    with OpenAI(base_url=served.base_url, api_key="any") as client, pytest.raises(openai.AuthenticationError):
        client.responses.create(model=MODEL, input="hello", extra_headers=without)


def test_unknown_model_is_a_bad_request(client: OpenAI) -> None:
    """The Responses API answers an unknown model with 400 and code model_not_found."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="gpt-0", input="hello")
    assert ("model_not_found", "model") == (caught.value.code, caught.value.param)


def test_unknown_model_in_chat_is_not_found(client: OpenAI) -> None:
    """Chat completions answer it with 404."""
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-0", messages=[{"role": "user", "content": "hello"}])


def test_chat_reviews_code_in_a_fence(client: OpenAI) -> None:
    """The same mind answers the chat API."""
    text = "```python\nnames = []\nprint(names[len(names)])\n```"
    done = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
    assert "code:2 error [off-by-one]" in (done.choices[0].message.content or "")


def test_chat_stream_ends_with_usage(client: OpenAI) -> None:
    """The pieces are the text, and usage comes last when it was asked for."""
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("I am an offline model")
    assert chunks[-1].usage is not None


def test_chat_tool_calls(client: OpenAI) -> None:
    """Tools of the chat API are called in its shape."""
    function = {key: value for key, value in tool().items() if key != "type"}
    done = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "FILES:\n- mean.py\nFIX: no"}],
        tools=[{"type": "function", "function": function}],  # type: ignore[typeddict-item]
    )
    call = done.choices[0].message.tool_calls[0]  # type: ignore[index]
    assert ("tool_calls", {"path": "mean.py"}) == (done.choices[0].finish_reason, json.loads(call.function.arguments))  # type: ignore[union-attr]


def test_embeddings_are_the_same_for_the_same_text(client: OpenAI) -> None:
    """Vectors depend on the text alone, have length one, and lie nearer for texts that share words."""
    texts = ["count the words", "count the words", "count the lines", "purple rain"]
    vectors = [item.embedding for item in client.embeddings.create(model="offline-embedding", input=texts).data]
    near, far = (sum(a * b for a, b in zip(vectors[0], vectors[n], strict=True)) for n in (2, 3))
    assert vectors[0] == vectors[1]
    assert pytest.approx(1.0, abs=1e-3) == sum(value * value for value in vectors[0])
    assert near > far


def test_forced_tool_is_called(client: OpenAI) -> None:
    """`tool_choice` with a function's name gives a call of that function."""
    tools = [tool("read_file"), tool("other_tool")]
    choice: Any = {"type": "function", "name": "other_tool"}
    response = client.responses.create(model=MODEL, input="hello", tools=tools, tool_choice=choice)
    assert ["other_tool"] == [item.name for item in response.output if item.type == "function_call"]


def test_requests_are_counted() -> None:
    """`served.requests` tells how many came."""
    with serve() as running, OpenAI(base_url=running.base_url, api_key="any") as client:
        client.models.list()
        client.responses.create(model=MODEL, input="hello")
        assert 2 == running.requests


def test_server_is_gone_after_the_block() -> None:
    """Leaving the with-block frees the port, even while a client keeps its connection."""
    with serve() as running:
        client = OpenAI(base_url=running.base_url, api_key="any", max_retries=0)
        client.models.list()
    with client, pytest.raises(openai.APIConnectionError):
        client.models.list()


def test_too_large_a_body_is_refused_unread(served: Served) -> None:
    """A body beyond the limit is answered with 413 before it was sent."""
    host, port = served.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        assert b"413" in connection.recv(200).split(b"\r\n")[0]


def test_runs_as_a_program() -> None:
    """`python -m agent.offline` serves for as long as it is told and says where."""
    command = [sys.executable, "-m", "agent.offline", "--seconds", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env={**os.environ})
    assert done.stdout.startswith("OPENAI_BASE_URL=http://127.0.0.1:")
