"""`mypy --strict` sees the same types with and without decorators."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent / "typing" / "decorated.py"


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What mypy says of the file, one line each."""
    command = [sys.executable, "-m", "mypy", "--strict", "--hide-error-context", "--no-color-output", str(FILE)]
    return subprocess.run(command, cwd=FILE.parents[2], capture_output=True, text=True, timeout=110).stdout.splitlines()


def test_no_errors(said: list[str]) -> None:
    """Decorated code passes mypy --strict."""
    assert [] == [line for line in said if line.startswith("tests/typing") and ": error:" in line]


def test_same_types(said: list[str]) -> None:
    """The type of every decorated thing is revealed as that of the plain one."""
    types = [match[1] for line in said if (match := re.search('Revealed type is "(.*)"', line))]
    assert 40 == len(types)
    for plain, traced in zip(types[::2], types[1::2], strict=True):
        assert plain == traced.replace("Traced", "Plain")
