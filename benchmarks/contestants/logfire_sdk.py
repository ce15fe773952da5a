"""logfire's `instrument` with the result recorded too (by default it records arguments only), sent nowhere.

Processor and exporter are the OpenTelemetry SDK's, as for that contestant.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import logfire  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks.contestants import Contestant, lines_of
from benchmarks.contestants.otel import batching


def start(folder: Path, variant: str) -> Contestant:
    """Without its console, metrics and backend."""
    logfire.configure(
        send_to_logfire=False,
        console=False,
        metrics=False,
        inspect_arguments=False,
        additional_span_processors=[batching(folder)],
    )
    return Contestant(
        lambda function: logfire.instrument(function.__name__, record_return=True)(function),
        lambda: logfire.span("parent"),
        logfire.force_flush,
        lambda: lines_of(folder),
        versions={name: version(name) for name in ("logfire", "opentelemetry-sdk")},
    )
