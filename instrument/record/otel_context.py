"""One trace with the OpenTelemetry API: our spans hang below its current span and, when `joined`, its below ours.

OpenTelemetry keeps its current span in a context of its own. Where a program loads that API, attaching such a context
also makes its span our current place; where `joined`, asking for the current context also shows it our current span.
The innermost of the two counts, and a context that is handed over explicitly more than what surrounds it. Programs
that do not use OpenTelemetry pay nothing and load nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ReferenceType, ref

import wrapt

from instrument.record.context import Place, current, place_with
from instrument.record.spans import amiss
from instrument.record.switch import switch
from instrument.record.tools import called

if TYPE_CHECKING:
    from instrument.record.spans import LiveSpan


class Call:
    """Stands for a running span of OpenTelemetry, of which it is not known yet whether it is a model call.

    It can be taken over like a model call of ours (`instrument.record.llm.take_over`), which makes it a step.
    """

    __slots__ = (
        "__weakref__",
        "above",
        "budgets",
        "duration",
        "kind",
        "parent_id",
        "plan",
        "span_id",
        "tool",
        "trace_id",
    )

    def __init__(self, trace_id: str, span_id: str, parent_id: str | None) -> None:
        self.trace_id, self.span_id, self.parent_id = trace_id, span_id, parent_id
        self.kind = "llm"
        self.tool: str | None = None
        self.duration: int | None = None
        place = current.get()
        self.budgets: tuple[Any, ...] = _budgets_around(place, trace_id)
        self.plan = None
        self.above: ReferenceType[Any] | None = None if place is None else place.model_call

    def meets(self, inner: LiveSpan) -> None:
        """A tool call of ours ended in it."""
        self.tool = called(inner.name)


def _budgets_around(place: LiveSpan | Place | None, trace_id: str) -> tuple[Any, ...]:
    """Those of the place where a span begins; what limits another trace is none of its."""
    if place is None:
        return ()
    return tuple(scope for scope in place.budgets if not scope.is_of_trace or place.trace_id == trace_id)


joined = False
"""Whether spans of OpenTelemetry hang below ours. Off while nobody takes ours to where theirs go: their backend would
show spans whose parent it has never seen."""

calls: dict[str, Call] = {}
"""By span id, the spans of OpenTelemetry that run and are recorded when they end."""

_attached = False


def attach() -> None:
    """Watch the contexts of OpenTelemetry from when the program imports it; a second time does nothing."""
    global _attached
    if not _attached:
        _attached = True
        wrapt.register_post_import_hook(_attach_context, "opentelemetry.context")


def _attach_context(module: Any) -> None:
    theirs = getattr(module, "_RUNTIME_CONTEXT", None)
    if theirs is not None and not isinstance(theirs, Joined):
        module._RUNTIME_CONTEXT = Joined(theirs)


class _Token(NamedTuple):
    theirs: Any
    place: Any
    outer: Any


class _Nothing:
    """Stands for: our current place was left as it was."""


class Joined:
    """OpenTelemetry's runtime context (`attach`, `get_current`, `detach`), told of our place and telling us of its."""

    def __init__(self, theirs: Any) -> None:
        self.theirs = theirs

    def attach(self, context: Any) -> Any:
        """Make the context current, and its span our place."""
        token = self.theirs.attach(context)
        outer = current.get()
        place = _guarded("attach", _place_in, context, outer)
        if place is _Nothing or place is None:
            return _Token(token, _Nothing, None)
        current.set(place)
        return _Token(token, place, outer)

    def detach(self, token: Any) -> None:
        """Put back what was current before `attach`, theirs and ours."""
        if not isinstance(token, _Token):
            return self.theirs.detach(token)  # type: ignore[no-any-return]  # it returns nothing
        if current.get() is token.place:
            current.set(token.outer)
        self.theirs.detach(token.theirs)

    def get_current(self) -> Any:
        """Their current context; where our span is the innermost one, with ours as its span."""
        context = self.theirs.get_current()
        if not joined or switch.recorder is None:
            return context
        return _guarded("current", _with_our_span, context) or context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.theirs, name)


def _guarded(where: str, function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
        if switch.recorder is not None:
            amiss(switch.recorder, f"opentelemetry {where}", fault)
        return None


def _place_in(context: Any, outer: Any) -> Any:
    """The place of the context's span; `_Nothing` where it is ours already, or has none and need not have one."""
    from opentelemetry import trace

    told = trace.get_current_span(context).get_span_context()
    if not told.is_valid:
        return _outside(outer) if joined else _Nothing
    span_id = f"{told.span_id:016x}"
    if outer is not None and outer.span_id == span_id:
        return _Nothing
    call = calls.get(span_id)
    place = place_with(
        outer,
        trace_id=f"{told.trace_id:032x}",
        span_id=span_id,
        depth=-1,
        span=None,
        sampled=bool(told.trace_flags & 1) and (outer is None or outer.sampled),
    )
    if call is not None:
        place.model_call = ref(call)
    return place


def _outside(outer: Any) -> Any:
    """A context without a span was made to begin a new trace: what begins there is a root."""
    if outer is None or outer.span_id is None:
        return _Nothing
    return place_with(outer, trace_id=None, span_id=None, depth=-1, span=None)


def _with_our_span(context: Any) -> Any:
    from opentelemetry import trace

    place = current.get()
    if place is None or place.trace_id is None or place.span_id is None:
        return context
    told = trace.get_current_span(context).get_span_context()
    if told.is_valid and f"{told.span_id:016x}" == place.span_id:
        return context
    return trace.set_span_in_context(trace.NonRecordingSpan(_span_context(place, trace)), context)


def _span_context(place: LiveSpan | Place, trace: Any) -> Any:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if place.sampled else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(int(place.trace_id or "0", 16), int(place.span_id or "0", 16), False, flags)
