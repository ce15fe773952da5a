"""langfuse's `observe` and batching processor, with the OpenTelemetry SDK's JSON exporter in place of its own."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

from benchmarks.contestants import Contestant, lines_of
from benchmarks.contestants.otel import QUEUE, json_lines


def start(folder: Path, variant: str) -> Contestant:
    """Its queue is made as long as the others', so that nothing is dropped."""
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(QUEUE)
    import langfuse  # type: ignore[import-not-found]  # in an environment of its own

    client = langfuse.Langfuse(
        public_key="pk-lf-benchmark",
        secret_key="sk-lf-benchmark",
        host="http://127.0.0.1:9",
        span_exporter=json_lines(folder),
    )
    return Contestant(
        lambda function: langfuse.observe(as_type="tool")(function),
        lambda: client.start_as_current_observation(name="parent", as_type="span"),
        client.flush,
        lambda: lines_of(folder),
        versions={name: version(name) for name in ("langfuse", "opentelemetry-sdk")},
        decorate_model=lambda function: langfuse.observe(as_type="generation")(function),
    )
