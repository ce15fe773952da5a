"""What recording may cost at worst: stalls, start, memory, the disk. One file a limit, each with its `found()`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Limit(NamedTuple):
    """What was measured, in which unit, and what it should be at most (None: it is only told)."""

    what: str
    measured: float
    unit: str
    aim: float | None = None

    def is_missed(self) -> bool:
        """Whether it is more than it should be."""
        return self.aim is not None and self.measured > self.aim


def environment(folder: str) -> dict[str, str]:
    """That of a process which records by default settings into the folder."""
    ours = ("INSTRUMENT_", "OTEL_", "PYTHON", "MALLOC_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**plain, "INSTRUMENT_DIR": f"{folder}/.instrument", "XDG_STATE_HOME": f"{folder}/state"}


def in_a_child(module: str, *arguments: str, timeout: float = 120) -> Any:
    """What `python -m benchmarks.limits.MODULE` prints, as JSON: a process and a recording folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.limits.{module}", *arguments],
            cwd=ROOT,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if module != "imports" else None,
            timeout=timeout,
            check=True,
        )
    return json.loads(done.stdout)
