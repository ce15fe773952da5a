"""Traces that go on through a web application: a middleware for WSGI (Flask, Django, Bottle, Pyramid).

    app.wsgi_app = TraceMiddleware(app.wsgi_app)                    # Flask
    application = TraceMiddleware(get_wsgi_application())           # Django's wsgi.py

A request that carries a W3C `traceparent` hangs below the span of whoever sent it, in its session.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

from instrument.integrations.served import asked, name_by_route, note_status
from instrument.record.blocks import span
from instrument.record.context import current
from instrument.record.headers import BAGGAGE, TRACEPARENT, TRACESTATE, extract
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan

R = TypeVar("R")
Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class TraceMiddleware:
    """One span for each request, named by method and route, from its first byte to its last.

    Attributes follow OpenTelemetry's HTTP conventions. Bodies are not recorded. A status of 500 and above is an error.
    Headers say which trace a request belongs to, whether that is stored, whose session it is and which shared budget
    pays: strangers should not, so where they can send requests `trusts_callers` is to be False.
    """

    def __init__(self, app: App, *, trusts_callers: bool = True) -> None:
        self.app = app
        self._trusts_callers = trusts_callers

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Run the application inside the request's span, and what it gives piece by piece as well."""
        request = _Request(environ, (safely(headers_of, environ) or {}) if self._trusts_callers else {})
        try:
            answer = request.inside(self.app, environ, request.watched(start_response))
        except BaseException:
            request.end(*sys.exc_info())
            raise
        if _is_left_to_the_server(answer, environ):
            request.end()
            return answer
        return _Answer(answer, request)


def _is_left_to_the_server(answer: object, environ: Environ) -> bool:
    """Whether no code of the application runs while it is sent: servers ask lists for their length, and send files."""
    files = environ.get("wsgi.file_wrapper")
    is_file = isinstance(files, type) and isinstance(answer, files)
    is_list = isinstance(answer, (list, tuple)) and not hasattr(answer, "close")
    return is_file or is_list or not isinstance(answer, Iterable)


class _Request:
    """The span of a request. What is current in it is kept for it, as servers do other things in between."""

    def __init__(self, environ: Environ, headers: Mapping[str, str]) -> None:
        self._environ, self._headers = environ, headers
        self._stack = ExitStack()
        self._place = current.get()
        self._live: LiveSpan = self.inside(self._begin)

    def inside(self, step: Callable[..., R], *args: Any) -> R:
        """What the step gives, which is taken inside of the request."""
        before = current.get()
        current.set(self._place)
        try:
            return step(*args)
        finally:
            self._place = current.get()
            current.set(before)

    def watched(self, start_response: Callable[..., Any]) -> Callable[..., Any]:
        """Notes the status that the application begins its answer with, and the route, which Flask forgets later."""

        def watched(status: str, *args: Any, **kwargs: Any) -> Any:
            safely(self._note_status, status)
            safely(self._name_by_route)
            return start_response(status, *args, **kwargs)

        return watched

    def end(self, *error: Any) -> None:
        """The request is over; a second time does nothing."""
        self.inside(self._stack.pop_all().__exit__, *(error or (None, None, None)))

    def _begin(self) -> LiveSpan:
        self._stack.enter_context(extract(self._headers))
        name = f"{self._environ.get('REQUEST_METHOD')} {safely(_path, self._environ)}"
        return self._stack.enter_context(span(name, attributes=safely(_asked, self._environ) or {}))

    def _note_status(self, status: str) -> None:
        note_status(self._live, int(status.split(" ", 1)[0]))

    def _name_by_route(self) -> None:
        """Flask tells the route; it writes `<id>` where others write `{id}`."""
        route = getattr(getattr(self._environ.get("werkzeug.request"), "url_rule", None), "rule", None)
        name_by_route(self._live, self._environ.get("REQUEST_METHOD"), route)


class _Answer:
    """What the application answers, read inside of its request, which ends as the server closes it."""

    def __init__(self, answer: Iterable[bytes], request: _Request) -> None:
        self._answer, self._request = answer, request
        self._parts: Iterator[bytes] | None = None
        self._error: tuple[Any, ...] = ()

    def __iter__(self) -> _Answer:
        return self

    def __next__(self) -> bytes:
        try:
            return self._request.inside(self._next)
        except StopIteration:
            raise
        except BaseException:
            self._error = sys.exc_info()
            raise

    def _next(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._answer)
        return next(self._parts)

    def close(self) -> None:
        """The server is through with it, or the client has gone away."""
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                self._request.inside(close)
        except BaseException:
            self._error = sys.exc_info()
            raise
        finally:
            error, self._error = self._error, ()
            self._request.end(*error)

    def __del__(self) -> None:
        """Test clients do not close what they have read."""
        safely(self._request.end, *self._error)


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Those headers of a request that say where it belongs."""
    names = {f"HTTP_{name.upper()}": name for name in (TRACEPARENT, TRACESTATE, BAGGAGE)}
    return {name: environ[key] for key, name in names.items() if key in environ}


def _path(environ: Mapping[str, Any]) -> str:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace")  # the way that WSGI has bytes in texts


def _asked(environ: Mapping[str, Any]) -> dict[str, Any]:
    port, version = environ.get("SERVER_PORT"), environ.get("SERVER_PROTOCOL")
    return asked(
        method=environ.get("REQUEST_METHOD"),
        scheme=environ.get("wsgi.url_scheme"),
        path=_path(environ),
        query=environ.get("QUERY_STRING"),
        address=environ.get("SERVER_NAME"),
        port=int(port) if port else None,
        client=environ.get("REMOTE_ADDR"),
        version=version.removeprefix("HTTP/") if version else None,
    )
