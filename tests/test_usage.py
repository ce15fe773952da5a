"""Reading requests and answers of every library, by their shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import CompletionUsage, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from instrument.answer import Answer, answer
from instrument.model import Usage
from instrument.request import request
from instrument.usage import usage_of
from tests.openai_endpoint import as_json, endpoint
from tests.openai_styles import client_of

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "here"}'}}
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 2},
    },
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5-2025-08-07",
    "status": "completed",
    "service_tier": "flex",
    "output": [
        {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "Thinking."}]},
        {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Done.", "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 30,
        "output_tokens": 12,
        "total_tokens": 42,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 8},
    },
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "here"}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 7,
              "service_tier": "standard"},
}  # fmt: skip
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 4,
                      "toolUsePromptTokenCount": 2, "cachedContentTokenCount": 6, "totalTokenCount": 21,
                      "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}, {"modality": "AUDIO", "tokenCount": 3}]},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "g1",
}  # fmt: skip

CALL = {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": "here"}}
EXPECTED = {
    "chat": Answer(
        model="gpt-4o-2024-08-06",
        usage=Usage(input=20, cached=4, output=9, reasoning=5, audio=3),
        output_messages=[
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": "Let me look."}, CALL],
                "finish_reason": "tool_calls",
            }
        ],
        finish_reasons=["tool_calls"],
        response_id="chatcmpl-1",
        service_tier="default",
    ),
    "response": Answer(
        model="gpt-5-2025-08-07",
        usage=Usage(input=30, cached=10, cache_write=3, output=12, reasoning=8),
        output_messages=[
            {
                "role": "assistant",
                "parts": [{"type": "reasoning", "content": "Thinking."}, {"type": "text", "content": "Done."}],
                "finish_reason": "stop",
            }
        ],
        finish_reasons=["stop"],
        response_id="resp_1",
        service_tier="flex",
    ),
    "embedding": Answer(model="text-embedding-3-small", usage=Usage(input=3)),
    "anthropic": Answer(
        model="claude-sonnet-4-6",
        usage=Usage(input=125, cached=100, cache_write=20, output=7),
        output_messages=[
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "Hm."},
                    {"type": "text", "content": "Hi."},
                    {**CALL, "id": "t1"},
                ],
                "finish_reason": "tool_use",
            }
        ],
        finish_reasons=["tool_use"],
        response_id="msg_1",
        service_tier="standard",
    ),
    "gemini": Answer(
        model="gemini-2.5-flash",
        usage=Usage(input=12, cached=6, output=9, reasoning=4, audio=3),
        output_messages=[{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}], "finish_reason": "STOP"}],
        finish_reasons=["STOP"],
        response_id="g1",
    ),
}


def foreign(package: str, value: Any) -> Any:
    """The value as objects of a library that is not installed: mappings become instances of one of its classes."""
    if isinstance(value, dict):
        kind = type("Model", (), {"__module__": f"{package}.types"})
        made = kind()
        vars(made).update({key: foreign(package, item) for key, item in value.items()})
        return made
    return [foreign(package, item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("chat", CHAT),
        ("chat", ChatCompletion.model_validate(CHAT)),
        ("chat", ChatCompletion.model_construct(**CHAT)),
        ("response", RESPONSE),
        ("response", Response.model_validate(RESPONSE)),
        ("response", {"type": "response.completed", "sequence_number": 9, "response": RESPONSE}),
        ("embedding", EMBEDDING),
        ("embedding", CreateEmbeddingResponse.model_validate(EMBEDDING)),
        ("anthropic", ANTHROPIC),
        ("gemini", GEMINI),
    ],
)
def test_answers_are_read_whole(kind: str, value: object) -> None:
    """Model, tokens with inclusive totals, messages, finish reasons, id and tier come out of every shape."""
    assert EXPECTED[kind] == answer(value)


@pytest.mark.parametrize(
    ("package", "value", "provider"),
    [
        ("anthropic", ANTHROPIC, "anthropic"),
        ("google.genai", GEMINI, "gcp.gen_ai"),
        ("mistralai", CHAT, "mistral_ai"),
        ("groq", CHAT, "groq"),
    ],
)
def test_the_library_tells_the_provider(package: str, value: dict[str, Any], provider: str) -> None:
    """Objects of a provider's own library are read like mappings, and name their provider."""
    plain = answer(value)
    found = answer(foreign(package, value))
    assert plain is not None
    assert found is not None
    assert (plain.usage, plain.output_messages, provider) == (found.usage, found.output_messages, found.provider)


def test_raw_responses_are_read_without_parsing_them() -> None:
    """A response taken by `with_raw_response` is read from its body; one that still streams is left alone."""
    question: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "?"}]}
    with endpoint() as server, client_of(server.base_url) as client:
        server.answer = lambda path, body: as_json(CHAT)
        raw = client.chat.completions.with_raw_response.create(**question)
        with client.chat.completions.with_streaming_response.create(**question) as streaming:
            assert (EXPECTED["chat"], None) == (answer(raw), answer(streaming))


