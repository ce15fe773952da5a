"""`patch_openai` itself: which clients it reaches, beside whom, how it is undone, and what it says of a request."""

from __future__ import annotations

import copy
import json
import os
import pickle
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import wrapt
from openai._base_client import SyncAPIClient

import instrument
from instrument.model import Span
from instrument.testing import Recording
from tests.openai_endpoint import Endpoint, as_json, respond
from tests.openai_styles import MODEL, client_of
from tests.programs import python


def ask(client: Any, **more: Any) -> Any:
    return client.responses.create(**{"model": MODEL, "input": "x", **more})


def asked(client: Any, recording: Recording, **more: Any) -> Span:
    """The span of one call."""
    with instrument.patch_openai():
        ask(client, **more)
    return recording.spans[-1]


# Which clients


def test_two_clients_by_themselves(server: Endpoint, client: Any, recording: Recording) -> None:
    """Each of two patched clients is recorded until it is undone, and nobody else is."""
    with client_of(server.base_url) as other, client_of(server.base_url) as third:
        mine, theirs = instrument.patch_openai(client), instrument.patch_openai(other)
        for one in (client, other, third):
            ask(one)
        mine.undo()
        for one in (client, other, third):
            ask(one)
        theirs.undo()
        ask(other)
    assert 3 == len(recording.spans)


def test_copies_of_a_patched_client(client: Any, recording: Recording) -> None:
    """What `with_options` and `copy` give is recorded with the client, and undone with it."""
    with instrument.patch_openai(client):
        copies = [client.with_options(timeout=5), client.copy(max_retries=1).with_options(timeout=6)]
        for one in copies:
            ask(one)
    for one in copies:
        ask(one)
    assert 2 == len(recording.spans)


def test_shallow_copy_is_another_client(client: Any, recording: Recording) -> None:
    """A patched client has no attributes of ours: a copy made by `copy.copy` works and is a client of its own."""
    before = set(vars(client))
    with instrument.patch_openai(client):
        ask(copy.copy(client))
        assert before == set(vars(client)) - {"responses"}
    assert [] == recording.spans


def test_pickling_says_what_it_says_plain(client: Any, recording: Recording) -> None:
    """A client cannot be pickled, patched or not, for the same reason."""

    def reason() -> str:
        with pytest.raises(Exception, match="pickle") as refusal:
            pickle.dumps(client)
        return str(refusal.value)

    plain = reason()
    with instrument.patch_openai(client):
        assert plain == reason()


def test_wrong_argument_is_named() -> None:
    """What is no client is refused with what to give instead."""
    with pytest.raises(TypeError, match=r"a client such as OpenAI\(\)"):
        instrument.patch_openai("gpt-4o")


def test_subclass_with_its_own_request(server: Endpoint, recording: Recording) -> None:
    """A subclass that overrides `request` is recorded once, whether it calls its base or not."""

    class Logging(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    client = Logging(api_key="none", base_url=server.base_url, http_client=httpx2.Client(verify=False))
    with instrument.patch_openai(), client:
        ask(client)
    assert 1 == len(recording.spans)


def test_call_inside_a_hook_of_another_call(server: Endpoint, recording: Recording) -> None:
    """A call that a hook makes with another client is a call of its own."""
    with client_of(server.base_url) as inner:
        http = httpx2.Client(event_hooks={"request": [lambda request: ask(inner) and None]}, verify=False)
        with instrument.patch_openai(), client_of(server.base_url, http_client=http) as outer:
            ask(outer)
    [first, second] = recording.spans
    assert (second.span_id, "llm", "llm") == (first.parent_id, first.kind, second.kind)


def test_forked_child_records_for_itself(server: Endpoint, tmp_path: Path) -> None:
    """After a fork the patched client works in parent and child, and each records its own calls."""
    program = (
        "import os, openai, instrument\n"
        "instrument.patch_openai()\n"
        f"client = openai.OpenAI(api_key='x', base_url={server.base_url!r})\n"
        "client.responses.create(model='m', input='x')\n"
        "pid = os.fork()\n"
        "client.responses.create(model='m', input='x')\n"
        "if pid: os.waitpid(pid, 0)\n"
        "instrument.flush()\n"
    )
    done = python("-c", program, INSTRUMENT_SINKS="jsonl", INSTRUMENT_DIR=str(tmp_path))
    assert 0 == done.returncode, done.stderr
    files = [file.read_text() for file in tmp_path.glob("events/*.jsonl")]
    assert [1, 2] == sorted(text.count('"type":"span"') for text in files)


# Beside others


def foreign(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """What another instrumentation does around a method."""
    return wrapped(*args, **kwargs)


@pytest.fixture
def untouched() -> Iterator[None]:
    before = dict(vars(openai.OpenAI)), SyncAPIClient.request
    yield
    if "request" not in before[0] and "request" in vars(openai.OpenAI):
        del openai.OpenAI.request
    assert before == (dict(vars(openai.OpenAI)), SyncAPIClient.request)


def test_another_instrumentation_came_first(client: Any, recording: Recording, untouched: None) -> None:
    """One that has wrapped `request` for a subclass before does not hide the calls from us."""
    wrapt.wrap_function_wrapper(openai.OpenAI, "request", foreign)
    with instrument.patch_openai():
        ask(client)
    ask(client)
    assert 1 == len(recording.spans)


def test_another_instrumentation_came_later(client: Any, recording: Recording, untouched: None) -> None:
    """One that wraps ours keeps working when ours is undone, and ours records no more."""
    seen: list[str] = []
    plain = SyncAPIClient.__dict__["request"]
    patched = instrument.patch_openai()
    wrapt.wrap_function_wrapper(SyncAPIClient, "request", lambda w, i, a, k: seen.append("them") or w(*a, **k))
    try:
        ask(client)
        patched.undo()
        ask(client)
        with instrument.patch_openai():
            ask(client)
    finally:
        SyncAPIClient.request = plain  # type: ignore[method-assign]  # as it was
    assert (["them"] * 3, 2) == (seen, len(recording.spans))


def test_wrapped_methods_of_another_instrumentation(client: Any, recording: Recording) -> None:
    """One that wraps `create` and reads the answer beside us leads to one span all the same."""
    from openai.resources.responses import Responses

    plain = Responses.__dict__["create"]
    wrapt.wrap_function_wrapper(Responses, "create", foreign)
    try:
        with instrument.patch_openai():
            ask(client)
    finally:
        Responses.create = plain  # type: ignore[method-assign]  # as it was
    assert 1 == len(recording.spans)


# What is said of a request


def test_settings_are_attributes(client: Any, recording: Recording) -> None:
    """Settings of the request have the names of the conventions; what was not given is not there."""
    said = asked(
        client, recording, temperature=0.5, top_p=0.9, max_output_tokens=7, reasoning={"effort": "low"}
    ).attributes
    expected = {
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 7,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.operation.name": "chat",
        "openai.api.type": "responses",
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.finish_reasons": ["stop"],
    }
    assert expected == {name: said.get(name) for name in expected}
    assert "gen_ai.request.seed" not in said


def test_conversations_are_linked(client: Any, recording: Recording) -> None:
    """A conversation and the response before are attributes that link turns."""
    said = asked(client, recording, previous_response_id="resp_0", conversation={"id": "conv_1"}).attributes
    assert ("resp_0", "conv_1") == (said["gen_ai.request.previous_response.id"], said["gen_ai.conversation.id"])


def test_tool_definitions_are_kept(client: Any, recording: Recording) -> None:
    """The tools that the model was offered are part of the input."""
    tool = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}, "strict": True}
    assert [tool] == asked(client, recording, tools=[tool]).input["tools"]


