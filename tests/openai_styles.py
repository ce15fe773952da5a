"""Every way to call the OpenAI client, written once for the sync and the async one, and what a caller can see of it."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import openai
import pydantic

from instrument.model import Span
from instrument.testing import Recording
from tests.openai_endpoint import CHAT_USAGE, Answer, as_events, as_json, chat, chunk, respond

MODEL = "gpt-4.1-mini"
MESSAGES: Any = [{"role": "user", "content": "What is two and two?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "add", "strict": True, "parameters": {"type": "object", "properties": {}}},
    }
]


class Sum(pydantic.BaseModel):
    answer: int


async def got(value: Any) -> Any:
    """What the client gives, awaited where it is the async one."""
    return await value if inspect.isawaitable(value) else value


_asynchronous: ContextVar[bool | None] = ContextVar("asynchronous", default=None)
"""Which client a style is run with: a wrapper around a stream may offer both ways to read it."""


def reads(value: Any, method: str) -> bool:
    """Whether the value is to be used with `await`: as the client, else as its own methods tell."""
    told = _asynchronous.get()
    return hasattr(value, method) if told is None else told


async def every(stream: Any) -> list[Any]:
    """All that a stream gives."""
    return [item async for item in stream] if reads(stream, "__aiter__") else [*stream]


async def first(stream: Any) -> Any:
    """The first thing that a stream gives."""
    return await anext(aiter(stream)) if reads(stream, "__aiter__") else next(iter(stream))


@asynccontextmanager
async def inside(manager: Any) -> AsyncIterator[Any]:
    """What a context manager of either kind gives."""
    if reads(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


Style = Callable[[Any], Awaitable[Any]]


def chat_with(**more: Any) -> Style:
    """`chat.completions.create` with these arguments; a stream is read to its end."""

    async def style(client: Any) -> Any:
        answer = await got(client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **more}))
        return await every(answer) if more.get("stream") else answer

    return style


async def chat_parse(client: Any) -> Any:
    return await got(client.chat.completions.parse(model="json", messages=MESSAGES, response_format=Sum, tools=TOOLS))


async def chat_helper(client: Any) -> Any:
    async with inside(client.chat.completions.stream(model=MODEL, messages=MESSAGES)) as stream:
        events = await every(stream)
        return events, await got(stream.get_final_completion())


async def chat_helper_left_early(client: Any) -> Any:
    async with inside(client.chat.completions.stream(model=MODEL, messages=MESSAGES)) as stream:
        return await first(stream)


async def chat_stream_closed_early(client: Any) -> Any:
    stream = await got(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    seen = await first(stream)
    await got(stream.close())
    return seen, stream.response.is_closed


async def chat_stream_in_a_with(client: Any) -> Any:
    async with inside(await got(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))) as stream:
        return await first(stream), type(stream), type(stream.response)


async def chat_raw(client: Any) -> Any:
    raw = await got(client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES))
    return raw.parse(), headers_of(raw), raw.status_code, raw.text, type(raw), raw.request_id, raw.is_closed


async def chat_raw_stream(client: Any) -> Any:
    raw = await got(client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True))
    stream = raw.parse()
    return headers_of(raw), await every(stream), type(stream)


def streaming(method: str, **more: Any) -> Style:
    """`with_streaming_response`, its body taken by one of the response's own methods."""

    async def style(client: Any) -> Any:
        asked = {"model": MODEL, "messages": MESSAGES, **more}
        async with inside(client.chat.completions.with_streaming_response.create(**asked)) as response:
            taken = getattr(response, method)
            value = await every(taken()) if method.startswith("iter") else await got(taken())
            value = await every(value) if more.get("stream") and method == "parse" else value
            return headers_of(response), value, type(response), response.status_code

    return style


async def streaming_left_unread(client: Any) -> Any:
    asked = {"model": MODEL, "messages": MESSAGES}
    async with inside(client.chat.completions.with_streaming_response.create(**asked)) as response:
        return headers_of(response), response.is_closed


async def with_options(client: Any) -> Any:
    return await chat_with()(client.with_options(timeout=9, max_retries=1))


async def responses_create(client: Any) -> Any:
    return await got(client.responses.create(model=MODEL, input="x"))


async def responses_stream(client: Any) -> Any:
    return await every(await got(client.responses.create(model=MODEL, input="x", stream=True)))


async def responses_helper(client: Any) -> Any:
    async with inside(client.responses.stream(model=MODEL, input="x", text_format=Sum)) as stream:
        events = await every(stream)
        return events, await got(stream.get_final_response())


async def responses_helper_left_early(client: Any) -> Any:
    async with inside(client.responses.stream(model=MODEL, input="x")) as stream:
        return await first(stream)


