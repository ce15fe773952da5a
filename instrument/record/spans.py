"""A live span: begun, current for a while, ended, handed over. The only mutable thing that user code ever sees.

*Open* and *current* are separate: `begin` opens a span, the caller makes it current, `end` closes it. A generator's
span stays open from its first pull to its last and is current only while its body runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from instrument.errors import InstrumentError
from instrument.record.context import Place, current, leave

if TYPE_CHECKING:
    from weakref import ReferenceType

    from instrument.record.recorder import Recorder

MAX_FRAMES = 50
MODEL_KINDS = ("llm", "embedding")
"""Kinds of spans that are calls of a model: they have usage and cost."""

CANCELLATIONS = frozenset(
    {"asyncio.exceptions.CancelledError", "concurrent.futures._base.CancelledError", "trio.Cancelled"}
)


class Plan:
    """What is decided about a callable once, at decoration."""

    __slots__ = (
        "_display",
        "agent_id",
        "attributes",
        "budget",
        "capture_input",
        "capture_output",
        "defaults",
        "keyword_defaults",
        "kind",
        "model",
        "name",
        "names",
        "names_of_method",
        "operation",
        "rest",
        "takes_self",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        names: tuple[str, ...] = (),
        *,
        rest: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        capture_input: bool = True,
        capture_output: bool = True,
        attributes: Mapping[str, Any] | None = None,
        model: str | None = None,
        agent_id: str | None = None,
        budget: Mapping[str, Any] | None = None,
        operation: str | None = None,
    ) -> None:
        self.name = name
        self.operation = operation
        self.kind = kind
        self.names = names
        self.names_of_method = names[1:]
        self.takes_self = names[:1] in (("self",), ("cls",), ("mcs",))
        self.rest = rest
        self.defaults = defaults
        self.keyword_defaults = not set(defaults or ()).issubset(names)
        self.capture_input = capture_input
        self.capture_output = capture_output
        self.attributes = attributes
        self.model = model
        self.agent_id = agent_id
        self.budget = budget
        self._display: Callable[..., dict[str, Any]] | None = None

    def belongs_to_class(self) -> None:
        """The first parameter, whatever its name, is the instance or the class."""
        self.takes_self = bool(self.names)
        self._display = None

    def named(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of one call by parameter, without `self` or `cls`; surplus positional ones under `*name`."""
        names = self.names
        if not kwargs and len(args) == len(names) and instance is None and not self.keyword_defaults:
            return (self._display or self._made_display())(*args)
        if instance is not None:
            names = self.names_of_method
        elif self.takes_self and args:
            names, args = self.names_of_method, args[1:]
        named = dict(zip(names, args, strict=False))
        if len(args) > len(names) and self.rest is not None:
            named[f"*{self.rest}"] = args[len(names) :]
        if kwargs:
            named.update(kwargs)
        if self.defaults is not None:
            for name, value in self.defaults.items():
                if name not in named:
                    named[name] = value
        if self.takes_self:
            named.pop(self.names[0], None)
        return named

    def _made_display(self) -> Callable[..., dict[str, Any]]:
        """`lambda a, b: {"a": a, "b": b}`: takes a third of the time that pairing names and arguments does."""
        shown = self.names_of_method if self.takes_self else self.names
        pairs = ", ".join(f"{name!r}: {name}" for name in shown)
        self._display = display = eval(f"lambda {', '.join(self.names)}: {{{pairs}}}")
        return display  # type: ignore[no-any-return]  # eval says nothing of it

    def holder(self, instance: object, args: tuple[Any, ...]) -> object:
        """The instance or class whose method is called, None for a plain function."""
        return args[0] if instance is None and self.takes_self and args else instance


NOWHERE = Place()
"""Where a span hangs that is the first of its trace."""


