"""Where the time of case `b` goes: what no way of recording it can do without, part by part.

    python -m benchmarks.parts

The same records are copied, encoded, searched for secrets and written, 50 calls at a time and each part by itself, on one
thread and from memory that is near: in a program it takes more. With orjson installed its encoder is timed beside ours.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import Any

import msgspec

from benchmarks.cases import CASES
from benchmarks.contestants.floor import BATCH, Span
from instrument.record.held import held
from instrument.redact import Redactor

REPEATS = 400
_HELD_AT_MOST = 8_192


def _span(call: int) -> Span:
    case = CASES["b"]
    arguments = case.arguments(call)
    return Span(
        "a" * 32,
        "b" * 16,
        "c" * 16,
        time.time_ns(),
        1_000,
        "look_up",
        {"query": arguments[0]},
        case.function(*arguments),
    )


def _parts(file: int) -> dict[str, Callable[[list[Span], bytes], object]]:
    """What is done with fifty records and with their lines."""
    encode, redactor = msgspec.json.Encoder().encode_lines, Redactor(b"k" * 32)
    parts: dict[str, Callable[[list[Span], bytes], object]] = {
        "copy the result as it was": lambda spans, lines: [held(span.output, _HELD_AT_MOST) for span in spans],
        "encode": lambda spans, lines: encode(spans),
        "look for secrets": lambda spans, lines: redactor.suspected(lines),
        "write": lambda spans, lines: os.write(file, lines),
    }
    with suppress(ImportError):
        dumps: Callable[[Any], bytes] = importlib.import_module("orjson").dumps
        parts["(encode the result with orjson)"] = lambda spans, lines: [dumps(span.output) for span in spans]
    return parts


def main() -> None:
    """Print the median of each part in µs a call."""
    encode = msgspec.json.Encoder().encode_lines
    with tempfile.TemporaryFile() as file:
        parts = _parts(file.fileno())
        taken: dict[str, list[float]] = {name: [] for name in parts}
        for repeat in range(REPEATS):
            spans = [_span(BATCH * repeat + n) for n in range(BATCH)]
            lines = encode(spans)
            for name, part in parts.items():
                start = time.thread_time_ns()
                part(spans, lines)
                taken[name].append((time.thread_time_ns() - start) / BATCH / 1000)
            os.ftruncate(file.fileno(), 0)
    for name, times in taken.items():
        print(f"{name:34} {median(times):5.2f} µs")
    print(f"{'together':34} {sum(median(times) for name, times in taken.items() if name[0] != '('):5.2f} µs")


if __name__ == "__main__":
    main()
