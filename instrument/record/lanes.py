"""A sink with a thread of its own: however slow it is, and if it never comes back, the others go on.

The pipeline's worker puts batches into the lane and never waits for it. What waits there is bounded: beyond the bound
the least valuable records are left out and counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, ParamSpec, TypeVar

from instrument.model import Batch, Record, Sink
from instrument.record.breath import Breath
from instrument.record.context import Place, call_at
from instrument.record.shift import Shift
from instrument.record.worth import worth
from instrument.signals import is_of_signal

P = ParamSpec("P")
R = TypeVar("R")

ROOMY = 0.9
"""A lane over its bound is cut to this share of it, so that not every batch has to cut again."""

STILL_SECONDS = 0.25
"""A sink that has taken nothing for so long stands still."""


class Bounds(NamedTuple):
    """How much may wait (records and bytes), and whether a call that finds no room waits, for how many seconds."""

    records: int = 50_000
    bytes: int = 67_108_864
    waits: bool = True
    seconds: float = 1.0


class _Ask(NamedTuple):
    verb: str
    done: threading.Event


class Lane:
    """What waits for one sink. `busy` is held while the sink is called, `lost` counts by reason."""

    def __init__(self, sink: Sink, bounds: Bounds, failed: Callable[[Sink, BaseException, int], None]) -> None:
        self.sink = sink
        self.busy = threading.Lock()
        self.lost: Counter[str] = Counter()
        self.done = 0
        self._done_at = 0.0
        self._failed = failed
        self._bounds = bounds
        self._queue: deque[Batch | _Ask] = deque()
        self._given = self._given_bytes = self._done_bytes = 0
        self._is_off = False
        self._wants: Callable[[Record], bool] | None = says(sink, "wants")
        self._alarm = threading.Lock()
        self._alarm.acquire()
        is_ours = type(sink).__module__.startswith("instrument.")
        self._shift = Shift(f"instrument-{self._name}", self._work, takes_signals=not is_ours)
        self._breath = Breath()

    @property
    def waiting(self) -> int:
        """Records that the sink has not taken yet."""
        return self._given - self.done

    def is_full(self) -> bool:
        """Whether calls should wait, where the settings say that they do."""
        return self._exceeds(1)

    def is_behind(self, records: int) -> bool:
        """Whether more than so many wait for a sink that is at work: nobody waits for one that stands still."""
        return self.waiting > records and time.monotonic() - self._done_at < STILL_SECONDS

    def is_mine(self, thread: threading.Thread) -> bool:
        """Whether this is the thread that the sink runs on."""
        return self._shift.has(thread)

    def prepare(self) -> None:
        """Start the thread of a sink that wants everything."""
        if self._wants is None and self._shift.thread is None:
            self._start()

    def put(self, batch: Batch) -> None:
        """Let the sink have the batch, or what it wants of it, when it comes to it."""
        if self._wants is not None:
            try:
                wanted = call(self.sink, _places, batch, self._wants)
            except BaseException as error:
                if not is_of_sink(error):
                    raise
                self._wants = None
                self._switch_off(error, len(batch))
                return
            if not wanted:
                return
            batch = batch if len(wanted) == len(batch) else batch.part(wanted)
        if self._is_off:
            self.lost[f"sink {self._name} failed"] += len(batch)
            return
        self._given += len(batch)
        self._given_bytes += _bytes_of(batch)
        self._queue.append(batch)
        if self._exceeds(2 if self._bounds.waits else 1):
            self._thin()
        self._wake()

    def ask(self, verb: str) -> threading.Event:
        """Have the sink flush or close after what waits; the event tells that it has."""
        done = threading.Event()
        self._queue.append(_Ask(verb, done))
        self._wake()
        return done

    def before_fork(self, give_up: float) -> None:
        """Have the thread end."""
        self._shift.end(self._ring, give_up)

    def after_fork(self) -> None:
        """Go on with what waits."""
        self._shift.go_on()
        if self._queue:
            self._wake()

    def give_up(self) -> None:
        """The process ends: what waits is lost."""
        if self.waiting:
            self.lost[f"sink {self._name} too slow at exit"] += self.waiting
            self._given = self.done

    @property
    def _name(self) -> str:
        return type(self.sink).__name__

    def _exceeds(self, times: int) -> bool:
        waiting_bytes = self._given_bytes - self._done_bytes
        return self.waiting > times * self._bounds.records or waiting_bytes > times * self._bounds.bytes

    def _wake(self) -> None:
        if self._shift.thread is None:
            self._start()
        self._ring()

    def _ring(self) -> None:
        with suppress(RuntimeError):  # it is awake already
            self._alarm.release()

    def _start(self) -> None:
        try:
            self._shift.begin()
        except RuntimeError:
            self._serve()  # no thread can start while the interpreter ends

    def _work(self) -> None:
        while True:
            self._alarm.acquire()
            if self._serve() or self._shift.leaves():
                return

    def _serve(self) -> bool:
        """Hand over all that waits; whether the sink was closed."""
        while self._queue and not self._shift.is_over:
            try:
                item = self._queue.popleft()
            except IndexError:
                break  # it was thinned out meanwhile
            if isinstance(item, _Ask):
                self._call(item.verb)
                item.done.set()
                if item.verb == "close":
                    return True
            else:
                self._call("write", item)
                self.done += len(item)
                self._done_bytes += _bytes_of(item)
                self._done_at = time.monotonic()
                if self._queue:
                    self._breath.take()
        return False

    def _call(self, verb: str, *args: Batch) -> None:
        if self._is_off:
            self.lost[f"sink {self._name} failed"] += sum(map(len, args))
            return
        with self.busy:
            try:
                call(self.sink, getattr(self.sink, verb), *args)
            except BaseException as error:
                if not is_of_sink(error):
                    raise
                self._switch_off(error, sum(map(len, args)))

    def _switch_off(self, error: BaseException, records: int) -> None:
        self._is_off = True
        self._failed(self.sink, error, records)

    def _thin(self) -> None:
        """Leave out the least valuable of what waits, of equals the newest."""
        held: list[Any] = []
        while self._queue:
            try:
                held.append(self._queue.popleft())
            except IndexError:
                break
        batches = [item for item in held if isinstance(item, Batch)]
        worths = [(worth(record), -at) for at, record in enumerate(record for batch in batches for record in batch)]
        sizes = [len(line) for batch in batches for line in batch.lines]
        gone = _cheapest(worths, sizes, int(self._bounds.records * ROOMY), int(self._bounds.bytes * ROOMY))
        at = 0
        for item in held:
            if isinstance(item, Batch):
                kept = [n for n in range(len(item)) if at + n not in gone]
                at += len(item)
                part = item.part(kept)
                self._forget(item, part)
                item = part
            if not isinstance(item, Batch) or item:
                self._queue.append(item)

    def _forget(self, batch: Batch, kept: Batch) -> None:
        dropped = len(batch) - len(kept)
        self.lost[f"sink {self._name} too slow"] += dropped
        self._given -= dropped
        self._given_bytes -= _bytes_of(batch) - _bytes_of(kept)


def call(sink: Sink, do: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Have the sink do it; what it calls itself that is decorated is not recorded, because it would come back to it.

    Where its class says that it `calls_nobody` it is only a finalizer, which may run on any thread: that is recorded.
    """
    if "calls_nobody" in vars(type(sink)) and says(sink, "calls_nobody"):
        return do(*args, **kwargs)
    return call_at(_UNRECORDED, do, *args, **kwargs)


