"""The least that records a call at all: closure, context variable, two clocks, one struct, msgspec, one write per 50.

No redaction, no copy of the arguments, no thread, no errors, no limits: what is left out is what a real one adds. It
is a contestant. Without its writing (`pace`) it is the reference that contestants alternate with: it takes and gives back
next to no memory, so that it shows how fast the machine is and not how much the contestant has spread out in it.
"""

from __future__ import annotations

import inspect
import os
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.contestants import Contestant, Decorator, lines_of

BATCH = 50


class Span(msgspec.Struct, gc=False, tag_field="type", tag="span"):
    """A call in its form on disk."""

    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    duration_ns: int
    name: str
    input: dict[str, Any]
    output: Any


class Writer:
    """Collects spans and writes every fifty of them at once."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.spans: list[Span] = []
        self._encode = msgspec.json.Encoder().encode_lines

    def take(self, span: Span) -> None:
        self.spans.append(span)
        if len(self.spans) >= BATCH:
            self.flush()

    def flush(self) -> None:
        if self.spans:
            os.write(self.fd, self._encode(self.spans))
            self.spans.clear()


def pace() -> Decorator:
    """Records every call and forgets it again."""
    return decorator(deque[Span](maxlen=BATCH).append)


def decorator(take: Callable[[Span], object]) -> Decorator:
    """Gives a record of every call of a function with positional arguments to `take`."""
    current: ContextVar[str | None] = ContextVar("floor", default=None)
    clock, bits, trace_id = time.perf_counter_ns, random.Random().getrandbits, f"{random.getrandbits(128):032x}"
    offset = time.time_ns() - clock()

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        name, names = function.__name__, tuple(inspect.signature(function).parameters)

        def call(*args: Any) -> Any:
            parent, span_id = current.get(), f"{bits(64):016x}"
            current.set(span_id)
            start = clock()
            try:
                result = function(*args)
            finally:
                current.set(parent)
            took = clock() - start
            take(
                Span(trace_id, span_id, parent, offset + start, took, name, dict(zip(names, args, strict=True)), result)
            )
            return result

        async def call_later(*args: Any) -> Any:
            parent, span_id = current.get(), f"{bits(64):016x}"
            current.set(span_id)
            start = clock()
            try:
                result = await function(*args)
            finally:
                current.set(parent)
            took = clock() - start
            take(
                Span(trace_id, span_id, parent, offset + start, took, name, dict(zip(names, args, strict=True)), result)
            )
            return result

        return call_later if inspect.iscoroutinefunction(function) else call

    return decorate


def start(folder: Path, variant: str) -> Contestant:
    """Nothing to set up but the file."""
    writer = Writer(folder / "floor.jsonl")
    return Contestant(
        decorator(writer.take),
        nullcontext,
        writer.flush,
        lambda: lines_of(folder),
        versions={"msgspec": msgspec.__version__},
    )
