"""A real receiver of OTLP on loopback, over HTTP or gRPC, that can be told how to answer; it stops by itself."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests import loopback

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
LONGEST = 20.0


class Answer(NamedTuple):
    """How a request is answered; `hang` seconds later."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    hang: float = 0.0


class Receiver:
    """What has come in: requests by signal, in order, and their headers. `answers` are given first, then `answer`.

    Signals that it `lacks` it does not know at all.
    """

    def __init__(self) -> None:
        self.lacks: set[str] = set()
        self.scheme, self.port = "http", 0
        self.requests: dict[str, list[Any]] = {"traces": [], "logs": [], "metrics": []}
        self.headers: list[dict[str, str]] = []
        self.answer = Answer()
        self.answers: list[Answer] = []
        self.asked = 0
        self.stopped = threading.Event()
        self._came = threading.Condition()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Any]:
        """All spans that were accepted."""
        return [
            span
            for request in self.requests["traces"]
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    @property
    def logs(self) -> list[Any]:
        """All log records that were accepted."""
        return [
            line
            for request in self.requests["logs"]
            for group in request.resource_logs
            for scope in group.scope_logs
            for line in scope.log_records
        ]

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def next_answer(self) -> Answer:
        with self._came:
            self.asked += 1
            self._came.notify_all()
            return self.answers.pop(0) if self.answers else self.answer

    def take(self, signal: str, body: bytes, headers: dict[str, str]) -> None:
        with self._came:
            self.requests[signal].append(REQUESTS[signal].FromString(body))
            self.headers.append(headers)
            self._came.notify_all()

    def wait(self, ready: Callable[[], bool], seconds: float = LONGEST) -> bool:
        """Wait until it is so."""
        with self._came:
            return self._came.wait_for(ready, seconds)


@contextmanager
def receiver(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Over HTTP, or HTTPS."""
    found = Receiver()
    found.scheme = "http" if tls is None else "https"

    class Handler(loopback.Handler):
        def do_POST(self) -> None:
            raw = self.body()
            body = gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw
            signal = self.path.rpartition("/")[2]
            answer = Answer(404) if signal in found.lacks else found.next_answer()
            if answer.hang:
                found.stopped.wait(answer.hang)
                self.close_connection = True
                return
            if 200 <= answer.status < 300:
                found.take(signal, body, {key.lower(): value for key, value in self.headers.items()})
            self.reply(answer.status, answer.body, dict(answer.headers))

    with loopback.serving(Handler, port, tls) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # handshakes that fail are what tests are about
        found.port = server.server_port
        try:
            yield found
        finally:
            found.stopped.set()


@contextmanager
def grpc_receiver(tls: Any = None) -> Iterator[Receiver]:
    """Over gRPC; with `tls` (credentials of a server) encrypted."""
    import grpc

    found = Receiver()
    found.scheme = "http" if tls is None else "https"
    codes = {
        429: grpc.StatusCode.RESOURCE_EXHAUSTED,
        500: grpc.StatusCode.UNAVAILABLE,
        400: grpc.StatusCode.INVALID_ARGUMENT,
    }

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            signal = {"trace": "traces"}.get(kind := details.method.split(".")[3], kind)
            if signal in found.lacks:
                return None

            def export(body: bytes, context: Any) -> bytes:
                answer = found.next_answer()
                if answer.status in codes:
                    context.abort(codes[answer.status], "not now")
                found.take(signal, body, {key: str(value) for key, value in details.invocation_metadata})
                return answer.body

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Handlers(),))
    found.port = server.add_insecure_port("127.0.0.1:0") if tls is None else server.add_secure_port("127.0.0.1:0", tls)
    server.start()
    try:
        yield found
    finally:
        server.stop(0)