def test_binary_parts_by_hash_and_size(client: Any, recording: Recording) -> None:
    """Pictures, files and sound are recorded by hash and size, never with their bytes."""
    data = os.urandom(3000)
    encoded = b64encode(data).decode()
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
        {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{encoded}", "filename": "a.pdf"}},
    ]
    with instrument.patch_openai():
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    [span] = recording.spans
    parts = span.input["messages"][0]["parts"]
    assert [("image", 3000), ("audio", 3000), ("file", 3000)] == [(part["modality"], part["bytes"]) for part in parts]
    assert {sha256(data).hexdigest()} == {part["sha256"] for part in parts}
    assert encoded[:40] not in json.dumps(span.input)


def test_embeddings_keep_no_vectors(client: Any, recording: Recording) -> None:
    """The numbers of an embedding are not recorded."""
    with instrument.patch_openai():
        client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], encoding_format="float")
    [span] = recording.spans
    assert ("embedding", None, 3) == (span.kind, span.output, span.usage.input)  # type: ignore[union-attr]  # there is usage


def test_what_is_recorded_is_what_was_asked_then(client: Any, recording: Recording) -> None:
    """Messages that the caller changes after the call do not change what was recorded."""
    messages: Any = [{"role": "user", "content": "before"}]
    with instrument.patch_openai():
        client.chat.completions.create(model=MODEL, messages=messages)
        messages[0]["content"] = "after"
        messages.append({"role": "assistant", "content": "more"})
    assert [[{"type": "text", "content": "before"}]] == [m["parts"] for m in recording.spans[0].input["messages"]]


def test_extra_body_is_part_of_the_request(client: Any, recording: Recording) -> None:
    """What is given through `extra_body` counts as given."""
    said = asked(client, recording, extra_body={"model": "their-model", "seed": 7}).attributes
    assert ("their-model", 7) == (said["gen_ai.request.model"], said["gen_ai.request.seed"])


@pytest.mark.parametrize(("host", "provider"), [
    ("api.groq.com", "groq"), ("openrouter.ai", "openrouter"), ("api.x.ai", "x_ai"), ("localhost", None),
    ("res.openai.azure.com", "azure.ai.openai"), ("notx.ai", None),
])  # fmt: skip
def test_provider_by_address(host: str, provider: str | None, recording: Recording) -> None:
    """The service is known by its address, and never guessed."""
    http = httpx2.Client(
        transport=httpx2.MockTransport(
            lambda request: httpx2.Response(200, json=json.loads(respond("/responses", {})[2]))
        )
    )
    span = asked(client_of(f"https://{host}/v1", http_client=http), recording)
    assert (host, provider) == (span.attributes["server.address"], span.attributes.get("gen_ai.provider.name"))


def test_tier_of_the_response_wins(server: Endpoint, client: Any, recording: Recording) -> None:
    """A call that asked for flex and was answered at the default tier costs what the default tier costs."""
    server.answer = lambda path, body: as_json({**json.loads(respond(path, body)[2]), "service_tier": "default"})  # type: ignore[arg-type]  # it is bytes
    flex, plain = asked(client, recording, service_tier="flex"), asked(client, recording)
    assert plain.cost == flex.cost is not None
