"""One model call is counted once, also where several spans tell of it, or these come in several requests.

What was counted before the receiver was started anew is known from the spans that it stored: those of a call that was
counted with another span are steps there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from instrument.attributes import NO_ITERATION
from instrument.model import Span
from instrument.store.heads import SpanHead, head_of

MOST_TRACES = 1_000
"""Traces that are remembered: those that were heard of last."""
MOST_SPANS = 10_000
"""Spans of one trace that are remembered; of a longer one those that come later are looked at request by request."""
MOST_BYTES = 32 * 1024 * 1024
"""So much of what was stored last is read to know what was counted."""


def one_model_call(spans: Sequence[Span]) -> list[Span]:
    """The spans, where of nested model calls with tokens only the innermost is one: the outer ones become steps."""
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    outer = {id(above) for span in spans if counts(span) for above in _above(span, by_id) if counts(above)}
    return [as_step(span) if id(span) in outer else span for span in spans]


def counts(span: Span | SpanHead) -> bool:
    """Whether the span is a model call with tokens."""
    return span.kind == "llm" and span.usage is not None


def _above(span: Span, by_id: dict[tuple[str, str], Span]) -> list[Span]:
    path: list[Span] = []
    above = by_id.get((span.trace_id, span.parent_id or ""))
    while above is not None and above is not span and all(above is not one for one in path):
        path.append(above)
        above = by_id.get((above.trace_id, above.parent_id or ""))
    return path


def as_step(span: Span) -> Span:
    """The span as a step: its tokens are those of a model call inside it, and only told as attributes."""
    tokens = {} if span.usage is None else msgspec.to_builtins(span.usage)
    held = {f"gen_ai.usage.{key}_tokens": tokens[key] for key in ("input", "output") if key in tokens}
    return msgspec.structs.replace(
        span, kind="step", usage=None, attributes={**span.attributes, **held, NO_ITERATION: True}
    )


class CallsSeen:
    """What was counted in recent traces.

    An inner span ends first, so it mostly comes first and is the call; what lies around it is a step. Where the outer
    one came first, it has been counted, and the inner one is the step.
    """

    def __init__(self) -> None:
        self._traces: OrderedDict[str, _Trace] = OrderedDict()

    def once_each(self, spans: Sequence[Span]) -> list[Span]:
        """The spans of one request, in their order; those whose call is counted with another span as steps."""
        alone = one_model_call(spans)
        for span in alone:
            self._trace(span.trace_id).meet(span)
        calls = [span for span in alone if counts(span) and not self._trace(span.trace_id).has(span)]
        outer = {(one.trace_id, above) for one in calls for above in self._trace(one.trace_id).above(one.span_id)}
        counted = {id(one) for one in calls if (one.trace_id, one.span_id) not in outer}
        for one in calls:
            if id(one) in counted:
                self._trace(one.trace_id).count(one)
        return [as_step(span) if counts(span) and id(span) not in counted else span for span in alone]

    def remember(self, stored: Iterable[SpanHead]) -> None:
        """Spans as they were given out and stored, oldest first."""
        for span in stored:
            trace = self._trace(span.trace_id)
            trace.meet(span)
            if counts(span):
                trace.count(span)

    def _trace(self, trace_id: str) -> _Trace:
        found = self._traces.get(trace_id)
        if found is None:
            found = self._traces[trace_id] = _Trace()
            if len(self._traces) > MOST_TRACES:
                self._traces.popitem(last=False)
        self._traces.move_to_end(trace_id)
        return found


class _Trace:
    __slots__ = ("_around", "_counted", "_parents")

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._counted: set[str] = set()
        self._around: set[str] = set()
        """Spans, perhaps still to come, inside of which a call was counted."""

    def meet(self, span: Span | SpanHead) -> None:
        """Know where the span is; it may close the gap between a call and what is around it."""
        if span.parent_id is not None and len(self._parents) < MOST_SPANS:
            self._parents[span.span_id] = span.parent_id
        if span.span_id in self._around:
            self._around.update(self.above(span.span_id))

    def has(self, span: Span) -> bool:
        """Whether the call of this span has been counted with another one, inside or around."""
        return span.span_id in self._around or not self._counted.isdisjoint(self.above(span.span_id))

    def count(self, span: Span | SpanHead) -> None:
        """It is counted with this span."""
        self._counted.add(span.span_id)
        self._around.update(self.above(span.span_id))

    def above(self, span_id: str) -> Iterator[str]:
        """The spans around it, as far as they are known."""
        seen = {span_id}
        above = self._parents.get(span_id)
        while above is not None and above not in seen:
            seen.add(above)
            yield above
            above = self._parents.get(above)


def stored_last(folder: Path, source: str, most_bytes: int = MOST_BYTES) -> Iterator[SpanHead]:
    """The heads of the spans that receivers called `source` stored last in a recording folder, oldest first.

    Files that are packed or cannot be read are passed over: they tell of traces that have long ended.
    """
    ends: list[tuple[Path, int]] = []
    for path in sorted((folder / "events").glob(f"*-{source}-*.jsonl"), reverse=True):
        with suppress(OSError):
            size = path.stat().st_size
            ends.append((path, max(0, size - most_bytes)))
            most_bytes -= size
        if most_bytes <= 0:
            break
    for path, start in reversed(ends):
        with suppress(OSError):
            yield from _spans_from(path, start)


def _spans_from(path: Path, start: int) -> Iterator[SpanHead]:
    with path.open("rb") as file:
        if start > 0:
            file.seek(start - 1)
            file.readline()  # the line that this is in the middle of
        for line in file:
            if line.startswith(b'{"type":"span"'):
                with suppress(ValueError):  # cut off where the process was killed
                    head = head_of(line)
                    if isinstance(head, SpanHead):
                        yield head
