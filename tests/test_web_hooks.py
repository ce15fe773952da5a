"""One trace over HTTP: a client that sends its span, an application that goes on below it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from instrument import session, span, tool
from instrument.integrations.asgi import TraceMiddleware
from instrument.integrations.httpx import trace_requests
from instrument.record.context import current
from instrument.testing import Recording


@tool
def lookup(number: int) -> int:
    return number


async def user(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(lookup(int(request.path_params["number"]))))


async def streamed(request: Request) -> StreamingResponse:
    async def parts() -> Any:
        for number in range(3):
            yield str(lookup(number))

    return StreamingResponse(parts())


async def broken(request: Request) -> PlainTextResponse:
    raise ValueError("broken")


async def unavailable(request: Request) -> PlainTextResponse:
    return PlainTextResponse("later", status_code=500)


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    lookup(1)
    await socket.close()


ROUTES = [
    Route("/users/{number:int}", user), Route("/stream", streamed), Route("/broken", broken),
    Route("/unavailable", unavailable), WebSocketRoute("/socket", echo),
]  # fmt: skip


class Unreadable:
    @property
    def path(self) -> str:
        raise ZeroDivisionError


@pytest.fixture
def address(recording: Recording) -> Iterator[str]:
    """A real server with the middleware, on loopback."""
    app = Starlette(routes=ROUTES)
    app.add_middleware(TraceMiddleware)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=20)


def of(recording: Recording, name: str) -> Any:
    """The span of a request; it may end a moment after the client has its answer."""
    deadline = time.monotonic() + 20
    while name not in [found.name for found in recording.spans] and time.monotonic() < deadline:
        time.sleep(0.005)
    return recording.span(name)


def get(library: Any, url: str) -> Any:
    with trace_requests(library.Client()) as client:
        return client.get(url)


def get_later(library: Any, url: str) -> Any:
    async def later() -> Any:
        async with trace_requests(library.AsyncClient()) as client:
            return await client.get(url)

    return asyncio.run(later())


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("call", [get, get_later])
def test_a_request_is_one_trace(library: Any, call: Callable[..., Any], address: str, recording: Recording) -> None:
    """The application's spans hang below the caller's, in its session."""
    with session("s"), span("caller") as caller:
        assert "7" == call(library, f"{address}/users/7").text
    request, found = of(recording, "GET /users/{number:int}"), recording.span("lookup")
    assert (caller.span_id, request.span_id) == (request.parent_id, found.parent_id)
    assert {caller.trace_id} == {one.trace_id for one in recording.spans}
    assert "s" == found.attributes["session.id"]


def test_what_the_request_was(address: str, recording: Recording) -> None:
    """Method, path, route, both ends and status are attributes by the HTTP conventions; a query's secret is redacted."""
    httpx.get(f"{address}/users/7?api_key=geheim123456")
    found = of(recording, "GET /users/{number:int}").attributes
    expected = {
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/users/7", "http.route": "/users/{number:int}",
        "server.address": "127.0.0.1", "server.port": int(address.rpartition(":")[2]), "client.address": "127.0.0.1",
        "network.protocol.version": "1.1", "http.response.status_code": 200,
    }  # fmt: skip
    assert expected == {name: value for name, value in found.items() if name != "url.query"}
    assert ("api_key" in found["url.query"], "geheim" in found["url.query"]) == (True, False)


def test_a_stream_is_inside(address: str, recording: Recording) -> None:
    """What a streamed body does belongs to its request."""
    assert "012" == httpx.get(f"{address}/stream").text
    request = of(recording, "GET /stream")
    assert [request.span_id] * 3 == [found.parent_id for found in recording.spans if found.name == "lookup"]


@pytest.mark.parametrize(("path", "expected"), [("unavailable", ("error", 500)), ("broken", ("error", None))])
def test_failures_are_errors(path: str, expected: Any, address: str, recording: Recording) -> None:
    """A status of 500 and above, and an exception that leaves the application, is an error of the request."""
    httpx.get(f"{address}/{path}")
    found = of(recording, f"GET /{path}")
    assert expected == (found.status, found.attributes.get("http.response.status_code"))


def test_an_unknown_path_has_its_own_name(address: str, recording: Recording) -> None:
    """Where there is no route the path is the name, and a 404 is no error of the application."""
    httpx.get(f"{address}/nowhere")
    assert "ok" == of(recording, "GET /nowhere").status


def test_a_websocket_is_a_span(recording: Recording) -> None:
    """A websocket's work hangs below it."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    app = TraceMiddleware(Starlette(routes=ROUTES))
    scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b"", "subprotocols": []}
    asyncio.run(app(scope, receive, send))
    assert ["websocket.accept", "websocket.close"] == sent
    assert recording.span("WEBSOCKET /socket").span_id == recording.span("lookup").parent_id


@pytest.mark.parametrize("odd", [{"query_string": None}, {"headers": None}, {"server": "x"}, {"route": Unreadable()}])
def test_an_odd_request_is_answered(odd: Any, recording: Recording) -> None:
    """What a server or a framework says of a request otherwise than ASGI has it concerns the application alone."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    scope = {"type": "http", "method": "GET", "path": "/", **odd}
    asyncio.run(TraceMiddleware(app)(scope, None, None))  # type: ignore[arg-type]  # not looked at
    assert (["http"], ["GET /"]) == (seen, [found.name for found in recording.spans])


@pytest.mark.parametrize(("trusts", "expected"), [(True, ("1" * 32, "ann")), (False, (None, None))])
def test_strangers_are_not_believed(trusts: bool, expected: Any, recording: Recording) -> None:
    """Where callers are not trusted no header of theirs says which trace, session or budget a request belongs to."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        here = current.get()
        assert here is not None
        of_caller = here.trace_id if here.parent_id else None  # type: ignore[union-attr]  # it is a live span
        seen.append((of_caller, (here.shared or {}).get("session.id")))

    headers = [(b"traceparent", b"00-%b-%b-01" % (b"1" * 32, b"2" * 16))]
    headers += [(b"baggage", b"session.id=ann"), (b"baggage", b"other=1")]  # what is there twice is one list
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    asyncio.run(TraceMiddleware(app, trusts_callers=trusts)(scope, None, None))  # type: ignore[arg-type]  # not used
    assert [expected] == seen


def test_lifespan_is_left_alone(recording: Recording) -> None:
    """What is no request passes through."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(TraceMiddleware(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]  # not looked at
    assert (["lifespan"], []) == (seen, recording.spans)


def test_hooks_of_the_user_stay(recording: Recording) -> None:
    """Hooks that are there still run; a second time adds nothing."""

    def theirs(request: Any) -> None: ...

    client = httpx.Client(event_hooks={"request": [theirs]})
    trace_requests(trace_requests(client))
    assert (2, theirs) == (len(client.event_hooks["request"]), client.event_hooks["request"][0])
    client.close()


def test_what_is_no_client_is_refused() -> None:
    """The message says what it takes."""
    with pytest.raises(TypeError, match="takes a Client or AsyncClient"):
        trace_requests(object())
