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
from instrument.record.capture import Camera
from instrument.redact import Redactor

REPEATS = 400
Part = Callable[[list[Span], bytes], object]
_encode = msgspec.json.Encoder().encode_lines


def _span(call: int) -> Span:
    case = CASES["b"]
    [query] = case.arguments(call)
    told = case.function(query)
    return Span("a" * 32, "b" * 16, "c" * 16, time.time_ns(), 1_000, "look_up", {"query": query}, told)


def _parts(file: int) -> dict[str, Part]:
    """What is done with fifty records and with their lines."""
    redactor = Redactor(b"k" * 32)
    taken, suspected = Camera(redactor=redactor).taken, redactor.suspected
    return {
        "copy the result as it was": lambda spans, lines: [taken(span.output) for span in spans],
        "encode": lambda spans, lines: _encode(spans),
        "look for secrets": lambda spans, lines: suspected(lines),
        "write": lambda spans, lines: os.write(file, lines),
    }


def _others() -> dict[str, Part]:
    """What could be done instead, where it is installed."""
    with suppress(ImportError):
        dumps: Callable[[Any], bytes] = importlib.import_module("orjson").dumps
        return {"encode the result with orjson": lambda spans, lines: [dumps(span.output) for span in spans]}
    return {}


def main() -> None:
    """Print the median of each part in µs a call, and all of them together."""
    with tempfile.TemporaryFile() as file:
        parts, others = _parts(file.fileno()), _others()
        taken: dict[str, list[float]] = {name: [] for name in parts | others}
        for repeat in range(REPEATS):
            spans = [_span(BATCH * repeat + n) for n in range(BATCH)]
            lines = _encode(spans)
            for name, part in (parts | others).items():
                start = time.thread_time_ns()
                part(spans, lines)
                taken[name].append((time.thread_time_ns() - start) / BATCH / 1000)
            os.ftruncate(file.fileno(), 0)
    costs = {name: median(times) for name, times in taken.items()}
    costs = {**{name: costs[name] for name in parts}, "together": sum(costs[name] for name in parts), **costs}
    for name, cost in costs.items():
        print(f"{name:32} {cost:5.2f} µs")


if __name__ == "__main__":
    main()
