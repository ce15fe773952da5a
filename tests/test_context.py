"""Where spans hang: nesting, generators, tasks, sessions, and the way to other processes by W3C traceparent."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import subprocess
import types
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instrument import current_span, extract, inject, log, session, span, tool, traced
from instrument.integrations.told import ToldSpans
from instrument.record.context import Current, Place, at, current
from instrument.record.headers import place_of
from instrument.record.snapshot import snapshot
from instrument.record.switch import switch
from instrument.testing import Recording, record


@pytest.fixture
def recording() -> Iterator[Recording]:
    """What the test records."""
    with record() as recording:
        yield recording
        assert None is current.get()


def tree(recording: Recording, parent: Any = None) -> dict[str, Any]:
    """Names below names."""
    return {found.name: tree(recording, found) for found in recording.children(parent)}


@tool
def leaf(a: Any = None) -> Any:
    return a


def test_calls_nest(recording: Recording) -> None:
    """What is called inside a call hangs below it, what is called after it does not."""
    traced(name="outer")(lambda: [leaf(), traced(name="inner")(leaf)()])()
    leaf()
    assert {"outer": {"leaf": {}, "inner": {"leaf": {}}}, "leaf": {}} == tree(recording)


def test_every_root_begins_a_trace(recording: Recording) -> None:
    """Spans of one root share its trace, two roots have two."""
    traced(name="first")(leaf)()
    traced(name="second")(leaf)()
    traces = {found.trace_id for found in recording.spans}
    assert (2, 4) == (len(traces), len({found.span_id for found in recording.spans}))


def test_exception_leaves_nothing_behind(recording: Recording) -> None:
    """After an exception what follows hangs where it would have hung without it."""

    @traced
    def fails() -> None:
        raise ValueError

    with span("outer"):
        with pytest.raises(ValueError):
            fails()
        leaf()
    assert {"outer": {"fails": {}, "leaf": {}}} == tree(recording)


def test_current_span_is_the_innermost(recording: Recording) -> None:
    """current_span() is the innermost running span, inside and outside of sessions, and None outside of any."""
    seen = [current_span()]
    with span("outer") as outer:
        seen.append(current_span())
        with session("s"):
            seen.append(current_span())
    assert [None, outer, outer, None] == [*seen, current_span()]


def test_span_object_in_itself_and_in_tasks(recording: Recording) -> None:
    """One span object can be entered within itself and in several tasks at once; each block is a span of its own."""
    block = span("block")

    async def task(name: str) -> None:
        with block:
            await asyncio.sleep(0)
            leaf(name)

    async def both() -> None:
        await asyncio.gather(task("a"), task("b"))

    with block, block:
        leaf()
    asyncio.run(both())
    below = [[child.name for child in recording.children(root)] for root in recording.children(None)]
    assert [["block"], ["leaf"], ["leaf"]] == below


# generators


def test_generator_covers_first_pull_to_last(recording: Recording) -> None:
    """A generator's span begins with the first pull, not with the call, and ends with the last."""

    @traced
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    generator = numbers()
    assert {} == switch.recorder.open  # type: ignore[union-attr]
    next(generator)
    assert 1 == len(switch.recorder.open)  # type: ignore[union-attr]
    list(generator)
    assert ({}, ["numbers"]) == (switch.recorder.open, [found.name for found in recording.spans])  # type: ignore[union-attr]


def test_generator_that_is_never_pulled_is_not_recorded(recording: Recording) -> None:
    """No span for a generator that never began."""

    @traced
    def numbers() -> Iterator[int]:
        yield 1

    numbers().close()
    numbers()
    assert [] == recording.spans


def test_body_nests_and_consumer_does_not(recording: Recording) -> None:
    """What the body does hangs below the generator, what the consumer does between pulls hangs beside it."""

    @traced
    def numbers() -> Iterator[int]:
        leaf("body")
        yield 1
        with span("in body"):
            leaf("body")
            yield 2
            leaf("body")

    with span("outer"):
        for _ in numbers():
            traced(name="consumer")(leaf)("consumer")
    expected = {"numbers": {"leaf": {}, "in body": {"leaf": {}}}, "consumer": {"leaf": {}}}
    assert {"outer": expected} == tree(recording)


