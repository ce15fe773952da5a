"""Too much for the worker or for a sink: bounded memory, the policy of the settings, losses counted, no deadlock."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import span, tool
from instrument.model import Batch, Finding, Log, Record
from instrument.record import lanes
from instrument.record.lanes import Bounds, Lane
from instrument.record.pipeline import Pipeline
from instrument.record.spans import Begun
from instrument.record.switch import switch
from instrument.record.worth import weight, worth
from instrument.testing import record
from tests.faults.programs import run as run_program
from tests.faults.programs import worked
from tests.recorded import call, finding, head, log, run
from tests.recorded import span as span_record
from tests.sinks import Direct, Keeping


class Gated(Keeping):
    """A sink that takes nothing until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def write(self, batch: Batch) -> None:
        self.entered.set()
        self.gate.wait(30)
        super().write(batch)


class Disk(Gated):
    """Such a sink that the worker itself writes to, as it does to our files."""

    direct = True


class Slow(Keeping):
    """A sink that takes its time for every batch."""

    def write(self, batch: Batch) -> None:
        time.sleep(0.005)
        super().write(batch)


def pipeline(*sinks: Any, **bounds: Any) -> Pipeline:
    return Pipeline(sinks, Batch, lambda: ([], None), lambda *words: None, Bounds(**bounds))


def note(n: int, level: str = "INFO") -> Log:
    return Log(time_ns=n, event=str(n), level=level)


def stuck(line: Pipeline, sink: Gated) -> None:
    """The sink is at its first record, and hangs there."""
    line.put(note(-1))
    assert sink.entered.wait(30)


def handed_on(line: Pipeline) -> None:
    """All that was queued has been given to the sinks, though one may hang."""
    while line.queue:
        line.hurry()
    with line.draining:  # the worker holds it until it has handed on what it took
        pass


def test_a_sink_that_hangs_holds_up_no_file() -> None:
    """What is written to disk is written while another sink hangs."""
    hanging, files = Gated(), Direct()
    line = pipeline(hanging, files, waits=False)
    stuck(line, hanging)
    for n in range(300):
        line.put(note(n))
    handed_on(line)
    written = len(files.records)
    hanging.gate.set()
    line.close()
    assert (301, 301) == (written, len(hanging.records))


def test_dropped_records_are_counted() -> None:
    """Under the policy drop all that a slow sink did not get is counted, and its queue stays within the bound."""
    slow = Gated()
    line = pipeline(slow, waits=False, records=100)
    stuck(line, slow)
    for n in range(1000):
        line.put(note(n))
        if n % 50 == 0:
            handed_on(line)
    waiting = [lane.waiting for lane in line.delivery._lanes]
    slow.gate.set()
    told = line.close()
    assert (True, 1001) == (waiting <= [101 + 64], len(slow.records) + told.lost["sink Gated too slow"])


def test_bytes_are_bounded_as_well() -> None:
    """A few large records fill a lane as many small ones do."""
    slow = Gated()
    line = pipeline(slow, waits=False, bytes=100_000)
    stuck(line, slow)
    for n in range(50):
        line.put(Log(time_ns=n, event="e", message="x" * 10_000))
    handed_on(line)
    slow.gate.set()
    told = line.close()
    assert (True, 51) == (8 <= len(slow.records) <= 12, len(slow.records) + told.lost["sink Gated too slow"])


def test_what_was_thinned_out_and_taken_waits_no_more() -> None:
    """When a lane that had to be thinned out is empty no bytes count as waiting, nor as taken twice."""
    slow = Gated()
    line = pipeline(slow, waits=False, records=100)
    stuck(line, slow)
    for n in range(500):
        line.put(note(n))
        if n % 50 == 0:
            handed_on(line)
    slow.gate.set()
    line.close()
    (lane,) = line.delivery._lanes
    assert (True, 0) == (bool(lane.lost), lane._given_bytes - lane._done_bytes)