class LiveSpan:
    """A span that is running. `.set`, `.event`, `.usage` and `.link` add to it until it ends, then they do nothing."""

    __slots__ = (
        "__weakref__",
        "agent_id",
        "announced",
        "asked",
        "attributes",
        "budgets",
        "depth",
        "duration",
        "error",
        "events",
        "input",
        "kind",
        "links",
        "model",
        "model_call",
        "name",
        "operation",
        "output",
        "parent_id",
        "plan",
        "recorder",
        "refused",
        "sampled",
        "settled",
        "shared",
        "span_id",
        "started",
        "status",
        "taken",
        "tokens",
        "trace_id",
        "unsettled",
        "wants_estimate",
    )

    trace_id: str
    parent_id: str | None
    depth: int
    sampled: bool
    shared: Mapping[str, Any] | None
    agent_id: str | None
    budgets: tuple[Any, ...]
    operation: str | None
    model_call: ReferenceType[LiveSpan] | None
    asked: Mapping[str, Any] | None
    plan: Plan | None
    duration: int | None
    unsettled: BaseException | None
    input: Any
    output: Any
    error: tuple[str, str, list[Any]] | None
    model: str | None
    attributes: dict[str, Any] | None
    tokens: dict[str, Any] | None
    events: list[tuple[str, int, dict[str, Any]]] | None
    links: list[tuple[str, str]] | None

    def __init__(self, recorder: Recorder, name: str, kind: str, place: LiveSpan | Place | None) -> None:
        self.recorder = recorder
        self.name = name
        self.kind = kind
        self.span_id = recorder.new_span_id()
        self.plan = self.duration = self.input = self.output = self.attributes = self.asked = None
        self.error = self.unsettled = self.events = self.links = self.tokens = self.model = None
        self.announced = self.taken = self.settled = self.refused = self.wants_estimate = False
        self.started = 0
        self.status = "ok"
        place = place or recorder.origin or NOWHERE
        if place.trace_id is None:
            self.trace_id = recorder.new_trace_id()
            self.parent_id = None
            self.depth = 0
            self.sampled = place.sampled and recorder.samples(self.trace_id)
        else:
            self.trace_id = place.trace_id
            self.parent_id = place.span_id
            self.depth = place.depth + 1
            self.sampled = place.sampled
        self.shared = place.shared
        self.agent_id = place.agent_id
        self.operation = place.operation
        self.model_call = place.model_call
        self.budgets = place.budgets

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
            taken = {str(key): recorder.value(value) for key, value in {**(attributes or {}), **more}.items()}
            self.attributes = {**(self.attributes or {}), **taken}
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "set", fault)

    def event(self, name: str, /, **attributes: Any) -> None:
        """Mark a moment inside the span."""
        if self.duration is not None:
            return
        recorder = self.recorder
        try:
            taken = {key: recorder.value(value) for key, value in attributes.items()}
            self.events = [*(self.events or ()), (str(name), recorder.now(), taken)]
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
    ) -> None:
        """Say how many tokens this model call took; `input` and `output` are inclusive, the others parts of them."""
        if self.duration is not None:
            return
        given = {"input": input, "output": output, "cached": cached, "cache_write": cache_write, "reasoning": reasoning}
        self.tokens = {**(self.tokens or {}), **{kind: count for kind, count in given.items() if count is not None}}
        if model is not None:
            self.model = model

    def link(self, trace_id: str, span_id: str) -> None:
        """Relate this span to one that is no ancestor of it."""
        if self.duration is None:
            self.links = [*(self.links or ()), (str(trace_id), str(span_id))]

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
        """Close the span with what the call returned."""
        recorder = self.recorder
        try:
            self.duration = recorder.clock() - self.started
            plan = self.plan
            if plan is not None and plan.capture_output and result is not None:
                self.output = recorder.value(result)
            if self.kind in MODEL_KINDS:
                recorder.read_answer(self, result)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "result", fault)
        self.hand_over()

    def fail(self, error: BaseException) -> None:
        """Close the span with the exception that left it."""
        recorder = self.recorder
        try:
            if self.duration is None:
                self.duration = recorder.clock() - self.started
            self.status = "cancelled" if is_cancellation(error) else "error"
            if isinstance(error, RecursionError):
                self.unsettled = error  # the worker has the room to look at it
            elif self.status == "error":
                self.error = describe(error)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "error", fault)
        self.hand_over()

    def hand_over(self) -> None:
        """Give the span that has ended to the recorder. At the recursion limit it is queued as it is."""
        recorder = self.recorder
        try:
            recorder.take(self)
        except RecursionError:
            recorder.queue.append(self)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(recorder, "end", fault)


def amiss(recorder: Recorder, where: str, fault: Exception) -> None:
    """Count a fault of ours; never raises but at the recursion limit, which is the caller's affair."""
    if isinstance(fault, RecursionError):
        raise fault
    with suppress(Exception):
        recorder.fault(where, fault)


