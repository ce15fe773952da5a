"""The pipeline: order, isolation of failures, waking, flushing, closing."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

from instrument.model import Batch, Log
from instrument.record.pipeline import Pipeline
from instrument.record.shift import Shift
from instrument.signals import left_to_others
from tests.sinks import Keeping, Tables


class Failing(Keeping):
    """A sink that raises at its first batch."""

    def write(self, batch: Batch) -> None:
        raise OSError("disk full")


class Leaving(Keeping):
    """A sink that ends its thread at its first batch, as far as it can."""

    def write(self, batch: Batch) -> None:
        raise SystemExit


class Unsayable(Exception):
    """It cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("half made")


class Wordless(Keeping):
    """A sink that raises what has no words."""

    def write(self, batch: Batch) -> None:
        raise Unsayable


class Choosing(Keeping):
    """A sink that ends its thread, as far as it can, when it is asked what it wants."""

    def wants(self, record: Any) -> bool:
        raise SystemExit


class Secretive(Keeping):
    """A sink that says nothing of itself, nor whether it is like another one."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("not connected")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not connected")


class Likeness(Failing):
    """A sink that raises at its first batch and equals everything."""

    direct = True

    def __eq__(self, other: object) -> bool:
        return True


class Hanging(Keeping):
    """A sink that does not come back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, batch: Batch) -> None:
        self.let_go.wait(20)


def pipeline(*sinks: Any, said: list[tuple[str, str]] | None = None) -> Pipeline:
    told: list[tuple[str, str]] = [] if said is None else said
    return Pipeline(sinks, lambda items: Batch(items), lambda: ([], None), lambda *words: told.append(words))


def note(n: int) -> Log:
    return Log(time_ns=n, event=str(n))


def test_records_arrive_in_order() -> None:
    """Sinks get records in the order in which they were queued, across batches."""
    kept = Keeping()
    line = pipeline(kept)
    for n in range(1000):
        line.put(note(n))
    line.flush()
    line.close()
    assert list(range(1000)) == [record.time_ns for record in kept.records]


def test_records_arrive_without_flush() -> None:
    """What is queued is written soon, whether or not anybody asks."""
    kept = Keeping()
    line = pipeline(kept)
    line.put(note(1))
    deadline = time.monotonic() + 20
    while not kept.records and time.monotonic() < deadline:
        time.sleep(0.005)
    line.close()
    assert [1] == [record.time_ns for record in kept.records]


def test_worker_wakes_again_after_idling() -> None:
    """A worker that has gone to sleep takes what comes later."""
    kept = Keeping()
    line = pipeline(kept)
    for n in range(3):
        line.put(note(n))
        line.flush()
        time.sleep(0.05)
    line.close()
    assert [0, 1, 2] == [record.time_ns for record in kept.records]


def test_failing_sink_is_switched_off_alone() -> None:
    """A sink that raises gets nothing more, the others get everything."""
    kept = Keeping()
    line = pipeline(Failing(), kept)
    line.put(note(1))
    line.flush()
    line.put(note(2))
    line.flush()
    line.close()
    assert [1, 2] == [record.time_ns for record in kept.records]


def test_a_sink_that_cannot_choose_is_switched_off_alone() -> None:
    """A sink whose `wants` is no function that takes a record does not keep the others from theirs."""
    kept, choosing = Keeping(), Keeping()
    choosing.wants = ("llm",)  # type: ignore[attr-defined]
    line = pipeline(choosing, kept)
    for n in (1, 2):
        line.put(note(n))
        told = line.flush()
    line.close()
    assert ([1, 2], {"sink Keeping failed": 2}) == ([record.time_ns for record in kept.records], told.lost)


@pytest.mark.parametrize(
    ("kind", "direct"),
    [(Leaving, False), (Leaving, True), (Wordless, False), (Wordless, True), (Choosing, False), (Likeness, True)],
)
def test_a_sink_that_ends_its_thread_is_switched_off_alone(kind: type[Keeping], direct: bool) -> None:
    """What is no `Exception`, has no words or no identity costs neither the thread that the sink is called on, nor the
    other sinks, nor those who flush."""
    kept, leaving = Keeping(), kind()
    kept.direct = leaving.direct = direct
    line = pipeline(leaving, kept)
    for n in (1, 2):
        line.put(note(n))
        told = line.flush()
    line.close()
    assert ([1, 2], {f"sink {kind.__name__} failed": 2}) == ([one.time_ns for one in kept.records], told.lost)


