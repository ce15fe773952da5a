"""A receiver of traces in a process of its own, that says afterwards how many spans came, in how many bytes."""

from __future__ import annotations

import gzip
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Came(NamedTuple):
    """What came since the last look."""

    spans: int
    size: int


class Target(NamedTuple):
    """The receiver, seen from where it was started."""

    port: int

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    def came(self) -> Came:
        """Count what came, and forget it."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/")
        return Came(**json.loads(connection.getresponse().read()))


@contextmanager
def receiving() -> Iterator[Target]:
    """Start it, and stop it afterwards."""
    ports: Any = multiprocessing.Queue()
    process = multiprocessing.Process(target=_serve, args=(ports,), daemon=True)
    process.start()
    try:
        yield Target(ports.get())
    finally:
        process.kill()


def _serve(ports: Any) -> None:
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                bodies.append(body)
            self._answer(b"")

        def do_GET(self) -> None:
            came, bodies[:] = [*bodies], []
            told = Came(sum(map(_spans, came)), sum(map(len, came)))
            self._answer(json.dumps(told._asdict()).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ports.put(server.server_address[1])
    server.serve_forever()


def _spans(body: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    return sum(len(scope.spans) for group in found.resource_spans for scope in group.scope_spans)