def test_async_body_nests_and_consumer_does_not(recording: Recording) -> None:
    """As for generators, with awaits in between."""

    @traced
    async def numbers() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        leaf("body")
        yield 1
        with span("in body"):
            await asyncio.sleep(0)
            leaf("body")
            yield 2
            leaf("body")

    async def main() -> None:
        with span("outer"):
            async for _ in numbers():
                await asyncio.sleep(0)
                traced(name="consumer")(leaf)("consumer")

    asyncio.run(main())
    expected = {"numbers": {"leaf": {}, "in body": {"leaf": {}}}, "consumer": {"leaf": {}}}
    assert {"outer": expected} == tree(recording)


def test_interleaved_generators(recording: Recording) -> None:
    """Generators pulled in turns each keep their own place."""

    @traced
    def numbers(name: str) -> Iterator[int]:
        for index in range(3):
            with span(f"{name}{index}"):
                yield index

    list(zip(traced(name="one")(numbers)("a"), traced(name="two")(numbers)("b"), strict=True))
    below = {"a0": {}, "a1": {}, "a2": {}}, {"b0": {}, "b1": {}, "b2": {}}
    assert {"one": {"numbers": below[0]}, "two": {"numbers": below[1]}} == tree(recording)


def test_generator_that_returns_when_closed(recording: Recording) -> None:
    """A body that answers GeneratorExit by returning was closed early all the same; one that goes on was not."""

    @traced
    def numbers(stubborn: bool) -> Any:
        try:
            yield 1
        except GeneratorExit:
            if stubborn:
                yield 2

    polite, stubborn = numbers(False), numbers(True)
    next(polite), next(stubborn)
    polite.close()
    stubborn.throw(GeneratorExit)
    list(stubborn)
    assert [True, None] == [found.attributes.get("instrument.closed_early") for found in recording.spans]


@pytest.mark.parametrize("how", ["closed", "dropped", "broken out of"])
def test_generator_left_early_ends_quietly(recording: Recording, how: str) -> None:
    """A generator that is closed or dropped before its end ends its span without an error, marked as closed early."""

    @traced
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    generator = numbers()
    next(generator)
    if how == "closed":
        generator.close()  # type: ignore[attr-defined]
    elif how == "dropped":
        del generator
    else:
        for _ in numbers():
            break
        del generator, _
    found = recording.spans[0]
    assert ("ok", None, True, [1]) == (
        found.status,
        found.error,
        found.attributes.get("instrument.closed_early"),
        found.output,
    )


def test_generator_in_a_cycle_ends_when_it_is_collected(recording: Recording) -> None:
    """The garbage collector ends the span of a generator that only it can find."""

    @traced
    def numbers(cycle: list[Any]) -> Iterator[int]:
        yield 1

    cycle: list[Any] = []
    cycle.append(numbers(cycle))
    next(cycle[0])
    del cycle
    gc.collect()
    assert [True] == [found.attributes.get("instrument.closed_early") for found in recording.spans]


def test_generator_that_ends_in_another_context(recording: Recording) -> None:
    """A generator that is closed where another span is current leaves that one current."""

    @traced
    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            leaf("in finally")

    generator = contextvars.Context().run(lambda: (made := numbers(), next(made))[0])
    with span("elsewhere") as elsewhere:
        generator.close()  # type: ignore[attr-defined]
        assert elsewhere is current_span()
    assert {"numbers": {"leaf": {}}, "elsewhere": {}} == tree(recording)


def test_coroutine_destroyed_in_another_context(recording: Recording) -> None:
    """A coroutine that is destroyed half-way where another span is current leaves that one current."""

    @types.coroutine
    def pause() -> Any:
        yield

    @traced
    async def waits() -> None:
        with session("s"), span("inside"):
            await pause()

    def begin() -> Any:
        made = waits()
        made.send(None)
        return made

    waiting = contextvars.Context().run(begin)
    with span("elsewhere") as elsewhere:
        del waiting
        gc.collect()
        assert elsewhere is current_span()
    assert {"waits": "cancelled", "inside": "cancelled", "elsewhere": "ok"} == {
        s.name: s.status for s in recording.spans
    }


