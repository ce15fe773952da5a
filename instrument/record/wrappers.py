"""The four ways to run a decorated callable: plain, coroutine, generator, async generator.

Each follows one lifecycle: arguments are captured at the call, the span begins when the body does, is current only
while the body runs, and ends with it. The user's exceptions are re-raised untouched. At the recursion limit recording
gives way: a span that cannot be closed there is put into the queue as it is and closed by the worker. Where most calls
pass `Current.set` is written out: to call it takes as long as what it does.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import copy_context
from inspect import CO_COROUTINE, CO_ITERABLE_COROUTINE
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType
from types import coroutine as coroutine_of_generator
from typing import TYPE_CHECKING, Any

from instrument.attributes import CLOSED_EARLY
from instrument.kinds import MODEL_KINDS
from instrument.record.context import FREES_CONTEXTS, current, is_left_out, leave
from instrument.record.plan import Plan
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan, amiss, arguments_of, begin
from instrument.record.switch import installed, switch

if TYPE_CHECKING:
    from instrument.record.recorder import Recorder

__tracebackhide__ = True
"""For pytest and IPython: what a user's call raises is shown without our frames, which are not to be looked at."""

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


def plain(plan: Plan) -> Wrapper:
    """For functions that are over when they return."""

    def call(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = switch.recorder
        if recorder is None and (switch.decided or (recorder := installed()) is None):
            return wrapped(*args, **kwargs)
        outer = current.get()
        if recorder.skips and plan.skippable and is_left_out(outer):
            return wrapped(*args, **kwargs)
        try:
            captured = arguments_of(recorder, plan, instance, args, kwargs)
            holder = None if plan.agent_id is None else plan.holder(instance, args)
            span = begin(recorder, plan, outer, holder, captured)
        except RecursionError:
            span = None
        if span is None:
            return wrapped(*args, **kwargs)
        try:
            if current.changing:
                current.keep()
            current.changing += 1
            try:
                current.put(span)
            finally:
                current.changing -= 1
            result = wrapped(*args, **kwargs) if kwargs else wrapped(*args)
        except BaseException as error:
            try:
                if current.changing:
                    current.keep()
                current.changing += 1
                try:
                    current.put(outer)
                finally:
                    current.changing -= 1
                span.fail(error)
            except BaseException as fault:
                if span.seldom is None:  # written out as well: no call has room
                    span.seldom = {}
                # without its frames, which hold what is the user's until the worker has looked at it
                span.seldom["unsettled"] = RecursionError(*error.args) if type(error) is RecursionError else error
                recorder.queue.append(span)
                if not isinstance(fault, RecursionError):
                    raise  # as below
            raise
        try:
            current.changing += 1
            try:
                current.put(outer)
            finally:
                current.changing -= 1
            span.succeed(result)
        except BaseException as fault:
            recorder.queue.append(span)
            if not isinstance(fault, RecursionError):
                raise  # a signal's, which is the user's
        try:
            return result
        finally:
            result = None  # an exception that was caught below and is kept keeps this frame as well

    return call


def coroutine(plan: Plan, target: object) -> Wrapper:
    """For `async def`: a wrong call raises at the call, as it does without us.

    Where no call with so many arguments can be wrong the coroutine is made when it is awaited, else at the call.
    """
    code, arity = _sure_calls(target)

    def call(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = switch.recorder or installed()
        if recorder is None:
            return wrapped(*args, **kwargs)
        if len(args) == arity and not kwargs and getattr(wrapped, "__code__", None) is code:
            captured = arguments_of(recorder, plan, instance, args, kwargs)
            holder = None if plan.agent_id is None else plan.holder(instance, args)
            outer: Any = _run(recorder, plan, holder, captured, wrapped, args)
            outer.__name__, outer.__qualname__ = wrapped.__name__, wrapped.__qualname__
            return outer
        held = _Held()
        inner = wrapped(*args, **kwargs)
        if type(inner) is not CoroutineType:
            return inner
        held.coroutine = inner
        captured = arguments_of(recorder, plan, instance, args, kwargs)
        outer = _run(recorder, plan, plan.holder(instance, args), captured, held.take, ())
        outer.__name__, outer.__qualname__ = inner.__name__, inner.__qualname__
        return outer

    return call


def _sure_calls(target: object) -> tuple[CodeType | None, int]:
    """The code of an `async def` and the number of positional arguments that it takes for sure; -1 where none is."""
    if type(target) is not FunctionType:
        return None, -1
    code = target.__code__
    is_sure = code.co_flags & CO_COROUTINE and not code.co_kwonlyargcount
    return code, code.co_argcount if is_sure else -1


class _Held:
    """Holds a coroutine until it is awaited. What never was is closed, so that Python warns only once.

    It is made before the coroutine: the collector finalizes what is older first, and would warn of it.
    """

    __slots__ = ("coroutine",)

    coroutine: Coroutine[Any, Any, Any] | None

    def take(self) -> Coroutine[Any, Any, Any] | None:
        coroutine, self.coroutine = self.coroutine, None
        return coroutine

    def __del__(self) -> None:
        coroutine = getattr(self, "coroutine", None)  # no call came of it where its arguments were wrong
        if coroutine is not None:
            coroutine.close()


async def _run(
    recorder: Recorder, plan: Plan, instance: Any, captured: Any, make: Callable[..., Any], args: tuple[Any, ...]
) -> Any:
    outer = current.get()
    skips = recorder.skips and plan.skippable and is_left_out(outer)
    span = None if skips else begin(recorder, plan, outer, instance, captured)
    if span is None:
        inner = make(*args)
        args = instance = captured = None  # type: ignore[assignment]  # the body alone keeps its arguments
        return await inner
    try:
        if current.changing:
            current.keep()
        current.changing += 1
        try:
            current.put(span)
        finally:
            current.changing -= 1
        inner = make(*args)
        args = instance = captured = None  # type: ignore[assignment]  # as above
        result = await inner
    except BaseException as error:
        try:
            if type(error) is GeneratorExit:
                leave(span, outer, destroyed=True)
            else:
                if current.changing:
                    current.keep()
                current.changing += 1
                try:
                    current.put(outer)
                finally:
                    current.changing -= 1
            span.fail(error)
        except BaseException as fault:
            if span.seldom is None:
                span.seldom = {}
            span.seldom["unsettled"] = RecursionError(*error.args) if type(error) is RecursionError else error
            recorder.queue.append(span)
            if not isinstance(fault, RecursionError):
                raise
        raise
    try:
        if current.changing:
            current.keep()
        current.changing += 1
        try:
            current.put(outer)
        finally:
            current.changing -= 1
        span.succeed(result)
    except BaseException as fault:
        recorder.queue.append(span)
        if not isinstance(fault, RecursionError):
            raise
    try:
        return result
    finally:
        result = None  # as above


def generator(plan: Plan) -> Wrapper:
    """For generator functions: the span covers first pull to last and is current only while the body runs."""

    def call(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = switch.recorder or installed()
        inner = wrapped(*args, **kwargs)
        if recorder is None or type(inner) is not GeneratorType:
            return inner
        captured = arguments_of(recorder, plan, instance, args, kwargs)
        drive = _drive_awaited if inner.gi_code.co_flags & CO_ITERABLE_COROUTINE else _drive
        outer: Any = drive(recorder, plan, plan.holder(instance, args), captured, inner)
        outer.__name__, outer.__qualname__ = inner.__name__, inner.__qualname__
        return outer

    return call


def _drive(
    recorder: Recorder, plan: Plan, instance: Any, captured: Any, inner: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    # What passes through lies in `box` and is popped at once: a suspended generator must not keep it alive.
    outside = current.get()
    yields = Yielding()  # at the recursion limit nothing that fails may come between a span's begin and what ends it
    span = yields.span = begin(recorder, plan, outside, instance, captured)
    instance = captured = None
    if span is None:
        return (yield from inner)
    if span.kind in MODEL_KINDS:
        yields.put_together(span)
    inside: Any = span
    step: Callable[[Any], Any] = inner.send
    box: list[Any] = [None]
    try:
        while True:
            outside = current.get()
            current.set(inside)
            try:
                box.append(step(box.pop()))
            except StopIteration as stop:
                current.set(outside)
                yields.finish(stop.value)
                return stop.value
            except BaseException as error:
                current.set(outside)
                yields.fail(error)
                raise
            inside = current.get()
            current.set(outside)
            outside = None
            yields.take(box[0])
            try:
                box.append((yield box.pop()))
                step = inner.send
            except BaseException as error:  # noqa: BLE001 - it belongs to the body, which gets it below
                box.append(error)
                step = inner.throw
                yields.closing(error)
    finally:
        if current.get() is span:  # a signal has come in between: what follows is not below it
            current.put(outside)


_drive_awaited = coroutine_of_generator(FunctionType(_drive.__code__, globals()))
"""For generators that `types.coroutine` has made awaitable."""


def async_generator(plan: Plan) -> Wrapper:
    """For async generator functions, as `generator`; every step is awaited in the consumer's own task."""

    def call(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = switch.recorder or installed()
        inner = wrapped(*args, **kwargs)
        if recorder is None or type(inner) is not AsyncGeneratorType:
            return inner
        captured = arguments_of(recorder, plan, instance, args, kwargs)
        outer: Any = _adrive(recorder, plan, plan.holder(instance, args), captured, inner)
        outer.__name__, outer.__qualname__ = inner.__name__, inner.__qualname__
        return outer

    return call


async def _adrive(
    recorder: Recorder, plan: Plan, instance: Any, captured: Any, inner: AsyncGeneratorType[Any, Any]
) -> AsyncGenerator[Any, Any]:
    outside = current.get()
    step: Callable[[Any], Any] = _without_hooks(inner)
    yields = Yielding()
    span = yields.span = begin(recorder, plan, outside, instance, captured)
    instance = captured = None
    inside: Any = outside if span is None else span
    if span is not None and span.kind in MODEL_KINDS:
        yields.put_together(span)
    box: list[Any] = [None]
    try:
        while True:
            outside = current.get()
            current.set(inside)
            try:
                box.append(await step(box.pop()))
            except StopAsyncIteration:
                current.set(outside)
                yields.finish(None)
                return
            except BaseException as error:
                del inner, step  # where a step was given up half-way, the body ends now and not with the traceback
                current.set(outside)
                yields.fail(error)
                raise
            inside = current.get()
            current.set(outside)
            outside = None
            yields.take(box[0])
            try:
                box.append((yield box.pop()))
                step = inner.asend
            except BaseException as error:
                yields.closing(error)
                if inner.ag_frame is None:  # collected before this one: to throw into it would be a None to yield
                    yields.fail(error)
                    raise
                box.append(error)  # it belongs to the body
                step = inner.athrow
    finally:
        if span is not None and current.get() is span:  # a signal has come in between: what follows is not below it
            current.put(outside)


def _without_hooks(inner: AsyncGenerator[Any, Any]) -> Callable[[Any], Any]:
    """`inner.asend` for the first step, hidden from the event loop's hooks: the loop shall close the outer one only.

    Where the loop finalizes the outer one, dropping the inner one must not run its body once more.
    """

    def first_step(value: Any) -> Any:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None if hooks.finalizer is None else _finalized_with_the_outer)
        try:
            return inner.asend(value)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return first_step


def _finalized_with_the_outer(inner: AsyncGenerator[Any, Any]) -> None: ...


class Yields:
    """What a generator yielded, as the output of its span: the first `LIMIT` values as they were, and how many.

    What a model call yielded is put together where it is pieces of an answer.
    """

    __slots__ = ("answer", "closed", "count", "span", "values")
    LIMIT = 256

    def __init__(self) -> None:
        self.span: LiveSpan | None = None
        self.values: list[Any] = []
        self.count = 0
        self.closed = False
        self.answer: Any = None

    def put_together(self, span: LiveSpan) -> None:
        try:
            self.answer = span.recorder.assemble(span)
        except RecursionError:
            return

    def take(self, value: object) -> None:
        span = self.span
        self.count += 1
        self.closed = False
        if self.answer is not None:
            safely(self.answer.take, value)
        if span is None or self.count > self.LIMIT or not span.plan.capture_output:
            return
        try:
            self.values.append(span.recorder.value(value))
        except RecursionError:
            return
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            amiss(span.recorder, "yield", fault)

    def closing(self, error: BaseException) -> None:
        self.closed = issubclass(type(error), GeneratorExit)
        if self.closed and FREES_CONTEXTS and self.span is not None:
            self.span.around = copy_context()

    def finish(self, returned: object) -> None:
        self.__class__ = Yields
        span = self.span
        if span is None:
            return
        try:
            self._describe(span, returned)
            span.end()
        except BaseException as fault:
            span.recorder.queue.append(span)
            if not isinstance(fault, RecursionError):
                raise

    def fail(self, error: BaseException) -> None:
        span = self.span
        if span is None:
            return
        if issubclass(type(error), GeneratorExit):
            self.closed = True
            self.finish(None)
            return
        self.__class__ = Yields
        try:
            self._describe(span, None)
            span.fail(error)
        except BaseException as fault:
            if span.seldom is None:
                span.seldom = {}
            span.seldom["unsettled"] = RecursionError(*error.args) if type(error) is RecursionError else error
            span.recorder.queue.append(span)
            if not isinstance(fault, RecursionError):
                raise

    def _describe(self, span: LiveSpan, returned: object) -> None:
        if self.count > self.LIMIT:
            self.values.append({"$omitted": self.count - self.LIMIT})
        if self.values:
            span.output = self.values
        if self.answer is not None and span.kind in MODEL_KINDS:
            safely(self.answer.describe, span.recorder.clock() - span.started, self.closed)
            safely(span.recorder.read_answer, span, returned)
        if returned is not None and span.plan.capture_output:
            span.set({"instrument.returned": returned})
        if self.closed:
            span.set({CLOSED_EARLY: True})


class Yielding(Yields):
    """The same until the generator is over. What a handler of signals raises while `__del__` runs is lost: few do."""

    __slots__ = ()

    def __del__(self) -> None:
        span = getattr(self, "span", None)  # it may have been interrupted before it had one
        if span is not None and span.duration is None:
            self.fail(GeneratorExit())  # destroyed, and CPython had no way to tell the generator
