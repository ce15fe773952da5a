"""Threads and executors keep their parent, and everything else about them is as Python has it."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import gc
import sys
import threading
import weakref
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instrument import carry, current_span, span, tool, traced
from instrument.record import notices
from instrument.record.context import current
from instrument.record.switch import switch
from instrument.testing import Recording, record
from tests.same import outcome


@tool
def leaf(a: Any = None) -> Any:
    return a


def parents(recording: Recording, name: str = "leaf") -> list[str | None]:
    """The names of the parents of all spans of a name, in order of their end."""
    names = {found.span_id: found.name for found in recording.spans}
    return [found.parent_id and names[found.parent_id] for found in recording.spans if found.name == name]


def run(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


class Subclass(threading.Thread):
    """A thread with a run() of its own."""

    def run(self) -> None:
        leaf()


THREADS = {
    "target": lambda: threading.Thread(target=leaf),
    "subclass": Subclass,
    "timer": lambda: threading.Timer(0.001, leaf),
    "daemon": lambda: threading.Thread(target=leaf, args=(1,), daemon=True, name="named"),
}


@pytest.mark.parametrize("make", THREADS.values(), ids=THREADS)
def test_thread_keeps_its_parent(recording: Recording, make: Any) -> None:
    """What a thread does hangs below the span that started it."""
    with span("outer"):
        run(make())
    assert ["outer"] == parents(recording)


def test_thread_started_outside_is_a_root(recording: Recording) -> None:
    """A thread made inside a span but started outside of it belongs to none."""
    with span("outer"):
        thread = threading.Thread(target=leaf)
    run(thread)
    assert [None] == parents(recording)


def test_thread_that_outlives_its_span(recording: Recording) -> None:
    """What a thread does after its span has ended still hangs below it."""
    gate = threading.Event()

    def waits() -> None:
        gate.wait()
        leaf()

    thread = threading.Thread(target=waits)
    with span("outer"):
        thread.start()
    gate.set()
    thread.join()
    assert ["outer"] == parents(recording)


def test_thread_within_a_thread(recording: Recording) -> None:
    """Parents are kept through threads that start threads."""
    with span("outer"):
        run(threading.Thread(target=traced(name="middle")(lambda: run(threading.Thread(target=leaf)))))
    assert (["middle"], ["outer"]) == (parents(recording), parents(recording, "middle"))


def test_attribute_run_is_restored(recording: Recording) -> None:
    """While a thread runs and after, its `run` is the one of its class, or the one that was set on it."""
    seen = []

    def looks() -> None:
        seen.append("run" in vars(threading.current_thread()))

    own = threading.Thread()
    mark = own.run = lambda: seen.append(own.run is mark)  # type: ignore[method-assign]
    with span("outer"):
        run(thread := threading.Thread(target=looks))
        run(own)
    assert ([False, True], False, True) == (seen, "run" in vars(thread), own.run is mark)


@pytest.mark.parametrize("when", ["running", "over"])
def test_thread_started_twice_raises_the_same(recording: Recording, when: str) -> None:
    """Starting a thread a second time raises Python's own error and runs nothing."""
    calls: list[int] = []
    gate = threading.Event()
    thread = threading.Thread(target=lambda: (calls.append(1), gate.wait()))
    with span("outer"):
        thread.start()
        if when == "over":
            gate.set()
            thread.join()
        assert ("RuntimeError", "threads can only be started once") == outcome(thread.start)
        gate.set()
        thread.join()
    assert ([1], False) == (calls, "run" in vars(thread))