class Thing:
    """Something that can be referred to weakly."""


def test_suspended_generator_keeps_nothing_alive(recording: Recording) -> None:
    """A suspended generator keeps alive neither what it yielded nor what was sent, thrown or given to a dropped body."""
    references = []

    def watched() -> Thing:
        thing = Thing()
        references.append(weakref.ref(thing))
        return thing

    @traced
    def things() -> Any:
        while True:
            try:
                (yield watched())
            except ValueError:
                pass

    generator = things()
    next(generator)
    generator.send(watched())
    generator.throw(ValueError(watched()))
    next(generator)
    assert [None] * 6 == [reference() for reference in references]


def test_suspended_async_generator_keeps_nothing_alive(recording: Recording) -> None:
    """As for generators."""
    references = []

    def watched() -> Thing:
        thing = Thing()
        references.append(weakref.ref(thing))
        return thing

    @traced
    async def things() -> Any:
        while True:
            try:
                (yield watched())
            except ValueError:
                pass

    async def main() -> list[Any]:
        generator = things()
        await anext(generator)
        await generator.asend(watched())
        await generator.athrow(ValueError(watched()))
        await anext(generator)
        found = [reference() for reference in references]
        await generator.aclose()
        return found

    assert [None] * 6 == asyncio.run(main())


def test_arguments_are_not_kept_alive(recording: Recording) -> None:
    """Once a call is over nothing of ours holds its arguments or its result."""

    @traced
    def passes(thing: Thing) -> Thing:
        return thing

    @traced
    def ends(thing: Thing) -> Iterator[Thing]:
        yield thing

    thing = Thing()
    reference = weakref.ref(thing)
    passes(thing)
    list(ends(thing))
    recording.flush()
    del thing
    assert None is reference()


def test_ended_spans_are_released(recording: Recording) -> None:
    """A span that has ended and is written is not kept by the recording."""

    @traced
    def remembers() -> Any:
        return weakref.ref(current_span())

    reference = traced(name="outer")(remembers)()
    recording.flush()
    gc.collect()
    assert None is reference()


class Holder:
    """Holds a span that holds it."""

    live: Any = None


def by_attributes(holder: Holder) -> None:
    with span("block", attributes={"holder": holder}) as holder.live:
        pass


def by_decorator(holder: Holder) -> None:
    @tool(attributes={"holder": holder})
    def keeps() -> None:
        holder.live = current_span()

    keeps()


def by_default(holder: Holder) -> None:
    @tool
    def keeps(keeper: Holder = holder) -> None:
        keeper.live = current_span()

    keeps()


def by_model(holder: Holder) -> None:
    with span("block") as holder.live:
        holder.live.usage(input=1, model=holder)


def by_request(holder: Holder) -> None:
    told = ToldSpans()
    told.begin("key", "chat m", "llm", asked={"model": "m", "messages": [], "holder": holder})
    holder.live = told.place("key")
    told.end("key")


def by_context(holder: Holder) -> None:
    variable: contextvars.ContextVar[Holder] = contextvars.ContextVar("holder")

    @traced
    def numbers() -> Iterator[int]:
        variable.set(holder)
        holder.live = current_span()
        yield 1

    contextvars.copy_context().run(lambda: next(numbers()))


def by_frame(holder: Holder) -> None:
    @tool
    def fails() -> None:
        holder.live = current_span()
        raise RecursionError

    with contextlib.suppress(RecursionError):
        fails()


HOLDERS = [by_attributes, by_decorator, by_default, by_model, by_request, by_context, by_frame]


@pytest.mark.parametrize("rules", [{}, {"sample_rate": 0.0, "loops": {"action": "off"}}], ids=["stored", "left out"])
@pytest.mark.parametrize("holds", HOLDERS, ids=lambda holds: holds.__name__)
def test_what_holds_its_span_is_released(holds: Any, rules: Any) -> None:
    """What holds a span that has ended goes when the user lets go of it, however it was told to the span."""
    with record(**rules) as recording:
        holder = Holder()
        reference = weakref.ref(holder)
        holds(holder)
        recording.flush()
        del holder
        gc.collect()
        assert None is reference()


