"""Running a test file in a process of its own, with limits on time and output and without the caller's secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SECONDS = 60.0
"""How long a test file may take."""

MAX_OUTPUT = 16_000
"""Bytes of output that are kept: half of them from its beginning, half from its end."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT", "PYTHONPATH")
"""The environment variables a test sees; keys and tokens are not among them."""

CONFIGURATION = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


@dataclass(frozen=True)
class Finished:
    """How a process ended: its exit code (None when its time was up), its output and how many seconds it took."""

    exit_code: int | None
    output: str
    seconds: float


def run_pytest(root: Path, path: str) -> Finished:
    """Run the tests of one file with the interpreter that runs us, from the workspace's root.

    A workspace with settings of its own gets them and the plugins that are installed. Any other runs plain pytest: a
    project further up must not decide how its tests run, and loading plugins takes several times longer than a test.
    """
    own = any((root / name).exists() for name in CONFIGURATION)
    settings = [] if own else ["-c", os.devnull]
    plugins = {} if own else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    limits = [f"--rootdir={root}", f"--confcutdir={root}", "-p", "no:cacheprovider"]
    return run([sys.executable, "-m", "pytest", "-q", *settings, *limits, "--", path], root, SECONDS, plugins)


def run(command: Sequence[str], folder: Path, seconds: float, variables: Mapping[str, str] | None = None) -> Finished:
    """Run a command in a process group of its own, and leave nothing of that group behind."""
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment(), **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    output = Bounded(process.stdout)
    try:
        exit_code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        exit_code = None
    finally:
        end_group(process)
        output.close()
    return Finished(exit_code, output.text(), round(time.monotonic() - began, 3))


def environment() -> dict[str, str]:
    """The environment of a test: what Python needs to run, and nothing else."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "INSTRUMENT_ENABLED": "0"}


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever still runs of the process's group, children that were left behind included."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()


class Bounded:
    """Reads a pipe to its end on a thread and keeps the beginning and the end of what came."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe
        self.half = MAX_OUTPUT // 2
        self.head, self.tail, self.total = b"", b"", 0
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        """Take everything, keep little."""
        while chunk := os.read(self.pipe.fileno(), 65_536):
            self.total += len(chunk)
            room = self.half - len(self.head)
            self.head += chunk[:room]
            self.tail = (self.tail + chunk[room:])[-self.half :]

    def close(self) -> None:
        """Wait for the end; a process that left its group and kept the pipe is not waited for."""
        self.thread.join(timeout=2)
        if not self.thread.is_alive():
            self.pipe.close()

    def text(self) -> str:
        """What was kept, with the gap marked."""
        left_out = self.total - len(self.head) - len(self.tail)
        gap = f"\n… {left_out:,} bytes left out …\n".encode() if left_out else b""
        return (self.head + gap + self.tail).decode(errors="replace")