def test_the_least_valuable_goes_first() -> None:
    """Where not everything fits, errors, model calls and findings stay; debug logs and small calls go."""
    slow = Gated()
    line = pipeline(slow, waits=False, records=40)
    stuck(line, slow)
    valuable: list[Record] = [span_record(n, 1, status="error") for n in range(10)] + [call(100, 1), finding(1)]
    for at in range(100):
        line.put(log(at, level="DEBUG"))
        line.put(span_record(1000 + at, 1))
        if at < len(valuable):
            line.put(valuable[at])
    handed_on(line)
    slow.gate.set()
    line.close()
    kept = Counter(worth(one) for one in slow.records)
    assert (len(valuable), True, 0) == (kept[3], kept[1] > 0, kept[0])


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        (0, head(1)),
        (0, log(1, level="DEBUG")),
        (1, log(1)),
        (1, span_record(2, 1, kind="tool")),
        (2, log(1, level="WARNING")),
        (2, span_record(1)),
        (2, span_record(2, 1, kind="step")),
        (3, span_record(2, 1, status="error")),
        (3, call(2, 1)),
        (3, finding(1)),
        (3, run()),
    ],
)
def test_what_a_record_is_worth(expected: int, made: Record) -> None:
    """A record is worth the same in the queue and on its way to a sink."""
    assert [expected, expected] == [worth(made), worth((made, 2))]


def test_what_has_only_begun_is_worth_what_its_record_is() -> None:
    """The head of a span that is running goes first, before it is a record, too."""
    with record(), span("root") as root:
        assert 0 == worth(Begun(root))


def test_a_live_span_is_worth_what_its_record_is() -> None:
    """A call that failed is worth more than one that went well, before they are records, too."""
    with record(), span("root") as root, span("inner") as inner:
        before = worth(root), worth(inner)
        inner.status = "error"
        assert ((2, 1), 3) == (before, worth(inner))


def test_weight_is_about_the_size() -> None:
    """What holds a megabyte weighs about that."""
    assert 900_000 < weight(Log(time_ns=0, message="x" * 1_000_000)) < 1_100_000


def test_calls_wait_for_room() -> None:
    """Under the policy wait nothing is lost to a sink that is slow: the program goes at its pace."""
    slow = Slow()
    line = pipeline(slow, waits=True, records=50, seconds=30.0)
    for n in range(2000):
        line.put(note(n))
    told = line.flush()
    line.close()
    assert ({}, list(range(2000))) == (told.lost, [one.time_ns for one in slow.records])


def test_nobody_waits_for_ever() -> None:
    """A sink that hangs delays one call by the bound, then the others go on and losses are counted."""
    hanging = Gated()
    line = pipeline(hanging, waits=True, records=20, seconds=0.05)
    stuck(line, hanging)
    for n in range(500):
        line.put(note(n))
    line.flush(timeout=0.1)
    hanging.gate.set()
    told = line.close()
    assert 501 == len(hanging.records) + sum(told.lost.values())


def test_a_queue_that_is_full_of_files_work() -> None:
    """While the disk hangs the queue stays within its bound; what does not fit is counted, nobody waits for ever."""
    disk = Disk()
    line = pipeline(disk, waits=True, records=100, seconds=0.05)
    stuck(line, disk)
    for n in range(500):
        line.put(note(n))
    queued = len(line.queue)
    disk.gate.set()
    told = line.close()
    assert (True, 501) == (queued <= 100, len(disk.records) + told.lost["queue full"])


