"""A web application behind WSGI: each request is one span, and its answer what it is without us."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from instrument import current_span, session, span, tool
from instrument.integrations.wsgi import TraceMiddleware
from instrument.record.context import current
from instrument.record.headers import inject
from instrument.testing import Recording

Start = Callable[..., Any]


@tool
def lookup(number: int) -> bytes:
    return b"%d" % number


def listed(environ: dict[str, Any], start: Start) -> Any:
    start("200 OK", [("Content-Type", "text/plain")])
    return [lookup(7)]


def streamed(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    with span("writing"):
        yield lookup(0)
        yield lookup(1)
    yield lookup(2)


def written(environ: dict[str, Any], start: Start) -> Any:
    start("200 OK", [("Content-Type", "text/plain")])(lookup(7))
    return []


def filed(environ: dict[str, Any], start: Start) -> Any:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"hello"))


def unavailable(environ: dict[str, Any], start: Start) -> Any:
    start("503 Later", [("Content-Type", "text/plain")])
    return [b"later"]


def broken(environ: dict[str, Any], start: Start) -> Any:
    raise ValueError("broken")


def broken_later(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    yield b"a"
    raise ValueError("broken")


def mended(environ: dict[str, Any], start: Start) -> Any:
    start("200 OK", [("Content-Type", "text/plain")])
    try:
        raise ValueError("broken")
    except ValueError:
        start("500 Sorry", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"sorry"]


APPS = [listed, streamed, written, filed, unavailable, broken, broken_later, mended]


def asked(**more: Any) -> dict[str, Any]:
    """What a server tells of a request."""
    environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": "/users/7", "QUERY_STRING": "", **more}
    setup_testing_defaults(environ)
    return environ


def served(app: Any, **more: Any) -> bytes:
    """All that the server of the standard library sends."""
    sent = io.BytesIO()
    handler = SimpleHandler(io.BytesIO(), sent, io.StringIO(), asked(**more))
    handler.run(app)
    return sent.getvalue()


def as_plain(sent: bytes) -> bytes:
    return b"\n".join(line for line in sent.splitlines() if not line.startswith(b"Date"))


@pytest.mark.parametrize("app", APPS)
def test_the_answer_is_the_plain_one(app: Any, recording: Recording) -> None:
    """Status, headers, among them the length that a server asks a list for, and body are those of the application."""
    assert as_plain(served(app)) == as_plain(served(TraceMiddleware(app)))


@pytest.mark.parametrize("app", [listed, streamed])
def test_it_keeps_to_the_protocol(app: Any, recording: Recording) -> None:
    """What the standard library checks of servers and applications holds on both sides of the middleware."""
    assert b"200 OK" in served(validator(TraceMiddleware(validator(app))))


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (listed, "ok", 200), (streamed, "ok", 200), (written, "ok", 200), (filed, "ok", 200),
        (unavailable, "error", 503), (broken, "error", None), (broken_later, "error", 200), (mended, "error", 500),
    ],
)  # fmt: skip
def test_how_the_request_ended(app: Any, status: str, code: int | None, recording: Recording) -> None:
    """A status of 500 and above, and an exception that leaves the application, is an error of the request."""
    served(TraceMiddleware(app))
    found = recording.span("GET /users/7")
    assert (status, code) == (found.status, found.attributes.get("http.response.status_code"))


def test_a_stream_is_inside(recording: Recording) -> None:
    """What an answer does piece by piece belongs to its request, below the blocks that it is in."""
    served(TraceMiddleware(streamed))
    request, block = recording.span("GET /users/7"), recording.span("writing")
    parents = [found.parent_id for found in recording.spans if found.name == "lookup"]
    assert ([block.span_id] * 2 + [request.span_id], request.span_id) == (parents, block.parent_id)


def test_nothing_is_current_between_two_pieces(recording: Recording) -> None:
    """The server, which may answer another request meanwhile, is in no span of this one's."""
    answer = TraceMiddleware(streamed)(asked(), lambda *_: None)
    assert [None] * 3 == [current.get() for _ in answer]
    answer.close()  # type: ignore[attr-defined]  # as servers do where there is one