def test_recordings_are_released() -> None:
    """Spans that end after their recording, or never, do not keep it."""

    @traced
    def numbers() -> Iterator[int]:
        yield 1

    with record():
        recorder = weakref.ref(switch.recorder)
        late, never = numbers(), span("never")
        next(late)
        never.__enter__()
    late.close()
    del late, never
    gc.collect()
    assert None is recorder()


@pytest.mark.parametrize("shown", [repr, snapshot], ids=["repr", "capture"])
def test_shown_spans_are_short(recording: Recording, shown: Any) -> None:
    """What is shown of a live span, in a log of the user's or in a record, holds nothing of what it recorded."""

    @tool
    def shows(word: str) -> str:
        return str(shown(current_span()))

    assert "content" not in shows("content")


# async generators, event loops


def test_current_task_is_the_consumers(recording: Recording) -> None:
    """Every step of an async generator runs in the task that asks for it."""

    @traced
    async def tasks() -> Any:
        try:
            while True:
                yield asyncio.current_task()
        finally:
            seen.append(asyncio.current_task())

    seen: list[Any] = []

    async def pull(generator: Any) -> bool:
        return await anext(generator) is asyncio.current_task()

    async def main() -> list[bool]:
        generator = tasks()
        pulled = [await pull(generator), await asyncio.create_task(pull(generator)), await pull(generator)]
        await generator.aclose()
        return [*pulled, seen == [asyncio.current_task()]]

    assert [True] * 4 == asyncio.run(main())


def test_asyncio_timeout_inside_an_async_generator(recording: Recording) -> None:
    """asyncio.timeout entered in a decorated async generator cancels a slow step, and expires when the consumer is slow."""

    @traced
    async def slow() -> AsyncIterator[int]:
        async with asyncio.timeout(0.01):
            yield 1
            await asyncio.sleep(60)

    async def main() -> list[int]:
        got = []
        with pytest.raises(TimeoutError):
            async for item in slow():
                got.append(item)
        return got

    assert [1] == asyncio.run(main())
    assert ["error"] == [found.status for found in recording.spans]


def test_asyncio_timeout_around_an_async_generator(recording: Recording) -> None:
    """A timeout around the loop cancels the step that waits; the span is cancelled."""

    @traced
    async def slow() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)

    async def main() -> None:
        async with asyncio.timeout(0.01):
            async for _ in slow():
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert ["cancelled"] == [found.status for found in recording.spans]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_cancel_scope_inside_an_async_generator(recording: Recording, backend: str) -> None:
    """A cancel scope of anyio entered in a decorated async generator works on both back ends."""

    @traced
    async def scoped() -> AsyncIterator[str]:
        with anyio.move_on_after(0.01) as scope:
            yield "inside"
            await anyio.sleep(60)
        yield f"cancelled: {scope.cancelled_caught}"

    async def main() -> list[str]:
        return [item async for item in scoped()]

    assert ["inside", "cancelled: True"] == anyio.run(main, backend=backend)
    assert ["ok"] == [found.status for found in recording.spans]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_task_group_inside_an_async_generator(recording: Recording, backend: str) -> None:
    """A task group entered in a decorated async generator runs its tasks, which hang below the generator."""

    @traced
    async def worker(name: str) -> None:
        await anyio.sleep(0)

    @traced
    async def grouped() -> AsyncIterator[int]:
        async with anyio.create_task_group() as group:
            group.start_soon(worker, "a")
            group.start_soon(worker, "b")
            yield 1
        yield 2

    async def main() -> list[int]:
        return [item async for item in grouped()]

    assert [1, 2] == anyio.run(main, backend=backend)
    [root] = recording.children(None)
    assert ["worker", "worker"] == [child.name for child in recording.children(root)]