async def responses_parse(client: Any) -> Any:
    return await got(client.responses.parse(model=MODEL, input="x", text_format=Sum))


async def responses_raw(client: Any) -> Any:
    raw = await got(client.responses.with_raw_response.create(model=MODEL, input="x"))
    return raw.parse(), headers_of(raw)


async def responses_streaming(client: Any) -> Any:
    async with inside(client.responses.with_streaming_response.create(model=MODEL, input="x", stream=True)) as response:
        return await every(response.iter_lines())


async def embeddings(client: Any) -> Any:
    return await got(
        client.embeddings.create(model="text-embedding-3-small", input=["x", "y"], encoding_format="float")
    )


async def embeddings_base64(client: Any) -> Any:
    return await got(client.embeddings.create(model="text-embedding-3-small", input="x"))


async def completions(client: Any) -> Any:
    return await got(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="x"))


async def completions_stream(client: Any) -> Any:
    return await every(await got(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="x", stream=True)))


async def posted(client: Any) -> Any:
    body = {"model": MODEL, "messages": MESSAGES}
    return await got(client.post("/chat/completions", body=body, cast_to=dict[str, Any]))


async def posted_for_http(client: Any) -> Any:
    import httpx2

    response = await got(
        client.post("/chat/completions", body={"model": MODEL, "messages": MESSAGES}, cast_to=httpx2.Response)
    )
    return response.json(), response.status_code


async def other_request(client: Any) -> Any:
    return (
        [model.id async for model in client.models.list()] if is_async(client) else [m.id for m in client.models.list()]
    )


def is_async(client: Any) -> bool:
    return isinstance(client, openai.AsyncOpenAI)


STYLES: dict[str, Style] = {
    "chat create": chat_with(),
    "chat with n=2, tools, logprobs": chat_with(model="rich", n=2, tools=TOOLS, logprobs=True),
    "chat with refusal": chat_with(model="refuses"),
    "chat with audio": chat_with(model="speaks", modalities=["text", "audio"]),
    "chat without usage": chat_with(model="silent"),
    "chat stream": chat_with(stream=True),
    "chat stream with usage": chat_with(stream=True, stream_options={"include_usage": True}),
    "chat stream without usage": chat_with(stream=True, stream_options={"include_usage": False}),
    "chat stream with other options": chat_with(stream=True, stream_options={"include_obfuscation": False}),
    "chat stream with n=2, tools, logprobs": chat_with(model="rich", stream=True, n=2, tools=TOOLS, logprobs=True),
    "chat stream with null usage": chat_with(model="nulls", stream=True),
    "chat stream of Groq": chat_with(model="groq", stream=True),
    "chat stream closed early": chat_stream_closed_early,
    "chat stream in a with": chat_stream_in_a_with,
    "chat parse": chat_parse,
    "chat stream helper": chat_helper,
    "chat stream helper left early": chat_helper_left_early,
    "chat raw": chat_raw,
    "chat raw stream": chat_raw_stream,
    **{f"chat streaming {method}": streaming(method) for method in ("parse", "read", "text", "json")},
    **{f"chat streaming {method}": streaming(method) for method in ("iter_bytes", "iter_text", "iter_lines")},
    **{f"chat streaming stream {m}": streaming(m, stream=True) for m in ("parse", "iter_bytes", "iter_lines", "read")},
    "chat streaming left unread": streaming_left_unread,
    "with_options": with_options,
    "responses create": responses_create,
    "responses stream": responses_stream,
    "responses stream helper": responses_helper,
    "responses stream helper left early": responses_helper_left_early,
    "responses parse": responses_parse,
    "responses raw": responses_raw,
    "responses streaming stream": responses_streaming,
    "embeddings": embeddings,
    "embeddings as base64": embeddings_base64,
    "completions": completions,
    "completions stream": completions_stream,
    "post": posted,
    "post for the HTTP response": posted_for_http,
    "another request": other_request,
}
UNRECORDED = frozenset({"another request"})


def run(style: Style, base_url: str, asynchronous: bool, **options: Any) -> Any:
    """What the caller of one style sees: types, values, fields that were set, headers, or the exception."""

    async def main() -> Any:
        _asynchronous.set(asynchronous)
        async with inside(client_of(base_url, asynchronous, **options)) as client:
            try:
                return seen(await style(client))
            except Exception as error:
                return seen_error(error)

    return asyncio.run(main())


def client_of(base_url: str, asynchronous: bool = False, **options: Any) -> Any:
    """A client of either kind; without certificates, which take long to load."""
    http = openai.DefaultAsyncHttpxClient if asynchronous else openai.DefaultHttpxClient
    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    chosen = {"api_key": "none", "base_url": base_url, "max_retries": 0, "timeout": 20, **options}
    return kind(**({"http_client": http(verify=False)} | chosen))


