"""A real Phoenix on loopback, with a store of its own in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.engines.server import FOLDER, asked, running
from tests.loopback import free_port

NAME = "phoenix"


class Phoenix(NamedTuple):
    """The addresses of a server: `url` is also that of OTLP over HTTP, `grpc` of OTLP over gRPC."""

    url: str
    grpc: str

    def spans(self, project: str) -> list[dict[str, Any]]:
        """All spans of a project, none where there is no such project yet."""
        projects = asked(f"{self.url}/v1/projects")["data"]
        if project not in [one["name"] for one in projects]:
            return []
        found: list[dict[str, Any]] = asked(f"{self.url}/v1/projects/{project}/spans?limit=1000")["data"]
        return found


@contextmanager
def phoenix(folder: Path) -> Iterator[Phoenix]:
    """A running server."""
    with free_port() as port, free_port() as grpc:
        environ = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(grpc),
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }
        url = f"http://127.0.0.1:{port}"
        command = [str(FOLDER / NAME / "bin" / "phoenix"), "serve"]
        with running(command, folder, environ, f"{url}/v1/projects"):
            yield Phoenix(url, f"http://127.0.0.1:{grpc}")