def test_thread_that_cannot_start(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started the error is Python's own and `run` is as it was."""
    thread = threading.Thread(target=leaf)
    starts = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    monkeypatch.setattr(threading, starts, lambda *args, **kwargs: 1 / 0)
    with span("outer"):
        assert "ZeroDivisionError" == outcome(thread.start)[0]
    assert "run" not in vars(thread)


def test_exception_of_a_thread_goes_to_the_hook(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread raises reaches threading.excepthook as the very object, once."""
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(args.exc_value))
    error = ValueError("in a thread")

    def fails() -> None:
        raise error

    with span("outer"):
        run(threading.Thread(target=fails))
    assert [error] == said


def test_thread_keeps_nothing_alive(recording: Recording) -> None:
    """A thread that is over does not keep the span that started it."""
    with span("outer") as outer:
        reference = weakref.ref(outer)
        run(thread := threading.Thread(target=leaf))
    recording.flush()
    del outer
    gc.collect()
    assert (None, False) == (reference(), thread.is_alive())


@pytest.mark.skipif(sys.version_info < (3, 14), reason="threads take a context since Python 3.14")
def test_context_given_to_a_thread(recording: Recording) -> None:
    """It says where the thread hangs, as for a task, and is as before afterwards; an empty one says nothing."""
    with span("copied"):
        context, empty = contextvars.copy_context(), contextvars.Context()
    with span("starter"):
        for given in (context, empty):
            run(threading.Thread(target=leaf, context=given))  # type: ignore[call-arg,unused-ignore]  # of 3.14
            given.run(leaf)
    assert ["copied", "copied", "starter", None] == parents(recording)


def test_pool_keeps_the_submitter(recording: Recording) -> None:
    """Each piece of work of a pool hangs below the span that submitted it, never below the first submitter's."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        with span("first"):
            pool.submit(leaf).result()
        with span("second"):
            pool.submit(leaf).result()
        pool.submit(leaf).result()
        with span("third"):
            list(pool.map(leaf, [1, 2]))
        assert None is pool.submit(current_span).result()
    assert ["first", "second", None, "third", "third"] == parents(recording)


def test_pool_keeps_nothing_alive(recording: Recording) -> None:
    """An idle worker does not keep the span of whoever started it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        with span("outer") as outer:
            reference = weakref.ref(outer)
            pool.submit(leaf).result()
        pool.submit(int).result()
        recording.flush()
        del outer
        gc.collect()
        assert None is reference()


def test_work_that_submits_work(recording: Recording) -> None:
    """Work submitted from inside a pool hangs below the span that was current there."""
    with ThreadPoolExecutor(max_workers=2) as pool, span("outer"):
        pool.submit(traced(name="middle")(lambda: pool.submit(leaf).result())).result()
    assert (["middle"], ["outer"]) == (parents(recording), parents(recording, "middle"))


def test_exception_of_a_future_is_the_very_object(recording: Recording) -> None:
    """A future raises what the work raised."""
    error = KeyError("work")

    def fails() -> None:
        raise error

    with ThreadPoolExecutor() as pool, span("outer"):
        assert error is pool.submit(fails).exception()


def test_wrong_submit_raises_the_same(recording: Recording) -> None:
    """submit() without a function raises Python's own TypeError, with keywords too."""
    with ThreadPoolExecutor() as pool, span("outer"):
        expected = "ThreadPoolExecutor.submit() missing 1 required positional argument: 'fn'"
        assert [("TypeError", expected)] * 2 == [outcome(pool.submit), outcome(pool.submit, fn=leaf)]


def test_submit_after_shutdown_raises_the_same(recording: Recording) -> None:
    """A pool that is shut down refuses work in Python's own words, and the caller's span stays current."""
    pool = ThreadPoolExecutor()
    pool.shutdown()
    with span("outer") as outer:
        assert ("RuntimeError", "cannot schedule new futures after shutdown") == outcome(pool.submit, leaf)
        assert outer is current_span()


def test_subclassed_pool(recording: Recording) -> None:
    """A pool whose submit calls its base's keeps the parent once."""

    class Pool(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return super().submit(fn, *args, **kwargs)

    with Pool() as pool, span("outer"):
        pool.submit(leaf).result()
    assert ["outer"] == parents(recording)


@pytest.mark.parametrize("how", ["to_thread", "run_in_executor", "own pool"])
def test_asyncio_threads_keep_their_parent(recording: Recording, how: str) -> None:
    """asyncio.to_thread and run_in_executor hang below the task's span."""

    async def main() -> None:
        with span("outer"):
            if how == "to_thread":
                await asyncio.to_thread(leaf)
            elif how == "run_in_executor":
                await asyncio.get_running_loop().run_in_executor(None, leaf)
            else:
                with ThreadPoolExecutor() as pool:
                    await asyncio.get_running_loop().run_in_executor(pool, leaf)

    asyncio.run(main())
    assert ["outer"] == parents(recording)


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def of_the_user() -> tuple[str, int]:
    return VARIABLE.get(), decimal.getcontext().prec


def seen_on_threads() -> list[tuple[str, int]]:
    """The user's context variable and decimal precision, on threads of every kind."""

    def run_here() -> list[tuple[str, int]]:
        VARIABLE.set("set by the caller")
        decimal.setcontext(decimal.Context(prec=7))
        seen: list[tuple[str, int]] = [of_the_user()]
        run(threading.Thread(target=lambda: seen.append(of_the_user())))
        with ThreadPoolExecutor(max_workers=1) as pool:
            seen.append(pool.submit(of_the_user).result())
            pool.submit(lambda: (VARIABLE.set("set by work"), decimal.setcontext(decimal.Context(prec=9)))).result()
            seen.append(pool.submit(of_the_user).result())
        return seen

    return contextvars.Context().run(run_here)


def test_context_variables_of_the_user_are_as_in_plain_python(recording: Recording) -> None:
    """Neither decimal precision nor other context variables travel with our span, and what work sets stays set."""
    switch.recorder, recorder = None, switch.recorder
    expected = seen_on_threads()
    switch.recorder = recorder
    with span("outer"):
        assert expected == seen_on_threads()
    assert [("set by the caller", 7), ("unset", 28), ("unset", 28), ("set by work", 9)] == expected


def test_setting_turns_it_off() -> None:
    """With propagate_threads off, threads and pools begin traces of their own."""
    with record(propagate_threads=False) as recording, span("outer"):
        run(threading.Thread(target=leaf))
        with ThreadPoolExecutor() as pool:
            pool.submit(leaf).result()
    assert [None, None] == parents(recording)


def test_setting_is_of_one_recording() -> None:
    """After a recording with the setting off, the next one has it on again."""
    with record(propagate_threads=False):
        pass
    with record() as recording, span("outer"):
        run(threading.Thread(target=leaf))
    assert ["outer"] == parents(recording)


def test_setting_of_a_recording_inside_another() -> None:
    """A recording with the setting off leaves the one around it as it was."""
    with record() as recording:
        with record(propagate_threads=False):
            pass
        with span("outer"):
            run(threading.Thread(target=leaf))
    assert ["outer"] == parents(recording)


def test_carry(recording: Recording) -> None:
    """carry() takes the span that is current when it is called to wherever the function runs."""
    with span("outer"):
        carried = carry(leaf)
    with span("elsewhere"):
        carried("b")
        leaf("c")
    assert ["outer", "elsewhere"] == parents(recording)


def test_carry_when_threads_are_off() -> None:
    """carry() works where the setting is off: it is asked for."""
    with record(propagate_threads=False) as recording, span("outer"):
        run(threading.Thread(target=carry(leaf)))
    assert ["outer"] == parents(recording)


def test_carry_looks_like_the_function(recording: Recording) -> None:
    """A carried function has the name of the plain one, returns and raises the same."""
    carried = carry(divmod)
    assert ("divmod", (2, 1), "ZeroDivisionError") == (carried.__name__, carried(7, 3), outcome(carried, 1, 0)[0])


def test_nothing_is_current_on_the_caller(recording: Recording) -> None:
    """Starting threads and submitting work leaves the caller's span current."""
    with span("outer") as outer, ThreadPoolExecutor() as pool:
        run(threading.Thread(target=leaf))
        pool.submit(leaf).result()
        assert outer is current_span()
    assert None is current.get()


@settings(max_examples=15, deadline=None, database=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(1, 3))
def test_pools_never_mix_traces(submitters: list[int], workers: int) -> None:
    """Whoever submits, however many workers: each piece of work is in the trace of its submitter."""

    def submit(pool: ThreadPoolExecutor, number: int) -> None:
        with span(f"{number}"):
            pool.submit(leaf, number).result()

    with record() as recording, ThreadPoolExecutor(workers) as pool:
        threads = [threading.Thread(target=submit, args=(pool, number)) for number in submitters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    names = {found.span_id: found.name for found in recording.spans}
    assert all(names[s.parent_id] == str(s.input["a"]) for s in recording.spans if s.name == "leaf" and s.parent_id)
    assert len(submitters) == len({found.trace_id for found in recording.spans})


# subinterpreters


def test_work_of_another_interpreter(recording: Recording) -> None:
    """Where a place cannot go along, work that is submitted below a span is done as without one."""
    pool = getattr(futures, "InterpreterPoolExecutor", None)
    if pool is None:
        pytest.skip("pools of interpreters came with Python 3.14")
    with pool(1) as executor, span("submitter"):
        assert (3, [1, 2]) == (executor.submit(len, "abc").result(), [*executor.map(len, ["a", "bc"])])


def test_recording_that_cannot_be_loaded(monkeypatch: Any, capsys: Any) -> None:
    """Where a library of ours does not load, as in a subinterpreter, calls are unrecorded and unlimited, and one line says so."""
    monkeypatch.setattr(switch, "recorder", None)
    monkeypatch.setattr(switch, "decided", False)
    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(notices, "_log", print)
    for name in ("instrument.wiring", "instrument.redact"):
        monkeypatch.setitem(sys.modules, name, None)
    with span("unrecorded"):
        assert 1 == leaf(1)
    assert (
        "nothing is recorded here and no limit holds, where not all that recording needs can be loaded\n"
        == capsys.readouterr().out
    )


def test_decorated_program_in_another_interpreter() -> None:
    """A decorated program runs there unrecorded; what it cannot do without, as a limit, is refused when it is used."""
    interpreters = pytest.importorskip("concurrent.interpreters", reason="they came to the library with Python 3.14")
    interpreter = interpreters.create()
    try:
        interpreter.exec("""if True:
            import io, sys
            from instrument import budget, configure, flush, log, span, tool
            sys.stderr = io.StringIO()  # takes the line that says so

            @tool
            def work(number):
                log("event")
                return number

            configure(sinks="jsonl")
            with span("block") as block:
                block.set(tries=1)
                assert 3 == work(3)
            assert {} == flush().lost
            try:
                budget(calls=1)
            except ImportError:
                pass
            else:
                raise AssertionError("a limit that does not hold")
        """)
    finally:
        interpreter.close()
