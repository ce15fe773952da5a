"""A live span: begun, current for a while, ended, handed over. The only mutable thing that user code ever sees.

*Open* and *current* are separate: `begin` opens a span, the caller makes it current, `end` closes it. A generator's
span stays open from its first pull to its last and is current only while its body runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from instrument.errors import InstrumentError
from instrument.kinds import LARGEST_COUNT, MODEL_KINDS
from instrument.record.context import NOWHERE, Place, below
from instrument.record.failures import describe, is_cancellation
from instrument.record.held import SMALL
from instrument.record.plan import Plan
from instrument.signals import is_of_signal
from instrument.statuses import REFUSED

if TYPE_CHECKING:
    from weakref import ReferenceType

    from instrument.model import Record
    from instrument.record.recorder import Recorder


V = TypeVar("V")


class Seldom(Generic[V]):
    """An attribute that few spans have: it takes no room and no time where it is not set."""

    __slots__ = ("_name", "_unset")

    def __init__(self, unset: V) -> None:
        self._unset = unset

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, span: LiveSpan, owner: type | None = None) -> V:
        seldom = span.seldom
        return self._unset if seldom is None else seldom.get(self._name, self._unset)

    def __set__(self, span: LiveSpan, value: V) -> None:
        (span.seldom or rare(span))[self._name] = value


def _count(number: Any) -> int:
    count = int(number)
    if abs(count) > LARGEST_COUNT:
        raise OverflowError("more tokens than there can be")
    return count


def rare(span: LiveSpan) -> dict[str, Any]:
    """What few spans have, made where there is nothing yet; what another thread makes at the same moment is kept."""
    made: dict[str, Any] = {}
    if span.seldom is None:  # no other thread, finalizer or handler runs between this and the next line
        span.seldom = made
    return span.seldom


def add_unsaid(span: LiveSpan, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Add to one of these what it does not hold yet, each in one step; the whole of it."""
    said: dict[str, Any] = rare(span).setdefault(name, {})
    for key, value in found.items():
        said.setdefault(key, value)
    return said


