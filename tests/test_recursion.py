"""At the recursion limit: the RecursionError is the user's own, and the trace survives it."""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from instrument import llm_call, tool, traced
from instrument.collecting import uncollected
from instrument.record.context import current
from instrument.record.recorder import Recorder
from instrument.record.switch import switch
from instrument.testing import record
from tests.same import plain


@pytest.fixture(autouse=True)
def usual_limit() -> Iterator[None]:
    """The limit of a fresh interpreter."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


def on_a_thread(call: Callable[[], Any]) -> Any:
    """What a call gives on a thread of its own, where the stack is empty."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


def function(decorate: Any, reached: list[int]) -> Callable[[], Any]:
    @decorate
    def down(level: int) -> int:
        reached.append(level)
        return down(level + 1)

    return lambda: down(1)


def method(decorate: Any, reached: list[int]) -> Callable[[], Any]:
    class Deep:
        @decorate
        def down(self, level: int) -> int:
            reached.append(level)
            return self.down(level + 1)  # type: ignore[no-any-return]

    return lambda: Deep().down(1)


def generator(decorate: Any, reached: list[int]) -> Callable[[], Any]:
    @decorate
    def down(level: int) -> Any:
        reached.append(level)
        yield from down(level + 1)

    return lambda: list(down(1))


def coroutine(decorate: Any, reached: list[int]) -> Callable[[], Any]:
    @decorate
    async def down(level: int) -> None:
        reached.append(level)
        await down(level + 1)

    return lambda: asyncio.run(down(1))


def async_generator(decorate: Any, reached: list[int]) -> Callable[[], Any]:
    @decorate
    async def down(level: int) -> Any:
        reached.append(level)
        async for item in down(level + 1):
            yield item

    async def drain() -> None:
        async for _ in down(1):
            pass

    return lambda: asyncio.run(drain())


KINDS = [function, method, generator, coroutine, async_generator]


def depth(kind: Any, decorate: Any) -> int:
    """How many levels a recursion without end reaches; fails where it ends with anything but RecursionError."""
    reached: list[int] = []

    def run() -> type[BaseException]:
        try:
            kind(decorate, reached)()
        except BaseException as error:
            return type(error)
        raise AssertionError("came back")

    assert RecursionError is on_a_thread(run)
    return max(reached)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quarter_of_the_depth_is_left(kind: Any) -> None:
    """With one decorator a recursion goes at least a quarter as deep as without, recording on or off."""
    expected = depth(kind, plain)
    with record():
        recorded = depth(kind, traced)
    assert recorded >= expected / 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decorate", [traced, llm_call, lambda f: traced(tool(f))], ids=["one", "llm", "two"])
def test_nothing_stays_open(kind: Any, decorate: Any) -> None:
    """After a RecursionError no span is open, none is current, the outermost ended as an error: wherever the limit is."""
    sys.setrecursionlimit(200)  # a small one is reached soon
    for below in range(4):
        with record() as recording:
            depth(lambda *of: lambda: further(below, kind(*of)), decorate)
            recording.flush()
            assert switch.recorder is not None
            assert ({}, None) == (switch.recorder.open, current.get())
        roots = [span for span in recording.spans if span.parent_id is None]
        assert ["error"] == [span.status for span in roots]


