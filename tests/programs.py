"""Real programs in real processes: what they are given, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout."""
NOT_INHERITED = ("INSTRUMENT_", "OPENAI_", "OTEL_", "TRACEPARENT", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")


def environment(**more: str) -> dict[str, str]:
    """Of a program: our package, and nothing that whoever runs the tests has set for us or for the terminal."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    return {**plain, "PYTHONPATH": str(ROOT), **more}


def python(*words: str | Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Python with these words and variables, run to its end."""
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=100
    )


def begun(*words: str | Path, cwd: Path | None = None, **more: str) -> subprocess.Popen[str]:
    """Python with these words and variables as it begins, with pipes to speak with it."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *words], cwd=cwd, env=environment(**more), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def left_after_a_line(*words: str | Path) -> tuple[str, int]:
    """What Python with these words complains of and ends with, where its reader goes away as `head -1` does."""
    with begun(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()
    return complaint, process.returncode
