"""A real collector, rotel, on loopback: takes OTLP over HTTP and gRPC and hands it on to a receiver.

It is a package of its own (`rotel`, a prerelease), found where `make engines` puts it, where it is importable, or by
the variable `ROTEL_AGENT`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.engines.server import FOLDER
from tests.loopback import free_port

START_SECONDS = 20.0


class Rotel(NamedTuple):
    """The addresses of a collector that is running."""

    http: str
    grpc: str


def agent() -> str | None:
    """The program, None where it is not installed."""
    named = os.environ.get("ROTEL_AGENT")
    if named:
        return named
    installed = next((FOLDER / "rotel").glob("lib/python*/site-packages/rotel/rotel-agent"), None)
    if installed is not None:
        return str(installed)
    spec = find_spec("rotel")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "rotel-agent"
    return str(program) if program.exists() else None


@contextmanager
def collector(program: str, onwards: str, folder: Path) -> Iterator[Rotel]:
    """A collector that sends what it takes to `onwards`, by OTLP over HTTP."""
    with free_port() as http, free_port() as grpc:
        command = [
            program, "start", "--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
            "--exporter", "otlp", "--otlp-exporter-endpoint", onwards, "--otlp-exporter-protocol", "http", "--disable-batching",
        ]  # fmt: skip
        with open(folder / "rotel.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                for port in (http, grpc):
                    _wait_for(port, process)
                yield Rotel(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}")
            finally:
                process.kill()
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the collector does not listen on port {port}")
