"""Hands what was recorded to the sinks: one queue, one worker thread, in order, away from the user's threads.

Callers only append to the queue, which is safe in signal handlers, in `__del__` and in a sink that calls decorated
code. The worker sleeps while there is nothing to do, lets a batch gather for `GATHER` seconds, then settles it and
writes it to the sinks that are `direct`: our files. Every other sink has a lane of its own, so that none that is slow
or hangs holds up what is written to disk. A sink that raises is switched off, reported once and counted.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from instrument.model import Batch, Sink
from instrument.record.breath import Breath
from instrument.record.context import Place, current
from instrument.record.lanes import Bounds, Lane
from instrument.record.worth import MOST, weight, worth

GATHER = 0.02
BATCH = 64
LARGE_BATCH = 512
"""Where many wait: every batch costs some turns for the interpreter's lock, 5 ms each where a thread computes."""
BATCH_BYTES = 1 << 20
"""But what is read and written several times should fit the processor's nearer memory."""
CLOSE_SECONDS = 2.0
SETTLE_SECONDS = 10.0
LOOK_SECONDS = 0.02
READY_SECONDS = 0.05
"""So long the call that starts the worker waits at most until our files are open: beside threads that compute the
worker would take as long for it as it has calls of the system to make, 5 ms each."""
HASTE = 256
"""So many things in the queue end the gathering: more of them would have the garbage collector run for nothing."""
CROWD = 4_000
EASED = 16
"""Where more than `CROWD` things wait every 16th call stops for `EASE_SECONDS` at most: memory stays small where a loop
does nothing but call."""
LATE_SECONDS = 0.02
"""So does it where more wait than the worker takes in this time, because what waits is lost by a `kill -9`."""
EASE_SECONDS = 0.005
CATCH_UP_SECONDS = 0.005
"""So long what waited for prices keeps from what is queued."""
CATCHING_UP = 4
"""So many calls go by between two stops meanwhile: with more of them what waits would not become less."""
LOOK_SHARE = 20
"""Looking at what is open takes at most this part of the time."""
STEP = 1000
"""After so many more things in the queue its size in bytes is estimated, from one in `EVERY` of the newest."""
EVERY = 40
BARREN_SECONDS = 1.0
"""How long a queue that holds nothing of some worth is not searched for it again."""


class Flushed(NamedTuple):
    """What has reached the sinks so far (records) and what was lost, by reason."""

    written: int
    lost: dict[str, int]


class Sieve(Protocol):
    """Decides what is stored, between settling and the sinks."""

    def stores_all(self, batch: Batch, /) -> bool:
        """Whether the batch is stored now and as it is."""

    def sift(self, batch: Batch, /) -> Iterable[Batch]:
        """What of the batch, and of earlier ones, is to be stored now."""

    def finish(self) -> Iterable[Batch]:
        """What is to be stored of all that was undecided; nothing comes after it."""


class Later(Protocol):
    """Prices model calls for which tables must be loaded first."""

    @property
    def busy(self) -> threading.Lock:
        """Held while they load."""

    def is_ready(self) -> bool:
        """Whether that takes no time."""

    def load(self) -> None:
        """Begin to load what the batches that were made last need."""

    def complete(self, batch: Batch, /) -> tuple[Batch, Batch]:
        """The batch with what was still to come, and that alone, for sinks that have the rest."""