# Texts and pairs


def test_a_text_is_an_answer_without_usage() -> None:
    """A plain text is the assistant's message; how many tokens it is nobody has said."""
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "hello"}]}]
    assert Answer(output_messages=said) == answer("hello")


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input=3, output=2),
        {"input": 3, "output": 2},
        {"prompt_tokens": 3, "completion_tokens": 2},
        CompletionUsage(prompt_tokens=3, completion_tokens=2, total_tokens=5),
    ],
)
def test_a_pair_is_a_text_with_its_usage(usage: object) -> None:
    """`(text, usage)` takes usage in any shape."""
    found = answer(("hello", usage))
    assert found is not None
    assert (Usage(input=3, output=2), "hello") == (found.usage, found.output_messages[0]["parts"][0]["content"])


@pytest.mark.parametrize("value", [None, 1, {}, {"answer": 1}, [], [CHAT], ("a", "b"), ("a", 1), (), object(), b"x"])
def test_what_is_no_answer_gives_none(value: object) -> None:
    """Other values are no answers."""
    assert answer(value) is None


# Usage of compatible services


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 1},
         Usage(input=5, cached=4, output=2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "num_cached_tokens": 4}, Usage(input=5, output=2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 4}, Usage(input=5, cached=4, output=2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 17,
          "completion_tokens_details": {"reasoning_tokens": 10}}, Usage(input=5, output=12, reasoning=10)),
        ({"prompt_tokens": 5, "completion_tokens": 12, "total_tokens": 17,
          "completion_tokens_details": {"reasoning_tokens": 10}}, Usage(input=5, output=12, reasoning=10)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 10}},
         Usage(input=5, output=12, reasoning=10)),
        ({"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokens": 10}, Usage(input=15, cached=10, output=2)),
        ({"inputTokens": 5, "outputTokens": 2, "cacheWriteInputTokens": 9, "cacheDetails": [
            {"ttl": "5m", "inputTokens": 2}, {"ttl": "1h", "inputTokens": 4}, {"inputTokens": 3}]},
         Usage(input=14, cache_write=9, cache_write_1h=4, output=2)),
        ({"cached_tokens": 9, "prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
         Usage(input=5, cached=4, output=2)),
        ({"input_tokens": 2**63 - 1, "cache_read_input_tokens": 1, "output_tokens": 2},
         Usage(input=2**63 - 1, cached=1, output=2)),
        ({"prompt_tokens": 5.0, "completion_tokens": None}, Usage(input=5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": None, "completion_tokens": 0}, Usage(input=5, output=0)),
    ],
    ids=["deepseek", "mistral", "moonshot", "xai", "openai", "xai without a total", "bedrock", "bedrock's hour",
         "told twice", "as much as a column holds", "odd numbers", "nulls"],
)  # fmt: skip
def test_usage_of_other_services_becomes_inclusive(reported: dict[str, Any], expected: Usage) -> None:
    """Input and output contain their parts whatever the service does, and what it leaves out is unknown, not 0."""
    assert expected == usage_of(reported)


@pytest.mark.parametrize("reported", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "5"}, {"prompt_tokens": -1},
                                      {"prompt_tokens": True}, {"total_tokens": 5}, "5", 5])  # fmt: skip
def test_counts_that_are_none_are_no_usage(reported: object) -> None:
    """A usage without a readable count of input or output is none."""
    assert usage_of(reported) is None


def test_searches_that_the_usage_counts_stay() -> None:
    """What the answer holds is added to what its usage says: searches of files here, of the web there."""
    usage = {"input_tokens": 1, "output_tokens": 1, "web_searches": 2}
    found = answer({**RESPONSE, "output": [{"type": "file_search_call", "id": "f"}], "usage": usage})
    assert Usage(input=1, output=1, web_searches=2, file_searches=1) == (found and found.usage)


def test_of_the_speeds_only_fast_is_a_tier() -> None:
    """Anthropic says with each answer how fast it was; at the usual speed the service tier is the price's."""
    usage = {"input_tokens": 1, "output_tokens": 1, "speed": "standard", "service_tier": "batch"}
    found = answer({**ANTHROPIC, "usage": usage})
    assert "batch" == (found and found.service_tier)


def test_groqs_stream_usage_lies_deeper() -> None:
    """The last chunk of a Groq stream carries its usage below `x_groq`, in a mapping and in the client's object."""
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "llama", "choices": [],
             "x_groq": {"id": "req", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}}  # fmt: skip
    expected = Answer(model="llama", provider="groq", usage=Usage(input=5, output=2), response_id="1")
    assert [expected, expected] == [answer(chunk), answer(ChatCompletionChunk.model_validate(chunk))]