def test_what_is_not_stored_does_not_stay_open_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that could not be handed over is over, also where its trace is left out and nobody wants to know of it."""
    with record(sample_rate=0, sampling={"keep": []}, loops={"action": "off"}) as recording:
        assert switch.recorder is not None
        with monkeypatch.context() as patched:
            patched.setattr(Recorder, "take", lambda recorder, live: further(10**6, int))
            tool(divmod)(3, 2)
        recording.flush()
        assert {} == switch.recorder.open


def further(frames: int, call: Callable[[], Any]) -> Any:
    """The call, so many frames further from the bottom."""
    return further(frames - 1, call) if frames else call()


@pytest.mark.parametrize("decorate", [traced, lambda f: traced(tool(f))], ids=["one", "two"])
def test_coroutines_at_the_limit_are_not_said_to_be_forgotten(decorate: Any) -> None:
    """No coroutine that the limit kept from starting is reported as never awaited."""
    sys.setrecursionlimit(300)
    with record(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(3):
            depth(coroutine, decorate)
            gc.collect()
    assert [] == [str(warning.message) for warning in said]


class Held:
    """Notes on which thread it ends."""

    made: int
    ended: list[int]

    def __init__(self) -> None:
        Held.made += 1

    def __del__(self) -> None:
        Held.ended.append(threading.get_ident())


@traced
def holds() -> int:
    held = Held()
    return holds() + bool(held)


@traced
async def holds_later() -> int:
    held = Held()
    return await holds_later() + bool(held)


@traced
def holds_and_raises() -> None:
    held = Held()
    raise RecursionError(bool(held))


@pytest.mark.parametrize("call", [holds, lambda: holds_later().send(None), holds_and_raises])
def test_what_the_levels_held_ends_with_their_error(call: Callable[[], Any]) -> None:
    """Who has forgotten the error has let go of all that its frames held, on the thread that held it.

    The collector, which may come as late as it likes, is not needed for that.
    """
    Held.made, Held.ended = 0, []

    def run() -> tuple[int, set[int]]:
        with pytest.raises(RecursionError):
            call()
        return threading.get_ident(), set(Held.ended)

    with record(), uncollected():
        here, where = on_a_thread(run)
    assert ({here}, Held.made) == (where, len(Held.ended))


@pytest.mark.parametrize("kind", KINDS)
def test_outer_spans_are_recorded(kind: Any) -> None:
    """The trace survives: most of the levels are recorded, the outer ones without a gap, each as RecursionError."""
    with record() as recording:
        reached = depth(kind, traced)
    by_id = {span.span_id: span for span in recording.spans}
    children = {span.parent_id: span for span in recording.spans}
    [root] = [span for span in by_id.values() if span.parent_id is None]
    chain = [root]
    while chain[-1].span_id in children:
        chain.append(children[chain[-1].span_id])
    assert len(chain) >= reached * 0.9
    assert {"RecursionError"} == {span.error.type for span in chain if span.error is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_program_goes_on(kind: Any) -> None:
    """After a RecursionError the next call is recorded as if nothing had been."""
    with record() as recording:
        depth(kind, traced)
        tool(lambda a: a)(5)
    after = recording.spans[-1]
    assert ("<lambda>", {"a": 5}, 5, None, "ok") == (
        after.name,
        after.input,
        after.output,
        after.parent_id,
        after.status,
    )


def test_result_that_is_deeper_than_the_room_left() -> None:
    """A call whose result there is no room to look at returns it, and is recorded unless it had no room to begin."""

    class Deep:
        def __repr__(self) -> str:
            return self.down(80)

        def down(self, levels: int) -> str:
            return self.down(levels - 1) if levels else "bottom"

    @traced
    def makes() -> Deep:
        return Deep()

    def sink(levels: int) -> Any:
        return sink(levels - 1) if levels else makes()

    def run(levels: int) -> bool:
        try:
            return isinstance(sink(levels), Deep)
        except RecursionError:
            return False

    with record() as recording:
        returned = [on_a_thread(functools.partial(run, levels)) for levels in range(1000, 850, -3)]
    assert returned.count(True) - 2 <= len(recording.spans) <= returned.count(True)
    assert {"ok"} == {span.status for span in recording.spans}


def test_recursion_that_is_caught_half_way() -> None:
    """A level that catches the RecursionError of those below it returns as it would undecorated, and ends well."""

    @traced
    def catches() -> str:
        try:
            return function(traced, [])()
        except RecursionError:
            return "caught"

    with record() as recording:
        assert "caught" == on_a_thread(catches)
    assert "ok" == recording.span("catches").status


def test_at_every_distance_from_the_limit() -> None:
    """However little room is left, a call returns its result or raises RecursionError, and leaves nothing behind.

    With the room growing, RecursionError turns into the result once and for all.
    """

    @traced
    def leaf(a: int) -> int:
        return a + 1

    def sink(levels: int) -> Any:
        return sink(levels - 1) if levels else leaf(1)

    def run(levels: int) -> Any:
        try:
            return sink(levels)
        except RecursionError:
            return "RecursionError"

    with record() as recording:
        outcomes = [on_a_thread(functools.partial(run, levels)) for levels in range(1000, 940, -1)]
        lost = recording.flush().lost
        assert switch.recorder is not None
        assert ({}, None, {}) == (switch.recorder.open, current.get(), lost)
    turn = outcomes.index(2)
    assert ["RecursionError"] * turn + [2] * (60 - turn) == outcomes
    assert [2] * len(recording.spans) == [span.output for span in recording.spans if span.status == "ok"]


def test_recording_starts_where_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a start near the limit would read no settings, and make no sink, for good: a later call starts it."""
    started: list[str] = []
    monkeypatch.setattr(switch, "recorder", None)
    monkeypatch.setattr(switch, "decided", False)

    @tool
    def work() -> int:
        return len(started)

    def down(frames: int) -> int:
        return work() if frames == 0 else down(frames - 1)

    monkeypatch.setattr(switch, "start", lambda: started.append("here"))
    assert (0, 1) == (on_a_thread(lambda: down(900)), on_a_thread(lambda: down(100)))
