"""Real programs in real processes, and what they leave on disk."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instrument import read, records
from instrument.model import Record, Span
from instrument.reading import Trace
from tests import programs

HEAD = """
import os, sys, time, threading, signal
from pathlib import Path
import instrument
from instrument import agent, flush, log, shutdown, span, tool, traced

@tool
def work(n):
    return n

def on_disk(text):
    return any(text in file.read_text() for file in Path(".instrument/events").glob("*.jsonl"))
"""


def command(folder: Path, program: str, name: str = "program.py") -> list[str]:
    """What runs the program, which may use the names of `HEAD`."""
    script = folder / name
    script.write_text(HEAD + textwrap.dedent(program))
    return [sys.executable, str(script)]


def environment(**more: str) -> dict[str, str]:
    """The environment of a program: our package, JSONL only."""
    return programs.environment(**{"INSTRUMENT_SINKS": "jsonl", **more})


def run(folder: Path, program: str, *, prefix: Sequence[str] = (), **more: str) -> subprocess.CompletedProcess[str]:
    """The program, run to its end in `folder`."""
    return subprocess.run(
        [*prefix, *command(folder, program)],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def found(folder: Path) -> list[Record]:
    """Every record on disk."""
    return list(records(folder / ".instrument", []))


def traces(folder: Path) -> list[Trace]:
    """Every trace on disk."""
    return list(read(folder / ".instrument", []))


def spans(folder: Path) -> list[Span]:
    """Every span on disk."""
    return [record for record in found(folder) if isinstance(record, Span)]


def worked(folder: Path) -> list[Any]:
    """The arguments of `work`, sorted: each call once if nothing was lost and nothing written twice."""
    return sorted(one.input["n"] for one in spans(folder) if one.name == "work")