def test_what_comes_after_the_end_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits for room when the recording closes is counted as lost, and so is the one behind it."""
    disk = Disk()
    line = pipeline(disk, waits=True, records=10, seconds=20.0)
    stuck(line, disk)
    for n in range(10):
        line.put(note(n))
    waits, wait = threading.Event(), line.room._wait_for_room
    monkeypatch.setattr(line.room, "_wait_for_room", lambda: (waits.set(), wait()))
    waiting = threading.Thread(target=line.put, args=(note(10),), daemon=True)
    waiting.start()
    assert waits.wait(20)
    line.close(timeout=0.01)
    waiting.join(20)
    line.put(note(11))
    disk.gate.set()
    assert (2, 0) == (line.told().lost["recording had ended"], len(line.queue))


def test_what_ends_while_the_sinks_are_closed_is_written_when_they_are() -> None:
    """At the end of the process threads, `atexit` and the collector go on: what they do is written behind it."""

    class Opens(Direct):
        reopens = True

        def close(self) -> None:
            line.put(note(1))

    disk = Opens()
    line = pipeline(disk, waits=True, records=10, seconds=20.0)
    line.put(note(0))
    lost = line.close().lost
    line.write_late()
    line.put(note(2))
    assert ({"recording had ended": 1}, [0, 1, 2], {}) == (
        lost,
        [one.time_ns for one in disk.records],
        line.told().lost,
    )


def test_a_queue_that_is_thinned_while_the_worker_takes_from_it() -> None:
    """Another call may find the queue full and leave something out at any moment: the worker goes on with the rest."""
    disk = Direct()
    line = pipeline(disk, waits=False, records=50)

    class Thinned(deque[Any]):
        def popleft(self) -> Any:
            first = super().popleft()
            if len(self) == 10:
                line.room._remove(1)
            return first

    line.queue = line.room.queue = Thinned(map(note, range(30)))
    line.hurry()
    told = line.close()
    assert 30 == len(disk.records) + told.lost["queue full"]


def test_a_gathering_ends_also_where_calls_ask_late() -> None:
    """Where a call that was stopped has set the mark higher, the next one that asks ends the gathering all the same."""
    line = pipeline(Keeping())
    room = line.room
    line.queue.extend(map(note, range(room.mark + 1)))
    line.asleep, line.is_gathering, room.free = False, True, room.mark + 1
    line.put(note(-1))
    line.close()
    assert not line.is_gathering


@pytest.mark.parametrize(("seconds", "stops"), [(0.0, False), (100.0, True)])
def test_a_call_stops_where_what_waits_has_waited_for_long(
    seconds: float, stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside threads that do nothing but call the worker gets its turn, so that a kill loses what is young."""
    line = pipeline(Keeping())
    monkeypatch.setattr("instrument.record.room.WAITED_SECONDS", 60.0)
    line.queue.extend(map(note, range(line.room.mark)))
    line.asleep, line.written_before = False, time.monotonic() - seconds
    line.put(note(-1))  # from now on it is asked how long the others have waited
    line.queue.extend(map(note, range(line.room.free)))
    stopped: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", stopped.append)
        line.put(note(-2))
    line.close()
    assert stops == bool(stopped)