@pytest.mark.parametrize("direct", [False, True])
def test_a_sink_need_say_nothing_of_itself(direct: bool) -> None:
    """Where what a sink says of itself cannot be had it says nothing, and gets its records."""
    Secretive.direct = direct
    kept, secretive = Keeping(), Secretive()
    line = pipeline(secretive, kept)
    line.put(note(1))
    told = line.flush()
    line.close()
    assert (1, 1, {}) == (len(secretive.records), len(kept.records), told.lost)


def test_a_sink_that_ends_the_recording_loses_nothing() -> None:
    """What is queued while a sink that runs on the worker closes the recording is written when that returns."""

    class Ending(Keeping):
        direct = True

        def write(self, batch: Batch) -> None:
            super().write(batch)
            if len(self.records) == 1:
                line.put(note(2))
                line.close()

    ending = Ending()
    line = pipeline(ending)
    line.put(note(1))
    told = line.flush()
    assert ([1, 2], {}) == ([one.time_ns for one in ending.records], told.lost)


def test_failing_sink_is_reported_once() -> None:
    """The report names the sink and the reason, once."""
    said: list[tuple[str, str]] = []
    line = pipeline(Failing(), said=said)
    for n in range(3):
        line.put(note(n))
        line.flush()
    line.close()
    assert [("Failing", "OSError: disk full")] == said


def test_failing_sink_is_counted() -> None:
    """`flush` says how many records a failed sink did not take."""
    line = pipeline(Failing())
    line.put(note(1))
    told = line.flush()
    line.close()
    assert {"sink Failing failed": 1} == told.lost


def test_close_waits_no_longer_than_its_timeout_for_a_hanging_sink() -> None:
    """A sink that never returns does not keep the process from ending."""
    hanging = Hanging()
    line = pipeline(hanging)
    line.put(note(1))
    time.sleep(0.1)
    begun = time.monotonic()
    line.close(timeout=0.2)
    waited = time.monotonic() - begun
    hanging.let_go.set()
    assert waited < 5


def test_what_a_hanging_file_keeps_from_being_written_is_counted() -> None:
    """What still waits when it is left behind is lost, and said to be."""

    class Stuck(Hanging):
        direct = True
        begun = threading.Event()

        def write(self, batch: Batch) -> None:
            self.begun.set()
            super().write(batch)

    sink = Stuck()
    held = pipeline(sink)
    held.put(note(1))
    assert sink.begun.wait(20)
    held.put(note(2))
    lost = held.close(timeout=0.05).lost
    sink.let_go.set()
    assert 1 == lost["sinks too slow at exit"]


def test_what_comes_after_the_end_is_counted() -> None:
    """Until somebody writes it, it is lost."""
    ended = pipeline(Keeping())
    ended.close()
    ended.put(note(1))
    assert {"recording had ended": 1} == ended.told().lost


def test_close_closes_each_sink_once() -> None:
    """Sinks are closed at the end, once, even when close is called twice."""
    kept = Keeping()
    line = pipeline(kept)
    line.put(note(1))
    line.close()
    line.close()
    assert 1 == kept.closed


FAULT = {"a fault of the recording itself (MemoryError)": 1}


def of_three_in_turn(line: Pipeline, kept: Keeping) -> tuple[list[int], dict[str, int]]:
    """Which of three logs, each written before the next one comes, the sink has, and what was lost."""
    for n in range(3):
        line.put(note(n))
        line.flush()
    told = line.close()
    return [one.time_ns for one in kept.records], told.lost


def test_what_comes_after_a_fault_of_ours_is_written() -> None:
    """A batch that cannot be settled is counted as lost, and the worker goes on."""
    kept = Keeping()

    def settle(items: list[Any]) -> Batch:
        if items[0].time_ns == 1:
            raise MemoryError
        return Batch(items)

    line = Pipeline([kept], settle, lambda: ([], None), lambda *words: None)
    assert ([0, 2], FAULT) == of_three_in_turn(line, kept)


