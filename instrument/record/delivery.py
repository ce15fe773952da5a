"""Brings batches to the sinks, in order: to those that are `direct`, our files, at once, to the others by their lanes.

What the sieve leaves out goes only to sinks that take all. A batch that waits for tables of prices is written at once
where a sink takes it unpriced; whatever comes after it waits with it, so that everybody else has all in order. A sink
that raises is switched off, reported once and counted.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from contextlib import suppress
from typing import Protocol

from instrument.model import Batch, Sink
from instrument.record.failures import in_words
from instrument.record.lanes import Bounds, Lane, call, is_of_sink, says

CATCH_UP_SECONDS = 0.005
"""After so long of passing on what waited for prices, what is queued has its turn."""
PIECE = 64
"""Records that are priced at a time, so that this time can be kept to."""


class Sieve(Protocol):
    """Decides what is stored, between settling and the sinks."""

    def stores_all(self, batch: Batch, /) -> bool:
        """Whether the batch is stored now and as it is."""

    def due(self) -> Iterable[Batch]:
        """What is to be stored now of what was undecided for a while."""

    def sift(self, batch: Batch, /) -> Iterable[Batch]:
        """What of the batch, and of earlier ones that it decides about, is to be stored now."""

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


class Delivery:
    """The sinks of one pipeline, and what waits for them.

    A sink with `takes_all` gets what `sieve` leaves out, too. One with `takes_unpriced` has a batch at once of which
    usage and cost are still to come, and these when they have come; the others have it when `later` has completed it.
    `written` counts records, `behind` the batches that still wait after `catch_up` though their prices are there,
    `in_sink` says that a sink is being called. One thread at a time may call what writes.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        bounds: Bounds,
        report: Callable[[str, str], None],
        sieve: Sieve | None = None,
        later: Later | None = None,
    ) -> None:
        self.sinks = list(sinks)
        self.written = self.behind = 0
        self.in_sink = False
        self._report = report
        self._sieve = sieve
        self._later = later
        self._direct = [sink for sink in sinks if says(sink, "direct")]
        self._lanes = [Lane(sink, bounds, self._failed) for sink in sinks if not _is_in(self._direct, sink)]
        self._first = [sink for sink in self._direct if says(sink, "takes_unpriced")]
        self._early = [lane for lane in self._lanes if says(lane.sink, "takes_unpriced")]
        self._unpriced: deque[tuple[Batch, bool]] = deque()
        self._met = 0
        self._broken: list[Sink] = []
        self._closed: list[Sink] = []
        self._lost: Counter[str] = Counter()

    # What is asked beside the worker

    def takes_unpriced(self) -> bool:
        """Whether a sink wants batches before their prices are there."""
        return bool(self._first or self._early)

    def waits_for_prices(self) -> bool:
        """Whether batches do."""
        return bool(self._unpriced)

    def is_full(self) -> bool:
        """Whether as much as may waits for a sink."""
        return any(lane.is_full() for lane in self._lanes)

    def lags(self, records: int) -> bool:
        """Whether a sink that is at work has more than so many before it."""
        return any(lane.is_behind(records) for lane in self._lanes)

    def progress(self) -> int:
        """A number that stays the same while nothing moves."""
        return self._met + sum(lane.done for lane in self._lanes)

    def waiting(self) -> dict[str, int]:
        """How many records wait for sinks, by the name of the sink."""
        return {type(lane.sink).__name__: lane.waiting for lane in self._lanes if lane.waiting > 0}

    def is_ours(self, thread: threading.Thread) -> bool:
        """Whether a sink runs on the thread."""
        return any(lane.is_mine(thread) for lane in self._lanes)

    def locks(self) -> list[threading.Lock]:
        """What is held while a sink with a lane is at work, or tables load."""
        loading = [] if self._later is None else [self._later.busy]
        return loading + [lane.busy for lane in self._lanes]

    def before_fork(self, give_up: float) -> None:
        """Have the threads of sinks end."""
        for lane in self._lanes:
            lane.before_fork(give_up)

    def after_fork(self) -> None:
        """Have others go on."""
        for lane in self._lanes:
            lane.after_fork()

    def lost(self) -> Counter[str]:
        """What was lost on the way and in sinks, by reason; what a sink keeps and will try again counts until then."""
        lost: Counter[str] = Counter()
        for ours in (self._lost, *(lane.lost for lane in self._lanes)):
            lost.update(dict(ours))  # a copy: other threads count meanwhile
        for sink in (*self.sinks, *self._closed):
            for name in ("lost", "kept"):
                with suppress(Exception):  # what a sink says of itself may be anything
                    lost.update(_told(sink, says(sink, name)))
        return lost

    # What the worker does

    def prepare(self) -> None:
        """Have our files opened and threads started; what fails is told when something is to be written."""
        for one in (*self._direct, *self._lanes):
            if (prepare := says(one, "prepare")) is not None:
                try:
                    prepare()
                except BaseException as error:
                    if not is_of_sink(error):
                        raise

    def write(self, batch: Batch) -> None:
        """Bring it to the sinks, or let it wait for its prices."""
        self._met += len(batch)
        if not batch.unpriced and not self._unpriced:
            self._pass_on(batch, self._direct, self._lanes)
            return
        is_written = self._sieve is None or self._sieve.stores_all(batch)
        if is_written:
            self._each("write", batch, sinks=self._first)
        for lane in self._early:
            lane.put(batch)
        self._unpriced.extend((piece, is_written) for piece in batch.pieces(PIECE))
        if batch.unpriced and self._later is not None:
            self._later.load()

    def catch_up(self, queue: Sized = (), waits: bool = False) -> None:
        """Pass on what waited for usage and cost, in its order; what `queue` holds meanwhile is written in between.

        So that all of it has its turn less waits each time than the time before. With `waits` all is passed on now.
        """
        until, before = time.monotonic() + CATCH_UP_SECONDS, self.behind or sys.maxsize
        while self._unpriced and self._later is not None and (waits or self._later.is_ready()):
            if queue and not waits and len(self._unpriced) < before and time.monotonic() > until:
                self.behind = len(self._unpriced)
                return
            batch, is_written = self._unpriced.popleft()
            try:
                self._pass_on_priced(*self._later.complete(batch), is_written)
            except Exception as error:  # noqa: BLE001 - what comes after it must not be lost as well
                self._lost[own_fault(error)] += len(batch)
        self.behind = 0

    def flush(self) -> list[threading.Event]:
        """Flush the direct sinks now, and the others after what waits for them: the events tell when they have."""
        self._each("flush")
        return [] if self._closed else [lane.ask("flush") for lane in self._lanes]

    def close(self) -> list[threading.Event]:
        """Write what was undecided and close the sinks, as `flush` flushes them."""
        if self._sieve is not None:
            for kept in self._sieve.finish():
                self._store(kept, self._direct, self._lanes, takes_all=False)
        self._each("close")
        self._closed, self.sinks, self._direct = self.sinks, [], []
        return [lane.ask("close") for lane in self._lanes]

    def write_late(self, settle: Callable[[], Batch]) -> bool:
        """Write a batch to those closed sinks that open again for it; whether there are any."""
        sinks = [sink for sink in self._closed if says(sink, "reopens")]
        batch = settle() if sinks else Batch([])
        kept = [batch] if self._sieve is None else list(self._sieve.sift(batch))
        for sink in sinks:
            for part in kept:
                call(sink, sink.write, part)
                call(sink, sink.flush)
        self.written += len(batch)
        return bool(sinks)

    def give_up(self) -> None:
        """The process ends: what waits for sinks is lost."""
        for lane in self._lanes:
            lane.give_up()

    def abandon(self) -> None:
        """Write nothing more: the sinks belong to the process that this one was forked from."""
        self.sinks, self._direct, self._lanes, self._first, self._early = [], [], [], [], []
        self._sieve, self._unpriced = None, deque()

    def _pass_on_priced(self, whole: Batch, rest: Batch, is_written: bool) -> None:
        """A batch that has waited for its prices; only `rest` of it to the sinks that have the others already."""
        if is_written and rest:
            self._each("write", rest, sinks=self._first)
        for lane in self._early if rest else ():
            lane.put(rest)
        others = [sink for sink in self._direct if not _is_in(self._first, sink)]
        lanes = [lane for lane in self._lanes if lane not in self._early]
        self._pass_on(whole, others if is_written else self._direct, lanes)

    def _pass_on(self, batch: Batch, direct: Sequence[Sink], lanes: Sequence[Lane]) -> None:
        if self._sieve is None:
            self._store(batch, direct, lanes)
            return
        for kept in self._sieve.due():  # of which those that have the batch already have nothing
            self._store(kept, self._direct, self._lanes, takes_all=False)
        self._store(batch, direct, lanes, takes_all=True)
        for kept in self._sieve.sift(batch):
            self._store(kept, direct, lanes, takes_all=False)

    def _store(
        self, batch: Batch, direct: Sequence[Sink], lanes: Sequence[Lane], takes_all: bool | None = None
    ) -> None:
        """Give the batch to the sinks; with `takes_all` only to those that do, or do not, get what is not stored."""
        self.written += 0 if takes_all else len(batch)
        self._each("write", batch, sinks=direct, takes_all=takes_all)
        for lane in lanes:
            if takes_all is None or takes_all is _takes_all(lane.sink):
                lane.put(batch)

    def _each(
        self, verb: str, *args: Batch, sinks: Sequence[Sink] | None = None, takes_all: bool | None = None
    ) -> None:
        self.in_sink = True
        for sink in self._direct if sinks is None else sinks:
            if takes_all is not None and takes_all is not _takes_all(sink):
                continue
            if _is_in(self._broken, sink):
                self._lost[f"sink {type(sink).__name__} failed"] += sum(map(len, args))
                continue
            try:
                call(sink, getattr(sink, verb), *args)
            except BaseException as error:
                if not is_of_sink(error):
                    self.in_sink = False
                    raise
                self._broken.append(sink)
                self._failed(sink, error, sum(map(len, args)))
        self.in_sink = False

    def _failed(self, sink: Sink, error: BaseException, records: int) -> None:
        name = type(sink).__name__
        self._lost[f"sink {name} failed"] += records
        self._report(name, in_words(error))


def own_fault(error: Exception) -> str:
    """The reason for which records are counted as lost."""
    return f"a fault of the recording itself ({type(error).__name__})"


def _told(sink: Sink, told: object) -> dict[str, int]:
    counts = dict(told) if isinstance(told, Mapping) else {"given up": told}
    return {f"sink {type(sink).__name__}: {why}": count for why, count in counts.items() if isinstance(count, int)}


def _takes_all(sink: Sink) -> bool:
    return says(sink, "takes_all") is True


def _is_in(sinks: Sequence[Sink], sink: Sink) -> bool:
    """Whether it is one of them, whatever it makes of being compared."""
    return any(one is sink for one in sinks)