class Pipeline:
    """The queue and its worker.

    `settle` turns queued things into a batch, `watch` gives what is to be said about spans that are still open and in
    how many seconds to look again (None: when something happens), `report` is told about a sink that failed.
    `bounds` say how much may wait. A sink with `takes_all` gets what `sieve` leaves out, too. One with `takes_unpriced`
    has a batch at once of which usage and cost are still to come; the others have it when `later` has completed it.
    `draining` protects the sinks: whoever holds it may write, be it the worker, a fork or the end of the process.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        settle: Callable[[list[Any]], Batch],
        watch: Callable[[], tuple[list[Any], float | None]],
        report: Callable[[str, str], None],
        bounds: Bounds = Bounds(),  # noqa: B008 - it cannot be changed
        sieve: Sieve | None = None,
        later: Later | None = None,
    ) -> None:
        self.queue: deque[Any] = deque()
        self.sinks = list(sinks)
        self.settle = settle
        self.watch = watch
        self.report = report
        self.asleep = True
        self.draining = threading.Lock()
        self.written = 0
        self.lost: Counter[str] = Counter()
        self._bounds = bounds
        self._sieve = sieve
        self._direct = [sink for sink in sinks if getattr(sink, "direct", False)]
        self._lanes = [Lane(sink, bounds, self._sink_failed) for sink in sinks if sink not in self._direct]
        self._first = [sink for sink in self._direct if getattr(sink, "takes_unpriced", False)]
        self._later = later
        self._unpriced: deque[tuple[Batch, bool]] = deque()
        self._broken: list[Sink] = []
        self._closed_sinks: list[Sink] = []
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._next_look: float | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._ready = threading.Event()
        self._thinning = threading.Lock()
        self._flushes: deque[_Flush] = deque()
        self._closing: list[threading.Event] = []
        self._stopping = self._is_closed = self._in_sink = self.writes_late = False
        self._mark = self._room = min(HASTE, bounds.records)
        self._crowd = CROWD // 4
        self._behind = 0
        self._is_gathering = False
        self._look_due = 0.0
        self._settled = self._weighed_at = 0
        self._bytes_each = BATCH_BYTES // BATCH
        self._average = 0.0
        self._waited_in_vain: int | None = None
        self._barren_until = [0.0] * MOST
        self._breath = Breath()
        self._held: list[threading.Lock] = []
        self._stuck: list[threading.Lock] = []

    def put(self, item: Any) -> None:
        """Queue one thing and see that the worker is awake."""
        if len(self.queue) >= self._room and not self._has_room(item):
            return
        self.queue.append(item)
        if self.asleep:
            self.wake()

    def may_defer(self) -> bool:
        """Whether a batch may leave usage and cost for later."""
        return bool(self._first) and not self._urgent()

    def defers(self) -> bool:
        """Whether batches wait for their usage and cost."""
        return bool(self._unpriced)

    def wake(self) -> None:
        """Start or wake the worker."""
        self.asleep = False
        try:
            if self._thread is None:
                self._start()
            self._alarm.release()
        except RecursionError:
            self.asleep = True  # it was not told: whoever comes next tells it
        except RuntimeError:
            return  # it is awake already

    def hurry(self) -> None:
        """Write on this thread what is queued, if nobody is at it."""
        if self.draining.acquire(blocking=False):
            try:
                self._drain()
            finally:
                self.draining.release()

    def flush(self, timeout: float | None = 30.0) -> Flushed:
        """Return when all that was queued before has been written and the sinks are flushed."""
        if not self._is_ours(threading.current_thread()):
            give_up = None if timeout is None else time.monotonic() + timeout
            if self._is_alive():
                flush = _Flush(threading.Event(), [])
                self._flushes.append(flush)
                self.wake()
                flush.done.wait(timeout)
                _wait_for_all(flush.lanes, give_up)
            else:
                _wait_for_all(self._drain_here(timeout), give_up)
        return self.told()

    def close(self, timeout: float = CLOSE_SECONDS) -> Flushed:
        """Write what is queued, close the sinks and stop; a sink that hangs is left behind after `timeout` seconds."""
        self._stopping = True
        if self._is_alive():
            self.wake()
            assert self._thread is not None
            if self._thread is not threading.current_thread():
                timeout = self._wait_for(self._thread, timeout)
        elif not self._is_closed and self.draining.acquire(timeout=timeout):
            try:
                self._finish()
            finally:
                self.draining.release()
        if not self._is_ours(threading.current_thread()):
            _wait_for_all(self._closing, time.monotonic() + timeout)
        self._room, self._is_closed = 0, True
        for lane in self._lanes:
            lane.give_up()
        if self.queue:
            self.lost["sinks too slow at exit"] += len(self.queue)
            self.queue.clear()
        return self.told()

    def _wait_for(self, thread: threading.Thread, timeout: float) -> float:
        """Join the worker and return what is left of `timeout`.

        Only the time that sinks take counts, because counting tokens for the first time is slow.
        """
        in_sinks, deadline = 0.0, time.monotonic() + SETTLE_SECONDS
        while thread.is_alive() and in_sinks < timeout and time.monotonic() < deadline:
            thread.join(LOOK_SECONDS)
            in_sinks += LOOK_SECONDS if self._in_sink else 0.0
        return max(0.0, timeout - in_sinks)

    def hold(self, seconds: float) -> None:
        """Before a fork: wait until no sink is at work, but not for ever, and for one that is stuck only once."""
        give_up = time.monotonic() + seconds
        loading = () if self._later is None else (self._later.busy,)
        for lock in (self.draining, *loading, *(lane.busy for lane in self._lanes)):
            patience = 0.0 if lock in self._stuck else max(0.0, give_up - time.monotonic())
            if lock.acquire(timeout=patience):
                self._held.append(lock)
                self._stuck = [one for one in self._stuck if one is not lock]
            elif lock not in self._stuck:
                self._stuck.append(lock)

    def release(self) -> None:
        """After a fork, in the parent."""
        while self._held:
            self._held.pop().release()

    def abandon(self) -> None:
        """Take nothing more and write nothing more: this is a fork, and all of it belongs to the parent."""
        self._stopping, self._thread, self.sinks = True, None, []
        self._direct, self._lanes, self._sieve, self._first, self._unpriced = [], [], None, [], deque()
        self.queue = deque(maxlen=0)
        self.draining = threading.Lock()  # the parent's may be held, for ever
        self.asleep = False

    def told(self) -> Flushed:
        """What has been written and lost so far; what a sink keeps and will try again counts as lost until then."""
        lost = self.lost + sum((lane.lost for lane in self._lanes), Counter())
        for sink in (*self.sinks, *self._closed_sinks):
            for told in (getattr(sink, "lost", None), getattr(sink, "kept", None)):
                counts = told if isinstance(told, Mapping) else {"given up": told} if isinstance(told, int) else {}
                lost.update({f"sink {type(sink).__name__}: {why}": count for why, count in counts.items() if count})
        return Flushed(self.written, dict(lost))

    # Room in the queue

    def _has_room(self, item: Any) -> bool:
        """Whether the item may be queued; otherwise it has been counted as lost."""
        if self._is_closed:
            if not self._written_late(item):
                self.lost["recording had ended"] += 1
            return False
        if self._room == self._mark:
            self._hasten()
            if len(self.queue) < self._room:
                return True
        if self._is_full():
            if self._bounds.waits and not self._is_ours(threading.current_thread()):
                self._wait_for_room()
            if self._is_queue_full():
                return self._thinned(item)
        elif self._bounds.waits and self._is_crowded() and not self._is_ours(threading.current_thread()):
            self._ease()
        return True

    def _written_late(self, item: Any) -> bool:
        """While the process ends: what handlers of `atexit` still do is written at once, by themselves."""
        if not self.writes_late or not self.draining.acquire(timeout=0.1):
            return False
        try:
            sinks = [sink for sink in self._closed_sinks if getattr(sink, "reopens", False)]
            batch = self.settle([item]) if sinks else Batch([])
            kept = [batch] if self._sieve is None else list(self._sieve.sift(batch))
            for sink in sinks:
                for part in kept:
                    sink.write(part)
                    sink.flush()
            self.written += len(batch)
            return bool(sinks)
        except Exception as error:  # noqa: BLE001 - the process ends, nobody can mend it
            self.report("late", f"{type(error).__name__}: {error}")
            return False
        finally:
            self.draining.release()

    def _hasten(self) -> None:
        self._room = min(STEP, self._crowd, self._bounds.records)
        if self._is_gathering:
            self._is_gathering = False
            with suppress(RuntimeError):  # somebody else woke it
                self._alarm.release()

    def _is_full(self) -> bool:
        return self._is_queue_full() or (self._bounds.waits and any(lane.is_full() for lane in self._lanes))

    def _ease(self) -> None:
        self._wait_while(self._is_crowded, EASE_SECONDS)
        self._room = min(self._bounds.records, len(self.queue) + (CATCHING_UP if self._behind else EASED))

    def _is_crowded(self) -> bool:
        return len(self.queue) > self._crowd or self._behind > 0 or any(lane.is_behind(CROWD) for lane in self._lanes)

    def _is_queue_full(self) -> bool:
        length = len(self.queue)
        if length >= self._weighed_at:
            self._weighed_at = length + STEP
            self._average = self._average_weight(min(length, STEP))
        if length >= self._bounds.records or length * self._average >= self._bounds.bytes:
            return True
        if self._is_gathering and length < self._mark:
            self._room = self._mark
        else:
            self._room = min(self._bounds.records, length + STEP, max(self._crowd, length) + EASED)
        return False

    def _average_weight(self, newest: int) -> float:
        """Roughly the bytes of one of so many newest things: of one in `EVERY` of them."""
        weights = []
        for at in range(1, newest + 1, EVERY):
            with suppress(IndexError):  # the worker has taken it
                weights.append(weight(self.queue[-at]))
        return sum(weights) / max(1, len(weights))

    def _wait_for_room(self) -> None:
        """Wait as long as a call may. Where nothing moves, one call waits for all."""
        if self._waited_in_vain == self._progress():
            return
        if not self._wait_while(self._is_full, self._bounds.seconds):
            self._waited_in_vain = self._progress()

    def _wait_while(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait as long as `holds` says so, but for so many seconds at most; whether it holds no more."""
        give_up = time.monotonic() + seconds
        while holds():
            if time.monotonic() > give_up:
                return False
            if self.asleep:
                self.wake()
            time.sleep(0.001)
        return True

    def _progress(self) -> int:
        return self._settled + sum(lane.done for lane in self._lanes)

    def _thinned(self, item: Any) -> bool:
        """Whether things that are worth less than the item made room for it."""
        if self._thinning.acquire(blocking=False):
            try:
                for value in range(worth(item)):
                    if time.monotonic() > self._barren_until[value] and self._remove(value):
                        return True
            finally:
                self._thinning.release()
        self.lost["queue full"] += 1
        return False

    def _remove(self, value: int) -> bool:
        """Take out what is worth `value`, the oldest first, up to a tenth of the queue; whether there was any."""
        removed, length = 0, len(self.queue)
        for _ in range(length):
            try:
                one = self.queue.popleft()
            except IndexError:
                break
            if removed <= length // 10 and worth(one) == value:
                removed += 1
            else:
                self.queue.append(one)
        self.lost["queue full"] += removed
        if not removed:
            self._barren_until[value] = time.monotonic() + BARREN_SECONDS
        return removed > 0

    # The worker

    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _is_ours(self, thread: threading.Thread) -> bool:
        return thread is self._thread or any(lane.is_mine(thread) for lane in self._lanes)

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None and not self._stopping:
                thread = threading.Thread(target=self._work, name="instrument", daemon=True)
                thread.start()
                self._thread = thread
                self._ready.wait(READY_SECONDS)
        except RuntimeError:
            self.asleep = True  # no thread can start while the interpreter ends; close() drains
        finally:
            self._starting.release()

    def _work(self) -> None:
        current.set(Place(sampled=None))
        self._prepare()
        while not self._stopping:
            self._wait()
            with self.draining:
                self._look()
                self._drain()
                self._catch_up()
                self._answer_flushes()
        with self.draining:
            self._finish()
            while self._flushes:
                self._answer_flushes()

    def _prepare(self) -> None:
        """Have our files opened and threads started; what fails is told when something is to be written."""
        with self.draining:
            for one in (*self._direct, *self._lanes):
                if (prepare := getattr(one, "prepare", None)) is not None:
                    with suppress(Exception):
                        prepare()
        self._ready.set()

    def _finish(self) -> None:
        self._room, self._is_closed = 0, True  # a thread that never stops recording must not keep us from ending
        self._drain()
        self._catch_up(waits=True)
        if self._sieve is not None:
            for kept in self._sieve.finish():
                self._store(kept, self._direct, takes_all=False)
        self._each_sink("close")
        self._closed_sinks, self.sinks, self._direct = self.sinks, [], []
        self._closing = [lane.ask("close") for lane in self._lanes]

    def _wait(self) -> None:
        self.asleep = True
        if not self.queue and not self._urgent():
            self._sleep(self._next_look)
        self.asleep = False
        if self._behind:
            self._breath.take()
        elif not self._urgent() and len(self.queue) < self._mark:
            self._is_gathering = True
            self._sleep(GATHER)
            self._is_gathering = False

    def _sleep(self, seconds: float | None) -> None:
        self._alarm.acquire(timeout=-1 if seconds is None else seconds)

    def _urgent(self) -> bool:
        return self._stopping or bool(self._flushes)

    def _look(self) -> None:
        before = time.monotonic()
        if before < self._look_due:
            left = self._look_due - before
            self._next_look = left if self._next_look is None else min(left, self._next_look)
            return
        said, self._next_look = self.watch()
        self.queue.extend(said)
        after = time.monotonic()
        self._look_due = after + max(GATHER, LOOK_SHARE * (after - before))

    def _drain(self) -> None:
        """Settle and write what is queued now; what comes meanwhile waits for the next time."""
        current.let_go()
        began, left = time.monotonic(), len(self.queue)
        while left > 0 and self.queue:
            most = max(BATCH, min(LARGE_BATCH, BATCH_BYTES // self._bytes_each))
            taken = [self.queue.popleft() for _ in range(min(most, len(self.queue)))]
            left -= len(taken)
            batch = self.settle(taken)
            if batch:
                self._settled += len(batch)
                self._bytes_each = len(batch.data) // len(batch)
                before = time.monotonic()
                self._write(batch)
                self._breath.waited(time.monotonic() - before)
            crowded = self._bounds.waits and (self._behind > 0 or any(lane.is_full() for lane in self._lanes))
            self._room = 0 if crowded or self._is_closed else self._mark
            self._weighed_at = 0
            if left > 0 and not self._stopping and threading.current_thread() is self._thread:
                self._breath.take()
            began = self._timed(len(taken), began)

    def _timed(self, things: int, began: float) -> float:
        """Learn how many things may wait from how long so many took; what time it is."""
        now = time.monotonic()
        if things >= BATCH:
            in_time = LATE_SECONDS * things / max(now - began, 1e-6)
            self._crowd = int(min(CROWD, max(HASTE, (3 * self._crowd + in_time) / 4)))
        return now

    def _write(self, batch: Batch) -> None:
        if not batch.unpriced and not self._unpriced:
            self._pass_on(batch, self._direct)
            return
        is_written = self._sieve is None or self._sieve.stores_all(batch)
        if is_written:
            self._each_sink("write", batch, sinks=self._first)
        self._unpriced.extend((piece, is_written) for piece in batch.pieces(BATCH))
        if batch.unpriced and self._later is not None:
            self._later.load()

    def _catch_up(self, waits: bool = False) -> None:
        """Pass on what waited for usage and cost, in its order; what has come meanwhile is written in between.

        So that all of it has its turn less waits each time than the time before; `_behind` is how many batches do.
        """
        until, before = time.monotonic() + CATCH_UP_SECONDS, self._behind or sys.maxsize
        while self._unpriced and self._later is not None and (waits or self._later.is_ready()):
            if self.queue and not waits and len(self._unpriced) < before and time.monotonic() > until:
                self._behind = len(self._unpriced)
                return
            batch, is_written = self._unpriced.popleft()
            whole, rest = self._later.complete(batch)
            if is_written and rest:
                self._each_sink("write", rest, sinks=self._first)
            others = [sink for sink in self._direct if sink not in self._first]
            self._pass_on(whole, others if is_written else self._direct)
        self._behind = 0

    def _pass_on(self, batch: Batch, direct: Sequence[Sink]) -> None:
        if self._sieve is None:
            self._store(batch, direct)
            return
        self._store(batch, direct, takes_all=True)
        for kept in self._sieve.sift(batch):
            self._store(kept, direct, takes_all=False)

    def _store(self, batch: Batch, direct: Sequence[Sink], takes_all: bool | None = None) -> None:
        """Give the batch to the sinks; with `takes_all` only to those that do, or do not, get what is not stored."""
        self.written += 0 if takes_all else len(batch)
        self._each_sink("write", batch, sinks=direct, takes_all=takes_all)
        for lane in self._lanes:
            if takes_all is None or takes_all is _takes_all(lane.sink):
                lane.put(batch)

    def _drain_here(self, timeout: float | None) -> list[threading.Event]:
        if not self.draining.acquire(timeout=-1 if timeout is None else timeout):
            return []
        try:
            self._drain()
            self._catch_up(waits=True)
            self._each_sink("flush")
            return [] if self._is_closed else [lane.ask("flush") for lane in self._lanes]
        finally:
            self.draining.release()

    def _answer_flushes(self) -> None:
        asked = len(self._flushes)  # whoever asks from now on has queued what this turn does not write
        if not asked:
            return
        self._drain()
        self._catch_up(waits=True)
        self._each_sink("flush")
        for _ in range(asked):
            flush = self._flushes.popleft()
            flush.lanes.extend(lane.ask("flush") for lane in self._lanes)
            flush.done.set()

    def _each_sink(
        self, verb: str, *args: Batch, sinks: Sequence[Sink] | None = None, takes_all: bool | None = None
    ) -> None:
        self._in_sink = True
        for sink in self._direct if sinks is None else sinks:
            if takes_all is not None and takes_all is not _takes_all(sink):
                continue
            if sink in self._broken:
                self.lost[f"sink {type(sink).__name__} failed"] += sum(map(len, args))
                continue
            try:
                getattr(sink, verb)(*args)
            except Exception as error:  # noqa: BLE001 - a broken sink must not stop the others
                self._broken.append(sink)
                self._sink_failed(sink, error, sum(map(len, args)))
        self._in_sink = False

    def _sink_failed(self, sink: Sink, error: Exception, records: int) -> None:
        name = type(sink).__name__
        self.lost[f"sink {name} failed"] += records
        self.report(name, f"{type(error).__name__}: {error}")


class _Flush(NamedTuple):
    done: threading.Event
    lanes: list[threading.Event]


def _takes_all(sink: Sink) -> bool:
    return getattr(sink, "takes_all", False) is True


def _wait_for_all(events: Sequence[threading.Event], give_up: float | None) -> None:
    for event in events:
        event.wait(None if give_up is None else max(0.0, give_up - time.monotonic()))
