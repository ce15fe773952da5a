"""Hands what was recorded to the sinks: one queue, one worker thread, in order, away from the user's threads.

Callers only append to the queue, which is safe in signal handlers, in `__del__` and in a sink that calls decorated
code; `room` says what they do where much waits. The worker sleeps while there is nothing to do, lets a batch gather for
`GATHER` seconds, then settles it and has it delivered: `delivery` writes it to our files at once, and to every other
sink by a lane, so that none that is slow or hangs holds up what is written to disk.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from instrument.model import Batch, Sink
from instrument.record.breath import Breath
from instrument.record.context import current
from instrument.record.delivery import Delivery, Later, Sieve, own_fault
from instrument.record.failures import in_words
from instrument.record.lanes import Bounds
from instrument.record.room import Room
from instrument.record.shift import Shift, threads_of_the_system, wait_until_gone
from instrument.record.worth import weight

GATHER = 0.02
"""So long a batch gathers, or until `room.HASTE` things wait."""
LARGE_BATCH = 512
"""So many things are settled together: every batch costs some turns for the interpreter's lock, 5 ms each where a
thread computes."""
BATCH_BYTES = 1 << 20
"""But no more than make about this much, by the size of the records before and of one that waits: what is read and
written several times should fit the processor's nearer memory."""
BATCH = 64
"""And never fewer than these, however large they are."""
CLOSE_SECONDS = 2.0
SETTLE_SECONDS = 10.0
"""So long `close` waits at most for the worker, sinks or not."""
LOOK_SECONDS = 0.02
"""So often `close` looks whether it is a sink that it waits for."""
READY_SECONDS = 0.05
"""So long the call that starts the worker waits at most until our files are open: beside threads that compute the
worker would take as long for it as it has calls of the system to make, 5 ms each."""
ANSWER_SECONDS = 0.1
"""So often a flush looks whether the worker that it has asked is still there."""
PASSING = ("instrument-tables", "instrument-trim")
"""Threads of ours that soon end by themselves."""
PASSING_SECONDS = 0.1
"""So long a fork waits for each of them at most."""
LATE = 10_000
"""So many things may come while the sinks are closed, to be written when they are."""
LATE_ROUNDS = 3
"""So often what came while late things were written is written as well: what we ourselves call may be decorated."""
ENDED = "recording had ended"
LOOK_SHARE = 20
"""Looking at what is open takes at most one part in so many of the time."""


class Flushed(NamedTuple):
    """What has reached the sinks so far (records) and what was lost, by reason."""

    written: int
    lost: dict[str, int]


