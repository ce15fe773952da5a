"""Calls over the Model Context Protocol, on both sides, in one trace.

    async with Client(url) as client:
        trace_requests(client)                                # a ClientSession will do as well

    server = MCPServer("files", middleware=[TraceMiddleware()])

The current span travels in the request's `_meta`, as W3C Trace Context. A tool call is counted at the client, and at
the server only where its caller sent no span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import wrapt
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from pydantic import BaseModel

from instrument.attributes import NO_ITERATION, TOOL_NAME
from instrument.record.context import Place, current, leave
from instrument.record.headers import extract, inject, place_of
from instrument.record.plan import Plan
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan, begin
from instrument.record.streams import mark_failed
from instrument.record.switch import installed
from instrument.record.tools import around

Client = TypeVar("Client")

CALL = "tools/call"
GREETINGS = frozenset({"initialize", "server/discover", "ping"})
"""Requests that only make or keep a connection: where nobody's span is around they are no run of anything."""


def trace_requests(client: Client) -> Client:
    """Record every request of a connected `Client` or `ClientSession`, and send the span along; gives it back.

    A second time changes nothing. Raises `TypeError` for anything else.
    """
    session: Any = getattr(client, "session", client)
    if not callable(getattr(session, "send_request", None)):
        raise TypeError(f"trace_requests takes a connected Client or a ClientSession of mcp, not {client!r}")
    if "send_request" not in vars(session):
        session.send_request = wrapt.FunctionWrapper(session.send_request, _send)
    return client


async def _send(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request, outer = args[0] if args else kwargs.get("request"), current.get()
    span = safely(_begun, request, outer)
    if span is None:
        return await wrapped(*args, **kwargs)
    with _running(span, outer), _counted_once(span):
        sent = safely(_with_span, request) or request
        given = ((sent, *args[1:]), kwargs) if args else (args, {**kwargs, "request": sent})
        result = await wrapped(*given[0], **given[1])
    safely(_describe, span, result)
    span.end()
    return result


@contextmanager
def _running(span: LiveSpan, outer: LiveSpan | Place | None) -> Iterator[None]:
    """The span is current inside, and failed where an exception leaves it."""
    current.set(span)
    try:
        yield
    except BaseException as error:
        leave(span, outer, destroyed=isinstance(error, GeneratorExit))
        span.fail(error)
        raise
    current.set(outer)


def _begun(request: Any, outer: LiveSpan | Place | None) -> LiveSpan | None:
    params = request.params.model_dump(by_alias=True, exclude_none=True) if request.params is not None else {}
    return _begin(request.method, params, outer, "tool" if request.method == CALL else "step")


def _begin(method: str, params: Mapping[str, Any], outer: LiveSpan | Place | None, kind: str) -> LiveSpan | None:
    recorder = installed()
    if recorder is None:
        return None
    target = params.get("name") or params.get("uri")
    name = str(target) if kind == "tool" and target else f"{method} {target or ''}".strip()
    attributes: dict[str, Any] = {"mcp.method.name": method}
    if kind == "step":
        attributes[NO_ITERATION] = True
    if method == CALL and target:
        attributes[TOOL_NAME] = str(target)
    given = params.get("arguments") if method == CALL else {key: params[key] for key in params if key != "_meta"}
    captured = recorder.arguments(dict(given)) if given else None
    return begin(recorder, Plan(name, kind, attributes=attributes), outer, None, captured)


def _with_span(request: Any) -> Any:
    """The same request with the current span in its `_meta`."""
    headers = inject({})
    if not headers or request.params is None:
        return None
    meta = {**(request.params.meta or {}), **headers}
    return request.model_copy(update={"params": request.params.model_copy(update={"meta": meta})})


def _describe(span: LiveSpan, result: Any) -> None:
    """Put the result on the span; a tool that failed says so in it."""
    told = result.model_dump(by_alias=True, exclude_none=True) if isinstance(result, BaseModel) else result
    if isinstance(told, dict):
        span.output = span.recorder.value(told.get("structuredContent") or told.get("content") or told)
        if told.get("isError") is True:
            mark_failed(span, "ToolError", _text(told.get("content")))


def _text(content: Any) -> str:
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)


class TraceMiddleware(ServerMiddleware[Any]):
    """One span for each request that a `Server` or `MCPServer` answers, below the span of whoever sent it.

    `trusts_callers` is to be False where strangers can send requests, as for `asgi.TraceMiddleware`.
    """

    def __init__(self, *, trusts_callers: bool = True) -> None:
        self._trusts_callers = trusts_callers

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Answer the request inside of its span."""
        if ctx.request_id is None:  # a notification has no end
            return await call_next(ctx)
        told = (ctx.meta or {}) if self._trusts_callers else {}
        headers = {name: value for name, value in told.items() if isinstance(value, str)}
        caller = place_of(headers)
        if ctx.method in GREETINGS and caller is None and current.get() is None:
            return await call_next(ctx)
        with extract(headers):
            return await _answered(ctx, call_next, caller)


async def _answered(ctx: ServerRequestContext[Any, Any], call_next: CallNext, caller: Place | None) -> HandlerResult:
    outer = current.get()
    kind = "tool" if ctx.method == CALL and caller is None else "step"
    span = safely(_begin, ctx.method, ctx.params or {}, outer, kind)
    if span is None:
        return await call_next(ctx)
    with _running(span, outer), _counted_once(span, caller):
        result = await call_next(ctx)
    safely(_describe, span, result)
    span.end()
    return result


@contextmanager
def _counted_once(span: LiveSpan, caller: Place | None = None) -> Iterator[None]:
    """Where a decorated tool of the same name runs inside, that is the call.

    The span around it becomes a step, or that of its caller where the caller is in this process.
    """
    told = span.recorder.told_tools
    meets = around(span) if span.kind == "tool" else told.get(caller.span_id or "") if caller is not None else None
    if meets is not None:
        told[span.span_id] = meets
    try:
        yield
    finally:
        told.pop(span.span_id, None)