def seen(value: Any) -> Any:
    """A value as its caller sees it."""
    if isinstance(value, list | tuple):
        return [seen(item) for item in value]
    if isinstance(value, pydantic.BaseModel):
        unset = value.model_dump(exclude_unset=True, warnings=False)
        return type(value), repr(value), unset, getattr(value, "_request_id", None)
    return value if isinstance(value, type) else (type(value), repr(value))


def seen_error(error: BaseException | None) -> Any:
    """An exception as its caller sees it, with causes and contexts."""
    if error is None:
        return None
    told = (
        type(error),
        re.sub("[0-9a-f]{9,}", "…", str(error)),
        getattr(error, "status_code", None),
        getattr(error, "body", None),
    )
    return *told, error.__suppress_context__, seen_error(error.__cause__), seen_error(error.__context__)


def headers_of(response: Any) -> dict[str, str]:
    """The headers of a response but for its date."""
    return {name: value for name, value in response.headers.items() if name != "date"}


LOGPROBS = {"content": [{"token": "hel", "logprob": -0.1, "bytes": None, "top_logprobs": []}], "refusal": None}


def answers(path: str, body: dict[str, Any]) -> Answer:
    """What the endpoint says to all of this: the model that is asked decides what kind of an answer it is."""
    special = _SPECIAL.get(str(body.get("model")))
    if special is not None:
        return special(body)
    if path.endswith("/models"):
        return as_json({"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]})
    if path.endswith("/completions") and not path.endswith("/chat/completions"):
        return _old_completion(body)
    if path.endswith("/embeddings") and body.get("encoding_format") == "base64":
        data = [{"object": "embedding", "index": 0, "embedding": "AAAAPwAAAD8="}]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        return as_json({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage})
    return respond(path, body)


def _old_completion(body: dict[str, Any]) -> Answer:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-3.5-turbo-instruct"}
    choice = {"index": 0, "text": "hello", "finish_reason": "stop", "logprobs": None}
    if not body.get("stream"):
        return as_json({**head, "choices": [choice], "usage": CHAT_USAGE})
    asked = (body.get("stream_options") or {}).get("include_usage")
    return as_events({**head, "choices": [choice]}, *([{**head, "choices": [], "usage": CHAT_USAGE}] if asked else []))


def _rich(body: dict[str, Any]) -> Answer:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    if not body.get("stream"):
        one = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [call]}}
        two = {
            "index": 1,
            "finish_reason": "stop",
            "logprobs": LOGPROBS,
            "message": {"role": "assistant", "content": "hel"},
        }
        return as_json(chat(choices=[one, two], service_tier="default", system_fingerprint="fp"))
    pieces = [
        chunk({"role": "assistant", "tool_calls": [{"index": 0, **call}]}),
        {
            **chunk({}),
            "choices": [{"index": 1, "delta": {"content": "hel"}, "logprobs": LOGPROBS, "finish_reason": None}],
        },
        {**chunk({}), "choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]},
        chunk({}, "tool_calls"),
    ]
    return as_events(*pieces, *_usage_if_asked(body))


def _usage_if_asked(body: dict[str, Any]) -> list[Any]:
    asked = (body.get("stream_options") or {}).get("include_usage")
    return [{**chunk({}), "choices": [], "usage": CHAT_USAGE}] if asked else []


def _nulls(body: dict[str, Any]) -> Answer:
    """As OpenAI does it: where usage is asked for, every other chunk has a null."""
    asked = (body.get("stream_options") or {}).get("include_usage")
    nothing = {"usage": None} if asked else {}
    return as_events(chunk({"content": "hel"}, **nothing), chunk({}, "stop", **nothing), *_usage_if_asked(body))


def _message(**message: Any) -> Answer:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, **message}}
    return as_json(chat(choices=[choice]))


def _without_usage() -> Answer:
    answer = chat()
    del answer["usage"]
    return as_json(answer)


_SPECIAL: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "rich": _rich,
    "nulls": _nulls,
    "json": lambda body: _message(content='{"answer": 4}'),
    "refuses": lambda body: _message(refusal="no"),
    "speaks": lambda body: _message(audio={"id": "a1", "data": "AAAA", "expires_at": 1, "transcript": "hello"}),
    "silent": lambda body: _without_usage(),
    "groq": lambda body: as_events(chunk({"content": "a"}), chunk({}, "stop", x_groq={"id": "g", "usage": CHAT_USAGE})),
}


def only(recording: Recording) -> Span:
    """The one span that was recorded."""
    [span] = recording.spans
    return span


def said(span: Span) -> str:
    """The text of the first part of the answer."""
    return str(span.output["messages"][0]["parts"][0]["content"])
