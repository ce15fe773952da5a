"""`patch_openai()`: every call of the OpenAI client becomes one llm span, whatever method was used.

All of the client's methods (`create`, `parse`, `stream`, raw and streaming responses, `with_options`, Azure) end in
`SyncAPIClient.request` or `AsyncAPIClient.request`, so that is where one call is seen exactly once, retries included,
with the request as it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import wrapt

from instrument.integrations.openai_stream import Chunks, tap_body, tap_body_async, tap_stream, tap_stream_async
from instrument.model import Update
from instrument.record.context import current
from instrument.record.recorder import Recorder
from instrument.record.spans import LiveSpan, Plan, begin, installed
from instrument.usage import answer, request

OPERATIONS = {"/chat/completions": "chat", "/responses": "responses", "/embeddings": "embeddings"}
SEMANTIC = {"chat": "chat", "responses": "chat", "embeddings": "embeddings"}
"""`gen_ai.operation.name` for each of the client's endpoints: the Responses API is a chat to the conventions."""

KINDS = {"chat": "llm", "responses": "llm", "embeddings": "embedding"}

PROVIDERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "deepseek.com": "deepseek",
    "x.ai": "x_ai",
    "perplexity.ai": "perplexity",
    "moonshot.ai": "moonshot_ai",
    "openrouter.ai": "openrouter",
}
RAW = "X-Stainless-Raw-Response"
BACKGROUND_LIMIT = 10_000

_without_stream_usage: set[tuple[str, str]] = set()
_background: dict[str, tuple[str, str]] = {}


class Call(NamedTuple):
    """One request to a model, as it is about to be sent."""

    operation: str
    body: dict[str, Any]
    base_url: str
    raw: bool

    @property
    def model(self) -> str:
        """The model that is asked."""
        return str(self.body.get("model") or "")