def test_a_call_that_ends_while_the_worker_goes_to_sleep_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is asked for behind the call that was queued: before it, it may have looked and found nothing."""
    woken = []

    class Behind(deque[Any]):
        def append(self, item: Any) -> None:
            line.asleep = True  # it has looked in the moment before
            super().append(item)

    with record():
        assert switch.recorder is not None
        line = switch.recorder.pipeline
        line.asleep, line.queue = False, Behind()
        with monkeypatch.context() as patch:
            patch.setattr(line, "wake", lambda: woken.append(len(line.queue)))
            tool(lambda: 1)()
    assert [1] == woken


def test_an_error_takes_the_place_of_a_debug_log() -> None:
    """In a full queue what is worth less makes room for what is worth more."""
    disk = Disk()
    line = pipeline(disk, waits=False, records=50)
    stuck(line, disk)
    for n in range(50):
        line.put(note(n, "DEBUG"))
    failed = span_record(1, 2, status="error")
    line.put(failed)
    disk.gate.set()
    line.close()
    assert failed in disk.records


class Calling(Keeping):
    """A sink that calls a decorated function, which must not come back to it."""

    def write(self, batch: Batch) -> None:
        noted(len(batch))
        super().write(batch)

    def wants(self, record: Record) -> bool:
        return noted(-1) < 0


@tool
def noted(n: int) -> int:
    return n


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("rate", [1.0, 0.5, 0.0])
def test_a_sink_that_calls_decorated_code(direct: bool, rate: float) -> None:
    """What a sink calls is not recorded, or it would never end."""
    sink = Calling()
    sink.direct = direct
    with record(sinks=(sink,), sample_rate=rate) as recording:
        for n in range(20):
            noted(n)
            recording.flush()
        told = recording.flush()
    assert ({}, True) == (told.lost, len([one for one in recording.spans if one.name == "noted"]) <= 20)


def test_finalizers_that_record() -> None:
    """`__del__` may record wherever the collector runs, in the worker and in sinks too."""

    class Ends:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            noted(1)

    class Collecting(Keeping):
        direct = True

        def write(self, batch: Batch) -> None:
            Ends()
            gc.collect(0)
            super().write(batch)

    with record(sinks=(Collecting(),), queue={"limit": 10, "wait_seconds": 0.01}) as recording:
        for _ in range(200):
            Ends()
            noted(0)
        gc.collect()
        told = recording.flush()
    assert 200 <= len([one for one in recording.spans if one.name == "noted"]) + told.lost.get("queue full", 0)


@pytest.mark.parametrize("direct", [True, False])
def test_what_a_finalizer_calls_on_a_thread_of_ours_is_recorded(direct: bool) -> None:
    """The collector often runs on the worker and on the threads of our sinks: what it ends there is not theirs."""

    class Ends:
        def __del__(self) -> None:
            noted(1)

    class Ours(Keeping):
        calls_nobody = True

        def write(self, batch: Batch) -> None:
            ended.clear()
            super().write(batch)

    sink, ended = Ours(), [Ends()]
    sink.direct = direct
    with record(sinks=(sink,)) as recording:
        noted(0)
        recording.flush()
    assert [0, 1] == sorted(one.input["n"] for one in recording.spans)


def test_finalizers_that_record_while_a_call_begins(tmp_path: Path) -> None:
    """Where the collector ends what records in the midst of `ContextVar.set` the process lives and loses no call."""
    program = """
    import gc
    class Ends:
        def __init__(self): self.me = self
        def __del__(self): work(-1)
    gc.set_threshold(13, 2, 2)
    for n in range(1000):
        Ends()
        work(n)
    gc.set_threshold(700, 10, 10)
    flush()
    """
    done = run_program(tmp_path, program)
    assert (0, "", list(range(1000))) == (done.returncode, done.stderr, [n for n in worked(tmp_path) if n >= 0])


@pytest.fixture
def no_callbacks() -> Iterator[None]:
    """Nothing is called when the collector runs: a signal's handler would then run in the midst of `ContextVar.set`."""
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks.extend(callbacks)


def test_signal_handlers_that_record(no_callbacks: None) -> None:
    """A handler may record and flush whatever the main thread was doing, the recording itself included."""
    ticks = []

    def tick(number: int, frame: Any) -> None:
        ticks.append(noted(-1))
        if going:  # one after the other: a timer that is faster than its handler would nest handlers without end
            signal.setitimer(signal.ITIMER_REAL, 0.0005)

    going = True
    before = signal.signal(signal.SIGALRM, tick)
    with record(queue={"limit": 100}) as recording:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        try:
            for n in range(3000):
                noted(n)
        finally:
            going = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        told = recording.flush()
    inputs = [one.input["n"] for one in recording.spans if one.name == "noted"]
    assert ({}, list(range(3000)), len(ticks)) == (told.lost, [n for n in inputs if n >= 0], inputs.count(-1))


def test_losses_that_a_sink_counts_are_told() -> None:
    """What a sink counts in `lost`, or keeps to try again, is in what `flush` says, by sink and reason."""

    class Lossy(Direct):
        lost = {"no answer": 3}
        kept = {"later": 1}

    line = pipeline(Lossy())
    line.put(note(1))
    told = line.flush()
    line.close()
    assert {"sink Lossy: no answer": 3, "sink Lossy: later": 1} == told.lost


class Meanwhile(str):
    """A reason that another thread counts something beside, whenever it is looked at."""

    counts: Counter[str]

    def __hash__(self) -> int:
        self.counts[str(len(self.counts))] = 1
        return super().__hash__()

    def __format__(self, spec: str) -> str:
        return str(hash(self))