def test_what_its_end_does_is_inside(recording: Recording) -> None:
    """Frameworks call what is left to do when the server closes the answer."""

    class Answer(list[bytes]):
        def close(self) -> None:
            lookup(9)

    def app(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        return Answer([b"a"])

    served(TraceMiddleware(app))
    assert recording.span("GET /users/7").span_id == recording.span("lookup").parent_id


def test_an_answer_that_nobody_closes_ends_with_it(recording: Recording) -> None:
    """Test clients let go of it."""
    list(TraceMiddleware(streamed)(asked(), lambda *_: None))
    assert "ok" == recording.span("GET /users/7").status


def test_what_the_request_was(recording: Recording) -> None:
    """Method, path, both ends and status are attributes by the HTTP conventions; a query's secret is redacted."""
    more = {"SERVER_NAME": "shop", "SERVER_PORT": "81", "REMOTE_ADDR": "::1", "SERVER_PROTOCOL": "HTTP/1.1"}
    served(TraceMiddleware(listed), **more, PATH_INFO="/\xc3\xa4", QUERY_STRING="api_key=geheim123456")
    found = recording.span("GET /ä").attributes
    expected = {
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/ä", "server.address": "shop",
        "server.port": 81, "client.address": "::1", "network.protocol.version": "1.1",
        "http.response.status_code": 200,
    }  # fmt: skip
    assert expected == {name: value for name, value in found.items() if name != "url.query"}
    assert ("api_key" in found["url.query"], "geheim" in found["url.query"]) == (True, False)


def test_it_is_named_by_the_route_of_flask(recording: Recording) -> None:
    """Flask tells it until its answer begins."""

    def app(environ: dict[str, Any], start: Start) -> Any:
        environ["werkzeug.request"] = SimpleNamespace(url_rule=SimpleNamespace(rule="/users/<id>"))
        start("200 OK", [])
        environ["werkzeug.request"] = None
        return [b""]

    served(TraceMiddleware(app))
    assert "/users/<id>" == recording.span("GET /users/<id>").attributes["http.route"]


@pytest.mark.parametrize(("trusts", "below"), [(True, True), (False, False)])
def test_the_callers_trace_goes_on(trusts: bool, below: bool, recording: Recording) -> None:
    """A request hangs below who sent it, in that one's session; not where callers are not to be believed."""
    with session("s"), span("caller") as caller:
        told = {f"HTTP_{name.upper()}": value for name, value in inject({}).items()}
    threading.Thread(target=served, args=(TraceMiddleware(listed, trusts_callers=trusts),), kwargs=told).run()
    request, found = recording.span("GET /users/7"), recording.span("lookup")
    assert (below, below) == (caller.span_id == request.parent_id, "s" == found.attributes.get("session.id"))


@pytest.mark.parametrize(
    "odd", [{"SERVER_PORT": "x"}, {"PATH_INFO": 7}, {"HTTP_TRACEPARENT": 7}, {"REQUEST_METHOD": ""}]
)
def test_an_odd_request_is_answered(odd: Any, recording: Recording) -> None:
    """What a server says of a request otherwise than WSGI has it concerns the application alone."""
    answer = TraceMiddleware(listed)({**asked(), **odd}, lambda *_: None)
    assert ([b"7"], 2) == (answer, len(recording.spans))


def test_a_request_is_the_current_span(recording: Recording) -> None:
    """The application may add to it."""

    def app(environ: dict[str, Any], start: Start) -> Any:
        here = current_span()
        assert here is not None
        here.set(customer="acme")
        return listed(environ, start)

    served(TraceMiddleware(app))
    assert "acme" == recording.span("GET /users/7").attributes["customer"]


def test_a_file_is_left_to_the_server(recording: Recording) -> None:
    """Servers send their own wrapper of a file without reading it piece by piece."""
    environ = asked(**{"wsgi.file_wrapper": FileWrapper})
    assert isinstance(TraceMiddleware(filed)(environ, lambda *_: None), FileWrapper)