class LiveSpan:
    """A span that is running. `.set`, `.event`, `.usage` and `.link` add to it until it ends, then they do nothing.

    They add in one step that nothing interrupts: two threads may do so at the same moment.
    """

    __slots__ = (
        "__weakref__",
        "agent_id",
        "agent_name",
        "budgets",
        "depth",
        "duration",
        "input",
        "kind",
        "model_call",
        "name",
        "operation",
        "output",
        "parent_id",
        "plan",
        "recorder",
        "sampled",
        "seldom",
        "settled",
        "shared",
        "span_id",
        "started",
        "status",
        "taken",
        "trace_id",
    )

    recorder: Recorder
    plan: Plan
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    depth: int
    sampled: bool | None
    shared: Mapping[str, Any] | None
    agent_id: str | None
    agent_name: str | None
    operation: str | None
    model_call: ReferenceType[Any] | None
    budgets: tuple[Any, ...]
    started: int
    duration: int | None
    status: str
    input: Any
    output: Any
    taken: bool
    settled: bool
    seldom: dict[str, Any] | None

    announced = Seldom(False)
    around = Seldom[Context | None](None)
    asked = Seldom[Mapping[str, Any] | None](None)
    attributes = Seldom[dict[str, Any] | None](None)
    error = Seldom[tuple[str, str, list[Any]] | None](None)
    events = Seldom[list[tuple[str, int, dict[str, Any]]] | None](None)
    large = Seldom(0)
    links = Seldom[list[tuple[str, str]] | None](None)
    model = Seldom[str | None](None)
    refused = Seldom(False)
    tokens = Seldom[dict[str, Any] | None](None)
    unsettled = Seldom[BaseException | None](None)
    wants_estimate = Seldom(False)

    def begin_trace(self, place: LiveSpan | Place) -> LiveSpan | Place:
        """Be the first of a trace, or the first of this process in one that has its origin elsewhere."""
        recorder = self.recorder
        if recorder.program is not None:
            place = recorder.program(self, place) or place
        if place.trace_id is None and recorder.origin is not None:
            place = below(recorder.origin, place)
        self.parent_id = place.span_id
        self.depth = place.depth + 1
        if place.trace_id is None:
            self.trace_id = recorder.new_trace_id()
            self.sampled = place.sampled and recorder.sampling.samples(self.trace_id, self.name)
        else:
            self.trace_id = place.trace_id
            self.sampled = place.sampled
        return place

    @property
    def span(self) -> LiveSpan:
        """Itself: so that a live span can stand where a `Place` does."""
        return self

    def set(self, attributes: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Set attributes, from a mapping (for names with dots) or keywords; a later value replaces an earlier one."""
        if self.duration is not None:
            return
        recorder = self.recorder
        try:
            named = {str(key): value for key, value in {**(attributes or {}), **more}.items()}
            rare(self).setdefault("attributes", {}).update(recorder.attributes(named))
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "set", fault)

    def event(self, name: str, /, **attributes: Any) -> None:
        """Mark a moment inside the span."""
        if self.duration is not None:
            return
        recorder = self.recorder
        try:
            taken = {key: recorder.value(value) for key, value in attributes.items()}
            rare(self).setdefault("events", []).append((str(name), recorder.now(), taken))
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "event", fault)

    def usage(
        self,
        input: int | None = None,
        output: int | None = None,
        cached: int | None = None,
        cache_write: int | None = None,
        reasoning: int | None = None,
        model: str | None = None,
        *,
        cache_write_1h: int | None = None,
        web_searches: int | None = None,
        file_searches: int | None = None,
    ) -> None:
        """Say how many tokens this model call took; `input` and `output` are inclusive, the others parts of them.

        `web_searches` and `file_searches` are calls of the provider's own tools, billed beside tokens.
        """
        if self.duration is not None:
            return
        given = {
            "input": input,
            "output": output,
            "cached": cached,
            "cache_write": cache_write,
            "reasoning": reasoning,
            "cache_write_1h": cache_write_1h,
            "web_searches": web_searches,
            "file_searches": file_searches,
        }
        try:
            told = {kind: _count(number) for kind, number in given.items() if number is not None}
            rare(self).setdefault("tokens", {}).update(told)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(self.recorder, "usage", fault)
        if model is not None:
            self.model = model

    def link(self, trace_id: str, span_id: str) -> None:
        """Relate this span to one that is no ancestor of it."""
        if self.duration is not None:
            return
        try:
            rare(self).setdefault("links", []).append((str(trace_id), str(span_id)))
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(self.recorder, "link", fault)

    def end(self) -> None:
        """Close the span and hand it over. A second end does nothing."""
        if self.duration is not None:
            return
        try:
            self.duration = self.recorder.clock() - self.started
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(self.recorder, "end", fault)
        self.hand_over()

    def succeed(self, result: object) -> None:
        """Close the span with what the call returned; a client's stream closes it when it has been read."""
        recorder = self.recorder
        try:
            is_model_call = self.plan.is_model_call and self.kind in MODEL_KINDS  # it may have become a step
            if is_model_call and recorder.follow(self, result):
                return
            self.duration = recorder.clock() - self.started
            try:
                if is_model_call:
                    recorder.read_answer(self, result)
            finally:
                if self.output is None and result is not None and self.plan.capture_output:
                    if type(result) is str:
                        is_held = len(result) <= recorder.holds
                    else:
                        is_held = type(result) is int and recorder.holds > 0
                    self.output = result if is_held else recorder.value(result)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "result", fault)
        try:
            recorder.take(self)
        except RecursionError:
            recorder.queue.append(self)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "end", fault)

    def fail(self, error: BaseException) -> None:
        """Close the span with the exception that left it."""
        recorder = self.recorder
        try:
            if self.duration is None:
                self.duration = recorder.clock() - self.started
            self.status = "cancelled" if is_cancellation(error) else REFUSED if self.refused else "error"
            if self.status != "cancelled":
                self.error = describe(error)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "error", fault)
        self.hand_over()

    def hand_over(self) -> None:
        """Give the span that has ended to the recorder. At the recursion limit it is queued as it is."""
        recorder = self.recorder
        try:
            recorder.take(self)
        except BaseException as fault:
            recorder.queue.append(self)  # it is settled once, however often it is queued
            if not isinstance(fault, Exception):
                raise  # a signal's, which is the user's
            if not isinstance(fault, RecursionError):
                amiss(recorder, "end", fault)


class Begun:
    """Queued when a span begins that is worth announcing at once, so that live views show it before its children."""

    __slots__ = ("span",)

    def __init__(self, span: LiveSpan) -> None:
        self.span = span