def test_trio_cancellation_is_cancelled(recording: Recording) -> None:
    """A trio task that is cancelled ends its span as cancelled."""

    @traced
    async def waits() -> None:
        await trio.sleep_forever()

    async def main() -> None:
        with trio.move_on_after(0.01):
            await waits()

    trio.run(main)
    assert ["cancelled"] == [found.status for found in recording.spans]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_loop_closes_abandoned_async_generators_without_complaint(recording: Recording, debug: bool) -> None:
    """asyncio.run closes async generators that were left alone; nothing is said and the span is closed early."""
    closed = []

    @traced
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(asyncio.current_task() is not None)

    complaints = []

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        generator = numbers()
        await anext(generator)
        return generator

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        generator = asyncio.run(main(), debug=debug)
        del generator
        gc.collect()
    assert ([True], [], []) == (closed, complaints, [str(warning.message) for warning in warned])
    assert [("ok", True)] == [(s.status, s.attributes.get("instrument.closed_early")) for s in recording.spans]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_dropped_async_generator_is_finalized_by_the_loop(recording: Recording, backend: str) -> None:
    """An async generator that is dropped while the loop runs is closed by the loop, once."""
    closed = []

    @traced
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append("closed")

    async def main() -> None:
        async for _ in numbers():
            break
        gc.collect()
        for _ in range(5):
            await anyio.sleep(0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # trio always says so of generators that are dropped
        anyio.run(main, backend=backend)
    assert (["closed"], [True]) == (closed, [s.attributes.get("instrument.closed_early") for s in recording.spans])


def test_async_generator_given_up_half_way(recording: Recording) -> None:
    """A step that is given up without an event loop ends the body when the generator is dropped, and the span."""
    closed = []

    @types.coroutine
    def pause() -> Any:
        yield

    @traced
    async def numbers() -> AsyncIterator[int]:
        try:
            await pause()
            yield 1
        finally:
            closed.append("closed")

    generator = numbers()
    anext(generator).__await__().send(None)
    del generator
    assert (["closed"], ["ok"]) == (closed, [found.status for found in recording.spans])


def test_task_destroyed_while_pending(recording: Recording) -> None:
    """The span of a coroutine inside a task that is destroyed with its loop ends, and the open spans are none."""

    @traced
    async def waits() -> None:
        async for _ in endless():
            pass

    @traced
    async def endless() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(waits())
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    del task
    gc.collect()
    recording.flush()
    assert {} == switch.recorder.open  # type: ignore[union-attr]


def test_async_context_manager_over_a_decorated_generator(recording: Recording) -> None:
    """The body of `async with` hangs beside the manager's generator, not below it."""

    @contextlib.asynccontextmanager
    @traced
    async def manager() -> AsyncIterator[int]:
        leaf("before")
        yield 1
        leaf("after")

    async def main() -> None:
        with span("outer"):
            async with manager():
                traced(name="block")(leaf)()

    asyncio.run(main())
    assert {"outer": {"manager": {"leaf": {}}, "block": {"leaf": {}}}} == tree(recording)


# tasks


def test_tasks_keep_their_parent(recording: Recording) -> None:
    """Tasks of gather, TaskGroup and create_task hang below the span that made them."""

    @traced
    async def work(name: str) -> None:
        await asyncio.sleep(0)
        leaf(name)

    async def main() -> None:
        with span("gather"):
            await asyncio.gather(work("a"), work("b"))
        with span("group"):
            async with asyncio.TaskGroup() as group:
                group.create_task(work("c"))
                group.create_task(work("d"))
        with span("shield"):
            await asyncio.shield(work("e"))

    asyncio.run(main())
    below = {root.name: [child.name for child in recording.children(root)] for root in recording.children(None)}
    assert {"gather": ["work"] * 2, "group": ["work"] * 2, "shield": ["work"]} == below


def test_task_that_outlives_its_span(recording: Recording) -> None:
    """A task that goes on after the span that made it still hangs below it, and what follows in the caller does not."""

    @traced
    async def late() -> None:
        await asyncio.sleep(0.01)
        leaf("late")

    async def main() -> None:
        with span("outer"):
            task = asyncio.create_task(late())
        traced(name="next")(leaf)()
        await task

    asyncio.run(main())
    assert {"outer": {"late": {"leaf": {}}}, "next": {"leaf": {}}} == tree(recording)


@settings(max_examples=40, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40))
def test_concurrent_traces_never_mix(turns: list[tuple[int, int]]) -> None:
    """Whatever the order in which tasks take turns, each one's spans hang in its own trace, in its own nesting."""

    @traced
    async def down(name: str, gates: asyncio.Queue[int]) -> None:
        depth = await gates.get()
        while depth is not None:
            leaf(name)
            if depth:
                await traced(name="deeper")(down)(name, gates)
            depth = await gates.get()

    async def main() -> None:
        queues: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in range(4)]
        tasks = [asyncio.create_task(traced(name=f"root {n}")(down)(f"{n}", queue)) for n, queue in enumerate(queues)]
        for number, depth in turns:
            queues[number].put_nowait(depth)
            await asyncio.sleep(0)
        for queue in queues:
            for _ in range(len(turns) + 2):
                queue.put_nowait(None)
        await asyncio.gather(*tasks)

    with record() as recording:
        asyncio.run(main())
    owners: dict[str, set[str]] = {}
    for found in recording.spans:
        owner = (
            found.name
            if found.name.startswith("root")
            else f"root {found.input['a' if found.name == 'leaf' else 'name']}"
        )
        owners.setdefault(found.trace_id, set()).add(owner)
    assert [1] * 4 == [len(names) for names in owners.values()]
    known = {found.span_id: found for found in recording.spans}
    assert all(found.trace_id == known[found.parent_id].trace_id for found in recording.spans if found.parent_id)


