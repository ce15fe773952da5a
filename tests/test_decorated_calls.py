"""What a call shows to the outside is what the plain call shows: coroutines, exceptions, the state of the interpreter."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import functools
import gc
import locale
import random
import subprocess
import sys
import traceback
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from instrument import tool, traced
from instrument.testing import record
from tests.same import DECORATORS, outcome, plain, same


class Interrupt(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


class Unsayable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Unutterable(Exception):
    """What its text raises is no Exception."""

    def __str__(self) -> str:
        raise Interrupt("no text")

    __repr__ = __str__


class Falsy(Exception):
    """An exception that is false and has a length, as some libraries' are."""

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0


RAISED = [
    ValueError("v"),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    Interrupt("i"),
    StopIteration("value"),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    Unsayable(),
    Unutterable(),
    Falsy(),
    ExceptionGroup("group", [ValueError(1), TypeError(2)]),
    BaseExceptionGroup("group", [Interrupt()]),
    RecursionError("made by hand"),
    MemoryError(),
]
NAMES = [type(error).__name__ for error in RAISED]


def raised_by(call: Callable[[], Any]) -> BaseException:
    """The very exception that a call raises."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("decorate", DECORATORS.values(), ids=DECORATORS)
@pytest.mark.parametrize("error", RAISED, ids=NAMES)
def test_exception_passes_by_identity(error: BaseException, decorate: Any) -> None:
    """What a function raises is the very object that the caller catches, with its cause and context untouched."""
    error.__cause__ = cause = KeyError("cause")

    @decorate
    def fails() -> None:
        raise error

    with record():
        caught = raised_by(fails)
    assert (error, cause, None, True) == (caught, caught.__cause__, caught.__context__, caught.__suppress_context__)


@pytest.mark.parametrize("error", RAISED, ids=NAMES)
def test_exception_passes_a_coroutine_by_identity(error: BaseException) -> None:
    """What a coroutine raises is the very object; StopIteration becomes RuntimeError as Python has it."""

    def fails_when(decorate: Any) -> Any:
        @decorate
        async def fails() -> None:
            raise error

        caught = raised_by(lambda: fails().send(None))
        return type(caught), caught if not isinstance(caught, RuntimeError) else str(caught), caught.__cause__

    expected = fails_when(plain)
    with record():
        assert expected == fails_when(traced)


@same
def test_exception_that_does_not_say_its_class(decorate: Any) -> Any:
    """What leaves a function, a coroutine or a generator is the very object, though asking for its class raises."""

    class Silent(Exception):
        @property
        def __class__(self) -> Any:
            raise ValueError("no class")

    error = Silent()

    @decorate
    def fails() -> None:
        raise error

    @decorate
    async def fails_later() -> None:
        raise error

    @decorate
    def yields() -> Any:
        yield
        raise error

    calls = (fails, lambda: fails_later().send(None), lambda: list(yields()))
    return [raised_by(call) is error for call in calls]


@pytest.mark.parametrize("error", RAISED, ids=NAMES)
def test_exception_is_recorded(error: BaseException) -> None:
    """Whatever is raised, its span ends, as cancelled where the work was asked to stop and as an error elsewhere."""

    @traced
    def fails() -> None:
        raise error

    with record() as recording:
        raised_by(fails)
    expected = "cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "error"
    assert [expected] == [span.status for span in recording.spans]


def test_the_exceptions_of_a_group_are_among_its_causes() -> None:
    """A `TaskGroup` raises a group whose own message says nothing of what went wrong."""

    @traced
    def fails() -> None:
        raise ExceptionGroup("tasks", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])])

    with record() as recording:
        raised_by(fails)
    error = recording.spans[0].error
    assert error is not None
    assert ["ValueError", "ExceptionGroup", "KeyError"] == [cause.type for cause in error.causes]


def test_error_names_type_message_and_causes() -> None:
    """The error of a span says type, message, where, and the chain of causes, without frames of the recording."""

    @traced
    def fails() -> None:
        try:
            {}["missing"]
        except KeyError as error:
            try:
                raise Falsy("cause") from error
            except Falsy as falsy:
                raise Falsy("text") from falsy

    with record() as recording:
        raised_by(fails)
    error = recording.span("test_error_names_type_message_and_causes.<locals>.fails".rpartition("<locals>.")[2]).error
    assert error is not None
    assert ("tests.test_decorated_calls.Falsy", "text", ["tests.test_decorated_calls.Falsy", "KeyError"]) == (
        error.type,
        error.message,
        [cause.type for cause in error.causes],
    )
    assert error.stack is not None
    assert "wrappers.py" not in error.stack


def test_traceback_has_one_more_frame_a_decorator() -> None:
    """The traceback of an exception shows the plain frames and one of ours for each decorator and nothing else."""

    def fails() -> None:
        raise ValueError

    def frames(call: Callable[[], Any]) -> list[str]:
        return [frame.name for frame in traceback.extract_tb(raised_by(call).__traceback__)]

    with record():
        assert ["raised_by", "call", "fails"] == frames(traced(fails))


@same
def test_context_of_exceptions(decorate: Any) -> Any:
    """An exception raised while the caller handles another has that one as its context, and no other."""

    @decorate
    def inner() -> None:
        raise ValueError("inner")

    @decorate
    def outer() -> None:
        try:
            inner()
        except ValueError:
            inner()

    try:
        raise KeyError("of the caller")
    except KeyError:
        chain, error = [], raised_by(outer)
    while error is not None:
        chain.append((type(error).__name__, str(error)))
        error = error.__context__  # type: ignore[assignment]
    return chain


@same
def test_handled_exception_that_the_body_sees(decorate: Any) -> Any:
    """sys.exc_info inside the body is that of the caller, and is untouched after the call."""

    @decorate
    def sees() -> Any:
        return sys.exc_info()[0]

    seen = [sees()]
    try:
        raise KeyError
    except KeyError:
        seen += [sees(), outcome(decorate(lambda: 1 / 0))[0], sys.exc_info()[0]]
    return [*seen, sys.exc_info()[0]]


@pytest.mark.parametrize("decorate", DECORATORS.values(), ids=DECORATORS)
def test_coroutine_that_is_never_awaited_warns_once(decorate: Any) -> None:
    """Python warns of it exactly once, by its name."""

    @decorate
    async def forgotten() -> None: ...

    with record(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        forgotten()
        gc.collect()
    text = f"coroutine '{forgotten.__qualname__}' was never awaited"
    assert [text] == [str(warning.message) for warning in said if warning.category is RuntimeWarning]


@same
def test_warnings_of_coroutines_that_the_collector_finds(decorate: Any) -> Any:
    """Of one that nobody started Python warns once, of one that was told to stop before it began not at all."""

    @decorate
    async def late(a: int = 1, b: int = 2) -> None: ...

    def forgotten(call: Callable[[], Any]) -> None:
        around = [call()]
        around.append(around)

    def stopped(call: Callable[[], Any]) -> None:
        error: Any = raised_by(lambda: call().throw(KeyError()))
        error.itself = error

    seen = []
    for leave in (forgotten, stopped):
        for call in (late, lambda: late(1, 2), lambda: late(b=3)):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                leave(call)
                gc.collect(1)  # of what has just been made: all of it is a third of a second here
            seen.append([str(warning.message) for warning in said])
    return seen


def test_coroutine_that_is_never_awaited_is_not_recorded() -> None:
    """No span begins for a coroutine that is closed before its first step."""

    @traced
    async def closed() -> None: ...

    with record() as recording:
        closed().close()
        raised_by(lambda: closed().throw(ValueError("before it starts")))
    assert [] == recording.spans


@same
def test_coroutine_of_a_function_that_was_changed(decorate: Any) -> Any:
    """Name, code and defaults that a function is given later are those of its coroutines, wrong calls raise at once."""

    async def other(a: int, b: int = 4) -> tuple[int, int]:
        return a, b

    async def changed(a: int) -> int:
        return a

    decorated = decorate(changed)
    changed.__name__, changed.__qualname__ = "later", "by.hand"
    named = decorated(1)
    seen = [named.__name__, named.__qualname__, asyncio.run(named), outcome(decorated)[0]]
    changed.__code__, changed.__defaults__ = other.__code__, (5,)
    seen += [asyncio.run(decorated(1)), asyncio.run(decorated(1, 2)), outcome(decorated, 1, 2, 3)[0]]
    return seen


@same
def test_coroutine_that_lets_go_of_its_argument(decorate: Any) -> Any:
    """While its body runs nobody else holds what it was given."""

    class Heavy:
        pass

    @decorate
    async def lets_go(heavy: Heavy) -> bool:
        alive = weakref.ref(heavy)
        del heavy
        return alive() is None

    return [asyncio.run(lets_go(Heavy())), asyncio.run(lets_go(heavy=Heavy()))]


@same
def test_result_of_a_call_whose_exception_is_kept(decorate: Any) -> Any:
    """Who keeps an exception that was caught keeps the frames around it, and not what they have returned."""

    class Heavy:
        pass

    kept: list[BaseException] = []

    @decorate
    def makes() -> Heavy:
        kept.append(raised_by(lambda: 1 / 0))
        return Heavy()

    @decorate
    async def makes_later() -> Heavy:
        kept.append(raised_by(lambda: 1 / 0))
        return Heavy()

    @decorate
    def yields() -> Any:
        kept.append(raised_by(lambda: 1 / 0))
        yield Heavy()

    calls = (makes, lambda: asyncio.run(makes_later()), lambda: next(yields()))
    return [weakref.ref(call())() is None for call in calls]


@same
def test_coroutine_states(decorate: Any) -> Any:
    """inspect.getcoroutinestate, cr_running and a second await are those of a plain coroutine."""

    @types.coroutine
    def pause() -> Any:
        yield "paused"

    @decorate
    async def body() -> str:
        await pause()
        return "done"

    import inspect

    made = body()
    seen: list[Any] = [inspect.getcoroutinestate(made), made.send(None), inspect.getcoroutinestate(made)]
    seen += [outcome(made.send, None), inspect.getcoroutinestate(made), outcome(made.send, None)]
    return [*seen, made.cr_running, hasattr(made, "__await__"), outcome(made.close)]


def test_cancelled_task_is_cancelled() -> None:
    """The span of a cancelled task ends as cancelled and the task sees the cancellation."""

    @traced
    async def waits() -> None:
        await asyncio.sleep(60)

    async def main() -> bool:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel("stop")
        await asyncio.wait([task])
        return task.cancelled()

    with record() as recording:
        assert asyncio.run(main())
    assert [("waits", "cancelled", None)] == [(span.name, span.status, span.error) for span in recording.spans]


def test_timeout_is_an_error_above_and_a_cancellation_below() -> None:
    """Where asyncio.timeout turns a cancellation into TimeoutError, the span outside is an error, the one inside not."""

    @traced
    async def inside() -> None:
        await asyncio.sleep(60)

    @traced
    async def outside() -> None:
        async with asyncio.timeout(0.001):
            await inside()

    with record() as recording:
        assert "TimeoutError" == outcome(asyncio.run, outside())[0]
    assert [("inside", "cancelled"), ("outside", "error")] == [(span.name, span.status) for span in recording.spans]


def test_exception_of_the_users_that_is_called_cancelled_is_an_error() -> None:
    """Only the cancellations of asyncio, trio and concurrent.futures are cancellations, whatever the name."""

    class CancelledError(Exception):
        """An order that was cancelled."""

    @traced
    def fails() -> None:
        raise CancelledError

    with record() as recording:
        raised_by(fails)
    assert ["error"] == [span.status for span in recording.spans]


@same
def test_state_of_the_interpreter(decorate: Any) -> Any:
    """Calls do not move `random`, nor the recursion limit, warnings, locale, decimal context or switch interval."""
    with warnings.catch_warnings():
        filters = list(warnings.filters)

        def state() -> Any:
            return [
                random.getstate() == state_of_random,
                sys.getrecursionlimit(),
                warnings.filters == filters,
                locale.setlocale(locale.LC_ALL),
                decimal.getcontext().prec,
                sys.getswitchinterval(),
                sys.gettrace() is trace,
                sys.getprofile(),
                sys.excepthook is hook,
                sys.unraisablehook is unraisable,
                gc.isenabled(),
            ]

        random.seed(1)
        state_of_random, trace, hook, unraisable = random.getstate(), sys.gettrace(), sys.excepthook, sys.unraisablehook
        numbers = decorate(lambda: [decimal.Decimal(1) / 3, state()])()
        return [*numbers, list(decorate(lambda: (yield state()))()), state(), random.random()]


@same
def test_context_variables_of_the_user(decorate: Any) -> Any:
    """A variable that a function or coroutine sets stays set, as it does without a decorator."""
    variable = contextvars.ContextVar("variable", default=0)

    @decorate
    def sets() -> None:
        variable.set(1)

    @decorate
    async def sets_later() -> None:
        variable.set(2)

    @decorate
    def yields() -> Any:
        variable.set(3)
        yield variable.get()
        yield variable.get()

    def run() -> Any:
        sets()
        seen = [variable.get()]
        raised_by(lambda: sets_later().send(None))
        seen.append(variable.get())
        generator = yields()
        seen += [next(generator), variable.get()]
        variable.set(4)
        return [*seen, next(generator), variable.get()]

    return contextvars.Context().run(run)


@same
def test_arguments_reach_the_function_untouched(decorate: Any) -> Any:
    """The very objects arrive, iterators are not consumed, and nothing that raises on inspection stands in the way."""

    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise ValueError(name)

        def __repr__(self) -> str:
            raise ValueError("repr")

        def __eq__(self, other: object) -> bool:
            raise ValueError("eq")

        __hash__ = None  # type: ignore[assignment]

        def __bool__(self) -> bool:
            raise ValueError("bool")

        def __len__(self) -> int:
            raise ValueError("len")

        def __iter__(self) -> Any:
            raise ValueError("iter")

    hostile, items = Hostile(), iter([1, 2, 3])

    @decorate
    def function(*args: Any, **kwargs: Any) -> Any:
        return args[0] is hostile, kwargs["k"] is hostile, list(args[1])

    @decorate
    def gives() -> Any:
        return hostile

    return function(hostile, items, k=hostile), gives() is hostile


@same
def test_argument_names_of_every_kind(decorate: Any) -> Any:
    """No name of a parameter is taken: self, args, wrapped, instance and the like all reach the function."""

    @decorate
    def function(
        wrapped: Any = 0, instance: Any = 0, args: Any = 0, kwargs: Any = 0, self: Any = 0, **more: Any
    ) -> Any:
        return wrapped, instance, args, kwargs, self, more

    holder = decorate(functools.partial(lambda **named: named))
    return function(1, instance=2, args=3, kwargs=4, self=5, plan=6, cls=7), holder(self=1, args=2, kwargs=3)


@pytest.mark.parametrize("flags", [["-W", "error"], ["-O"], ["-OO"], ["-X", "dev"], ["-X", "importtime"]])
def test_decorated_program_under_interpreter_flags(flags: list[str], tmp_path: Any) -> None:
    """A decorated program prints what the plain one prints, whatever the flags, and records."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {"INSTRUMENT_SINKS": "jsonl", "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, *flags, str(program)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (0, "3 [0, 1] 3\n") == (done.returncode, done.stdout)
    [events] = (tmp_path / ".instrument" / "events").glob("*.jsonl")
    assert 3 == events.read_text().count('"type":"span"')