def test_what_comes_after_a_fault_in_a_price_is_written() -> None:
    """A batch that cannot be completed is counted as lost, and the worker goes on with what waits behind it."""
    kept = Keeping()

    def unpriced(items: list[Any]) -> Batch:
        batch = Batch(items)
        batch.unpriced = {"call": None}
        return batch

    class Prices(Tables):
        def complete(self, batch: Batch) -> tuple[Batch, Batch]:
            if batch[0].time_ns == 1:  # type: ignore[attr-defined]  # only logs here
                raise MemoryError
            return batch, Batch([])

    line = Pipeline([kept], unpriced, lambda: ([], None), lambda *words: None, later=Prices())
    assert ([0, 2], FAULT) == of_three_in_turn(line, kept)


def test_sink_may_queue_more() -> None:
    """A sink that queues a record while it writes does not deadlock; the record arrives."""
    kept = Keeping()

    class Echoing(Keeping):
        def write(self, batch: Batch) -> None:
            if batch[0].time_ns == 1:  # type: ignore[attr-defined]  # only logs here
                line.put(note(2))

    line = pipeline(Echoing(), kept)
    line.put(note(1))
    line.flush()
    line.close()
    assert [1, 2] == [record.time_ns for record in kept.records]


def test_flush_from_a_sink_returns() -> None:
    """A sink that flushes the pipeline it is called from does not wait for itself."""

    class Flushing(Keeping):
        def write(self, batch: Batch) -> None:
            line.flush()
            super().write(batch)

    sink = Flushing()
    line = pipeline(sink)
    line.put(note(1))
    line.flush()
    line.close()
    assert 1 == len(sink.records)


def test_a_flush_amid_another_waits_for_what_was_queued_before_it() -> None:
    """Who flushes while the worker answers somebody else is answered after what they had queued is written."""
    unanswered: list[int] = []

    class Flushed(Keeping):
        direct = True

        def write(self, batch: Batch) -> None:
            unanswered.append(len(line._flushes))

        def flush(self) -> None:
            if not other.ident:
                other.start()
                while len(line._flushes) < 2:
                    time.sleep(0.001)

    def record_and_flush() -> None:
        line.put(note(2))
        line.flush()

    other = threading.Thread(target=record_and_flush)
    line = pipeline(Flushed())
    line.put(note(1))
    line.flush()
    other.join(20)
    line.close()
    assert 1 == unanswered[-1]


def test_a_flush_in_the_moment_in_which_the_worker_ends_returns() -> None:
    """Who asks when the worker has answered for the last time, but is still there, does not wait for ever."""
    is_over, may_end = threading.Event(), threading.Event()

    class Lingering(Pipeline):
        def _work(self) -> None:
            super()._work()
            is_over.set()
            may_end.wait(20)

    line = Lingering([Keeping()], Batch, lambda: ([], None), lambda *words: None)
    line.put(note(1))
    line._stopping = True
    line.wake()
    assert is_over.wait(20)
    flushing = threading.Thread(target=line.flush, args=(None,), daemon=True)
    flushing.start()
    while not line._flushes:
        time.sleep(0.001)
    may_end.set()
    flushing.join(20)
    assert not flushing.is_alive()


def test_the_worker_does_not_sleep_while_batches_wait() -> None:
    """What waits because the queue came first is gone on with though the queue has been thinned to nothing since."""
    line = pipeline(Keeping())
    line.delivery.behind = 1
    waiting = threading.Thread(target=line._wait, daemon=True)
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()


def test_of_large_things_few_are_settled_together_from_the_first_on() -> None:
    """How many are settled together goes by the size of those that wait, not of those before alone."""
    sizes: list[int] = []

    def settle(items: list[Any]) -> Batch:
        sizes.append(len(items))
        return Batch(items)

    line = Pipeline([Keeping()], settle, lambda: ([], None), lambda *words: None)
    line.put(note(0))
    line.flush()
    with line.draining:
        for n in range(500):
            line.put(Log(time_ns=n, message="x" * 20_000))
    line.close()
    assert [1, 64, 64] == sizes[:3]


def test_close_waits_for_what_is_slow_but_is_no_sink() -> None:
    """Work of our own that takes longer than the time allowed to sinks (a first count of tokens) loses nothing."""
    kept = Keeping()

    def settle(items: list[Any]) -> Batch:
        time.sleep(0.1)
        return Batch(items)

    line = Pipeline([kept], settle, lambda: ([], None), lambda *words: None)
    line.put(note(1))
    line.close(timeout=0.02)
    assert [1] == [record.time_ns for record in kept.records]


