"""HTTP servers on loopback, for as long as a block lasts."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

POLL_SECONDS = 0.005
"""So long does the end of a server wait at most."""


class Handler(BaseHTTPRequestHandler):
    """A handler that is quick and says nothing."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for a late ACK

    def body(self) -> bytes:
        """What was sent."""
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send an answer; its length is that of the body unless a header says otherwise."""
        self.begin(status, {"content-length": str(len(body))} | headers)
        self.wfile.write(body)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send what comes before the body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # of six clients at once one would be left to try again a second later

    def handle_error(self, *args: Any) -> None:
        """A client that goes away is no fault: a later test, of what is said on stderr, would find it there."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*args)


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[_Server]:
    """A server that answers by the handler."""
    server = _Server(("127.0.0.1", port), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def free_port() -> Iterator[int]:
    """A port of loopback that nobody listens on, held for as long as the block lasts: only who is told of it has it."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server of the test's may listen on it
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]
