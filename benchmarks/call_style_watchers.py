"""Whoever watches the OpenAI client, each set up by a function that is called in an environment where it is installed.

A watcher gives, for the calls made since it was asked last, one `Seen` a span of a model call.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """A span and its tokens; None where it has none. `estimated` where it says so itself."""

    name: str
    input: int | None
    output: int | None
    estimated: bool = False


Watcher = Callable[[], list[Seen]]
_until_the_end = ExitStack()


def ours() -> tuple[Watcher, dict[str, str]]:
    """`patch_openai()` of this project."""
    import instrument
    from instrument.model import Update
    from instrument.testing import record

    recording = _until_the_end.enter_context(record())
    _until_the_end.enter_context(instrument.patch_openai())
    told = 0

    def watcher() -> list[Seen]:
        nonlocal told
        gc.collect()
        fresh, told = recording.records[told:], len(recording.records)
        late = {one.span_id: one.usage for one in fresh if isinstance(one, Update)}
        found = []
        for span in fresh:
            if getattr(span, "kind", None) in ("llm", "embedding") and hasattr(span, "duration_ns"):
                usage = span.usage or late.get(span.span_id)
                is_estimate = usage is not None and usage.source == "estimated"
                found.append(Seen(span.name, usage and usage.input, usage and usage.output, is_estimate))
        return found

    return watcher, {"instrument": instrument.__version__}


def logfire() -> tuple[Watcher, dict[str, str]]:
    """`logfire.instrument_openai()`, sent nowhere."""
    import logfire as library  # type: ignore[import-not-found]  # in an environment of its own

    exporter, processor = _memory()
    library.configure(send_to_logfire=False, console=False, metrics=False, additional_span_processors=[processor])
    library.instrument_openai()
    names = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    return _watching(exporter, lambda span: _counts(span, *names)), _versions("logfire")


def openinference() -> tuple[Watcher, dict[str, str]]:
    """OpenInference's `OpenAIInstrumentor`."""
    from openinference.instrumentation.openai import OpenAIInstrumentor  # type: ignore[import-not-found]  # as above
    from opentelemetry.sdk.trace import TracerProvider

    exporter, processor = _memory()
    provider = TracerProvider()
    provider.add_span_processor(processor)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    names = ("llm.token_count.prompt", "llm.token_count.completion")
    return _watching(exporter, lambda span: _counts(span, *names)), _versions("openinference-instrumentation-openai")


def langfuse() -> tuple[Watcher, dict[str, str]]:
    """Langfuse's drop-in module, whose import wraps the client's methods."""
    import langfuse as library  # type: ignore[import-not-found]  # as above
    import langfuse.openai  # type: ignore[import-not-found]

    exporter, _ = _memory()
    client = library.Langfuse(
        public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", host="http://127.0.0.1:9", span_exporter=exporter
    )

    def counts(span: Any) -> tuple[int | None, int | None]:
        usage = json.loads(span.attributes.get("langfuse.observation.usage_details") or "{}")
        return tuple(next((usage[name] for name in names if name in usage), None) for names in _LANGFUSE)  # type: ignore[return-value]  # two of them

    return _watching(exporter, counts, client.flush), _versions("langfuse")


_LANGFUSE = (("input", "prompt_tokens", "input_tokens"), ("output", "completion_tokens", "output_tokens"))
WATCHERS = {"ours": ours, "langfuse": langfuse, "logfire": logfire, "openinference": openinference}


def _memory() -> tuple[Any, Any]:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    return exporter, SimpleSpanProcessor(exporter)


def _watching(exporter: Any, counts: Callable[[Any], Any], flush: Callable[[], object] = lambda: None) -> Watcher:
    def watcher() -> list[Seen]:
        gc.collect()  # spans of streams that were dropped
        flush()
        found = _calls(exporter.get_finished_spans(), counts)
        exporter.clear()
        return found

    return watcher


def _calls(spans: Any, counts: Callable[[Any], Any]) -> list[Seen]:
    """Spans with their tokens. What logfire announces before a span begins is none; neither is the line that it writes
    at the end of a stream, whose tokens are taken for those of the span before it."""
    found: list[Seen] = []
    for span in sorted(spans, key=lambda span: span.start_time):
        kind = span.attributes.get("logfire.span_type")
        if kind == "log" and found:
            found[-1] = Seen(found[-1].name, *counts(span))
        elif kind != "pending_span":
            found.append(Seen(span.name, *counts(span)))
    return found


def _counts(span: Any, *names: str) -> tuple[int | None, ...]:
    return tuple(span.attributes.get(name) for name in names)


def _versions(*names: str) -> dict[str, str]:
    return {name: version(name) for name in names}