def test_losses_are_told_while_others_are_counted() -> None:
    """Who asks what was lost does not meet a fault of the recording because threads go on losing."""
    with record() as recording:
        assert switch.recorder is not None
        line = switch.recorder.pipeline
        for counts in (line._lost, line.room.lost, line.delivery._lost, switch.recorder.faults):
            reason = Meanwhile("full")
            reason.counts = Counter()
            counts[reason] = 1
            reason.counts = counts
        assert 4 <= len(recording.flush().lost)
        for counts in (line._lost, line.room.lost, line.delivery._lost, switch.recorder.faults):
            counts.clear()


def test_what_a_sink_says_of_its_losses_may_be_anything() -> None:
    """A sink that cannot tell what it lost costs nobody the answer."""

    class Silent(Direct):
        @property
        def lost(self) -> dict[str, int]:
            raise OSError("gone")

    line = pipeline(Silent())
    line.put(note(1))
    told = line.flush()
    line.close()
    assert (1, {}) == (told.written, told.lost)


@pytest.mark.parametrize("lost", [{"gone": "three", "left": 2}, {"gone": [1, 2]}, {"gone": None}, ["gone"]])
def test_losses_are_numbers(lost: Any) -> None:
    """What else a sink calls `lost` is its own, and no fault in the answer."""
    silent = Direct()
    silent.lost = lost  # type: ignore[attr-defined]  # few sinks have it
    line = pipeline(silent)
    line.put(note(1))
    told = line.flush()
    line.close()
    assert ({"sink Direct: left": 2} if "left" in lost else {}) == told.lost


def test_settings_reach_the_queue() -> None:
    """`[queue]` bounds what waits, and its policy holds."""
    hanging = Gated()
    with record(sinks=(hanging,), queue={"limit": 10, "policy": "drop"}) as recording:
        noted(0)
        assert hanging.entered.wait(30)
        for n in range(200):
            noted(n)
        hanging.gate.set()
    told = recording.flush()
    assert 201 == len(recording.spans) + told.lost["queue full"]


def test_findings_are_never_the_first_to_go() -> None:
    """A finding is worth as much as anything can be."""
    assert worth(Finding(detector="d", message="m")) == 3


def test_a_sink_that_is_at_work_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink that has just taken something is behind where more waits than it may; one that stands still is not."""
    let_on = threading.Semaphore(0)

    class Slow(Keeping):
        def write(self, batch: Batch) -> None:
            let_on.acquire(timeout=20)
            super().write(batch)

    lane = Lane(Slow(), Bounds(), lambda *_: None)
    for n in range(3):
        lane.put(Batch([note(n)] * 10))
    found = [lane.is_behind(5)]
    let_on.release()
    while lane.done < 10:
        time.sleep(0.001)
    for still in (60.0, 0.0):
        monkeypatch.setattr(lanes, "STILL_SECONDS", still)
        found.append(lane.is_behind(5))
    let_on.release(2)
    assert [False, True, False] == found


@tool
def read(text: str) -> int:
    return len(text)


@pytest.mark.parametrize("policy", ["drop", "wait"])
def test_long_values_that_wait_are_bounded(policy: str) -> None:
    """A call keeps its span where there is no room for its long arguments: these are left out, marked and counted."""
    queue = {"policy": policy, "max_bytes": 250_000, "wait_seconds": 0.01}
    with record(queue=queue) as recording:
        assert switch.recorder is not None
        worker = switch.recorder.pipeline
        with worker.draining:
            for _ in range(3):
                read("word " * 40_000)
        lost = recording.flush().lost
        read("word " * 40_000)
    whole, *others, later = [str(one.input) for one in recording.spans]
    assert ({"long values: queue full": 2}, ["{'$omitted': 1}"] * 2, True, whole) == (
        lost,
        others,
        "word" in whole,
        later,
    )
    assert worker.room.large == 0


def test_a_long_value_that_finds_room_in_time_is_whole() -> None:
    """Under the policy wait a call waits for the worker, which finishes what is before it."""
    with record(queue={"max_bytes": 250_000, "wait_seconds": 30}) as recording:
        for _ in range(5):
            read("word " * 40_000)
    assert ({}, 1) == (recording.flush().lost, len({str(one.input) for one in recording.spans}))