class Patched:
    """What `patch_openai` changed; `.undo()`, or leaving it as a context manager, puts the plain client back."""

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo: Callable[[], None] | None = undo

    def undo(self) -> None:
        """Put the plain client back; a second time does nothing."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()

    def __enter__(self) -> Patched:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.undo()


def patch_openai(client: Any = None) -> Patched:
    """Record the calls of one OpenAI client (and of what its `with_options` gives), or of all.

    Calling it again changes nothing more; each handle undoes its own call. Raises `ImportError` when openai is not
    installed.
    """
    from openai._base_client import AsyncAPIClient, SyncAPIClient

    if client is not None:
        return _patch_one(client, is_async=isinstance(client, AsyncAPIClient))
    undo_sync = _patch_class(SyncAPIClient, _request)
    undo_async = _patch_class(AsyncAPIClient, _arequest)
    return Patched(lambda: (undo_sync(), undo_async())[0])


_handles: dict[type, int] = {}


def _patch_class(owner: Any, wrapper: Callable[..., Any]) -> Callable[[], None]:
    if not _handles.get(owner):
        wrapt.wrap_function_wrapper(owner, "request", wrapper)
    _handles[owner] = _handles.get(owner, 0) + 1

    def undo() -> None:
        _handles[owner] -= 1
        if not _handles[owner]:
            owner.request = owner.__dict__["request"].__wrapped__

    return undo


def _patch_one(client: Any, is_async: bool) -> Patched:
    if "request" in vars(client):
        return Patched(lambda: None)
    client.request = wrapt.FunctionWrapper(client.request, _arequest if is_async else _request)
    for name in ("copy", "with_options"):
        setattr(client, name, wrapt.FunctionWrapper(getattr(client, name), _copy_patched))

    def undo() -> None:
        for name in ("request", "copy", "with_options"):
            vars(client).pop(name, None)

    return Patched(undo)


def _copy_patched(wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    copied = wrapped(*args, **kwargs)
    patch_openai(copied)
    return copied


def _request(wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    recorder, outer = installed(), current.get()
    call = _call_of(recorder, client, args, kwargs)
    if recorder is None or call is None or _is_ours(outer):
        result = wrapped(*args, **kwargs)
        _note_retrieved(recorder, args, kwargs, result)
        return result
    span = _begin(recorder, call, outer)
    if span is None:
        return wrapped(*args, **kwargs)
    current.set(span)
    try:
        sent, asked_usage = _asking_for_usage(recorder, call, args, kwargs)
        try:
            result = wrapped(*sent[0], **sent[1])
        except Exception as error:
            if not (asked_usage and _rejects_the_option(error, call)):
                raise
            asked_usage = False
            result = wrapped(*args, **kwargs)
    except BaseException as error:
        current.set(outer)
        _fail(span, error)
        raise
    current.set(outer)
    _finish(recorder, span, call, kwargs, result, asked_usage, tap_stream, tap_body)
    return result


async def _arequest(wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    recorder, outer = installed(), current.get()
    call = _call_of(recorder, client, args, kwargs)
    if recorder is None or call is None or _is_ours(outer):
        result = await wrapped(*args, **kwargs)
        _note_retrieved(recorder, args, kwargs, result)
        return result
    span = _begin(recorder, call, outer)
    if span is None:
        return await wrapped(*args, **kwargs)
    current.set(span)
    try:
        sent, asked_usage = _asking_for_usage(recorder, call, args, kwargs)
        try:
            result = await wrapped(*sent[0], **sent[1])
        except Exception as error:
            if not (asked_usage and _rejects_the_option(error, call)):
                raise
            asked_usage = False
            result = await wrapped(*args, **kwargs)
    except BaseException as error:
        current.set(outer)
        _fail(span, error)
        raise
    current.set(outer)
    _finish(recorder, span, call, kwargs, result, asked_usage, tap_stream_async, tap_body_async)
    return result


def _is_ours(place: Any) -> bool:
    """Inside a span of this module: another wrapper around the same client has seen the call already."""
    return place.__class__ is LiveSpan and place.plan is not None and place.plan.rest == RAW


def _options_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[1] if len(args) > 1 else kwargs.get("options")


def _call_of(recorder: Recorder | None, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """What is asked of a model, or None for any other request."""
    if recorder is None:
        return None
    try:
        options = _options_of(args, kwargs)
        path = urlsplit(options.url).path.rstrip("/")
        operation = next((name for end, name in OPERATIONS.items() if path.endswith(end)), None)
        if operation is None or options.method.lower() != "post" or not isinstance(options.json_data, dict):
            return None
        headers = options.headers if isinstance(options.headers, dict) else {}
        body = {**options.json_data, **(options.extra_json or {})}
        return Call(operation, body, str(client.base_url), bool(headers.get(RAW)))
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        recorder.fault("openai request", error)
        return None


def _begin(recorder: Recorder, call: Call, outer: Any) -> LiveSpan | None:
    try:
        asked = request(call.body)
        attributes = {
            **asked.attributes(),
            "gen_ai.operation.name": SEMANTIC[call.operation],
            "openai.api.type": "chat_completions" if call.operation == "chat" else call.operation,
            **_server(call.base_url),
        }
        # `rest` marks the plan as this module's: no function with parameters stands behind it.
        plan = Plan(f"{SEMANTIC[call.operation]} {call.model}", KINDS[call.operation], rest=RAW, attributes=attributes)
        said = {"messages": asked.input_messages, "tools": asked.tools, "settings": asked.settings}
        captured = recorder.arguments({name: value for name, value in said.items() if value})
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        recorder.fault("openai request", error)
        return None
    return begin(recorder, plan, outer, None, captured, call.body)


def _server(base_url: str) -> dict[str, Any]:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    provider = next((name for end, name in PROVIDERS.items() if host == end or host.endswith("." + end)), None)
    found = {"server.address": host, "server.port": parts.port, "gen_ai.provider.name": provider}
    return {name: value for name, value in found.items() if value}


def _fail(span: LiveSpan, error: BaseException) -> None:
    code = getattr(error, "status_code", None)
    if isinstance(code, int):
        span.set({"http.response.status_code": code, "error.type": type(error).__name__})
    span.fail(error)


Sent = tuple[tuple[Any, ...], dict[str, Any]]


def _asking_for_usage(
    recorder: Recorder, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Sent, bool]:
    """The same request, for a chat stream with the wish for usage added where the caller did not say either way."""
    wants = (
        call.operation == "chat"
        and kwargs.get("stream")
        and not call.raw
        and recorder.asks_stream_usage
        and "stream_options" not in call.body
        and (call.base_url, call.model) not in _without_stream_usage
    )
    if not wants:
        return (args, kwargs), False
    options = _options_of(args, kwargs)
    asking = options.model_copy(update={"json_data": {**options.json_data, "stream_options": {"include_usage": True}}})
    if len(args) > 1:
        return ((args[0], asking, *args[2:]), kwargs), True
    return (args, {**kwargs, "options": asking}), True


def _rejects_the_option(error: Exception, call: Call) -> bool:
    """Whether the endpoint does not know `stream_options`; remembered for this endpoint and model."""
    rejected = getattr(error, "status_code", None) in (400, 404, 415, 422, 501) and (
        "stream_options" in str(error) or "include_usage" in str(error)
    )
    if rejected:
        _without_stream_usage.add((call.base_url, call.model))
    return rejected


def _finish(
    recorder: Recorder,
    span: LiveSpan,
    call: Call,
    kwargs: dict[str, Any],
    result: Any,
    asked_usage: bool,
    tap_stream: Callable[..., None],
    tap_body: Callable[..., None],
) -> None:
    """End the span with the answer, or let the stream end it."""
    try:
        if call.raw:
            tap_body(result.http_response, Chunks(span, call.operation, hides_usage=False))
        elif kwargs.get("stream") and hasattr(result, "_iterator"):
            tap_stream(result, Chunks(span, call.operation, hides_usage=asked_usage))
        else:
            _remember_background(span, result)
            span.succeed(result)
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        recorder.fault("openai answer", error)
        span.end()


def _remember_background(span: LiveSpan, result: Any) -> None:
    found = answer(result)
    if found is not None and found.response_id and found.usage is None:
        if len(_background) >= BACKGROUND_LIMIT:
            _background.pop(next(iter(_background)))
        _background[found.response_id] = (span.trace_id, span.span_id)


def _note_retrieved(recorder: Recorder | None, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """The usage of a background response comes with a later `retrieve`: an update of its span, once."""
    if recorder is None or not _background:
        return
    try:
        found = answer(result)
        if found is None or found.usage is None or found.response_id not in _background:
            return
        trace_id, span_id = _background.pop(found.response_id)
        cost = recorder.prices.cost(found.usage, found.model, tier=found.service_tier)
        recorder.put(
            Update(
                run=recorder.run.run,
                trace_id=trace_id,
                span_id=span_id,
                usage=found.usage,
                cost=cost,
                attributes=found.attributes(),
            )
        )
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        recorder.fault("openai retrieve", error)
