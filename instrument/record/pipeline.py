"""Hands what was recorded to the sinks: one queue, one worker thread, in order, away from the user's threads.

Callers only append to the queue, which is safe in signal handlers, in `__del__` and in a sink that calls decorated
code. The worker sleeps while there is nothing to do, lets a batch gather for `GATHER` seconds, then settles and
writes it. A sink that raises is switched off, reported once and counted; the others go on.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from instrument.model import Batch, Sink
from instrument.record.context import Place, current

GATHER = 0.02
BATCH = 64
QUEUE_LIMIT = 50_000
CLOSE_SECONDS = 2.0
SETTLE_SECONDS = 10.0
LOOK_SECONDS = 0.02


class Flushed(NamedTuple):
    """What has reached the sinks so far (records) and what was lost, by reason."""

    written: int
    lost: dict[str, int]


class Pipeline:
    """The queue and its worker.

    `settle` turns queued things into a batch, `watch` gives what is to be said about spans that are still open and in
    how many seconds to look again (None: when something happens), `report` is told about a sink that failed.
    `draining` protects the sinks: whoever holds it may write, be it the worker, a fork or the end of the process.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        settle: Callable[[list[Any]], Batch],
        watch: Callable[[], tuple[list[Any], float | None]],
        report: Callable[[str, str], None],
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
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._next_look: float | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._flushes: deque[threading.Event] = deque()
        self._stopping = False
        self._room = QUEUE_LIMIT
        self._in_sink = False

    def put(self, item: Any) -> None:
        """Queue one thing and see that the worker is awake."""
        if len(self.queue) >= self._room:
            self.lost["queue full" if self._room else "recording had ended"] += 1
            return
        self.queue.append(item)
        if self.asleep:
            self.wake()

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

    def flush(self, timeout: float | None = 30.0) -> Flushed:
        """Return when all that was queued before has been written and the sinks are flushed."""
        if threading.current_thread() is not self._thread:
            if self._is_alive():
                done = threading.Event()
                self._flushes.append(done)
                self.wake()
                done.wait(timeout)
            else:
                self._drain_here(timeout)
        return self.told()

    def close(self, timeout: float = CLOSE_SECONDS) -> Flushed:
        """Write what is queued, close the sinks and stop; a sink that hangs is left behind after `timeout` seconds."""
        self._stopping = True
        if self._is_alive():
            self.wake()
            assert self._thread is not None
            if self._thread is not threading.current_thread():
                self._wait_for(self._thread, timeout)
        elif self.draining.acquire(timeout=timeout):
            try:
                self._finish()
            finally:
                self.draining.release()
        self._room = 0
        if self.queue:
            self.lost["sinks too slow at exit"] += len(self.queue)
        return self.told()

    def _wait_for(self, thread: threading.Thread, timeout: float) -> None:
        """Join the worker; only the time that sinks take counts, because counting tokens for the first time is slow."""
        in_sinks, deadline = 0.0, time.monotonic() + SETTLE_SECONDS
        while thread.is_alive() and in_sinks < timeout and time.monotonic() < deadline:
            thread.join(LOOK_SECONDS)
            in_sinks += LOOK_SECONDS if self._in_sink else 0.0

    def abandon(self) -> None:
        """Take nothing more and write nothing more: this is a fork, and all of it belongs to the parent."""
        self._stopping, self._thread, self.sinks = True, None, []
        self.queue = deque(maxlen=0)
        self.draining = threading.Lock()  # the parent's may be held, for ever
        self.asleep = False

    def told(self) -> Flushed:
        """What has been written and lost so far."""
        return Flushed(self.written, dict(self.lost))

    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None and not self._stopping:
                thread = threading.Thread(target=self._work, name="instrument", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            self.asleep = True  # no thread can start while the interpreter ends; close() drains
        finally:
            self._starting.release()

    def _work(self) -> None:
        current.set(Place(sampled=False))
        while not self._stopping:
            self._wait()
            with self.draining:
                self._look()
                self._drain()
                self._answer_flushes()
        with self.draining:
            self._finish()
            self._answer_flushes()

    def _finish(self) -> None:
        self._drain()
        self._each_sink("close")
        self.sinks = []

    def _wait(self) -> None:
        self.asleep = True
        if not self.queue and not self._urgent():
            self._sleep(self._next_look)
        self.asleep = False
        if not self._urgent():
            self._sleep(GATHER)

    def _sleep(self, seconds: float | None) -> None:
        self._alarm.acquire(timeout=-1 if seconds is None else seconds)

    def _urgent(self) -> bool:
        return self._stopping or bool(self._flushes)

    def _look(self) -> None:
        said, self._next_look = self.watch()
        self.queue.extend(said)

    def _drain(self) -> None:
        while self.queue:
            batch = self.settle([self.queue.popleft() for _ in range(min(BATCH, len(self.queue)))])
            if batch:
                self.written += len(batch)
                self._each_sink("write", batch)

    def _drain_here(self, timeout: float | None) -> None:
        if self.draining.acquire(timeout=-1 if timeout is None else timeout):
            try:
                self._drain()
                self._each_sink("flush")
            finally:
                self.draining.release()

    def _answer_flushes(self) -> None:
        if self._flushes:
            self._drain()
            self._each_sink("flush")
        while self._flushes:
            self._flushes.popleft().set()

    def _each_sink(self, verb: str, *args: Any) -> None:
        self._in_sink = True
        for sink in tuple(self.sinks):
            try:
                getattr(sink, verb)(*args)
            except Exception as error:  # noqa: BLE001 - a broken sink must not stop the others
                self.sinks.remove(sink)
                name = type(sink).__name__
                self.lost[f"sink {name} failed"] += len(args[0]) if args else 0
                self.report(name, f"{type(error).__name__}: {error}")
        self._in_sink = False
