"""Spans that a framework tells of, by an event when they begin and another when they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from instrument.attributes import ITERATION, NO_ITERATION
from instrument.record.context import Place, current
from instrument.record.plan import Plan
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan, begin
from instrument.record.streams import mark_failed
from instrument.record.switch import installed
from instrument.record.tools import around
from instrument.request import request

Outer = LiveSpan | Place | None


class ToldPlan(Plan):
    """Marks the spans of frameworks."""

    __slots__ = ()


class ToldSpans:
    """The spans that were told of and have not ended, by the framework's own keys. No method raises."""

    def __init__(self) -> None:
        self._open: dict[Any, tuple[LiveSpan, Outer]] = {}

    def begin(self, key: Any, name: str, kind: str, **more: Any) -> None:
        """A span begins and is current where this is called; see `_begin` for what more can be said."""
        safely(self._begin, key, name, kind, **more)

    def ask(self, key: Any, name: str, asked: Mapping[str, Any]) -> None:
        """Only now it is known what a model call asks, and so its name."""
        safely(self._ask, key, name, asked)

    def give(self, key: Any, arguments: Mapping[str, Any]) -> None:
        """Only now it is known what a tool was given."""
        safely(self._give, key, arguments)

    def end(self, key: Any, output: Any = None, attributes: Mapping[str, Any] | None = None) -> None:
        """It ended well."""
        safely(self._end, key, output, attributes)

    def end_call(self, key: Any, answer: Any) -> None:
        """A model call ended with an answer of a kind that `instrument.answer.answer` knows."""
        safely(self._end_call, key, answer)

    def fail(self, key: Any, error: BaseException | tuple[str, str]) -> None:
        """It failed with an exception, or with a type and a message."""
        safely(self._fail, key, error)

    def note(self, key: Any, name: str, **attributes: Any) -> None:
        """Something happened inside of it."""
        found = self._open.get(key)
        if found is not None:
            safely(found[0].event, name, **attributes)

    def place(self, key: Any) -> LiveSpan | None:
        """The span of a key that is open."""
        found = self._open.get(key)
        return None if found is None else found[0]

    def _begin(
        self,
        key: Any,
        name: str,
        kind: str,
        *,
        above: Any = None,
        input: Mapping[str, Any] | None = None,
        asked: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """`above` is the key of the parent, `input` what was given by name, `asked` the request of a model call."""
        recorder, outer = installed(), current.get()
        if recorder is None:
            return
        given: Mapping[str, Any] | None = input
        if asked is not None:
            given, named = _described(asked)
            attributes = {**named, **(attributes or {})}
        if kind == "step" and ITERATION not in (attributes or {}):
            attributes = {**(attributes or {}), NO_ITERATION: True}
        captured = recorder.arguments(dict(given)) if given else None
        plan = ToldPlan(name, kind, attributes=attributes)
        span = begin(recorder, plan, _innermost(outer, self.place(above)), None, captured, asked, is_told=True)
        if span is not None:
            self._open[key] = span, outer
            if kind == "tool":
                recorder.told_tools[span.span_id] = around(span)
            current.set(span)

    def _ask(self, key: Any, name: str, asked: Mapping[str, Any]) -> None:
        span = self.place(key)
        if span is not None:
            given, attributes = _described(asked)
            span.name, span.asked, span.input = name, asked, span.recorder.arguments(given)
            span.set(attributes)

    def _give(self, key: Any, arguments: Mapping[str, Any]) -> None:
        span = self.place(key)
        if span is not None and arguments:
            span.input = span.recorder.arguments(dict(arguments))

    def _left(self, key: Any) -> LiveSpan | None:
        span, outer = self._open.pop(key, (None, None))
        if span is not None:
            span.recorder.told_tools.pop(span.span_id, None)
        place = current.get()
        if span is not None and (place is span or (_is_told(place) and place.duration is not None)):
            current.set(outer)  # the end of an inner one may have been told where this one's beginning was not
        return span

    def _end(self, key: Any, output: Any, attributes: Mapping[str, Any] | None) -> None:
        span = self._left(key)
        if span is None:
            return
        try:
            if attributes:
                span.set(attributes)
            if output is not None:
                span.output = span.recorder.value(output)
        finally:
            span.end()

    def _end_call(self, key: Any, answer: Any) -> None:
        span = self._left(key)
        if span is None:
            return
        try:
            if span.kind == "llm":  # as a step it has been taken over by a model call inside of it
                span.recorder.read_answer(span, answer)
        finally:
            span.end()

    def _fail(self, key: Any, error: BaseException | tuple[str, str]) -> None:
        span = self._left(key)
        if span is None:
            return
        if isinstance(error, BaseException):
            span.fail(error)
            if span.status == "cancelled":
                self._cancel_below(span, error)
        else:
            mark_failed(span, *error)
            span.end()

    def _cancel_below(self, span: LiveSpan, error: BaseException) -> None:
        """End what is still open in it, for whose cancellation the framework has no event."""
        for key, (inner, _) in list(self._open.items()):
            if inner.parent_id == span.span_id:
                self._fail(key, error)


def _described(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Input and attributes of a model call."""
    told = request(asked)
    return told.said(), told.attributes()


def _innermost(outer: Outer, parent: LiveSpan | None) -> Outer:
    """The parent that was told, unless a span that the framework does not know is current, deeper in its trace."""
    if parent is None:
        return outer
    is_deeper = outer is not None and outer.trace_id == parent.trace_id and outer.depth > parent.depth
    return outer if is_deeper and not _is_told(outer) else parent


def _is_told(place: Outer) -> TypeGuard[LiveSpan]:
    return isinstance(place, LiveSpan) and isinstance(place.plan, ToldPlan)