def test_a_handler_of_signals_that_forks_while_a_thread_begins_goes_on() -> None:
    """What goes on after a fork does not wait for the very code that the handler has come in between."""
    shift = Shift("instrument", lambda: None)
    going_on = threading.Thread(target=shift.go_on, daemon=True)
    with shift._changing:
        going_on.start()
        going_on.join(20)
        assert not going_on.is_alive()


def test_ctrl_c_while_the_thread_begins_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that its starter could not take note of is the one, or ends at once where another was begun."""
    at_work: list[threading.Thread] = []
    start, let_go = threading.Thread.start, threading.Event()
    shift = Shift("instrument", lambda: (at_work.append(threading.current_thread()), let_go.wait(20)) and None)

    def interrupted(thread: threading.Thread) -> None:
        begun.append(thread)
        start(thread)
        if len(begun) == 1:
            raise KeyboardInterrupt

    begun: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shift.begin()
    shift.begin()
    let_go.set()
    for thread in begun:
        thread.join(20)
    assert [shift.thread] == at_work


def test_a_thread_that_just_begins_ends_for_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where who begins it has not told of it yet: Python would warn of it."""
    start, begins = threading.Thread.start, threading.Event()

    def slow(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "instrument":
            begun.append(thread)
            begins.set()
            time.sleep(0.02)

    def work() -> None:
        while not shift.leaves():
            time.sleep(0.001)

    begun: list[threading.Thread] = []
    shift = Shift("instrument", work)
    monkeypatch.setattr(threading.Thread, "start", slow)
    threading.Thread(target=shift.begin).start()
    begins.wait(20)
    known = shift.has(begun[0])
    shift.end(lambda: None, time.monotonic() + 20)
    assert (True, False) == (known, begun[0].is_alive())


class Prepared(Keeping):
    """A direct sink that notes on which thread it was prepared, and can be told to hang there."""

    direct = True

    def __init__(self, hangs: bool = False) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.ready: list[str] = []
        if not hangs:
            self.let_go.set()

    def prepare(self) -> None:
        self.let_go.wait(20)
        self.ready.append(threading.current_thread().name)


def test_files_are_open_when_the_first_call_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What opening takes passes before the first call goes on, and on the worker's thread."""
    monkeypatch.setattr("instrument.record.pipeline.READY_SECONDS", 20)
    sink = Prepared()
    line = pipeline(sink)
    line.put(note(0))
    assert sink.ready == ["instrument"]
    line.close()


def test_a_file_that_cannot_be_opened_in_time_holds_nobody() -> None:
    """The call goes on while a sink is still being prepared, and what it queued is written afterwards."""
    sink = Prepared(hangs=True)
    line = pipeline(sink)
    line.put(note(0))
    assert sink.ready == []
    sink.let_go.set()
    line.close()
    assert [note(0)] == sink.records


def test_pieces_are_the_batch() -> None:
    """Pieces of a batch hold its records, lines and depths in order, and know what it takes to price them."""
    batch = Batch([note(n) for n in range(7)], depths=range(7))
    batch.unpriced = {"a": 1}
    pieces = list(batch.pieces(3))
    assert [3, 3, 1] == [len(piece) for piece in pieces]
    assert list(batch) == [record for piece in pieces for record in piece]
    assert list(batch.lines) == [line for piece in pieces for line in piece.lines]
    assert list(range(7)) == [depth for piece in pieces for depth in piece.depths]
    assert all(piece.unpriced == {"a": 1} for piece in pieces)


@pytest.mark.parametrize(("takes_signals", "left"), [(False, True), (True, False)])
def test_threads_of_ours_leave_signals_to_the_program(takes_signals: bool, left: bool) -> None:
    """What it blocks to wait for (`sigwait`) would end it there. Where the user's code runs they are as the program's."""
    told: list[bool] = []
    shift = Shift("thread", lambda: told.append(signal.SIGTERM in left_to_others()), takes_signals=takes_signals)
    shift.begin()
    assert shift.thread is not None
    shift.thread.join()
    assert [left] == told
