"""Traces that go on through a web application: a middleware for ASGI (Starlette, FastAPI, Litestar, Quart, Django).

    app.add_middleware(TraceMiddleware)          # or: app = TraceMiddleware(app)

A request that carries a W3C `traceparent` hangs below the span of whoever sent it, in its session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from instrument.integrations.served import asked, name_by_route, note_status
from instrument.record.blocks import span
from instrument.record.headers import extract
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TRACED = ("http", "websocket")


class TraceMiddleware:
    """One span for each request or websocket, named by method and route, from its first byte to its last.

    Attributes follow OpenTelemetry's HTTP conventions. Bodies are not recorded. A status of 500 and above is an error.
    Headers say which trace a request belongs to, whether that is stored, whose session it is and which shared budget
    pays: strangers should not, so where they can send requests `trusts_callers` is to be False.
    """

    def __init__(self, app: App, *, trusts_callers: bool = True) -> None:
        self.app = app
        self._trusts_callers = trusts_callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application inside the request's span."""
        if scope["type"] not in TRACED:
            return await self.app(scope, receive, send)
        headers = (safely(headers_of, scope) or {}) if self._trusts_callers else {}
        with extract(headers), span(_name(scope), attributes=safely(_asked, scope) or {}) as live:
            try:
                await self.app(scope, receive, _watched(send, live))
            finally:
                safely(_name_by_route, live, scope)


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a request; of one that is there twice the parts are joined, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in scope.get("headers", ()):
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _watched(send: Send, live: LiveSpan) -> Send:
    async def watched(message: Message) -> None:
        if message.get("type") == "http.response.start":
            note_status(live, message.get("status"))
        await send(message)

    return watched


def _name(scope: Mapping[str, Any]) -> str:
    return f"{scope.get('method', 'WEBSOCKET')} {scope.get('path', '')}"


def _name_by_route(live: LiveSpan, scope: Mapping[str, Any]) -> None:
    name_by_route(live, scope.get("method", "WEBSOCKET"), getattr(scope.get("route"), "path", None))


def _asked(scope: Mapping[str, Any]) -> dict[str, Any]:
    server, client = scope.get("server") or (None, None), scope.get("client") or (None, None)
    return asked(
        method=scope.get("method"),
        scheme=scope.get("scheme"),
        path=scope.get("path"),
        query=scope.get("query_string", b"").decode("latin-1"),
        address=server[0],
        port=server[1],
        client=client[0],
        version=scope.get("http_version"),
    )