def _places(batch: Batch, wants: Callable[[Record], bool]) -> list[int]:
    return [at for at, record in enumerate(batch) if wants(record)]


_UNRECORDED = Place(sampled=None)


def says(sink: object, name: str) -> Any:
    """What the sink says of itself under this name: nothing where it has none, or cannot say it."""
    try:
        return getattr(sink, name, None)
    except BaseException as error:
        if not is_of_sink(error):
            raise
        return None


def is_of_sink(error: BaseException) -> bool:
    """Whether a sink that raises this must not stop the others: on the main thread it may be a signal's, for the user.

    On a thread of ours nothing else raises `SystemExit`, or a task's `CancelledError`, which would end it.
    """
    if threading.current_thread() is not threading.main_thread():
        return True
    return isinstance(error, Exception | SystemExit) and not is_of_signal(error)


def _cheapest(worths: list[tuple[int, int]], sizes: list[int], records: int, most_bytes: int) -> set[int]:
    """The positions to leave out, so that what stays is within both bounds."""
    count, size = len(worths), sum(sizes)
    gone: set[int] = set()
    for _, negative in sorted(worths):
        if count <= records and size <= most_bytes:
            break
        gone.add(-negative)
        count -= 1
        size -= sizes[-negative]
    return gone


def _bytes_of(batch: Batch) -> int:
    return len(batch.data)
