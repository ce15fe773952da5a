"""Spans that other libraries make with the OpenTelemetry SDK, taken into our records.

    provider.add_span_processor(InstrumentSpanProcessor())

From then on both kinds of spans are one tree, whichever is inside the other. Where another instrumentation and ours see
the same model call, it is one call: the inner span has its tokens and its price, the outer one becomes a step.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import finalize

from msgspec.structs import replace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

from instrument.kinds import MODEL_KINDS
from instrument.model import Event, Link
from instrument.model import Span as Recorded
from instrument.record import llm, otel_context
from instrument.record.context import current
from instrument.record.otel_context import Call
from instrument.record.recorder import Recorder
from instrument.record.spans import amiss
from instrument.record.switch import installed, switch
from instrument.record.tools import Meets, called
from instrument.store.foreign.attributes import Bare, priced, span_of
from instrument.store.foreign.calls import as_step


class InstrumentSpanProcessor(SpanProcessor):
    """Give it to a `TracerProvider`: what ends there is recorded here as well, redacted, bounded and priced."""

    def __init__(self) -> None:
        otel_context.attach()
        otel_context.joined = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Know the span while it runs, so that a model call below it can take it over."""
        context, recorder = span.get_span_context(), installed()
        if context is not None and recorder is not None:
            parent_id = None if span.parent is None else f"{span.parent.span_id:016x}"
            call = Call(f"{context.trace_id:032x}", f"{context.span_id:016x}", parent_id)
            otel_context.calls[call.span_id] = call
            recorder.told_tools[call.span_id] = call.meets
            finalize(span, _forget, call.span_id, recorder.told_tools).atexit = False  # one may be dropped, never ended
            if call.budgets or recorder.asks_always:
                recorder.meet(call)

    def on_end(self, span: ReadableSpan) -> None:
        """Record the span."""
        context = span.get_span_context()
        call = None if context is None else otel_context.calls.pop(f"{context.span_id:016x}", None)
        recorder = switch.recorder
        if recorder is not None and call is not None:
            recorder.told_tools.pop(call.span_id, None)
        if recorder is None or context is None or not context.trace_flags & 1:
            return
        with suppress(RecursionError):
            try:
                found = _recorded(span, recorder, call)
                recorder.put(found)
                if call is not None and call.budgets and found.kind in MODEL_KINDS and found.usage is not None:
                    recorder.spent(call, found.usage, found.cost)
            except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
                amiss(recorder, "opentelemetry span", fault)

    def shutdown(self) -> None:
        """The recording goes on without the provider."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write what has ended; says whether that was done in time."""
        recorder, give_up = switch.recorder, time.monotonic() + timeout_millis / 1000
        if recorder is not None:
            recorder.flush(timeout_millis / 1000)
        return time.monotonic() < give_up


def _forget(span_id: str, told_tools: dict[str, Meets]) -> None:
    otel_context.calls.pop(span_id, None)
    told_tools.pop(span_id, None)


def _recorded(span: ReadableSpan, recorder: Recorder, call: Call | None) -> Recorded:
    found = span_of(_bare(span))
    taken_over = call is not None and call.kind == "step"
    if found.kind in MODEL_KINDS:
        found = as_step(found) if taken_over and found.kind == "llm" else _counted(found, recorder)
    elif found.kind == "tool" and call is not None and call.tool == called(found.name):
        found = as_step(found)
    return replace(
        found,
        run=recorder.run.run,
        input=_given(found.input, recorder),
        output=None if found.output is None else recorder.value(found.output),
        attributes=recorder.attributes(found.attributes),
        events=[replace(event, attributes=recorder.attributes(event.attributes)) for event in found.events],
        links=[replace(link, attributes=recorder.attributes(link.attributes)) for link in found.links],
    )


def _given(value: Any, recorder: Recorder) -> Any:
    """Each part by its name, as of our own calls: long messages are stored apart, not the tools with them."""
    if isinstance(value, dict):
        return recorder.arguments({**value})
    return None if value is None else recorder.value(value)


def _bare(span: ReadableSpan) -> Bare:
    context, start = span.get_span_context(), span.start_time or 0
    assert context is not None
    return Bare(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
        name=span.name,
        start_ns=start,
        duration_ns=max(0, (span.end_time or start) - start),
        attributes=_plain(span.attributes),
        failed=span.status.status_code is StatusCode.ERROR,
        message=span.status.description or "",
        events=[Event(event.name, event.timestamp, _plain(event.attributes)) for event in span.events],
        links=[
            Link(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", _plain(link.attributes))
            for link in span.links
        ],
        extra={} if span.instrumentation_scope is None else {"otel.scope.name": span.instrumentation_scope.name},
    )


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (attributes or {}).items()}


def _counted(span: Recorded, recorder: Recorder) -> Recorded:
    """With the cost of its tokens; a running model call of ours around it is the same call, seen from outside."""
    if span.usage is None:
        return span
    place = current.get()
    llm.make_step(None if place is None else place.model_call)
    return priced(span, recorder.prices)
