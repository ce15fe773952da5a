"""The HTTP side: a threading server on loopback with bounded bodies and times, and the way to start and stop it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .refusal import RefusalError
from .reply import new_id
from .request import models
from .service import Service

most_bytes = 32 * 2**20
idle_seconds = 60.0


class Listening(ThreadingHTTPServer):
    """The server with the service it is for and a count of its requests."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Conversation)
        self.service = Service()
        self.count = 0
        self.lock = threading.Lock()
        self.sockets: set[socket.socket] = set()

    def counted(self) -> None:
        with self.lock:
            self.count += 1

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error worth a word."""

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        with self.lock:
            waiting = list(self.sockets)
        for connection in waiting:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Conversation(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    server_version = "offline-model"
    timeout = idle_seconds
    disable_nagle_algorithm = True  # an answer is head and body: the second would wait 40 ms for a late ACK
    server: Listening

    def do_GET(self) -> None:
        self.serve("GET")

    def do_POST(self) -> None:
        self.serve("POST")

    def do_DELETE(self) -> None:
        self.serve("DELETE")

    def do_PUT(self) -> None:
        self.serve("PUT")

    def do_PATCH(self) -> None:
        self.serve("PATCH")

    def serve(self, method: str) -> None:
        """Answer one request, whatever happens."""
        self.server.counted()
        self.began = time.monotonic()
        try:
            data = self.body()
            self.admit()
            result = self.server.service.handle(method, self.path, data)
            if result.events is not None:
                self.send_events(result.events)
            else:
                self.send_object(200, result.body or {})
        except RefusalError as refusal:
            self.send_object(refusal.status, refusal.body())
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - a fault of ours is the client's 500, not the end of the server
            self.send_object(
                500,
                RefusalError(
                    500, f"The server had an error: {type(error).__name__}: {error}", type="server_error"
                ).body(),
            )

    def body(self) -> bytes:
        """The request's body. Raises RefusalError when its size is not told or too big."""
        told = self.headers.get("Content-Length")
        if told is None:
            if "Transfer-Encoding" in self.headers:
                self.close_connection = True
                raise RefusalError(411, "Send a Content-Length: chunked requests are not taken.")
            return b""
        if not told.isdigit() or int(told) > most_bytes:
            self.close_connection = True
            raise RefusalError(
                413, f"The request is larger than the maximum of {most_bytes} bytes.", code="request_too_large"
            )
        return self.rfile.read(int(told))

    def admit(self) -> None:
        """Any key will do, but there has to be one. Raises RefusalError."""
        kind, _, key = (self.headers.get("Authorization") or "").partition(" ")
        if kind.lower() != "bearer" or not key.strip():
            raise RefusalError(
                401,
                "You didn't provide an API key: send one in an Authorization header, as in 'Authorization: "
                "Bearer KEY'.",
                code="invalid_api_key",
            )

    def send_head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("x-request-id", new_id("req"))
        self.send_header("openai-version", "2020-10-01")
        self.send_header("openai-processing-ms", str(int((time.monotonic() - self.began) * 1000)))

    def send_object(self, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_head(status, "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def send_events(self, events: Iterable[bytes]) -> None:
        self.send_head(200, "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed: the reviewed program's output is not ours to add to."""


@dataclass(frozen=True)
class Served:
    """A running server: where it is, and what it offers."""

    base_url: str
    server: Listening
    models: tuple[str, ...] = models

    @property
    def requests(self) -> int:
        """How many requests have come so far."""
        return self.server.count


@contextmanager
def serve(host: str = "127.0.0.1", port: int = 0) -> Iterator[Served]:
    """Run the offline model for the length of a with-block, by default on a free port of loopback."""
    server = Listening((host, port))
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="offline-model", daemon=True
    )
    thread.start()
    try:
        yield Served(f"http://{host}:{server.server_address[1]}/v1", server)
    finally:
        server.shutdown()
        server.hang_up()
        server.server_close()
        thread.join(timeout=5)
