"""Servers that are installed in environments of their own, `.engines/NAME`: started on loopback, gone afterwards."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

FOLDER = Path(__file__).parent.parent.parent / ".engines"
START_SECONDS = 240.0
"""They load hundreds of packages."""
ANSWER_SECONDS = 30.0


def missing(name: str) -> str | None:
    """Why there can be no server of this name here, None where there can."""
    if (FOLDER / name / "installed").exists():
        return None
    return f"the engine {name} is not installed: make engines (some 600 MB each)"


@contextmanager
def running(command: list[str], folder: Path, environ: Mapping[str, str], url: str) -> Iterator[None]:
    """The server of a command, from when `url` answers; all of its processes end with the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INSTRUMENT_", "OTEL_"))}
    log = folder / "server.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env={**kept, **environ}, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: _answers(process, url, log), START_SECONDS, f"an answer of {url}")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}")
    try:
        with urlopen(url, timeout=ANSWER_SECONDS):
            return True
    except (URLError, http.client.HTTPException, OSError):
        return False


def until(ready: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first answer of `ready` that is true, asked for again and again."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if found := ready():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"no {what} within {seconds:g} seconds")


def asked(url: str, body: Any = None) -> Any:
    """The JSON that a server answers; with a body it is a POST."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=ANSWER_SECONDS) as answer:
        return json.load(answer)