PROGRAM = """
import asyncio
from instrument import traced

@traced
def add(a, b):
    return a + b

@traced
async def later(a):
    await asyncio.sleep(0)
    return a

@traced
def count(n):
    yield from range(n)

print(add(1, 2), list(count(2)), asyncio.run(later(3)))
"""


def test_function_is_decorated_once_more_by_another_tracer() -> None:
    """Two decorators of ours on one function record two spans, one in the other, each under its own name."""

    @traced(name="outer")
    @tool(name="inner")
    def function(a: int) -> int:
        return a

    with record() as recording:
        function(1)
    outer, inner = recording.span("outer"), recording.span("inner")
    assert (outer.span_id, {"a": 1}, {"a": 1}) == (inner.parent_id, inner.input, outer.input)


def test_async_generator_whose_body_is_collected_first() -> None:
    """The collector ends body and wrapper in any order: the wrapper ends as well, and Python complains of nothing."""

    @tool
    async def yields() -> Any:
        yield 1

    async def main() -> None:
        wrapper = yields()
        await anext(wrapper)
        await wrapper.ag_frame.f_locals["inner"].aclose()
        await wrapper.aclose()

    with record() as recording:
        asyncio.run(main())
    assert [("ok", True)] == [(one.status, one.attributes["instrument.closed_early"]) for one in recording.spans]