class Told:
    """Queued for a record that was made of no live span: what capture has left over is finished behind the caller."""

    __slots__ = ("depth", "record")

    def __init__(self, record: Record, depth: int) -> None:
        self.record = record
        self.depth = depth


_new = LiveSpan.__new__


def amiss(recorder: Recorder, where: str, fault: Exception) -> None:
    """Count a fault of ours. Raises what is none: the recursion limit, and what a handler of signals has raised."""
    if isinstance(fault, MemoryError):
        recorder.fault(where, fault)  # nothing more: anything takes memory
        return
    if isinstance(fault, RecursionError) or is_of_signal(fault):
        try:
            raise fault
        finally:
            del fault  # else it would hold itself by this frame, and with it what the program's frames hold
    with suppress(Exception):
        recorder.fault(where, fault)


def arguments_of(
    recorder: Recorder, plan: Plan, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The arguments of one call as they are now, encoded where they could change; None where they are not wanted."""
    if not plan.capture_input:
        return None
    try:
        if len(args) == plan.arity and instance is None and not kwargs:
            named = (plan.display or plan.make_display())(*args)
        else:
            named = plan.named(instance, args, kwargs)
        room = recorder.holds
        for value in named.values():
            kind = type(value)
            if kind is str:
                room -= len(value)
            elif kind is int or kind is bool or value is None:
                room -= SMALL
            else:
                room = -1
                break
        return named if room >= 0 and not kwargs else recorder.arguments(named)
    except RecursionError:
        return None
    except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
        amiss(recorder, "arguments", fault)
        return None


def begin(
    recorder: Recorder,
    plan: Plan,
    place: LiveSpan | Place | None,
    instance: object = None,
    captured: Any = None,
    asked: Mapping[str, Any] | None = None,
    is_told: bool = False,
) -> LiveSpan | None:
    """Open the span of one call; the caller makes it current. None when recording it failed.

    `asked` is the request of a model call where it is known better than by the arguments. Of a call that `is_told` by
    others no guard is asked: it goes on whatever the answer. Raises what a guard refuses the call with, and nothing
    else.
    """
    span = None
    try:
        span = _new(LiveSpan)  # no `__init__`: to call a class takes twice as long
        span.recorder = recorder
        span.plan = plan
        span.name = plan.name
        span.kind = plan.kind
        span.input = captured
        try:
            span.span_id = recorder.span_ids.popleft()
        except IndexError:
            span.span_id = recorder.new_span_id()
        span.duration = span.output = span.seldom = None
        span.taken = span.settled = False
        span.started = 0
        span.status = "ok"
        if place is None or place.trace_id is None:
            place = span.begin_trace(place or NOWHERE)
        else:
            span.trace_id = place.trace_id
            span.parent_id = place.span_id
            span.depth = place.depth + 1
            span.sampled = place.sampled
        span.shared = place.shared
        span.agent_id = place.agent_id
        span.agent_name = place.agent_name
        span.operation = plan.operation or place.operation
        span.model_call = place.model_call
        span.budgets = place.budgets
        if not plan.is_common:
            _take_what_is_rare(span, plan, instance, asked)
        recorder.open[span] = None
        # `opened` asks the same once more: here it spares most calls from calling it
        if recorder.pipeline.asleep or span.sampled is False or plan.is_announced:
            recorder.opened(span)
        if recorder.asks_always or span.budgets or plan.budget is not None:
            recorder.meet(span) if is_told else recorder.ask_guards(span)
        span.started = recorder.clock()
        return span
    except InstrumentError:
        raise
    except BaseException as fault:
        if span is not None:
            span.duration = 0  # it never began
            recorder.open.pop(span, None)
        if not isinstance(fault, Exception):
            raise
        if not isinstance(fault, RecursionError):
            amiss(recorder, "begin", fault)
        return None


def _take_what_is_rare(span: LiveSpan, plan: Plan, instance: object, asked: Mapping[str, Any] | None) -> None:
    """What only some spans have: the id or name of an agent, attributes of their own, the request of a model call."""
    if plan.agent_id is not None:
        span.agent_id = plan.agent_id if instance is None else span.recorder.agent_id_of(instance, plan.agent_id)
    if plan.agent_name is not None:
        span.agent_name = plan.agent_name
    if plan.span_id is not None:
        span.span_id = plan.span_id
    if plan.attributes is not None:
        span.set(plan.attributes)
    if plan.is_model_call:
        span.asked = asked
        span.recorder.take_over(span)