class Pipeline:
    """The queue and its worker.

    `settle` takes all things out of a list and makes a batch of them, `watch` gives what is to be said about spans that
    are still open and in how many seconds to look again (None: when something happens), `report` is told about a sink
    that failed. `bounds` say how much may wait; `sieve` and `later` are the delivery's.
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
        self.settle = settle
        self.watch = watch
        self.report = report
        self.asleep = True
        self.is_gathering = self.writes_late = False
        self.written_before = 0.0
        self.draining = threading.Lock()
        self.delivery = Delivery(sinks, bounds, report, sieve, later)
        self.room = Room(self.queue, bounds, self.delivery, self)
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._next_look: float | None = None
        self._look_due = 0.0
        self._shift = Shift("instrument", self._work)
        self._ready = threading.Event()
        self._stopping = False
        self._flushes: deque[_Flush] = deque()
        self._closing: list[threading.Event] = []
        self._bytes_each = BATCH_BYTES // BATCH
        self._breath = Breath()
        self._lost: Counter[str] = Counter()
        self._late: deque[Any] = deque()
        self._late_on = 0
        self._heir: Callable[[Any], None] | None = None

    # For everybody

    def put(self, item: Any) -> None:
        """Queue one thing and see that the worker is awake."""
        if len(self.queue) >= self.room.free and not self._takes(item):
            return
        self.queue.append(item)
        if self.asleep:
            self.wake()

    def may_defer(self) -> bool:
        """Whether a batch may leave usage and cost for later."""
        return self.delivery.takes_unpriced() and not self._urgent()

    def told(self) -> Flushed:
        """What has been written and lost so far; what a sink keeps and will try again counts as lost until then."""
        lost = self.delivery.lost()
        for counts in (self._lost, self.room.lost):
            lost.update(dict(counts))  # a copy: other threads count meanwhile
        lost[ENDED] += len(self._late)
        return Flushed(self.delivery.written, dict(+lost))

    def wake(self) -> None:
        """Start or wake the worker."""
        if self.asleep:
            self.written_before = time.monotonic()
        self.asleep = False
        try:
            if self._shift.thread is None:
                self._start()
            self._alarm.release()
        except RecursionError:
            self.asleep = True  # it was not told: whoever comes next tells it
        except RuntimeError:
            return  # it is awake already

    def is_ours(self, thread: threading.Thread) -> bool:
        """Whether it is the worker's, or one that a sink runs on."""
        return self._shift.has(thread) or self.delivery.is_ours(thread)

    def hurry(self) -> None:
        """Write on this thread what is queued, if nobody is at it."""
        if self.draining.acquire(blocking=False):
            try:
                self._drain()
            finally:
                self.draining.release()

    def flush(self, timeout: float | None = 30.0) -> Flushed:
        """Return when all that was queued before has been written and the sinks are flushed."""
        if not self.is_ours(threading.current_thread()):
            give_up = None if timeout is None else time.monotonic() + timeout
            if not self._flushed_by_worker(give_up):
                self._flush_here(give_up)
        return self.told()

    def close(self, timeout: float = CLOSE_SECONDS, *, has_heir: bool = False) -> Flushed:
        """Write what is queued, close the sinks and stop; a sink that hangs is left behind after `timeout` seconds.

        What it keeps from being written is lost, unless `has_heir`: then it is for whom `hand_on` names, and the sink
        goes on with what waits for it.
        """
        self._stopping = True
        thread = self._shift.thread
        if thread is threading.current_thread():
            return self.told()  # a sink has asked for it: what is left is written when that one returns
        if thread is not None and thread.is_alive():
            self.wake()
            timeout = self._wait_for(thread, timeout)
        if not (self._shift.is_alive() or self.room.is_closed) and self.draining.acquire(timeout=timeout):
            try:
                self._finish()
            finally:
                self.draining.release()
        if not self.is_ours(threading.current_thread()):
            _wait_for_all(self._closing, time.monotonic() + timeout)
        self.room.close()
        if not has_heir:
            self.delivery.give_up()
        while has_heir and self.queue:
            with suppress(IndexError):  # a sink that hung has come back
                self._late.append(self.queue.popleft())
        if self.queue:
            self._lost["sinks too slow at exit"] += len(self.queue)
            self.queue.clear()
        return self.told()

    def hand_on(self, heir: Callable[[Any], None]) -> None:
        """After the end: give what has come since, and what still comes, to the recording that goes on."""
        self._heir = heir
        while self._late:
            with suppress(IndexError):  # another thread hands on as well
                heir(self._late.popleft())

    def _flushed_by_worker(self, give_up: float | None) -> bool:
        """Whether the worker has flushed, or there is no time left to wait for it; not where there is none any more."""
        if not self._shift.is_alive():
            return False
        flush = _Flush(threading.Event(), [])
        self._flushes.append(flush)
        self.wake()
        while not flush.done.wait(_left(give_up, ANSWER_SECONDS)):
            if give_up is not None and time.monotonic() >= give_up:
                break
            if not self._shift.is_alive():  # it ended in the moment that it was asked
                return flush.done.is_set()
        _wait_for_all(flush.lanes, give_up)
        return True

    def _flush_here(self, give_up: float | None) -> None:
        if self.draining.acquire(timeout=_left(give_up, threading.TIMEOUT_MAX)):
            try:
                lanes = self._flush()
            finally:
                self.draining.release()
            _wait_for_all(lanes, give_up)

    def _takes(self, item: Any) -> bool:
        """Whether the item may be queued; otherwise it has been written or counted as lost."""
        if not self.room.is_closed:
            takes = self.room.takes(item)
            if not takes or not self.room.is_closed:  # it may be closed while a call waits
                return takes
        if len(self._late) < LATE:
            self._late.append(item)
            if self._heir is not None:
                self.hand_on(self._heir)
            else:
                self._write_late()
        else:
            self._lost[ENDED] += 1
        return False

    def write_late(self) -> None:
        """The process ends: write what has come while the sinks were closed, and from now on all at once.

        Handlers of `atexit` and the collector still call what is recorded, as do threads until they are stopped.
        """
        self.writes_late = True
        self._write_late()

    def _write_late(self) -> None:
        if self._late_on == threading.get_ident():
            return  # called from below, by what is written with
        for _ in range(LATE_ROUNDS):
            if not (self.writes_late and self._late and self.draining.acquire(timeout=0.1)):
                return
            late = _taken_from(self._late, len(self._late))
            many = len(late)
            self._late_on = threading.get_ident()
            try:
                if not self.delivery.write_late(partial(self.settle, late)):
                    self._lost[ENDED] += many
            except Exception as error:  # noqa: BLE001 - the process ends, nobody can mend it
                self._lost[ENDED] += many
                self.report("late", in_words(error))
            finally:
                self._late_on = 0
                self.draining.release()

    def _wait_for(self, thread: threading.Thread, timeout: float) -> float:
        """Join the worker and return what is left of `timeout`.

        Only the time that sinks take counts, because counting tokens for the first time is slow.
        """
        in_sinks, deadline = 0.0, time.monotonic() + SETTLE_SECONDS
        while thread.is_alive() and in_sinks < timeout and time.monotonic() < deadline:
            thread.join(LOOK_SECONDS)
            in_sinks += LOOK_SECONDS if self.delivery.in_sink else 0.0
        return max(0.0, timeout - in_sinks)

    def locks(self) -> list[threading.Lock]:
        """What is held while a sink is at work or tables load."""
        return [self.draining, *self.delivery.locks()]

    def before_fork(self, give_up: float) -> None:
        """Have the threads end, if all others of the process are ours: else it is told of those in any case."""
        others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
        if all(thread.name in PASSING or self.is_ours(thread) for thread in others):
            before = threads_of_the_system()
            for thread in others:
                if thread.name in PASSING and thread.is_alive():
                    thread.join(max(0.0, min(PASSING_SECONDS, give_up - time.monotonic())))
            self._shift.end(self.wake, give_up)
            self.delivery.before_fork(give_up)
            wait_until_gone(before - sum(not thread.is_alive() for thread in others))

    def after_fork(self) -> None:
        """In the parent: have others go on, at once where something waits."""
        self._shift.go_on()
        self.delivery.after_fork()
        self.asleep = not (self.queue or self._urgent() or self._next_look is not None)
        if not self.asleep:
            self._start()

    def abandon(self) -> None:
        """Take nothing more and write nothing more: this is a fork, and all of it belongs to the parent."""
        self._stopping, self._shift = True, Shift("instrument", self._work)
        self.delivery.abandon()
        self.queue = self.room.queue = deque(maxlen=0)
        self._late, self.writes_late = deque(maxlen=0), False
        self.draining = threading.Lock()  # the parent's may be held, for ever
        self.asleep = False

    # The worker

    def _start(self) -> None:
        try:
            if not self._stopping and self._shift.begin():
                self._ready.wait(READY_SECONDS)
        except RecursionError:
            self.asleep = True  # there is no room to start it
        except RuntimeError:
            self.asleep = True  # no thread can start, as while the interpreter ends: whoever comes writes
            self.hurry()

    def _work(self) -> None:
        if not self._ready.is_set():
            with self.draining:
                self.delivery.prepare()
            self._ready.set()
        while not self._stopping:
            self._wait()
            if self._shift.leaves():
                return
            with self.draining:
                self._look()
                self._drain()
                self.delivery.catch_up(self.queue)
                self._answer_flushes()
        with self.draining:
            self._finish()
            while self._flushes:
                self._answer_flushes()

    def _wait(self) -> None:
        self.asleep = True
        if not self.queue and not self.delivery.behind and not self._urgent():
            self._alarm.acquire(timeout=-1 if self._next_look is None else self._next_look)
        self.asleep = False
        if self.delivery.behind:
            self._breath.take()
        elif not self._urgent() and len(self.queue) < self.room.mark:
            self.is_gathering = True
            self._alarm.acquire(timeout=GATHER)
            self.is_gathering = False

    def _urgent(self) -> bool:
        return self._stopping or self._shift.is_over or bool(self._flushes)

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
        drained_from = began = time.monotonic()
        left = len(self.queue)
        while left > 0 and (taken := _taken_from(self.queue, self._most())):
            many = len(taken)
            left -= many
            self._deliver(taken, many)
            self.room.renew()
            if left > 0:
                self.breathe()
            before, began = began, time.monotonic()
            if many >= BATCH:  # of fewer the fixed costs would count too much
                self.room.learn(many, began - before)
        self.written_before = drained_from
        if not self.queue:
            self.room.large = 0  # what was thinned out and has not been counted back

    def breathe(self) -> None:
        """Between two pieces of the worker's work: have other threads go on. Whoever else does it does not wait."""
        if not self._stopping and threading.current_thread() is self._shift.thread:
            self._breath.take()

    def _most(self) -> int:
        """So many things may be settled together now."""
        each = self._bytes_each
        if len(self.queue) > 2 * BATCH:
            with suppress(IndexError):  # they are thinned out at this moment
                each = max(each, weight(self.queue[min(LARGE_BATCH, len(self.queue)) // 2]))
        return max(BATCH, min(LARGE_BATCH, BATCH_BYTES // each))

    def _deliver(self, taken: list[Any], many: int) -> None:
        """Settle and write so many things; the list is empty then."""
        try:
            batch = self.settle(taken)
            if batch:
                self._bytes_each = len(batch.data) // len(batch)
                before = time.monotonic()
                self.delivery.write(batch)
                self._breath.waited(time.monotonic() - before)
        except Exception as error:  # noqa: BLE001 - what comes after it must not be lost as well
            self._lost[own_fault(error)] += many

    def _flush(self) -> list[threading.Event]:
        self._drain()
        self.delivery.catch_up(waits=True)
        return self.delivery.flush()

    def _answer_flushes(self) -> None:
        asked = len(self._flushes)  # whoever asks from now on has queued what this turn does not write
        if not asked:
            return
        lanes = self._flush()
        for _ in range(asked):
            flush = self._flushes.popleft()
            flush.lanes.extend(lanes)
            flush.done.set()

    def _finish(self) -> None:
        self.room.close()  # a thread that never stops recording must not keep us from ending
        self._drain()
        self.delivery.catch_up(waits=True)
        self._closing = self.delivery.close()


class _Flush(NamedTuple):
    done: threading.Event
    lanes: list[threading.Event]


def _taken_from(queue: deque[Any], most: int) -> list[Any]:
    """The first things out of a queue; other threads may take some out at the same moment."""
    taken: list[Any] = []
    with suppress(IndexError):
        for _ in range(most):
            taken.append(queue.popleft())
    return taken


def _wait_for_all(events: Sequence[threading.Event], give_up: float | None) -> None:
    for event in events:
        event.wait(_left(give_up, threading.TIMEOUT_MAX))


def _left(give_up: float | None, most: float) -> float:
    """Seconds until then, `most` at most."""
    return most if give_up is None else min(most, max(0.0, give_up - time.monotonic()))
