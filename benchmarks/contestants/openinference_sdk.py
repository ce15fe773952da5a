"""openinference's tracer and its `tool` decorator, with the OpenTelemetry SDK's processor and exporter."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from openinference.instrumentation import TracerProvider  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks.contestants import Contestant, lines_of
from benchmarks.contestants.otel import batching


def start(folder: Path, variant: str) -> Contestant:
    """A provider of its own; nothing global is set."""
    provider = TracerProvider()
    provider.add_span_processor(batching(folder))
    tracer = provider.get_tracer("benchmark")
    return Contestant(
        tracer.tool,
        lambda: tracer.start_as_current_span("parent"),
        provider.force_flush,
        lambda: lines_of(folder),
        versions={name: version(name) for name in ("openinference-instrumentation", "opentelemetry-sdk")},
        decorate_model=tracer.llm,
    )