# sessions


def test_session_marks_what_is_inside(recording: Recording) -> None:
    """Spans inside a session carry its id, user and tags; those outside do not."""
    with session("s-1", user="u-1", tags=["a", "b"]):
        leaf()
    leaf()
    expected = {"session.id": "s-1", "user.id": "u-1", "instrument.tags": ["a", "b"]}
    assert [expected, {}] == [found.attributes for found in recording.spans]


def test_session_inside_a_session(recording: Recording) -> None:
    """An inner session wins for its time, and what it does not say is inherited."""
    with session("outer", user="u"):
        with session("inner"):
            leaf()
        leaf()
    expected = [{"session.id": "inner", "user.id": "u"}, {"session.id": "outer", "user.id": "u"}]
    assert expected == [found.attributes for found in recording.spans]


def test_session_survives_extract(recording: Recording) -> None:
    """A session around extract marks what hangs below the remote span."""
    with session("s"), extract({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}):
        leaf()
    [found] = recording.spans
    assert ("a" * 32, "b" * 16, "s") == (found.trace_id, found.parent_id, found.attributes["session.id"])


# W3C traceparent


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.text("0123456789abcdef", min_size=16, max_size=16))
def test_header_of_another_process_is_understood(trace_id: str, span_id: str) -> None:
    """Any well-formed header gives its trace and span; all-zero ids are not well-formed."""
    place = place_of({"TraceParent": f"00-{trace_id}-{span_id}-01"})
    expected = None if not int(trace_id, 16) or not int(span_id, 16) else (trace_id, span_id, True)
    assert expected == (None if place is None else (place.trace_id, place.span_id, place.sampled))


def test_inject_then_extract_is_one_trace(recording: Recording) -> None:
    """What extract gets from inject hangs below the span that was current at inject."""
    headers: dict[str, str] = {}
    with span("caller") as caller:
        assert headers is inject(headers)
    with extract(headers):
        leaf()
        assert None is current_span()
    found = recording.span("leaf")
    assert (caller.trace_id, caller.span_id) == (found.trace_id, found.parent_id)
    assert {"traceparent": f"00-{caller.trace_id}-{caller.span_id}-01"} == headers


def test_inject_outside_of_a_span_adds_nothing(recording: Recording) -> None:
    """Outside of any span, and in a session without one, headers stay as they are."""
    with session("s"):
        assert {} == inject({})


