"""The OpenTelemetry SDK, its batching processor and its own JSON exporter, one line a span.

The SDK captures nothing itself, so a decorator as one writes it by hand records input and output as JSON attributes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider  # type: ignore[import-not-found]  # in an environment of its own
from opentelemetry.sdk.trace.export import (  # type: ignore[import-not-found]  # in an environment of its own
    BatchSpanProcessor,
    ConsoleSpanExporter,
)

from benchmarks.contestants import Contestant, lines_of

QUEUE = 1 << 18


def json_lines(folder: Path) -> Any:
    """An exporter to a file, one line a span."""
    return ConsoleSpanExporter(
        out=(folder / "spans.jsonl").open("a"), formatter=lambda span: span.to_json(indent=None) + "\n"
    )


def batching(folder: Path) -> Any:
    """The SDK's batching processor with room for all spans of a repeat: none shall be dropped."""
    return BatchSpanProcessor(
        json_lines(folder), max_queue_size=QUEUE, max_export_batch_size=512, schedule_delay_millis=1000
    )


def recorded_by(tracer: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorator."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        name, names = function.__name__, tuple(inspect.signature(function).parameters)

        def call(*args: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                span.set_attribute("input", json.dumps(dict(zip(names, args, strict=True))))
                result = function(*args)
                span.set_attribute("output", json.dumps(result))
                return result

        async def call_later(*args: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                span.set_attribute("input", json.dumps(dict(zip(names, args, strict=True))))
                result = await function(*args)
                span.set_attribute("output", json.dumps(result))
                return result

        return call_later if inspect.iscoroutinefunction(function) else call

    return decorate


def start(folder: Path, variant: str) -> Contestant:
    """A provider of its own; nothing global is set."""
    provider = TracerProvider()
    provider.add_span_processor(batching(folder))
    tracer = provider.get_tracer("benchmark")
    return Contestant(
        recorded_by(tracer),
        lambda: tracer.start_as_current_span("parent"),
        provider.force_flush,
        lambda: lines_of(folder),
        versions={"opentelemetry-sdk": version("opentelemetry-sdk")},
    )