def arguments_of(
    recorder: Recorder, plan: Plan, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The arguments of one call as they are now, encoded; None where they are not wanted."""
    if not plan.capture_input:
        return None
    try:
        return recorder.arguments(plan.named(instance, args, kwargs))
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
) -> LiveSpan | None:
    """Open the span of one call; the caller makes it current. None when recording it failed.

    `asked` is the request of a model call where it is known better than by the arguments. Raises what a guard refuses
    the call with, and nothing else.
    """
    span = None
    try:
        span = LiveSpan(recorder, plan.name, plan.kind, place)
        span.plan = plan
        span.input = captured
        if plan.operation is not None:
            span.operation = plan.operation
        if plan.agent_id is not None and instance is not None:
            span.agent_id = recorder.agent_id_of(instance, plan.agent_id)
        if plan.attributes is not None:
            span.set(plan.attributes)
        if plan.kind in MODEL_KINDS:
            span.asked = asked
            recorder.take_over(span)
        recorder.opened(span)
        if recorder.asks_always or span.budgets or plan.budget is not None:
            recorder.ask_guards(span)
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


def is_cancellation(error: BaseException) -> bool:
    """Whether the exception asks the work to stop rather than says that it failed (asyncio, trio, a closed one)."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_cancellation(part) for part in error.exceptions)
    kinds = type(error).__mro__
    return isinstance(error, GeneratorExit) or any(f"{k.__module__}.{k.__name__}" in CANCELLATIONS for k in kinds)


def describe(error: BaseException) -> tuple[str, str, list[Any]]:
    """Type, message and the raw frames of an exception with its causes; text is made of them on the worker."""
    chain: list[Any] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(chain) < 8:
        seen.add(id(error))
        chain.append((_type_name(type(error)), message_of(error), _frames(error.__traceback__)))
        cause, context = error.__cause__, None if error.__suppress_context__ else error.__context__
        error = context if cause is None else cause  # type: ignore[assignment]  # ends the loop
    return chain[0][0], chain[0][1], chain


def _type_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    """The text of an exception, or that it cannot be had."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the user's __str__ may do anything
        return f"<{type(error).__name__} whose __str__ failed>"


def _frames(traceback: TracebackType | None) -> list[tuple[str, int, str]]:
    frames: list[tuple[str, int, str]] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((code.co_filename, traceback.tb_lineno, code.co_qualname))
        traceback = traceback.tb_next
    if len(frames) > MAX_FRAMES:
        omitted = len(frames) - MAX_FRAMES
        frames[10 : 10 + omitted] = [("", omitted, "")]
    return frames


class span:  # noqa: N801 - a context manager that reads as a verb
    """`with span("name", kind="step") as s:` records the block as a span; an exception passes and marks it.

    `s` is the live span. `attributes` are set from the start.
    """

    def __init__(self, name: str, kind: str = "span", attributes: Mapping[str, Any] | None = None) -> None:
        self._plan = Plan(str(name), str(kind), attributes=attributes)
        self._entered: list[tuple[LiveSpan, LiveSpan | Place | None]] = []

    def __enter__(self) -> LiveSpan:
        recorder, outer = installed(), current.get()
        live = None if recorder is None else begin(recorder, self._plan, outer)
        if live is None:
            return unrecorded()
        self._entered.append((live, outer))
        current.set(live)
        return live

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        live, outer = self._left()
        if live is None:
            return
        leave(live, outer, destroyed=isinstance(error, GeneratorExit))
        if error is None:
            live.end()
        else:
            live.fail(error)

    def _left(self) -> tuple[LiveSpan | None, LiveSpan | Place | None]:
        """The block that is left: of one object used in several tasks or within itself, the one that is current."""
        place = current.get()
        mine = [entry for entry in self._entered if entry[0] is place] or self._entered[-1:]
        for entry in mine:
            self._entered.remove(entry)
            return entry
        return None, None


class _Nowhere:
    """Stands in for the recorder of a span that is not recorded: it takes everything and keeps nothing."""

    origin = None

    def __getattr__(self, name: str) -> Callable[..., str]:
        return lambda *args, **kwargs: ""


def unrecorded() -> LiveSpan:
    """A live span that goes nowhere, so that `with span(...) as s: s.set(...)` works while recording is off."""
    live = LiveSpan(cast("Recorder", _Nowhere()), "", "span", None)
    live.duration = 0
    return live


class _Switch:
    """Holds the installed recorder; `start` installs one at the first recorded call.

    `lock` is held while that changes, and by a fork: a child that is forked while another thread starts the recording,
    and imports what it needs, would wait for that thread for ever.
    """

    recorder: Recorder | None = None
    decided = False
    starting = False
    start: Callable[[], None]

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._held = False

    def before_fork(self) -> None:
        self._held = self.lock.acquire(timeout=10.0)

    def after_fork_in_parent(self) -> None:
        if self._held:
            self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock, self.starting = threading.RLock(), False


switch = _Switch()
if hasattr(os, "register_at_fork"):
    # What starting the recording imports must not register hooks of its own while a fork waits in ours.
    import concurrent.futures.thread  # noqa: F401

    os.register_at_fork(
        before=switch.before_fork,
        after_in_parent=switch.after_fork_in_parent,
        after_in_child=switch.after_fork_in_child,
    )


def installed() -> Recorder | None:
    """The recorder in force, or None when recording is off; the first call configures with defaults."""
    if not switch.decided:
        with switch.lock:
            if not switch.decided and not switch.starting:
                switch.starting = True
                try:
                    switch.start()
                finally:
                    switch.starting = False
    return switch.recorder