def test_inject_replaces_whatever_the_capitals(recording: Recording) -> None:
    """A header that is there already is replaced under its own name; environments get the name in capitals."""
    with span("s"):
        assert ["TraceParent"] == list(inject({"TraceParent": "old"}))
        assert ["PATH", "TRACEPARENT"] == list(inject({"PATH": ""}))


def test_what_is_not_sampled_says_so() -> None:
    """The flag of a trace that is not stored is 0, and what hangs below such a header is not stored either."""
    with record(sample_rate=0.0), span("caller"):
        headers = inject({})
    with record() as recording, extract(headers):
        leaf()
        log("EVENT")
    assert ("00", [], []) == (headers["traceparent"][-2:], recording.spans, recording.logs)


def test_what_is_not_recorded_is_handed_on_as_not_stored(recording: Recording) -> None:
    """As by a sink that asks a service: no fault of ours reaches it."""
    with at(Place(sampled=None)), span("asks"):
        assert "00" == inject({})["traceparent"][-2:]


HEADERS = st.dictionaries(
    st.sampled_from(["traceparent", "TRACEPARENT", "Traceparent", "other", "tracestate"]) | st.text(),
    st.from_regex(r"[0-9a-fA-F]{0,3}-[0-9a-fA-F]{0,33}-[0-9a-fA-F]{0,17}-[0-9a-fA-F]{0,3}(-.*)?")
    | st.text()
    | st.none(),
)


@given(HEADERS)
@example({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": b"vendor=1", "baggage": b"session.id=s"})
def test_malformed_headers_never_raise(headers: dict[str, Any]) -> None:
    """Whatever stands in the headers, extract runs its block; a header that is no traceparent changes nothing."""
    place = place_of(headers)
    with extract(headers):
        inside = current.get()
    assert (place is None) is (inside is None)
    assert None is current.get()


BAD = {
    "too short": "00-aa-bb-01",
    "no flags": f"00-{'a' * 32}-{'b' * 16}",
    "capitals": f"00-{'A' * 32}-{'b' * 16}-01",
    "zero trace": f"00-{'0' * 32}-{'b' * 16}-01",
    "zero span": f"00-{'a' * 32}-{'0' * 16}-01",
    "forbidden version": f"ff-{'a' * 32}-{'b' * 16}-01",
    "version 00 with more": f"00-{'a' * 32}-{'b' * 16}-01-more",
    "digits that are not ASCII": f"00-{'٣' * 32}-{'b' * 16}-01",
    "no text": None,
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_bad_header_is_no_parent(value: Any) -> None:
    """What W3C Trace Context does not allow is no parent."""
    assert None is place_of({"traceparent": value})


def test_what_no_process_can_be_given_is_not_handed_on() -> None:
    """A `tracestate` or a session's name that the environment of a process cannot hold keeps no process from starting."""
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=\0"}
    with record(), extract(headers), session("\udcff"), span("outer"):
        done = subprocess.run(["true"], check=False)
    assert 0 == done.returncode


def test_later_version_may_say_more() -> None:
    """Of a later version the known part is read."""
    place = place_of({"traceparent": f"cc-{'a' * 32}-{'b' * 16}-01-what-comes-later"})
    assert ("a" * 32, "b" * 16) == (place and place.trace_id, place and place.span_id)


def test_origin_of_the_process() -> None:
    """Roots of a process that was given a traceparent hang below it, until the environment is read again."""
    header = f"00-{'a' * 32}-{'b' * 16}-01"
    place = place_of({**os.environ, "TRACEPARENT": header})
    with record():
        switch.recorder.origin = place  # type: ignore[union-attr]
        with span("root") as root:
            assert ("a" * 32, "b" * 16) == (root.trace_id, root.parent_id)


def test_a_fork_in_the_midst_of_a_change_leaves_nothing_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the child of a finalizer that forked while a context was changed, the next changes keep no contexts."""
    place = Current()
    put = place.put
    monkeypatch.setattr(place, "put", lambda span: (place.renew(), put(span)))
    place.set(None)
    monkeypatch.setattr(place, "put", put)
    place.set(None)
    assert (0, []) == (place.changing, place._kept)