@pytest.mark.parametrize(
    ("status", "more", "reason"),
    [
        ("queued", {}, []),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, ["length"]),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, ["content_filter"]),
        ("failed", {}, ["error"]),
        ("cancelled", {}, ["cancelled"]),
    ],
)
def test_responses_tell_their_end_by_status(status: str, more: dict[str, Any], reason: list[str]) -> None:
    """The status of a Responses answer becomes a finish reason; one that has not ended has none."""
    found = answer(RESPONSE | {"status": status} | more)
    assert found is not None
    assert reason == found.finish_reasons


def test_attributes_go_by_the_conventions_names() -> None:
    """An answer's attributes bear the names of the GenAI conventions; what is not known is absent."""
    assert {
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.response.id": "chatcmpl-1",
        "openai.response.service_tier": "default",
    } == EXPECTED["chat"].attributes()


# Never in the way


TOUCHED: list[str] = []


class StrangeType(type):
    """Notes what is asked of its classes."""

    def __getattribute__(cls, name: str) -> Any:
        TOUCHED.append(name)
        return super().__getattribute__(name)


class StrangeDict(dict[str, Any]):
    """Notes how it is read."""

    def __contains__(self, key: object) -> bool:
        TOUCHED.append("in")
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        TOUCHED.append("iter")
        return super().__iter__()

    def __bool__(self) -> bool:
        TOUCHED.append("bool")
        return True

    def get(self, key: Any, default: Any = None) -> Any:
        TOUCHED.append("get")
        return super().get(key, default)


class Stranger(metaclass=StrangeType):
    """Notes every use of itself."""

    def __getattribute__(self, name: str) -> Any:
        TOUCHED.append(name)
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        TOUCHED.append(name)
        raise AttributeError(name)

    def __len__(self) -> int:
        TOUCHED.append("len")
        return 0

    def __iter__(self) -> Iterator[Any]:
        TOUCHED.append("iter")
        return iter(())

    def __eq__(self, other: object) -> bool:
        TOUCHED.append("==")
        return False

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "around",
    [
        lambda it: it,
        lambda it: (it, it),
        lambda it: ("a", it),
        lambda it: {"choices": [it], "usage": it},
        lambda it: {"choices": [{"message": it, "finish_reason": it}], "model": it, "usage": {"prompt_tokens": it}},
        lambda it: {"object": "response", "output": [it, {"type": "message", "content": it}], "usage": CHAT["usage"]},
        lambda it: {"choices": [{"message": {"content": it, "tool_calls": [it], "audio": it}}]},
        lambda it: StrangeDict(choices=[StrangeDict(message=StrangeDict(content="hello"))], usage=StrangeDict(it=it)),
    ],
)
def test_foreign_code_is_never_run(around: Any) -> None:
    """Objects of unknown types are not touched, wherever they are."""
    value = around(Stranger())
    TOUCHED.clear()
    answer(value)
    request({"model": value, "messages": [value], "tools": [value], "temperature": value})
    assert [] == TOUCHED


def test_a_stranger_that_looks_like_an_answer_is_none() -> None:
    """Objects are read for the library they come from, not for their attributes' names."""
    assert answer(SimpleNamespace(**CHAT)) is None


KEYS = ["choices", "message", "output", "content", "usage", "type", "parts", "candidates", "usage_metadata", "data",
        "prompt_tokens", "input_tokens", "tool_calls", "function", "arguments", "response",
        "http_response"]  # fmt: skip
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(plain)
@settings(deadline=None, max_examples=200)
def test_any_plain_value_can_be_read(value: object) -> None:
    """Answers and requests of any shape are read without an error of ours: JSON can be made of what comes out."""
    found, asked = answer(value), request({"messages": value, "tools": value, "model": value, "extra_body": value})
    json.dumps([found.output_messages if found else None, asked.input_messages, asked.tools, asked.settings])


# Requests


def test_requests_are_read_whole() -> None:
    """Model, messages with the instructions first, tools and settings come out of the arguments of a call."""
    tool = {"type": "function", "name": "look", "parameters": {}}
    asked = request(
        {
            "model": "gpt-5",
            "instructions": "Be brief.",
            "input": [{"role": "user", "content": "Hi"}],
            "tools": [tool],
            "temperature": 0.2,
            "max_output_tokens": 50,
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema"}},
            "top_p": openai.NOT_GIVEN,
            "extra_body": {"service_tier": "flex"},
        }
    )
    roles = [message["role"] for message in asked.input_messages]
    assert ("gpt-5", ["system", "user"], [tool]) == (asked.model, roles, asked.tools)
    assert {
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json_schema",
        "openai.request.service_tier": "flex",
    } == asked.attributes()


def test_iterators_among_the_arguments_are_not_consumed() -> None:
    """Messages given as an iterator are the client's to read."""
    messages = iter([{"role": "user", "content": "Hi"}])
    assert ([], 1) == (request({"model": "m", "messages": messages}).input_messages, len(list(messages)))
