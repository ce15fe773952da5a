"""Long lives: after many spans, many traces at once, one that never ends and generators never closed, nothing is left."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from instrument import agent, current_span, span, tool, traced
from instrument.record.switch import switch
from instrument.testing import record
from tests.faults.programs import run, worked
from tests.sinks import Direct


@tool
def work(n: int) -> int:
    return n


@traced
def counts(n: int) -> Iterator[int]:
    yield from range(n)


def bytes_more(spans: int, **settings: Any) -> int:
    """Bytes that a recording holds more after so many spans than after it has warmed up."""
    with record(**settings) as recording:
        recording._memory.write = lambda batch: None  # type: ignore[method-assign]  # it would keep them all
        for n in range(2000):
            work(n)
        recording.flush()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(spans):
            work(n)
        recording.flush()
        gc.collect()
        more = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    return more


def test_memory_returns_to_the_baseline() -> None:
    """After many spans no more is held than after few."""
    assert bytes_more(10_000) < 1_000_000


def test_memory_returns_where_traces_are_left_out() -> None:
    """What sampling remembers of decided traces is bounded."""
    assert bytes_more(5_000, sample_rate=1e-12) < 5_000 * 400


def test_a_call_is_let_go_of_before_it_is_written() -> None:
    """The collector looks at every live span that is left, so none is once it has become a record."""
    live: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    class Looks(Direct):
        def write(self, batch: Any) -> None:
            alive.extend(one() is not None for one in live)

    @tool
    def call() -> None:
        live.append(weakref.ref(current_span()))

    with record(sinks=(Looks(),)) as recording:
        for _ in range(3):
            call()
        recording.flush()
    assert [False] * 3 == alive[-3:]


def test_a_trace_that_never_ends_holds_itself_alone() -> None:
    """Under a root that stays open, children that have ended are let go."""
    with record() as recording, span("never ends"):
        for n in range(500):
            work(n)
        recording.flush()
        recorder = switch.recorder
        assert recorder is not None
        assert ["never ends"] == [live.name for live in recorder.open]


def test_a_thousand_traces_at_once() -> None:
    """Live spans go when their blocks are left, in whatever order."""
    with record() as recording:
        blocks = [span(f"trace {n}") for n in range(1000)]
        alive = [weakref.ref(block.__enter__()) for block in blocks]
        for block in [*blocks[::2], *blocks[1::2]]:
            block.__exit__(None, None, None)
        recording.flush()
        recorder = switch.recorder
        assert recorder is not None
        assert 0 == len(recorder.open)
    del blocks, block
    gc.collect()
    assert 0 == sum(one() is not None for one in alive)


def test_generators_that_are_never_closed() -> None:
    """A generator that is dropped half-way ends its span, and neither of them is kept."""
    with record() as recording:
        for n in range(200):
            next(counts(n + 1))
        gc.collect()
        recording.flush()
        recorder = switch.recorder
        assert recorder is not None
        assert (0, 200) == (len(recorder.open), len(recording.spans))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the collector no longer runs in the middle of a call into C")
def test_what_was_current_outlives_the_closing_of_a_generator() -> None:
    """Up to Python 3.11 the collector may close a generator in the middle of `ContextVar.set`, which then needs it."""

    class Value: ...

    variable: ContextVar[Any] = ContextVar("variable", default=None)
    with record() as recording:
        pulled = counts(2)
        next(pulled)
        variable.set(Value())
        alive = weakref.ref(variable.get())
        pulled.close()
        variable.set(None)
        was_alive = alive() is not None
        recording.flush()
        assert (True, None) == (was_alive, alive())


def test_arguments_are_let_go() -> None:
    """Recording keeps no argument, result or exception alive beyond the call."""

    class Heavy: ...

    @agent
    def run_with(heavy: Heavy) -> Heavy:
        try:
            raise ValueError(heavy)
        except ValueError:
            return heavy

    with record() as recording:
        heavy = Heavy()
        alive = weakref.ref(heavy)
        run_with(heavy)
        recording.flush()
        del heavy
        gc.collect()
        assert alive() is None


def test_an_exception_is_let_go_where_its_trace_is_left_out() -> None:
    """What left a call at the recursion limit is kept until the worker has looked at it, also where nobody wants to know."""

    class Heavy: ...

    @traced
    def exhausted(alive: list[Any]) -> None:
        heavy = Heavy()
        alive.append(weakref.ref(heavy))
        raise RecursionError

    with record(sample_rate=0.0, loops={"action": "off"}) as recording:
        alive: list[Any] = []
        with pytest.raises(RecursionError):
            exhausted(alive)
        recording.flush()
        gc.collect()
        assert [None] == [heavy() for heavy in alive]


def test_a_wall_clock_that_jumps_back(tmp_path: Path) -> None:
    """Whatever the wall clock does while a program runs, durations are not negative and the order is that of the calls."""
    program = """
    work(0)
    flush()
    wall = time.time_ns
    jumps = iter(range(10**6))
    time.time_ns = lambda: wall() - next(jumps) * 3600 * 10**9
    time.time = lambda: time.time_ns() / 1e9
    with span("root"):
        for n in range(1, 20): work(n)
    """
    from tests.faults.programs import spans, traces

    run(tmp_path, program)
    order = [one.input["n"] for one in sorted(spans(tmp_path), key=lambda one: one.start_ns) if one.name == "work"]
    assert (list(range(20)), worked(tmp_path)) == (order, order)
    assert min(one.duration_ns for one in spans(tmp_path)) >= 0
    assert ["work", "root"] == [trace.root.name for trace in traces(tmp_path)]
